/**
 * Jump consistent hash (Lamping and Veach 2014): one bucket more moves only what goes into that bucket.
 *
 * @param seed 32 bits
 */
export function jumpHash(seed: number, buckets: number): number {
  let state = seed >>> 0 || 1
  let bucket = 0
  let next = 0
  while (next < buckets) {
    bucket = next
    // xorshift32 (Marsaglia 2003): never 0, so the division below is one.
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    next = Math.floor((bucket + 1) / ((state >>> 0) / 0x1_0000_0000))
  }
  return bucket
}
