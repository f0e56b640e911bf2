import { afterAll, beforeAll, expect, test } from '@jest/globals'
import { PartitionRemovals, PartitionStore } from '@sluice/persistence'
import { sql } from 'kysely'
import { batchAt, delta, record } from './delta.js'
import { createTestDatabase, type TestDatabase } from './test-database.js'

let database: TestDatabase

beforeAll(async () => {
  database = await createTestDatabase()
})

afterAll(() => database.drop())

test('removed partitions leave no row, others all of theirs, and the note stays until it is forgotten', async () => {
  const { db } = database
  const store = new PartitionStore()
  const removals = new PartitionRemovals()
  for (const groupId of [2, 3, 4])
    await store.materialise(db, [
      delta({
        groupId,
        number: groupId,
        batches: [batchAt(0, [record('a')])],
        cursors: [{ consumerId: 1, cursor: 1, grants: [] }],
        sequences: [{ producerId: 7n, epoch: 0, lastSequence: 0, at: 1, batches: [] }],
      }),
    ])
  expect([...(await removals.stored(db))].sort()).toEqual([2, 3, 4])
  await removals.remove(db, [2, 4, 9])
  await removals.remove(db, [2, 4, 9])
  expect([...(await removals.removed(db))].sort()).toEqual([2, 4, 9])
  for (const table of ['record_batches', 'consumer_cursors', 'producer_sequences', 'partition_state']) {
    const { rows } = await sql<{
      group_id: number
    }>`SELECT DISTINCT group_id FROM ${sql.table(table)}`.execute(db)
    expect(rows).toEqual([{ group_id: 3 }])
  }
  expect([...(await store.loadAll(db, [2, 3, 4])).keys()]).toEqual([3])
  await removals.forget(db, [2, 9])
  expect([...(await removals.removed(db))]).toEqual([4])
})
