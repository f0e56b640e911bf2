import type { StoredBatch } from '@sluice/partition'
import { sql } from 'kysely'
import { type BatchRange, digestOf, type DigestRow } from './batch-ranges.js'
import { byteaArray, int8Array } from './binary-array.js'
import type { Database } from './database.js'

/** Batches for one digest, and for one read: at least one, then while they are within these. */
const DIGEST_BATCHES_MAX = 1024
const READ_BYTES = 4 * 1024 * 1024
const READ_BATCHES_MAX = 1024

/** Batches of other brokers that wait until a partition can be put together. */
export class CopiedBatches {
  /** Behind those that are there already; all of them or nothing. */
  async add(db: Database, groupId: number, batches: readonly StoredBatch[]): Promise<void> {
    if (batches.length === 0) return
    const column = (of: (batch: StoredBatch) => number): Buffer => int8Array(batches.map(of))
    await sql`
      INSERT INTO copied_batches (group_id, base_offset, last_offset, term, raft_index, max_timestamp, bytes)
      SELECT ${groupId}::integer, base_offset, last_offset, term, raft_index, max_timestamp, bytes
      FROM unnest(
        ${column((batch) => batch.baseOffset)}::bigint[],
        ${column((batch) => batch.lastOffset)}::bigint[],
        ${column((batch) => batch.term)}::bigint[],
        ${column((batch) => batch.index)}::bigint[],
        ${column((batch) => batch.maxTimestamp)}::bigint[],
        ${byteaArray(batches.map((batch) => batch.bytes))}::bytea[]
      ) AS row (base_offset, last_offset, term, raft_index, max_timestamp, bytes)`.execute(db)
  }

  /** Offset of the first message of the batch that holds `offset`; undefined when there is none. */
  async batchAt(db: Database, groupId: number, offset: number): Promise<number | undefined> {
    const row = await db
      .selectFrom('copied_batches')
      .select('base_offset')
      .where('group_id', '=', groupId)
      .where('base_offset', '<=', offset)
      .where('last_offset', '>=', offset)
      .executeTakeFirst()
    return row?.base_offset
  }

  /** A range of what is there from `from` on, without a gap; undefined when there is nothing at `from`. */
  async digest(
    db: Database,
    groupId: number,
    from: number,
  ): Promise<{ readonly range: BatchRange; readonly digest: string } | undefined> {
    const { rows } = await sql<DigestRow>`
      SELECT base_offset, last_offset, term, raft_index, sha256(bytes) AS sha256
      FROM copied_batches
      WHERE group_id = ${groupId} AND base_offset >= ${from}
      ORDER BY base_offset LIMIT ${DIGEST_BATCHES_MAX}`.execute(db)
    let to = from
    const found = rows.filter(({ base_offset, last_offset }) => {
      if (base_offset !== to) return false
      to = last_offset + 1
      return true
    })
    return found.length === 0 ? undefined : { range: { groupId, from, to }, digest: digestOf(found) }
  }

  /** Removes what is outside of [from, to). */
  async keepOnly(db: Database, { groupId, from, to }: BatchRange): Promise<void> {
    await sql`
      DELETE FROM copied_batches
      WHERE group_id = ${groupId} AND (base_offset < ${from} OR base_offset >= ${to})`.execute(db)
  }

  /** Removes what the partition's own table has by now: the log brought it in the end. Not while anything is copied. */
  async removeStored(db: Database): Promise<void> {
    await sql`
      DELETE FROM copied_batches AS copied USING partition_state AS state
      WHERE copied.group_id = state.group_id AND copied.last_offset < state.next_offset`.execute(db)
  }

  /** Those of [from, to) in order, some at a time. */
  async *read(db: Database, { groupId, from, to }: BatchRange): AsyncIterable<readonly StoredBatch[]> {
    for (let at = from; at < to;) {
      const { rows } = await sql<Omit<DigestRow, 'sha256'> & { max_timestamp: number; bytes: Buffer }>`
        SELECT base_offset, last_offset, term, raft_index, max_timestamp, bytes
        FROM (
          SELECT *, sum(octet_length(bytes)) OVER (ORDER BY base_offset) AS size_so_far,
            row_number() OVER (ORDER BY base_offset) AS position
          FROM (
            SELECT * FROM copied_batches
            WHERE group_id = ${groupId} AND base_offset >= ${at} AND base_offset < ${to}
            ORDER BY base_offset LIMIT ${READ_BATCHES_MAX}
          ) AS candidate
        ) AS sized
        WHERE position = 1 OR size_so_far <= ${READ_BYTES}
        ORDER BY base_offset`.execute(db)
      const last = rows.at(-1)
      if (last === undefined) return
      yield rows.map((row) => ({
        baseOffset: row.base_offset,
        lastOffset: row.last_offset,
        term: row.term,
        index: row.raft_index,
        maxTimestamp: row.max_timestamp,
        bytes: row.bytes,
      }))
      at = last.last_offset + 1
    }
  }
}
