import { invariant } from '@sluice/foundation'
import { type PartitionDelta, type PartitionSnapshot, resident, type StoredBatch } from '@sluice/partition'
import { sql, type Transaction } from 'kysely'
import type { Database } from './database.js'
import { sliceAt } from './batch-slices.js'
import { writeDeltas } from './delta-writer.js'
import type { Tables } from './tables.js'

/** One read takes so many bytes of batches, one batch at least. */
const READ_BYTES = 1024 * 1024
const READ_BATCHES_MAX = 1024

/** A batch with what the log says of it, as a snapshot carries it. */
export type SnapshotBatch = Pick<StoredBatch, 'term' | 'index' | 'bytes'>

/** What a partition holds from `logStart` to `nextOffset`. */
export interface PartitionContent {
  readonly batchCount: number
  readonly batchBytes: number
}

export interface RestoredPartition {
  readonly groupId: number
  readonly topic: string
  readonly number: number
  readonly state: PartitionSnapshot
  /** The Raft configuration at the state's applied index, encoded. */
  readonly configuration: Uint8Array
}

/** Whole partitions out of PostgreSQL and into it. Batches below a partition's end never change. */
export class PartitionSnapshots {
  /** What there is of batches from `logStart` to `nextOffset`. */
  async measure(
    db: Database,
    groupId: number,
    { logStart, nextOffset }: Pick<PartitionSnapshot, 'logStart' | 'nextOffset'>,
  ): Promise<PartitionContent> {
    const { rows } = await sql<{ count: number; bytes: number }>`
      SELECT count(*)::bigint AS count, coalesce(sum(octet_length(bytes)), 0)::bigint AS bytes
      FROM record_batches
      WHERE group_id = ${groupId} AND last_offset >= ${logStart} AND base_offset < ${nextOffset}`.execute(db)
    return { batchCount: rows[0]!.count, batchBytes: rows[0]!.bytes }
  }

  /** The next batches, from the one that holds `fromOffset`, in order, before `nextOffset`; none at the end. */
  async read(
    db: Database,
    range: { readonly groupId: number; readonly fromOffset: number; readonly nextOffset: number },
  ): Promise<readonly (SnapshotBatch & { readonly lastOffset: number })[]> {
    const { groupId, fromOffset, nextOffset } = range
    const slice = await sliceAt(db, groupId, fromOffset)
    if (slice === undefined) return []
    const { rows } = await sql<{ term: number; raft_index: number; last_offset: number; bytes: Buffer }>`
      SELECT term, raft_index, last_offset, bytes
      FROM (
        SELECT term, raft_index, last_offset, base_offset, bytes,
          sum(octet_length(bytes)) OVER (ORDER BY base_offset) AS size_so_far,
          row_number() OVER (ORDER BY base_offset) AS position
        FROM (
          SELECT term, raft_index, last_offset, base_offset, bytes
          FROM record_batches
          WHERE group_id = ${groupId} AND slice = ${slice} AND last_offset >= ${fromOffset}
            AND base_offset < ${nextOffset} AND base_offset >= coalesce((
              SELECT max(base_offset) FROM record_batches
              WHERE group_id = ${groupId} AND slice = ${slice} AND base_offset <= ${fromOffset}
            ), 0)
          ORDER BY base_offset
          LIMIT ${READ_BATCHES_MAX}
        ) AS candidate
      ) AS sized
      WHERE position = 1 OR size_so_far <= ${READ_BYTES}
      ORDER BY base_offset`.execute(db)
    return rows.map((row) => ({
      term: row.term,
      index: row.raft_index,
      lastOffset: row.last_offset,
      bytes: row.bytes,
    }))
  }

