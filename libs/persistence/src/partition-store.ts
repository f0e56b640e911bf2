import { invariant } from '@sluice/foundation'
import type {
  CursorGrant,
  PartitionDelta,
  PartitionSnapshot,
  SequenceRow,
  StoredRuns,
} from '@sluice/partition'
import { sql } from 'kysely'
import type { Database } from './database.js'
import { sliceAt } from './batch-slices.js'
import { writeDeltas } from './delta-writer.js'
import { readStoredRuns } from './stored-runs.js'

/** One read looks at this many batches at most, however small they are. */
const READ_BATCHES_MAX = 1_024
const TIME_MAX_MS = 8_640_000_000_000_000
/** Every table that has rows of a partition. */
export const PARTITION_TABLES = [
  'record_batches',
  'batch_ranges',
  'consumer_cursors',
  'producer_sequences',
  'partition_state',
] as const

/** What a partition starts from. */
export interface StoredPartition extends PartitionSnapshot {
  /** The Raft configuration at `appliedIndex` when it was restored from a snapshot, encoded. */
  readonly configuration?: Uint8Array
  /** The Raft configuration in force at `appliedIndex`, encoded; absent when no entry has brought one. */
  readonly logConfiguration?: Uint8Array
}

/** Partitions in PostgreSQL: what was materialised of them. Keeps nothing itself. */
export class PartitionStore {
  /** Up to where each partition is materialised, by group. */
  async appliedIndexes(db: Database): Promise<ReadonlyMap<number, number>> {
    const rows = await db.selectFrom('partition_state').select(['group_id', 'applied_index']).execute()
    return new Map(rows.map((row) => [row.group_id, row.applied_index]))
  }

  /** What partitions start from, by group; those of which nothing was materialised are left out. */
  async loadAll(db: Database, groupIds: readonly number[]): Promise<ReadonlyMap<number, StoredPartition>> {
    // New ones have nothing: that is found out for all of them at once.
    const { rows } = await sql<{ group_id: number }>`
      SELECT group_id FROM partition_state WHERE group_id = ANY(${groupIds}::integer[])`.execute(db)
    const found = new Map<number, StoredPartition>()
    await Promise.all(
      rows.map(async ({ group_id }) => {
        const stored = await this.load(db, group_id)
        if (stored !== undefined) found.set(group_id, stored)
      }),
    )
    return found
  }

  /** What the partition starts from; undefined when nothing of it was materialised. */
  async load(db: Database, groupId: number): Promise<StoredPartition | undefined> {
    // One snapshot of the database for all reads, whatever is written meanwhile.
    return db
      .transaction()
      .setIsolationLevel('repeatable read')
      .execute(async (transaction) => {
        const state = await transaction
          .selectFrom('partition_state')
          .select([
            'applied_index',
            'applied_term',
            'next_offset',
            'log_start',
            'closed',
            'configuration',
            'log_configuration',
          ])
          .where('group_id', '=', groupId)
          .executeTakeFirst()
        if (state === undefined) return undefined
        const cursors = await transaction
          .selectFrom('consumer_cursors')
          .select(['consumer_id', 'cursor', 'grants'])
          .where('group_id', '=', groupId)
          .orderBy('consumer_id')
          .execute()
        const sequences = await transaction
          .selectFrom('producer_sequences')
          .select(['epoch', 'last_sequence', 'at', 'batches'])
          .select(sql<string>`producer_id::text`.as('producer_id'))
          .where('group_id', '=', groupId)
          .orderBy('producer_sequences.producer_id')
          .execute()
        const runs = await readStoredRuns(transaction, groupId)
        return {
          runs,
          appliedIndex: state.applied_index,
          appliedTerm: state.applied_term,
          nextOffset: state.next_offset,
          logStart: state.log_start,
          ...(state.closed ? { isClosed: true } : {}),
          ...(state.configuration === null ? {} : { configuration: state.configuration }),
          ...(state.log_configuration === null ? {} : { logConfiguration: state.log_configuration }),
          cursors: cursors.map((row) => ({
            consumerId: row.consumer_id,
            cursor: row.cursor,
            grants: row.grants as CursorGrant[],
          })),
          sequences: sequences.map((row) => ({
            producerId: BigInt(row.producer_id),
            epoch: row.epoch,
            lastSequence: row.last_sequence,
            at: row.at,
            batches: row.batches as SequenceRow['batches'],
          })),
        }
      })
  }

  /** Which of the partition's newest messages were sent under which id. */
  runs(db: Database, groupId: number): Promise<readonly StoredRuns[]> {
    return readStoredRuns(db, groupId)
  }

