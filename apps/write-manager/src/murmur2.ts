const SEED = 0x9747b28c
const M = 0x5bd1e995

/** Kafka's hash of a key (32-bit murmur2, its seed): the same key goes to the same partition as there. Signed. */
export function murmur2(bytes: Uint8Array): number {
  let h = SEED ^ bytes.length
  const whole = bytes.length & ~3
  for (let i = 0; i < whole; i += 4) {
    let k = bytes[i]! | (bytes[i + 1]! << 8) | (bytes[i + 2]! << 16) | (bytes[i + 3]! << 24)
    k = Math.imul(k, M)
    k = Math.imul(k ^ (k >>> 24), M)
    h = Math.imul(h, M) ^ k
  }
  const rest = bytes.length - whole
  if (rest === 3) h ^= bytes[whole + 2]! << 16
  if (rest >= 2) h ^= bytes[whole + 1]! << 8
  if (rest >= 1) h = Math.imul(h ^ bytes[whole]!, M)
  h = Math.imul(h ^ (h >>> 13), M)
  return h ^ (h >>> 15)
}

/** Index of the partition, from 0, that Kafka's default partitioner chooses for a key. */
export function partitionIndexOfKey(key: Uint8Array, partitionCount: number): number {
  return (murmur2(key) & 0x7fff_ffff) % partitionCount
}
