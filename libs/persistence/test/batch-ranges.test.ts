import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import { BatchRanges, BatchSlices, PartitionStore, retentionStart } from '@sluice/persistence'
import type { ResidentBatch } from '@sluice/partition'
import { sql } from 'kysely'
import { batchAt, delta, record } from './delta.js'
import { createTestDatabase, type TestDatabase } from './test-database.js'

const store = new PartitionStore()
const ranges = new BatchRanges()
let database: TestDatabase
let batches: ResidentBatch[]

beforeEach(async () => {
  database = await createTestDatabase()
  batches = Array.from({ length: 20 }, (_, i) =>
    batchAt(
      i * 5,
      Array.from({ length: 5 }, (_unused, j) => record(`message ${i * 5 + j}`)),
      i + 1,
    ),
  )
  await store.materialise(database.db, [delta({ appliedIndex: 10, batches: batches.slice(0, 10) })])
  await new BatchSlices({ sliceBytes: 1 }).tidy(database.db)
  await store.materialise(database.db, [
    delta({ previousIndex: 10, appliedIndex: 20, batches: batches.slice(10) }),
  ])
})

afterEach(() => database.drop())

const ALL = { groupId: 2, from: 0, to: 100 }
const PART = { groupId: 2, from: 40, to: 60 }

async function digest(range = ALL): Promise<string> {
  return (await ranges.digest(database.db, range))!.digest
}

describe('the digest of a range', () => {
  test('counts its batches, and says what the database has at all', async () => {
    expect(await ranges.digest(database.db, PART)).toMatchObject({
      batchCount: 4,
      logStart: 0,
      nextOffset: 100,
    })
    expect(await ranges.digest(database.db, { ...PART, groupId: 3 })).toBeUndefined()
    expect(await digest(PART)).not.toBe(await digest())
    expect(await digest(PART)).toBe(await digest(PART))
  })

  test.each([
    [
      'a bit that flipped',
      sql`UPDATE record_batches SET bytes = set_bit(bytes, 900, 1 - get_bit(bytes, 900)) WHERE base_offset = 45`,
    ],
    ['a batch that is gone', sql`DELETE FROM record_batches WHERE base_offset = 50`],
    ['another term', sql`UPDATE record_batches SET term = 9 WHERE base_offset = 50`],
  ])('tells %s, and what the majority has is put in place', async (_what, damage) => {
    const [before, beforeAll] = [await digest(PART), await digest()]
    await damage.execute(database.db)
    expect(await digest(PART)).not.toBe(before)
    const content = { batches: batches.slice(8, 12), digest: before }
    await ranges.replace(database.db, PART, content)
    expect(await digest()).toBe(beforeAll)
    const read: Uint8Array[] = []
    for (const from of [0, 50]) read.push(...(await store.readBatches(database.db, 2, from, 1e6)))
    expect(read.map((bytes) => Buffer.from(bytes))).toEqual(batches.map(({ bytes }) => Buffer.from(bytes)))
    // Sizes and times so far are as they were, which retention goes by.
    const size = batches[0]!.bytes.length
    for (const keep of [3, 9, 11, 15])
      expect(await retentionStart(database.db, 2, { bytes: keep * size })).toBe(100 - keep * 5)
  })

  test('is not put in place by anything else', async () => {
    const [before, all] = [await digest(PART), await digest()]
    const content = { batches: batches.slice(8, 11), digest: before }
    await expect(ranges.replace(database.db, PART, content)).rejects.toThrow('have digest')
    expect(await digest()).toBe(all)
  })

  test('is of a range that is bounded in offsets, and goes on where batches are missing', async () => {
    expect(await ranges.endOf(database.db, ALL)).toBe(100)
    expect(await ranges.endOf(database.db, { ...ALL, to: 30 })).toBe(30)
    await sql`DELETE FROM record_batches`.execute(database.db)
    expect(await ranges.endOf(database.db, ALL)).toBe(100)
    expect(await ranges.endOf(database.db, { ...ALL, to: 1e6 })).toBe(10_000)
  })
})
