/** A fetch that a broker may have carried out although its answer never came. */
export interface UnsettledFetch {
  readonly groupId: number
  /** 32 hex digits: asked again under it, the broker gives what it gave. */
  readonly requestId: string
  /** Offset of the first message of what it gave that was not delivered; absent when none was. */
  readonly next?: number
}

const FETCHES_MAX = 10_000

/**
 * Fetches to be asked again before new messages are taken, so that a lost answer loses no message.
 * Who takes one out owns it, and puts it back if it is still open afterwards.
 */
export class UnsettledFetches {
  // Oldest consumer first.
  readonly #byConsumer = new Map<number, UnsettledFetch[]>()
  #count = 0

  get count(): number {
    return this.#count
  }

  has(consumerId: number): boolean {
    return this.#byConsumer.has(consumerId)
  }

  put(consumerId: number, fetch: UnsettledFetch): void {
    const fetches = this.#byConsumer.get(consumerId)
    if (fetches === undefined) this.#byConsumer.set(consumerId, [fetch])
    else fetches.push(fetch)
    this.#count++
    while (this.#count > FETCHES_MAX) this.takeAll(this.#byConsumer.keys().next().value!)
  }

  /** The consumer's open fetches, oldest first; they are the caller's now. */
  takeAll(consumerId: number): readonly UnsettledFetch[] {
    const fetches = this.#byConsumer.get(consumerId)
    if (fetches === undefined) return []
    this.#byConsumer.delete(consumerId)
    this.#count -= fetches.length
    return fetches
  }
}
