/** A process that failed again this soon after its start has not recovered, milliseconds. */
const settledAfterMs = 10_000
const delayMsMax = 30_000

/** How long to wait before a process that ended is started again: doubles while it keeps failing. */
export class RestartDelay {
  readonly #firstMs: number
  #nextMs: number

  /** @param firstMs the delay after a process that ran well, milliseconds */
  constructor(firstMs: number) {
    this.#firstMs = firstMs
    this.#nextMs = firstMs
  }

  /** @param ranMs how long the process ran before it ended, milliseconds */
  next(ranMs: number): number {
    if (ranMs >= settledAfterMs) this.#nextMs = this.#firstMs
    const delayMs = this.#nextMs
    this.#nextMs = Math.min(delayMs * 2, Math.max(delayMsMax, this.#firstMs))
    return delayMs
  }
}
