import { sql } from 'kysely'
import type { Database } from './database.js'

/** Every table that has rows of a partition. */
const TABLES = [
  'record_batches',
  'consumer_cursors',
  'producer_sequences',
  'copied_batches',
  'partition_state',
] as const

/** Partitions that are deleted for good. */
export class PartitionRemovals {
  /** Deletes everything of the partitions, and notes that they are never to come back. */
  async remove(db: Database, groupIds: readonly number[]): Promise<void> {
    if (groupIds.length === 0) return
    const ids = sql`${groupIds}::integer[]`
    await db.transaction().execute(async (transaction) => {
      for (const table of TABLES)
        await sql`DELETE FROM ${sql.table(table)} WHERE group_id = ANY(${ids})`.execute(transaction)
      await sql`INSERT INTO removed_groups SELECT unnest(${ids}) ON CONFLICT DO NOTHING`.execute(transaction)
    })
  }

  async removed(db: Database): Promise<ReadonlySet<number>> {
    const rows = await db.selectFrom('removed_groups').select('group_id').execute()
    return new Set(rows.map((row) => row.group_id))
  }

  /** The notes are not needed any more: nothing that this broker remembers of the metadata has the groups. */
  async forget(db: Database, groupIds: readonly number[]): Promise<void> {
    if (groupIds.length === 0) return
    await sql`DELETE FROM removed_groups WHERE group_id = ANY(${groupIds}::integer[])`.execute(db)
  }

  /** Groups of which something is stored. */
  async stored(db: Database): Promise<readonly number[]> {
    const { rows } = await sql<{ group_id: number }>`
      SELECT group_id FROM partition_state UNION SELECT group_id FROM copied_batches`.execute(db)
    return rows.map((row) => row.group_id)
  }
}
