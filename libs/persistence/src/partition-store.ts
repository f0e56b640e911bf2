import { invariant } from '@sluice/foundation'
import type {
  CursorGrant,
  PartitionDelta,
  PartitionSnapshot,
  SequenceRow,
  StoredRuns,
} from '@sluice/partition'
import { type RawBuilder, sql, type SqlBool } from 'kysely'
import type { Database } from './database.js'
import { sliceAt } from './batch-slices.js'
import { inMemory, type LoadBatches, writeDeltas } from './delta-writer.js'
import { readStoredRuns } from './stored-runs.js'

/** One read looks at this many batches at most, however small they are. */
const READ_BATCHES_MAX = 1_024
const TIME_MAX_MS = 8_640_000_000_000_000
/** Every table that has rows of a partition. */
const PARTITION_TABLES = [
  'record_batches',
  'batch_ranges',
  'consumer_cursors',
  'producer_sequences',
  'copied_batches',
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

  /** Of the newest message of each partition, by group. Milliseconds since 1970. */
  async newestTimestamps(db: Database): Promise<ReadonlyMap<number, number>> {
    const rows = await db.selectFrom('partition_state').select(['group_id', 'latest_timestamp']).execute()
    return new Map(
      rows.flatMap((row) => (row.latest_timestamp === null ? [] : [[row.group_id, row.latest_timestamp]])),
    )
  }

  /** What the partition starts from; undefined when nothing of it was materialised. */
  async load(db: Database, groupId: number): Promise<StoredPartition | undefined> {
    return (await this.loadAll(db, [groupId])).get(groupId)
  }

  /**
   * What partitions start from, by group; those of which nothing was materialised are left out. One connection
   * and a handful of queries, however many they are: a broker that starts must not wait for its own connections.
   */
  async loadAll(db: Database, groupIds: readonly number[]): Promise<ReadonlyMap<number, StoredPartition>> {
    // One snapshot of the database for all reads, whatever is written meanwhile.
    return db
      .transaction()
      .setIsolationLevel('repeatable read')
      .execute(async (transaction) => {
        const found = new Map<number, StoredPartition>()
        const states = await readStates(transaction, groupIds)
        if (states.length === 0) return found
        const ids = states.map((state) => state.group_id)
        const cursors = byGroup(await readCursors(transaction, ids))
        const sequences = byGroup(await readSequences(transaction, ids))
        for (const state of states)
          found.set(state.group_id, {
            runs: await readStoredRuns(transaction, state.group_id),
            appliedIndex: state.applied_index,
            appliedTerm: state.applied_term,
            nextOffset: state.next_offset,
            logStart: state.log_start,
            ...(state.closed ? { isClosed: true } : {}),
            ...(state.configuration === null ? {} : { configuration: state.configuration }),
            ...(state.log_configuration === null ? {} : { logConfiguration: state.log_configuration }),
            cursors: (cursors.get(state.group_id) ?? []).map((row) => ({
              consumerId: row.consumer_id,
              cursor: row.cursor,
              grants: row.grants as CursorGrant[],
            })),
            sequences: (sequences.get(state.group_id) ?? []).map((row) => ({
              producerId: BigInt(row.producer_id),
              epoch: row.epoch,
              lastSequence: row.last_sequence,
              at: row.at,
              batches: row.batches as SequenceRow['batches'],
            })),
          })
        return found
      })
  }

  /** Which of the partition's newest messages were sent under which id. */
  runs(db: Database, groupId: number): Promise<readonly StoredRuns[]> {
    return readStoredRuns(db, groupId)
  }

  /**
   * Writes what was applied, all of it or nothing, in one transaction; at most one delta per partition.
   * A delta that is stored already counts as written, so that a call whose answer was lost can be repeated.
   * @param load brings the bytes of batches that are not in memory
   * @throws StaleDeltaError a partition is not at the index that its delta continues from; what `load` throws
   */
  async materialise(
    db: Database,
    deltas: readonly PartitionDelta[],
    load: LoadBatches = inMemory,
  ): Promise<void> {
    if (deltas.length === 0) return
    await db.transaction().execute((transaction) => writeDeltas(transaction, deltas, load))
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

function readStates(db: Database, groupIds: readonly number[]) {
  return db
    .selectFrom('partition_state')
    .select([
      'group_id',
      'applied_index',
      'applied_term',
      'next_offset',
      'log_start',
      'closed',
      'configuration',
      'log_configuration',
    ])
    .where(isOneOf(groupIds))
    .execute()
}

function readCursors(db: Database, groupIds: readonly number[]) {
  return db
    .selectFrom('consumer_cursors')
    .select(['group_id', 'consumer_id', 'cursor', 'grants'])
    .where(isOneOf(groupIds))
    .orderBy('consumer_id')
    .execute()
}

function readSequences(db: Database, groupIds: readonly number[]) {
  return db
    .selectFrom('producer_sequences')
    .select(['group_id', 'epoch', 'last_sequence', 'at', 'batches'])
    .select(sql<string>`producer_id::text`.as('producer_id'))
    .where(isOneOf(groupIds))
    .orderBy('producer_sequences.producer_id')
    .execute()
}

/** As one parameter, so that the statement is the same for any number of groups. */
function isOneOf(groupIds: readonly number[]): RawBuilder<SqlBool> {
  return sql<SqlBool>`group_id = ANY(${groupIds}::integer[])`
}

function byGroup<T extends { readonly group_id: number }>(
  rows: readonly T[],
): ReadonlyMap<number, readonly T[]> {
  const groups = new Map<number, T[]>()
  for (const row of rows) {
    const group = groups.get(row.group_id)
    if (group === undefined) groups.set(row.group_id, [row])
    else group.push(row)
  }
  return groups
}
