import type { Writable } from 'node:stream'
import type { Clock } from '@sluice/foundation'
import { formatLogLine, parseLogLine, timeOfDay } from './log-line.js'

const infoLevel = 30
const warnLevel = 40

/** What a person sees while a cluster starts, runs and stops: one line after the other, on a TTY or not. */
export class Terminal {
  readonly #out: Writable
  readonly #clock: Clock
  readonly #colour: boolean
  readonly #startedAt: number
  #quiet = true

  /** @param options.colour whether the reader's terminal shows colours */
  constructor(out: Writable, clock: Clock, options: { readonly colour: boolean }) {
    this.#out = out
    this.#clock = clock
    this.#colour = options.colour
    this.#startedAt = clock.monotonic()
    // A reader that went away (`npm start | head`) must not end the cluster.
    out.on('error', () => undefined)
  }

  /** Seconds since the start, and what was reached. */
  progress(text: string): void {
    const seconds = ((this.#clock.monotonic() - this.#startedAt) / 1000).toFixed(1)
    this.#write(`${this.#paint(2, `${seconds.padStart(6)} s`)}  ${text}`)
  }

  /** Something that went wrong, or needs to be known. */
  notice(text: string): void {
    this.#write(`${this.#paint(2, timeOfDay(this.#clock.now()))} ${this.#paint(33, text)}`)
  }

  failure(text: string): void {
    this.#write(this.#paint(31, text))
  }

  plain(text: string): void {
    this.#write(text)
  }

  /** A block between two rules, without side borders, so that its lines can be copied. */
  box(lines: readonly string[]): void {
    const width = Math.max(...lines.map((line) => line.length)) + 2
    const rule = this.#paint(36, '─'.repeat(width))
    this.#write([rule, ...lines.map((line) => ` ${line}`), rule].join('\n'))
  }

  /** From now on the processes' lines of level info are shown, not warnings alone. */
  showLogs(): void {
    this.#quiet = false
  }

  /** One line that a process wrote. */
  log(processName: string, text: string, fromStderr: boolean): void {
    const line = parseLogLine(text, {
      time: this.#clock.now(),
      levelOfText: fromStderr ? warnLevel : infoLevel,
    })
    if (line.level >= (this.#quiet ? warnLevel : infoLevel))
      this.#write(formatLogLine(line, processName, this.#colour))
  }

  #write(text: string): void {
    if (this.#out.writable) this.#out.write(`${text}\n`)
  }

  #paint(code: number, text: string): string {
    return this.#colour ? `\u001b[${code}m${text}\u001b[0m` : text
  }
}
