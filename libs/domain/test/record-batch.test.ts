import { describe, expect, test } from '@jest/globals'
import { crc32c } from '@node-rs/crc32'
import {
  decodeRecords,
  encodeRecordBatch,
  readBatchHeader,
  type RecordData,
  recordPositions,
  stampBatch,
  toOffset,
  verifyRecordBatch,
} from '@sluice/domain'
import fc from 'fast-check'

const text = (value: string): Uint8Array => new TextEncoder().encode(value)
const hex = (value: string): Uint8Array => new Uint8Array(Buffer.from(value, 'hex'))

// Written field by field from the published layout, with another program and its own CRC-32C.
const ONE_RECORD =
  '00000000000000000000003d0000000002e641a44b0000000000000000018bcfe568000000018bcfe56800ffffffffffffffffffffffffffff0000000116000000010a68656c6c6f00'
const THREE_RECORDS =
  '000000000000002a0000005d0000000702a97eb40a0000000000020000018bcfe568000000018bcfe5692c40000000000000010003000003e80000000318000000026b0a666972737400260013020101040a747261636504010204c3a9011400d80404000678787800'

const THREE: readonly RecordData[] = [
  { timestamp: 1_700_000_000_000, key: text('k'), value: text('first'), headers: [] },
  {
    timestamp: 1_699_999_999_990,
    key: null,
    value: null,
    headers: [
      { key: 'trace', value: hex('0102') },
      { key: 'é', value: null },
    ],
  },
  { timestamp: 1_700_000_000_300, key: text(''), value: text('xxx'), headers: [] },
]

describe('the layout', () => {
  test('CRC-32C of the check string is 0xE3069283', () => {
    expect(crc32c(Buffer.from('123456789'))).toBe(0xe3069283)
  })

  test('one record without a producer is the published bytes', () => {
    const bytes = encodeRecordBatch({
      records: [{ timestamp: 1_700_000_000_000, key: null, value: text('hello'), headers: [] }],
    })
    expect(Buffer.from(bytes).toString('hex')).toBe(ONE_RECORD)
  })

  test('three records with null and empty keys, headers, an earlier timestamp and a producer are the published bytes', () => {
    const bytes = encodeRecordBatch({
      records: THREE,
      producerId: 4_611_686_018_427_387_905n,
      producerEpoch: 3,
      baseSequence: 1000,
    })
    stampBatch(bytes, toOffset(42), 7)
    expect(Buffer.from(bytes).toString('hex')).toBe(THREE_RECORDS)
  })

  test('the header of published bytes is read back', () => {
    expect(verifyRecordBatch(hex(THREE_RECORDS))).toMatchObject({
      baseOffset: 42,
      leaderEpoch: 7,
      lastOffsetDelta: 2,
      baseTimestamp: 1_700_000_000_000,
      maxTimestamp: 1_700_000_000_300,
      producerId: 4_611_686_018_427_387_905n,
      producerEpoch: 3,
      baseSequence: 1000,
      recordCount: 3,
    })
  })

  test('the records of published bytes are read back, also from the middle', () => {
    const records = decodeRecords(hex(THREE_RECORDS))
    expect(records).toEqual(THREE.map((record, i) => ({ ...record, offset: 42 + i })))
    expect(decodeRecords(hex(THREE_RECORDS), toOffset(43), 1)).toEqual([records[1]])
    expect(decodeRecords(hex(THREE_RECORDS), toOffset(45))).toEqual([])
  })
})

const bytesArbitrary = fc.uint8Array({ maxLength: 200 })
const recordArbitrary: fc.Arbitrary<RecordData> = fc.record({
  timestamp: fc.integer({ min: 0, max: 253_402_300_799_999 }),
  key: fc.option(bytesArbitrary),
  value: fc.option(bytesArbitrary),
  headers: fc.array(fc.record({ key: fc.string(), value: fc.option(bytesArbitrary) }), { maxLength: 3 }),
})
const recordsArbitrary = fc.array(recordArbitrary, { minLength: 1, maxLength: 20 })

test('what is encoded is decoded, whatever it is', () => {
  fc.assert(
    fc.property(recordsArbitrary, fc.integer({ min: 0, max: 2 ** 40 }), (records, base) => {
      const bytes = encodeRecordBatch({ records, producerId: 5n, producerEpoch: 1, baseSequence: 7 })
      stampBatch(bytes, toOffset(base), 3)
      expect(verifyRecordBatch(bytes).recordCount).toBe(records.length)
      expect(decodeRecords(bytes)).toEqual(records.map((record, i) => ({ ...record, offset: base + i })))
    }),
  )
})

test('positions cut out the same keys, values and times as decoding does', () => {
  fc.assert(
    fc.property(recordsArbitrary, (records) => {
      const bytes = encodeRecordBatch({ records })
      const positions = recordPositions(bytes)
      const { baseTimestamp } = readBatchHeader(bytes)
      const cut = (start: number, length: number) =>
        length < 0 ? null : bytes.subarray(start, start + length)
      for (const [i, record] of records.entries()) {
        expect(cut(positions.keyStarts[i]!, positions.keyLengths[i]!)).toEqual(record.key)
        expect(cut(positions.valueStarts[i]!, positions.valueLengths[i]!)).toEqual(record.value)
        expect(baseTimestamp + positions.timestampDeltas[i]!).toBe(record.timestamp)
      }
    }),
  )
})

