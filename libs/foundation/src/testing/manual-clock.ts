import type { Clock } from '../clock.js'

/** A clock that stands still until it is moved. */
export class ManualClock implements Clock {
  #now: number

  constructor(now = 1_700_000_000_000) {
    this.#now = now
  }

  now(): number {
    return this.#now
  }

  monotonic(): number {
    return this.#now
  }

  advance(ms: number): void {
    this.#now += ms
  }
}
