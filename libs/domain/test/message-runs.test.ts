import { expect, test } from '@jest/globals'
import {
  decodeRecords,
  decodeRuns,
  encodeRecordBatch,
  type MessageRun,
  packedRuns,
  readRuns,
  type RecordData,
  verifyRecordBatch,
  withRuns,
} from '@sluice/domain'
import fc from 'fast-check'

const record = (value: string): RecordData => ({
  timestamp: 1000,
  key: Buffer.from('k'),
  value: Buffer.from(value),
  headers: [{ key: 'h', value: Buffer.from(value) }],
})
const id = (n: number): string => n.toString(16).padStart(32, '0')

test('runs travel in a batch that is valid, and leave its records as they are', () => {
  const records = ['a', 'b', 'c'].map(record)
  const runs: MessageRun[] = [
    { id: id(1), at: 5, first: 0, count: 2 },
    { id: id(2), at: 6, first: 2, count: 1 },
  ]
  const batch = encodeRecordBatch({ records: withRuns(records, runs) })
  verifyRecordBatch(batch)
  expect(readRuns(batch)).toEqual(runs)
  const [first, ...others] = decodeRecords(batch)
  expect(first!.headers[0]).toMatchObject({ key: 'h' })
  expect(others.map(({ headers }) => headers.length)).toEqual([1, 1])
  expect(readRuns(encodeRecordBatch({ records: withRuns(records, []) }))).toEqual([])
})

test('runs that are damaged, or not within the records, are a typed error', () => {
  const runs = [{ id: id(1), at: 5, first: 1, count: 2 }]
  const packed = packedRuns(encodeRecordBatch({ records: withRuns([record('a')], runs) }))!
  expect(() => decodeRuns(packed, 1)).toThrow('not within its records')
  expect(decodeRuns(packed, 3)).toEqual(runs)
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 80 }), (bytes) => {
      try {
        decodeRuns(bytes, 10)
      } catch (error) {
        expect(error).toMatchObject({ code: 'CORRUPT_BATCH' })
      }
    }),
  )
})