  /**
   * Writes what was applied, all of it or nothing, in one transaction; at most one delta per partition.
   * A delta that is stored already counts as written, so that a call whose answer was lost can be repeated.
   * @throws StaleDeltaError a partition is not at the index that its delta continues from
   */
  async materialise(db: Database, deltas: readonly PartitionDelta[]): Promise<void> {
    if (deltas.length === 0) return
    await db.transaction().execute((transaction) => writeDeltas(transaction, deltas))
  }

  /**
   * Removes everything of a partition, and notes at which change of its replicas that was: the metadata that
   * this broker remembers may be older, and must not bring the replica back.
   */
  async drop(db: Database, groupId: number, moveId: number): Promise<void> {
    await db.transaction().execute(async (transaction) => {
      // First of all: what moves batches waits here.
      await transaction
        .selectFrom('partition_state')
        .select('group_id')
        .where('group_id', '=', groupId)
        .forUpdate()
        .execute()
      for (const table of PARTITION_TABLES)
        await transaction.deleteFrom(table).where('group_id', '=', groupId).execute()
      await sql`
        INSERT INTO dropped_replicas AS dropped (group_id, move_id) VALUES (${groupId}, ${moveId})
        ON CONFLICT (group_id) DO UPDATE SET move_id = greatest(dropped.move_id, excluded.move_id)`.execute(
        transaction,
      )
    })
  }

  /** What the batches of all partitions take on disk. */
  async batchBytes(db: Database): Promise<number> {
    const { rows } = await sql<{ bytes: number }>`
      SELECT coalesce(sum(pg_total_relation_size(inhrelid)), 0)::bigint AS bytes
      FROM pg_inherits WHERE inhparent = 'record_batches'::regclass`.execute(db)
    return rows[0]!.bytes
  }

  /** By group: the change of replicas at which this broker dropped its own. */
  async dropped(db: Database): Promise<Map<number, number>> {
    const rows = await db.selectFrom('dropped_replicas').select(['group_id', 'move_id']).execute()
    return new Map(rows.map((row) => [row.group_id, row.move_id]))
  }

  /**
   * Batches in the order of their offsets, from the one that holds `fromOffset`, or from the first kept
   * one when that is gone. At least one if there is one; more only within `bytesMax`, 1,024 batches and a slice.
   */
  async readBatches(
    db: Database,
    groupId: number,
    fromOffset: number,
    bytesMax: number,
  ): Promise<Uint8Array[]> {
    const state = await db
      .selectFrom('partition_state')
      .select('log_start')
      .where('group_id', '=', groupId)
      .executeTakeFirst()
    // What was deleted may still be there, in a slice that others keep.
    const offset = Math.max(fromOffset, state?.log_start ?? 0)
    const slice = await sliceAt(db, groupId, offset)
    if (slice === undefined) return []
    // The size of a value is known without reading it, so what is over the bound is not read.
    const { rows } = await sql<{ bytes: Buffer }>`
      SELECT bytes
      FROM (
        SELECT base_offset, bytes, sum(octet_length(bytes)) OVER (ORDER BY base_offset) AS size_so_far,
          row_number() OVER (ORDER BY base_offset) AS position
        FROM (
          SELECT base_offset, bytes
          FROM record_batches
          WHERE group_id = ${groupId} AND slice = ${slice} AND last_offset >= ${offset}
            AND base_offset >= coalesce((
              SELECT max(base_offset) FROM record_batches
              WHERE group_id = ${groupId} AND slice = ${slice} AND base_offset <= ${offset}
            ), 0)
          ORDER BY base_offset
          LIMIT ${READ_BATCHES_MAX}
        ) AS candidate
      ) AS sized
      WHERE position = 1 OR size_so_far <= ${bytesMax}
      ORDER BY base_offset`.execute(db)
    return rows.map((row) => row.bytes)
  }

  /** Offset of the first message whose timestamp is `ms` or later; undefined when there is none. */
  async offsetAtTime(db: Database, groupId: number, ms: number): Promise<number | undefined> {
    invariant(!Number.isNaN(ms), 'a time is a number')
    const time = Math.max(-TIME_MAX_MS, Math.min(TIME_MAX_MS, Math.ceil(ms)))
    const { rows } = await sql<{ message_offset: number }>`
      SELECT batch.base_offset + record.position - 1 AS message_offset
      FROM record_batches AS batch
      JOIN partition_state AS state ON state.group_id = batch.group_id
      CROSS JOIN LATERAL unnest(batch.timestamp_deltas) WITH ORDINALITY AS record (timestamp_delta, position)
      WHERE batch.group_id = ${groupId}
        AND batch.latest_timestamp >= ${time}
        AND batch.max_timestamp >= ${time}
        AND batch.base_timestamp + record.timestamp_delta >= ${time}
        AND batch.base_offset + record.position - 1 >= state.log_start
      ORDER BY batch.latest_timestamp, batch.base_offset, record.position
      LIMIT 1`.execute(db)
    return rows[0]?.message_offset
  }
}
