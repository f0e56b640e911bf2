import { type Clock, entropy, type Random } from '@sluice/foundation'

/** Tries of one call at most, however many managers there are: each has a number of its own. */
export const TRIES_PER_CALL = 64
const CALLS_PER_MS = 16

/**
 * Numbers for the tries of calls. Of two tries of what a client means as one call, the one that was begun later
 * has the larger number, also when another load balancer began it: as far as their clocks agree, which is to
 * within the time that a client waits before it tries again. All are below 2^53.
 */
export class TryNumbers {
  readonly #clock: Clock
  readonly #random: Random = entropy()
  #last = 0

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** Of the first try of a call that begins now. */
  next(): number {
    const now = this.#clock.now() * CALLS_PER_MS + this.#random.below(CALLS_PER_MS)
    this.#last = Math.max(this.#last + 1, now)
    return this.#last * TRIES_PER_CALL
  }
}
