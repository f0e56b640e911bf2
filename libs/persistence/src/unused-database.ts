import { sql } from 'kysely'
import type { Database } from './database.js'

/** True for a database in which no broker has stored anything yet. */
export async function isUnused(db: Database): Promise<boolean> {
  const { rows } = await sql<{ is_unused: boolean }>`
    SELECT NOT EXISTS (SELECT FROM partition_state)
      AND NOT EXISTS (SELECT FROM brokers)
      AND NOT EXISTS (SELECT FROM copied_batches) AS is_unused`.execute(db)
  return rows[0]?.is_unused === true
}
