import { createHash } from 'node:crypto'
import { invariant } from '@sluice/foundation'
import type { StoredBatch } from '@sluice/partition'
import { sql } from 'kysely'
import { BatchRows } from './batch-rows.js'
import { newestSlice, sliceAt } from './batch-slices.js'
import type { Database } from './database.js'

/** One range has so many offsets, or so many bytes of batches, at most; one batch at least. */
const RANGE_OFFSETS_MAX = 10_000
const RANGE_BYTES_MAX = 8 * 1024 * 1024

/** Batches whose first message is in [from, to). */
export interface BatchRange {
  readonly groupId: number
  readonly from: number
  readonly to: number
}

/** What a database has of a range. */
export interface RangeDigest {
  /** SHA-256 over the batches in order, with what the log says of them; hex. */
  readonly digest: string
  readonly batchCount: number
  /** Messages before are deleted, and need not be the same anywhere. */
  readonly logStart: number
  /** Messages from here on are not in the database yet. */
  readonly nextOffset: number
}

export interface DigestRow {
  readonly base_offset: number
  readonly last_offset: number
  readonly term: number
  readonly raft_index: number
  readonly sha256: Buffer
}

/** Ranges of batches in PostgreSQL, to be compared with those of other brokers, and mended. */
export class BatchRanges {
  /** Where a range that begins at `from` ends, so that it stays within the bounds. */
  async endOf(db: Database, { groupId, from, to }: BatchRange): Promise<number> {
    const until = Math.min(to, from + RANGE_OFFSETS_MAX)
    const { rows } = await sql<{ next: number | null }>`
      SELECT max(last_offset) + 1 AS next
      FROM (
        SELECT last_offset, row_number() OVER (ORDER BY base_offset) AS position,
          sum(octet_length(bytes)) OVER (ORDER BY base_offset) AS size_so_far
        FROM record_batches
        WHERE group_id = ${groupId} AND base_offset >= ${from} AND base_offset < ${until}
      ) AS sized
      WHERE position = 1 OR size_so_far <= ${RANGE_BYTES_MAX}`.execute(db)
    // Where batches are missing the range is as long as it may be.
    return Math.min(to, rows[0]?.next ?? until)
  }

  /** Offset of the first message of the batch that holds `offset`; undefined when there is none. */
  async batchAt(db: Database, groupId: number, offset: number): Promise<number | undefined> {
    const row = await db
      .selectFrom('record_batches')
      .select('base_offset')
      .where('group_id', '=', groupId)
      .where('base_offset', '<=', offset)
      .where('last_offset', '>=', offset)
      .executeTakeFirst()
    return row?.base_offset
  }

  /** Undefined when the database has nothing of the partition. */
  async digest(db: Database, range: BatchRange): Promise<RangeDigest | undefined> {
    // One snapshot of the database for both, whatever is written or deleted meanwhile.
    return db
      .transaction()
      .setIsolationLevel('repeatable read')
      .execute(async (transaction) => {
        const state = await transaction
          .selectFrom('partition_state')
          .select(['log_start', 'next_offset'])
          .where('group_id', '=', range.groupId)
          .executeTakeFirst()
        if (state === undefined) return undefined
        const { rows } = await sql<DigestRow>`
          SELECT base_offset, last_offset, term, raft_index, sha256(bytes) AS sha256
          FROM record_batches
          WHERE group_id = ${range.groupId} AND base_offset >= ${range.from} AND base_offset < ${range.to}
          ORDER BY base_offset`.execute(transaction)
        return {
          digest: digestOf(rows),
          batchCount: rows.length,
          logStart: state.log_start,
          nextOffset: state.next_offset,
        }
      })
  }

  /**
   * Puts batches in place of what the database has of the range, all of them or nothing.
   * @throws Error when they do not have the digest that they should have
   */
  async replace(
    db: Database,
    range: BatchRange,
    content: { readonly batches: readonly StoredBatch[]; readonly digest: string },
  ): Promise<void> {
    const { groupId, from, to } = range
    const { batches, digest } = content
    const found = digestOf(batches.map(digestRow))
    if (found !== digest)
      throw new Error(`the batches for ${from} to ${to} have digest ${found}, not ${digest}`)
    await db.transaction().execute(async (transaction) => {
      const state = await transaction
        .selectFrom('partition_state')
        .select(['end_bytes', 'latest_timestamp', 'next_offset'])
        .where('group_id', '=', groupId)
        .forUpdate()
        .executeTakeFirstOrThrow()
      invariant(to <= state.next_offset, 'only what is materialised is replaced')
      await sql`DELETE FROM record_batches
        WHERE group_id = ${groupId} AND base_offset >= ${from} AND base_offset < ${to}`.execute(transaction)
      const { rows: around } = await sql<{ end_before_next: number | null; latest_before: number | null }>`
        SELECT
          (SELECT end_bytes - octet_length(bytes) FROM record_batches
            WHERE group_id = ${groupId} AND base_offset >= ${to} ORDER BY base_offset LIMIT 1) AS end_before_next,
          (SELECT latest_timestamp FROM record_batches
            WHERE group_id = ${groupId} AND base_offset < ${from} ORDER BY base_offset DESC LIMIT 1) AS latest_before`.execute(
        transaction,
      )
      const sizeBytes = batches.reduce((sum, { bytes }) => sum + bytes.length, 0)
      let endBytes = (around[0]?.end_before_next ?? state.end_bytes) - sizeBytes
      let latestTimestamp = around[0]?.latest_before ?? Number.NEGATIVE_INFINITY
      for (const batch of batches) {
        const slice =
          (await sliceAt(transaction, groupId, batch.baseOffset)) ?? (await newestSlice(transaction))
        const rows = new BatchRows(slice)
        endBytes += batch.bytes.length
        latestTimestamp = Math.max(latestTimestamp, batch.maxTimestamp)
        rows.add(groupId, batch, { latestTimestamp, endBytes })
        await rows.insert().execute(transaction)
      }
    })
  }
}

function digestRow(batch: StoredBatch): DigestRow {
  return {
    base_offset: batch.baseOffset,
    last_offset: batch.lastOffset,
    term: batch.term,
    raft_index: batch.index,
    sha256: createHash('sha256').update(batch.bytes).digest(),
  }
}

export function digestOf(rows: readonly DigestRow[]): string {
  const hash = createHash('sha256')
  const head = Buffer.alloc(32)
  for (const row of rows) {
    head.writeDoubleLE(row.base_offset, 0)
    head.writeDoubleLE(row.last_offset, 8)
    head.writeDoubleLE(row.term, 16)
    head.writeDoubleLE(row.raft_index, 24)
    hash.update(head).update(row.sha256)
  }
  return hash.digest('hex')
}
