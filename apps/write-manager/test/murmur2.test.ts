import { describe, expect, test } from '@jest/globals'
import { murmur2, partitionIndexOfKey } from '../src/murmur2.js'

describe('murmur2', () => {
  // Kafka's own, from org.apache.kafka.common.utils.UtilsTest.
  test.each([
    ['21', -973932308],
    ['foobar', -790332482],
    ['a-little-bit-long-string', -985981536],
    ['a-little-bit-longer-string', -1486304829],
    ['lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8', -58897971],
    ['abc', 479470107],
  ])('of "%s" is %i, as in Kafka', (key, hash) => {
    expect(murmur2(Buffer.from(key))).toBe(hash)
  })

  test('a key always has the same partition, whatever the sign of its hash', () => {
    expect(partitionIndexOfKey(Buffer.from('foobar'), 5)).toBe((-790332482 & 0x7fffffff) % 5)
    expect(partitionIndexOfKey(new Uint8Array(0), 1)).toBe(0)
  })
})
