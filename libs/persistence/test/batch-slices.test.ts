import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import { readBatchHeader } from '@sluice/domain'
import { BatchSlices, PartitionSnapshots, PartitionStore } from '@sluice/persistence'
import { sql } from 'kysely'
import { batchAt, delta, record } from './delta.js'
import { createTestDatabase, type TestDatabase } from './test-database.js'

const store = new PartitionStore()
/** Everything is full: every call opens a slice. */
const slices = new BatchSlices({ sliceBytes: 1 })
let database: TestDatabase
let ends: Map<number, { index: number; offset: number; start: number }>

beforeEach(async () => {
  database = await createTestDatabase()
  ends = new Map()
})

afterEach(() => database.drop())

/** Ten batches of ten messages for each of the groups. */
async function write(...groupIds: number[]): Promise<void> {
  const deltas = groupIds.map((groupId) => {
    const { index, offset, start } = ends.get(groupId) ?? { index: 0, offset: 0, start: 0 }
    const batches = Array.from({ length: 10 }, (_, i) =>
      batchAt(
        offset + i * 10,
        Array.from({ length: 10 }, (_unused, j) => record(`${groupId}-${offset + i * 10 + j}`)),
      ),
    )
    ends.set(groupId, { index: index + 1, offset: offset + 100, start })
    return delta({ groupId, previousIndex: index, appliedIndex: index + 1, logStart: start, batches })
  })
  await store.materialise(database.db, deltas)
}

async function trim(groupId: number, start: number): Promise<void> {
  const { index, offset } = ends.get(groupId)!
  ends.set(groupId, { index: index + 1, offset, start })
  await store.materialise(database.db, [
    delta({ groupId, previousIndex: index, appliedIndex: index + 1, nextOffset: offset, logStart: start }),
  ])
}

async function tables(): Promise<string[]> {
  const { rows } = await sql<{ name: string }>`
    SELECT inhrelid::regclass::text AS name FROM pg_inherits
    WHERE inhparent = 'record_batches'::regclass ORDER BY inhrelid`.execute(database.db)
  return rows.map(({ name }) => name.replace('record_batches_', ''))
}

/** Offsets as a reader meets them who goes on from batch to batch. */
async function read(groupId: number): Promise<number[]> {
  const { offset: end, start } = ends.get(groupId)!
  const offsets: number[] = []
  for (let at = start; at < end;) {
    const batches = await store.readBatches(database.db, groupId, at, 300)
    expect(batches.length).toBeGreaterThan(0)
    for (const batch of batches) {
      const { baseOffset, recordCount } = readBatchHeader(batch)
      expect(baseOffset).toBeLessThanOrEqual(at)
      for (; at < baseOffset + recordCount; at++) offsets.push(at)
    }
  }
  return offsets
}

const span = (from: number, to: number): number[] => Array.from({ length: to - from }, (_, i) => from + i)

async function shown(groupId: number): Promise<number> {
  const { rows } = await sql<{ count: number }>`
    SELECT count(*) AS count FROM record_batches JOIN partition_state USING (group_id)
    WHERE group_id = ${groupId} AND last_offset >= log_start`.execute(database.db)
  return rows[0]!.count
}

describe('slices', () => {
  test('follow one another, and reading goes through all of them in order', async () => {
    for (let i = 0; i < 3; i++) {
      await write(2, 3)
      await slices.tidy(database.db)
    }
    expect(await tables()).toEqual(['0', '1', '2', '3'])
    expect(await read(2)).toEqual(span(0, 300))
    expect(await read(3)).toEqual(span(0, 300))
    const range = { groupId: 2, fromOffset: 0, nextOffset: 300 }
    const first = await new PartitionSnapshots().read(database.db, range)
    expect(first.at(-1)?.lastOffset).toBe(99)
  })

  test('are dropped once nothing of them is kept, and not a moment earlier', async () => {
    for (let i = 0; i < 3; i++) {
      await write(2, 3)
      await slices.tidy(database.db)
    }
    await trim(2, 100)
    await trim(3, 99)
    await new BatchSlices().tidy(database.db)
    // Group 3 keeps a message of the first slice: its batch has moved, the rest is gone.
    expect(await tables()).toEqual(['1', '2', '3'])
    expect(await read(2)).toEqual(span(100, 300))
    expect(await read(3)).toEqual(span(99, 300))
    await trim(2, 300)
    await trim(3, 300)
    await new BatchSlices().tidy(database.db)
    expect(await tables()).toEqual(['3'])
    await write(2)
    expect(await read(2)).toEqual(span(300, 400))
  })

  test('that are mostly deleted give what is left to the newest, in which writing goes on', async () => {
    await write(2, 3)
    await slices.tidy(database.db)
    await write(2)
    await trim(2, 200)
    await trim(3, 70)
    await slices.tidy(database.db)
    expect(await tables()).not.toContain('0')
    expect(await read(3)).toEqual(span(70, 100))
    expect(await shown(3)).toBe(3)
    await write(2, 3)
    expect(await read(3)).toEqual(span(70, 200))
    expect(await read(2)).toEqual(span(200, 300))
    await trim(3, 200)
    await write(3)
    expect(await read(3)).toEqual(span(200, 300))
  })

  test('stay while somebody reads them, without keeping others waiting', async () => {
    await write(2)
    await slices.tidy(database.db)
    await trim(2, 100)
    await database.db.transaction().execute(async (reader) => {
      await sql`SELECT count(*) FROM messages`.execute(reader)
      // Another slice can be opened meanwhile, and what is written and read does not wait.
      expect(await slices.tidy(database.db)).toEqual({ dropped: 0 })
      await write(2)
      expect(await read(2)).toEqual(span(100, 200))
    })
    expect((await slices.tidy(database.db)).dropped).toBeGreaterThan(0)
    expect(await tables()).not.toContain('0')
  })

  test('a snapshot of a partition has what is kept, not what waits to be dropped', async () => {
    await write(2)
    await trim(2, 50)
    const content = await new PartitionSnapshots().measure(database.db, 2, { logStart: 50, nextOffset: 100 })
    expect(content.batchCount).toBe(5)
  })
})
