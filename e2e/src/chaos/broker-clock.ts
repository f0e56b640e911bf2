import { readFileSync, writeFileSync } from 'node:fs'

/** How far a broker's clocks are from the true ones. Milliseconds. */
export interface ClockShift {
  /** Of the wall clock; either way. */
  readonly wallMs: number
  /** Of the clock that never goes back: what it has jumped ahead so far, as after a machine was suspended. */
  readonly monotonicMs: number
}

const POLL_MS = 20

/** For the suite: moves the clocks of the process that follows `file`. */
export function shiftClock(file: string, { wallMs, monotonicMs }: ClockShift): void {
  writeFileSync(file, `${wallMs} ${monotonicMs}`)
}

/** For the process under test: its clocks follow `file` from now on, which need not exist. */
export function followClockFile(file: string): void {
  let shift: ClockShift = { wallMs: 0, monotonicMs: 0 }
  const look = (): void => {
    try {
      const [wallMs = NaN, monotonicMs = NaN] = readFileSync(file, 'utf8').split(' ').map(Number)
      // Never back, whatever the file says; and a file that is half written is looked at again.
      if (Number.isFinite(wallMs) && monotonicMs >= shift.monotonicMs) shift = { wallMs, monotonicMs }
    } catch {
      // Nothing has jumped yet.
    }
  }
  const now = Date.now.bind(Date)
  const monotonic = performance.now.bind(performance)
  Date.now = () => now() + shift.wallMs
  performance.now = () => monotonic() + shift.monotonicMs
  look()
  setInterval(look, POLL_MS).unref()
}
