/** Sub-buckets of an octave, as a power of two: values are off by less than 1/64. */
const PRECISION_BITS = 6
const BUCKETS = 26 * (1 << PRECISION_BITS) + (1 << PRECISION_BITS)

/** As it travels between processes: bucket, count, bucket, count, … */
export type PackedLatencies = readonly number[]

/** Durations, counted in buckets of about 1.5 %: as many as come, in 7 KB. */
export class Latencies {
  readonly #counts = new Float64Array(BUCKETS)
  #count = 0

  static unpack(packed: PackedLatencies): Latencies {
    const latencies = new Latencies()
    for (let i = 0; i < packed.length; i += 2) latencies.#add(packed[i]!, packed[i + 1]!)
    return latencies
  }

  get count(): number {
    return this.#count
  }

  /** @param ms below 35 minutes */
  record(ms: number): void {
    const us = Math.min(0x7fff_ffff, Math.max(0, Math.round(ms * 1000)))
    const shift = Math.max(0, 31 - Math.clz32(us) - PRECISION_BITS)
    this.#add((shift << PRECISION_BITS) + (us >>> shift), 1)
  }

  merge(other: Latencies): void {
    for (const [bucket, count] of other.#counts.entries()) if (count > 0) this.#add(bucket, count)
  }

  clear(): void {
    this.#counts.fill(0)
    this.#count = 0
  }

  /**
   * The smallest duration that at least this share of them does not exceed; NaN when there are none. Milliseconds.
   * @param share in (0, 1]
   */
  quantile(share: number): number {
    let left = Math.max(1, Math.ceil(this.#count * share))
    for (const [bucket, count] of this.#counts.entries()) {
      left -= count
      if (left <= 0) return middleUs(bucket) / 1000
    }
    return Number.NaN
  }

  pack(): PackedLatencies {
    const packed: number[] = []
    for (const [bucket, count] of this.#counts.entries()) if (count > 0) packed.push(bucket, count)
    return packed
  }

  #add(bucket: number, count: number): void {
    this.#counts[bucket]! += count
    this.#count += count
  }
}

function middleUs(bucket: number): number {
  const size = 1 << PRECISION_BITS
  if (bucket < 2 * size) return bucket
  const shift = (bucket >>> PRECISION_BITS) - 1
  return ((bucket - (shift << PRECISION_BITS)) << shift) + (1 << shift) / 2
}
