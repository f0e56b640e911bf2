import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals'
import { PartitionStore, retentionStart } from '@sluice/persistence'
import { sql } from 'kysely'
import { BASE_TIME, batchAt, delta, record } from './delta.js'
import { createTestDatabase, type TestDatabase } from './test-database.js'

const store = new PartitionStore()
let database: TestDatabase

beforeAll(async () => {
  database = await createTestDatabase()
})

afterAll(() => database.drop())

const COUNT = 20
const MESSAGES = 5
let batchBytes = 0

/** Twenty batches of five messages, a second between two of them. */
beforeEach(async () => {
  await sql`TRUNCATE record_batches, batch_ranges, partition_state`.execute(database.db)
  const batches = Array.from({ length: COUNT }, (_, i) =>
    batchAt(
      i * MESSAGES,
      Array.from({ length: MESSAGES }, () => record('message', { timestamp: BASE_TIME + i * 1000 })),
      i + 1,
    ),
  )
  batchBytes = batches[0]!.bytes.length
  await store.materialise(database.db, [delta({ appliedIndex: 12, batches: batches.slice(0, 12) })])
  await store.materialise(database.db, [
    delta({ previousIndex: 12, appliedIndex: COUNT, batches: batches.slice(12) }),
  ])
})

const start = (limits: Parameters<typeof retentionStart>[2]): Promise<number> =>
  retentionStart(database.db, 2, limits)

describe('the start of the log', () => {
  test('stays where nothing is limited, and in a partition that is not there', async () => {
    expect(await start({})).toBe(0)
    expect(await retentionStart(database.db, 99, { messages: 1, bytes: 1, oldestTimestamp: 1 })).toBe(0)
  })

  test.each([
    [BASE_TIME, 0],
    [BASE_TIME + 1, 5],
    [BASE_TIME + 7000, 35],
    [BASE_TIME + 7001, 40],
    [BASE_TIME + 19_000, 95],
    [BASE_TIME + 19_001, 100],
  ])('by age: of the oldest time %i is %i', async (oldestTimestamp, expected) => {
    expect(await start({ oldestTimestamp })).toBe(expected)
  })

  test.each([
    [1000, 0],
    [100, 0],
    [99, 0],
    [95, 5],
    [94, 5],
    [1, 95],
  ])('by count: keeps at least %i messages from %i on, by whole batches', async (messages, expected) => {
    expect(await start({ messages })).toBe(expected)
  })

  test.each([
    [1000, 0],
    [20, 0],
    [19.5, 0],
    [19, 5],
    [7, 65],
    [0.5, 95],
  ])('by size: keeps at least %d batches of bytes from %i on', async (batches, expected) => {
    expect(await start({ bytes: Math.round(batches * batchBytes) })).toBe(expected)
  })

  test('is the furthest of all limits, and goes on from what was deleted before', async () => {
    expect(await start({ messages: 50, bytes: 4 * batchBytes, oldestTimestamp: BASE_TIME + 3000 })).toBe(80)
    await store.materialise(database.db, [
      delta({ previousIndex: COUNT, appliedIndex: COUNT + 1, nextOffset: 100, logStart: 80 }),
    ])
    expect(await start({ bytes: 10 * batchBytes })).toBe(80)
    expect(await start({ bytes: 2 * batchBytes })).toBe(90)
    expect(await start({ messages: 7 })).toBe(90)
  })

  test('by age is not fooled by timestamps that go back', async () => {
    const late = batchAt(100, [record('late', { timestamp: BASE_TIME - 500_000 })], COUNT + 1)
    await store.materialise(database.db, [
      delta({ previousIndex: COUNT, appliedIndex: COUNT + 1, batches: [late] }),
    ])
    expect(await start({ oldestTimestamp: BASE_TIME + 19_000 })).toBe(95)
    expect(await start({ oldestTimestamp: BASE_TIME + 19_001 })).toBe(101)
  })
})
