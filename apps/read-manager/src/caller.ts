import { arrivalsSeen, type Clock } from '@sluice/foundation'

/** Who waits for the answer of a consume request, and may go away meanwhile. */
export interface Caller {
  readonly gone: boolean
  /** Calls `listener` once when the caller goes away. */
  onGone(listener: () => void): void
}

/** What took longer may have been held up with its process, which learns first who left meanwhile. */
const HELD_UP_MS = 500

/** Knows of a caller that has left also when this process stood still and has not read of it yet. */
export class CallerWatch {
  readonly #caller: Caller
  readonly #clock: Clock
  #lookedMs: number | undefined

  constructor(caller: Caller, clock: Clock) {
    this.#caller = caller
    this.#clock = clock
  }

  /** As far as this process has read. */
  get gone(): boolean {
    return this.#caller.gone
  }

  /** True when the caller was there a moment ago, not only before this process stood still. */
  async isThere(): Promise<boolean> {
    const now = this.#clock.monotonic()
    if (this.#lookedMs === undefined || now - this.#lookedMs > HELD_UP_MS) {
      await arrivalsSeen()
      this.#lookedMs = this.#clock.monotonic()
    }
    return !this.#caller.gone
  }

  onGone(listener: () => void): void {
    this.#caller.onGone(listener)
  }
}
