const BUCKETS = 33

/** How many entries went to disk together: counts by powers of two, the first for 1. */
export class BatchSizes {
  readonly #counts: number[]

  constructor(counts?: readonly number[]) {
    this.#counts = counts === undefined ? new Array<number>(BUCKETS).fill(0) : [...counts]
  }

  /** @param size at least 1 */
  record(size: number): void {
    this.#counts[32 - Math.clz32(size - 1)]! += 1
  }

  merge(other: BatchSizes): void {
    for (const [bucket, count] of other.#counts.entries()) this.#counts[bucket]! += count
  }

  clear(): void {
    this.#counts.fill(0)
  }

  pack(): readonly number[] {
    return [...this.#counts]
  }

  /** For example `≤1: 3 %, ≤64: 97 %`; sizes of under half a percent are left out. */
  toString(): string {
    const total = this.#counts.reduce((sum, count) => sum + count, 0)
    if (total === 0) return '–'
    return this.#counts
      .map((count, bucket) => ({ size: 2 ** bucket, percent: Math.round((100 * count) / total) }))
      .filter(({ percent }) => percent > 0)
      .map(({ size, percent }) => `≤${size}: ${percent} %`)
      .join(', ')
  }
}
