import { sql, type Transaction } from 'kysely'
import type { Database } from './database.js'
import type { Tables } from './tables.js'

/** A slice is closed, and the next one opened, when it has grown to this. */
const SLICE_BYTES = 256 * 1024 * 1024
/** What is left of a slice moves on when it is less than this part of it, so that the rest can go. */
const MOVE_BELOW = 0.25
/** Whoever reads waits at most this long behind a slice that is dropped; readers that stay longer keep it. */
const LOCK_TIMEOUT_MS = 250
const LOCK_NOT_AVAILABLE = '55P03'

/** Tables of batches that came at about the same time, which are dropped as a whole. */
export class BatchSlices {
  readonly #sliceBytes: number

  constructor({ sliceBytes = SLICE_BYTES }: { readonly sliceBytes?: number } = {}) {
    this.#sliceBytes = sliceBytes
  }

  /**
   * Opens a new slice when the newest is full, moves what is left of slices that are mostly deleted, and
   * drops those of which nothing is left. One caller at a time.
   */
  async tidy(db: Database): Promise<{ readonly dropped: number }> {
    await this.#openNext(db)
    const newest = await newestSlice(db)
    for (const slice of await mostlyDeleted(db, newest))
      await db.transaction().execute((transaction) => move(transaction, slice, newest))
    let dropped = 0
    for (const slice of await deleted(db, newest)) if (await drop(db, slice)) dropped++
    return { dropped }
  }

  async #openNext(db: Database): Promise<void> {
    const newest = await newestSlice(db)
    const { rows } = await sql<{ bytes: number }>`
      SELECT pg_total_relation_size(${tableOf(newest)}::regclass) AS bytes`.execute(db)
    if (rows[0]!.bytes < this.#sliceBytes) return
    const next = newest + 1
    await db.transaction().execute(async (transaction) => {
      // Made apart and attached then, which waits for no reader.
      await sql`CREATE TABLE ${sql.table(tableOf(next))} (LIKE record_batches INCLUDING STORAGE INCLUDING CONSTRAINTS)`.execute(
        transaction,
      )
      await sql`ALTER TABLE record_batches ATTACH PARTITION ${sql.table(tableOf(next))} FOR VALUES IN (${sql.lit(next)})`.execute(
        transaction,
      )
      await transaction.insertInto('batch_slices').values({ slice: next }).execute()
    })
  }
}

/** The slice that takes what is written. */
export async function newestSlice(db: Database): Promise<number> {
  const { slice } = await db
    .selectFrom('batch_slices')
    .select((row) => row.fn.max('slice').as('slice'))
    .executeTakeFirstOrThrow()
  return slice
}

/**
 * The slice that holds the batch of an offset, or the first batch behind it; undefined when there is none.
 * A query that names its slice is planned for that table alone, however many there are.
 */
export async function sliceAt(db: Database, groupId: number, offset: number): Promise<number | undefined> {
  const { rows } = await sql<{ slice: number }>`
    SELECT slice FROM batch_ranges
    WHERE group_id = ${groupId} AND first_offset >= coalesce((
      SELECT max(first_offset) FROM batch_ranges WHERE group_id = ${groupId} AND first_offset <= ${offset}
    ), 0)
    ORDER BY first_offset LIMIT 1`.execute(db)
  return rows[0]?.slice
}

function tableOf(slice: number): string {
  return `record_batches_${slice}`
}

/** Of every range in a slice: how many messages it has, and how many of them are not deleted. */
const RANGES = sql`
  SELECT range.slice, span.size, least(span.size, greatest(span.following - state.log_start, 0)) AS kept
  FROM batch_ranges AS range
  JOIN partition_state AS state ON state.group_id = range.group_id
  CROSS JOIN LATERAL (
    SELECT following, following - range.first_offset AS size
    FROM (
      SELECT coalesce(min(next.first_offset), state.next_offset) AS following
      FROM batch_ranges AS next
      WHERE next.group_id = range.group_id AND next.first_offset > range.first_offset
    ) AS ends
  ) AS span`

async function mostlyDeleted(db: Database, newest: number): Promise<readonly number[]> {
  const { rows } = await sql<{ slice: number }>`
    SELECT slice FROM (${RANGES}) AS ranges
    WHERE slice <> ${newest}
    GROUP BY slice
    HAVING sum(kept) > 0 AND sum(kept) < ${MOVE_BELOW} * sum(size)
    ORDER BY slice`.execute(db)
  return rows.map(({ slice }) => slice)
}

async function deleted(db: Database, newest: number): Promise<readonly number[]> {
  const { rows } = await sql<{ slice: number }>`
    SELECT slice FROM batch_slices
    WHERE slice <> ${newest} AND slice NOT IN (SELECT slice FROM (${RANGES}) AS ranges WHERE kept > 0)
    ORDER BY slice`.execute(db)
  return rows.map(({ slice }) => slice)
}

/** Nobody writes to a slice that is not the newest; who writes to its partitions waits. */
async function move(transaction: Transaction<Tables>, slice: number, newest: number): Promise<void> {
  await sql`
    SELECT group_id FROM partition_state
    WHERE group_id IN (SELECT group_id FROM batch_ranges WHERE slice = ${slice})
    ORDER BY group_id FOR UPDATE`.execute(transaction)
  await sql`
    WITH moved AS (
      DELETE FROM record_batches AS batch USING partition_state AS state
      WHERE batch.slice = ${sql.lit(slice)} AND state.group_id = batch.group_id AND batch.last_offset >= state.log_start
      RETURNING batch.*
    )
    INSERT INTO record_batches (${COLUMNS}, slice) SELECT ${COLUMNS}, ${newest}::integer FROM moved`.execute(
    transaction,
  )
  await sql`UPDATE batch_ranges SET slice = ${newest} WHERE slice = ${slice}`.execute(transaction)
  await sql`UPDATE partition_state SET slice = ${newest} WHERE slice = ${slice}`.execute(transaction)
}

const COLUMNS = sql`group_id, base_offset, last_offset, term, raft_index, base_timestamp, max_timestamp,
  latest_timestamp, end_bytes, bytes, timestamp_deltas, key_starts, key_lengths, value_starts, value_lengths`

/** False when somebody reads, or when something is left after all: later, then. */
async function drop(db: Database, slice: number): Promise<boolean> {
  try {
    return await db.transaction().execute(async (transaction) => {
      await sql`SET LOCAL lock_timeout = ${sql.lit(LOCK_TIMEOUT_MS)}`.execute(transaction)
      await sql`LOCK TABLE record_batches IN ACCESS EXCLUSIVE MODE`.execute(transaction)
      // A transaction that began when this slice was the newest may have written to it.
      if (!(await deleted(transaction, await newestSlice(transaction))).includes(slice)) return false
      await sql`DROP TABLE ${sql.table(tableOf(slice))}`.execute(transaction)
      await transaction.deleteFrom('batch_ranges').where('slice', '=', slice).execute()
      await transaction.deleteFrom('batch_slices').where('slice', '=', slice).execute()
      return true
    })
  } catch (error) {
    if ((error as { code?: unknown }).code === LOCK_NOT_AVAILABLE) return false
    throw error
  }
}
