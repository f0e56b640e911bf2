import type { Clock } from '@sluice/foundation'
import type { Call } from './call.js'

/** How often deadlines are looked at: a time-out is late by at most this, milliseconds. */
const sweepIntervalMs = 50

/** The calls that wait for an answer. One timer watches all their deadlines, instead of one each. */
export class OpenCalls {
  readonly #clock: Clock
  readonly #calls = new Set<Call>()
  #timer: NodeJS.Timeout | undefined

  constructor(clock: Clock) {
    this.#clock = clock
  }

  get count(): number {
    return this.#calls.size
  }

  add(call: Call): void {
    this.#calls.add(call)
    this.#timer ??= setInterval(() => this.#sweep(), sweepIntervalMs).unref()
  }

  delete(call: Call): void {
    this.#calls.delete(call)
  }

  /** Answers every call that is open: this process stops. */
  stopAll(): void {
    for (const call of [...this.#calls]) call.stop()
  }

  close(): void {
    clearInterval(this.#timer)
    this.#timer = undefined
  }

  #sweep(): void {
    const now = this.#clock.monotonic()
    for (const call of [...this.#calls]) if (call.deadlineMs <= now) call.expire()
  }
}