test.each([
  [0, 5.5],
  [0, Number.NaN],
  [0, 2 ** 52],
  [2 ** 52, 0],
])('timestamps %p and %p make no batch, since none could be read back', (first, second) => {
  const records = [first, second].map((timestamp) => ({ timestamp, key: null, value: null, headers: [] }))
  expect(() => encodeRecordBatch({ records })).toThrow('timestamp')
})

test('offset and epoch are all that stamping changes', () => {
  const before = hex(THREE_RECORDS)
  const after = before.slice()
  stampBatch(after, toOffset(2 ** 40), 99)
  expect(readBatchHeader(after)).toEqual({ ...readBatchHeader(before), baseOffset: 2 ** 40, leaderEpoch: 99 })
  expect(after.subarray(16)).toEqual(before.subarray(16))
  expect(after.subarray(8, 12)).toEqual(before.subarray(8, 12))
})

test('decoding copies nothing: keys and values are views of the batch', () => {
  const bytes = hex(THREE_RECORDS)
  for (const { key, value } of decodeRecords(bytes))
    for (const part of [key, value]) expect(part === null || part.buffer === bytes.buffer).toBe(true)
})

function outcomeOf(call: () => unknown): string {
  try {
    call()
    return 'taken'
  } catch (error) {
    return (error as { code?: string }).code ?? String(error)
  }
}

describe('damage', () => {
  test('any changed byte but offset and epoch is found', () => {
    const good = hex(THREE_RECORDS)
    for (let i = 0; i < good.length; i++) {
      if (i < 8 || (i >= 12 && i < 16)) continue
      for (const flip of [1, 0x80, 0xff]) {
        const bad = good.slice()
        bad[i] = bad[i]! ^ flip
        expect(() => verifyRecordBatch(bad)).toThrow(expect.objectContaining({ code: 'CORRUPT_BATCH' }))
      }
    }
  })

  test('a batch cut short anywhere is found', () => {
    const good = hex(THREE_RECORDS)
    for (let length = 0; length < good.length; length++)
      expect(() => verifyRecordBatch(good.subarray(0, length))).toThrow(
        expect.objectContaining({ code: 'CORRUPT_BATCH' }),
      )
  })

  test('random bytes give CORRUPT_BATCH and nothing else', () => {
    const mostly = fc.tuple(fc.uint8Array({ minLength: 61, maxLength: 300 }), fc.nat(), fc.nat(255))
    fc.assert(
      fc.property(mostly, ([noise]) => {
        const bytes = noise.slice()
        // A right header, so that the records' own lengths are what is tried.
        const view = new DataView(bytes.buffer)
        view.setBigInt64(0, 0n)
        view.setInt32(8, bytes.length - 12)
        view.setInt8(16, 2)
        view.setInt16(21, 0)
        view.setInt32(23, 2)
        view.setBigInt64(27, 0n)
        view.setBigInt64(35, 0n)
        view.setInt32(57, 3)
        for (const decode of [decodeRecords, recordPositions]) {
          try {
            decode(bytes)
          } catch (error) {
            expect(error).toMatchObject({ code: 'CORRUPT_BATCH' })
          }
        }
      }),
      { numRuns: 2000 },
    )
  })

  test('records that do not decode are refused before they are stored, though the checksum is right', () => {
    const good = hex(THREE_RECORDS)
    let refused = 0
    for (let i = 61; i < good.length; i++) {
      for (const flip of [1, 0x40, 0x80, 0xff]) {
        const bad = good.slice()
        bad[i] = bad[i]! ^ flip
        new DataView(bad.buffer).setUint32(17, crc32c(bad.subarray(21)))
        const decodes = outcomeOf(() => decodeRecords(bad))
        expect(outcomeOf(() => verifyRecordBatch(bad))).toBe(decodes)
        if (decodes === 'CORRUPT_BATCH') refused++
        else expect(outcomeOf(() => recordPositions(bad))).toBe('taken')
      }
    }
    expect(refused).toBeGreaterThan(0)
  })

  test('what passes is what decodes, for any bytes under a right header and checksum', () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ minLength: 7, maxLength: 60 }),
        fc.integer({ min: 1, max: 3 }),
        (noise, count) => {
          const bytes = new Uint8Array(61 + noise.length)
          bytes.set(noise, 61)
          const view = new DataView(bytes.buffer)
          view.setInt32(8, bytes.length - 12)
          view.setInt8(16, 2)
          view.setInt32(23, count - 1)
          view.setInt32(57, count)
          view.setUint32(17, crc32c(bytes.subarray(21)))
          expect(outcomeOf(() => verifyRecordBatch(bytes))).toBe(outcomeOf(() => decodeRecords(bytes)))
        },
      ),
      { numRuns: 2000 },
    )
  })

  test('a timestamp past what a double holds exactly is refused', () => {
    const bytes = encodeRecordBatch({
      records: [0, 1].map((timestamp) => ({ timestamp, key: null, value: null, headers: [] })),
    })
    new DataView(bytes.buffer).setBigInt64(27, BigInt(Number.MAX_SAFE_INTEGER))
    new DataView(bytes.buffer).setUint32(17, crc32c(bytes.subarray(21)))
    expect(() => verifyRecordBatch(bytes)).toThrow('timestamp')
    expect(() => decodeRecords(bytes)).toThrow('timestamp')
  })

  test('compressed and control batches are refused', () => {
    const bytes = hex(ONE_RECORD)
    bytes[22] = 1
    expect(() => readBatchHeader(bytes)).toThrow('compressed')
  })
})
