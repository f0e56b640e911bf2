import { type Clock, delay } from '@sluice/foundation'

/** Keeps what is copied to this broker below a rate, all its partitions together: the work of the day comes first. */
export class CopyRate {
  readonly #bytesPerSecond: number
  readonly #clock: Clock
  readonly #pause: (ms: number, signal: AbortSignal) => Promise<void>
  /** By then what was copied so far may have been. Monotonic milliseconds. */
  #paidMs = 0

  constructor(bytesPerSecond: number, clock: Clock, pause = delay) {
    this.#bytesPerSecond = bytesPerSecond
    this.#clock = clock
    this.#pause = pause
  }

  /** Resolves once the rate has room for what has just been copied. @throws the signal's reason */
  async copied(bytes: number, signal: AbortSignal): Promise<void> {
    const now = this.#clock.monotonic()
    this.#paidMs = Math.max(this.#paidMs, now) + (bytes / this.#bytesPerSecond) * 1000
    await this.#pause(this.#paidMs - now, signal)
  }
}