  /**
   * Puts the partition in place of what is there of it, all of it or nothing.
   * @param content `keepTo`: what the database has before it stays, because the partition has the same there;
   * `batches` are those that follow, read in the transaction they are given
   */
  async replace(
    db: Database,
    partition: RestoredPartition,
    content: {
      readonly keepTo: number | undefined
      readonly batches: (transaction: Database) => AsyncIterable<readonly StoredBatch[]>
    },
  ): Promise<void> {
    const { groupId, topic, number, state, configuration } = partition
    const { appliedIndex, appliedTerm, nextOffset, logStart } = state
    await db.transaction().execute(async (transaction) => {
      // First of all: what moves batches waits here.
      await transaction
        .selectFrom('partition_state')
        .select('group_id')
        .where('group_id', '=', groupId)
        .forUpdate()
        .execute()
      const base = { groupId, topic, number, logStart, cursors: [], sequences: [], expiredSequences: [] }
      let previousIndex = await cutBack(transaction, groupId, { keepTo: content.keepTo, appliedIndex })
      for await (const some of content.batches(transaction)) {
        const last = some.at(-1)
        if (last === undefined) continue
        const { index, term } = last
        invariant(
          index < appliedIndex || (index === appliedIndex && last.lastOffset + 1 === nextOffset),
          'a snapshot ends with its state',
        )
        // The last batch may stand at the applied index itself: then the state below goes with it.
        if (index === appliedIndex) {
          await writeDeltas(transaction, [deltaOf(base, state, previousIndex, some)])
          previousIndex = index
          continue
        }
        await writeDeltas(transaction, [
          {
            ...base,
            previousIndex,
            appliedIndex: index,
            appliedTerm: term,
            nextOffset: last.lastOffset + 1,
            batches: some.map(resident),
          },
        ])
        previousIndex = index
      }
      if (previousIndex < appliedIndex)
        await writeDeltas(transaction, [deltaOf(base, state, previousIndex, [])])
      await transaction
        .updateTable('partition_state')
        .set({
          configuration: Buffer.from(configuration),
          log_configuration: Buffer.from(configuration),
          applied_term: appliedTerm,
        })
        .where('group_id', '=', groupId)
        .execute()
      await transaction.deleteFrom('copied_batches').where('group_id', '=', groupId).execute()
    })
  }
}

/** Removes everything but the batches before `keepTo`. @returns the index from which the partition goes on */
async function cutBack(
  transaction: Transaction<Tables>,
  groupId: number,
  { keepTo, appliedIndex }: { readonly keepTo: number | undefined; readonly appliedIndex: number },
): Promise<number> {
  for (const table of ['consumer_cursors', 'producer_sequences'] as const)
    await transaction.deleteFrom(table).where('group_id', '=', groupId).execute()
  const from = keepTo ?? 0
  await transaction
    .deleteFrom('record_batches')
    .where('group_id', '=', groupId)
    .where('base_offset', '>=', from)
    .execute()
  await transaction
    .deleteFrom('batch_ranges')
    .where('group_id', '=', groupId)
    .where('first_offset', '>=', from)
    .execute()
  if (keepTo === undefined) {
    await transaction.deleteFrom('partition_state').where('group_id', '=', groupId).execute()
    return 0
  }
  const last = await transaction
    .selectFrom('record_batches')
    .select(['raft_index', 'term', 'last_offset', 'latest_timestamp', 'end_bytes', 'slice'])
    .where('group_id', '=', groupId)
    .orderBy('base_offset', 'desc')
    .limit(1)
    .executeTakeFirst()
  if (last?.last_offset !== keepTo - 1)
    throw new Error(
      `group ${groupId} ends at offset ${last?.last_offset ?? -1}, not before ${keepTo} as it did`,
    )
  // Nothing but batches of it is known yet: what follows, the state at least, is behind it in any case.
  const index = Math.min(last.raft_index, appliedIndex - 1)
  await transaction
    .updateTable('partition_state')
    .set({
      applied_index: index,
      applied_term: last.term,
      next_offset: keepTo,
      closed: false,
      latest_timestamp: last.latest_timestamp,
      end_bytes: last.end_bytes,
      slice: last.slice,
    })
    .where('group_id', '=', groupId)
    .execute()
  return index
}

function deltaOf(
  base: Pick<PartitionDelta, 'groupId' | 'topic' | 'number' | 'logStart' | 'expiredSequences'>,
  state: PartitionSnapshot,
  previousIndex: number,
  batches: readonly StoredBatch[],
): PartitionDelta {
  const { appliedIndex, appliedTerm, nextOffset, isClosed, cursors, sequences } = state
  const closed = isClosed === true ? { isClosed } : {}
  return {
    ...base,
    ...closed,
    previousIndex,
    appliedIndex,
    appliedTerm,
    nextOffset,
    batches: batches.map(resident),
    cursors,
    sequences,
  }
}
