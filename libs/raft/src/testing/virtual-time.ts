import { EventHeap } from './event-heap.js'

/** Time that passes from event to event. One event is one synchronous call, and all that its promises do. */
export class VirtualTime {
  readonly #events = new EventHeap()
  readonly #counts: { events: number }
  #nowMs = 0
  #promisesMoved = false
  #failure: Error | undefined

  /** @param counts where events are counted */
  constructor(counts: { events: number }) {
    this.#counts = counts
  }

  get nowMs(): number {
    return this.#nowMs
  }

  readonly later = (delayMs: number, run: () => void): void => {
    this.#events.add(this.#nowMs + delayMs, run)
  }

  at(atMs: number, run: () => void): void {
    this.#events.add(Math.max(atMs, this.#nowMs), run)
  }

  /** What waits for promises that were just made or settled must run before the next event. */
  readonly promisesMoved = (): void => {
    this.#promisesMoved = true
  }

  /** Something broke where nobody could throw. */
  readonly failed = (error: Error): void => {
    this.#failure ??= error
  }

  readonly throwFailure = (): void => {
    if (this.#failure !== undefined) throw this.#failure
  }

  /** @throws what an event throws, or what `failed` was told in it */
  async runUntil(untilMs: number): Promise<void> {
    await this.#runWhile((atMs) => atMs <= untilMs)
    this.#nowMs = Math.max(this.#nowMs, untilMs)
  }

  /** Until so many events have happened, and all of the same time. */
  async runEvents(count: number): Promise<void> {
    await this.#runWhile((atMs) => this.#counts.events < count || atMs === this.#nowMs)
  }

  async #runWhile(goesOn: (atMs: number) => boolean): Promise<void> {
    for (
      let next = this.#events.peek();
      next !== undefined && goesOn(next.atMs);
      next = this.#events.peek()
    ) {
      this.#events.pop()
      this.#nowMs = next.atMs
      this.#counts.events++
      next.run()
      // Nearly all events are over here: waiting for each would cost more than all else.
      while (this.#promisesMoved) await this.#drain()
      this.throwFailure()
    }
  }

  /** Every continuation of a settled promise runs before the next turn of the event loop, in a fixed order. */
  #drain(): Promise<void> {
    this.#promisesMoved = false
    return new Promise((resolve) => void setImmediate(resolve))
  }
}
