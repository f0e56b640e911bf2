/**
 * Bytes that all transfers of a process may send together: so many come with each tick, and what is not used
 * is kept up to a bound.
 */
export class ByteBudget {
  readonly #bytesPerTick: number
  readonly #bytesMax: number
  #available: number

  /** @param bounds `bytesMax` is at least the largest piece that is ever asked for */
  constructor(bounds: { readonly bytesPerTick: number; readonly bytesMax: number }) {
    this.#bytesPerTick = bounds.bytesPerTick
    this.#bytesMax = Math.max(bounds.bytesPerTick, bounds.bytesMax)
    this.#available = this.#bytesMax
  }

  tick(): void {
    this.give(this.#bytesPerTick)
  }

  /** False when there is not enough: then nothing is taken. */
  take(bytes: number): boolean {
    if (bytes > this.#available) return false
    this.#available -= bytes
    return true
  }

  /** What was taken and not sent comes back. */
  give(bytes: number): void {
    this.#available = Math.min(this.#available + bytes, this.#bytesMax)
  }
}
