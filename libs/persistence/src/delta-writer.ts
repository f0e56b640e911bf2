import { invariant } from '@sluice/foundation'
import type { AppliedBatch, PartitionDelta, StoredBatch } from '@sluice/partition'
import { sql, type Transaction } from 'kysely'
import { BatchRows, type RunningTotals } from './batch-rows.js'
import { newestSlice } from './batch-slices.js'
import type { Tables } from './tables.js'

/** One INSERT carries this many bytes of batches at most, one batch at least. */
const INSERT_BYTES_MAX = 4 * 1024 * 1024

/** A partition is not where its delta continues from: another writer was there, or a delta is missing. */
export class StaleDeltaError extends Error {
  override readonly name = 'StaleDeltaError'
  readonly groupId: number

  constructor(delta: PartitionDelta, storedIndex: number | undefined) {
    super(
      `group ${delta.groupId} is stored up to index ${storedIndex ?? 'of another writer'}, ` +
        `the delta continues from ${delta.previousIndex} to ${delta.appliedIndex}`,
    )
    this.groupId = delta.groupId
  }
}

interface StoredState {
  readonly group_id: number
  readonly applied_index: number
  readonly applied_term: number
  readonly log_start: number
  readonly latest_timestamp: number | null
  readonly end_bytes: number
  readonly slice: number | null
}

/** A partition's totals after a delta; no timestamp before the first batch. */
interface Totals {
  readonly latestTimestamp: number | null
  readonly endBytes: number
  /** Of the newest batch. */
  readonly slice: number | null
}

/** The same batches of one partition with their bytes, wherever these are. */
export type LoadBatches = (
  groupId: number,
  batches: readonly AppliedBatch[],
) => Promise<readonly StoredBatch[]>

/** A batch of an INSERT, whose bytes may not be here yet. */
interface PlannedRow {
  readonly groupId: number
  readonly batch: AppliedBatch
  readonly upTo: RunningTotals
}

/** For batches that are all in memory. */
export const inMemory: LoadBatches = (_groupId, batches) =>
  Promise.resolve(
    batches.map((batch) => {
      invariant(batch.bytes !== undefined, `the batch at offset ${batch.baseOffset} is in memory`)
      return { ...batch, bytes: batch.bytes }
    }),
  )

/**
 * @param load is asked for one INSERT at a time, so that no more than that is in memory
 * @throws StaleDeltaError the transaction is to be rolled back
 */
export async function writeDeltas(
  transaction: Transaction<Tables>,
  deltas: readonly PartitionDelta[],
  load: LoadBatches = inMemory,
): Promise<void> {
  const stored = await lockStates(transaction, deltas)
  const fresh = deltas.filter((delta) => !isStored(delta, stored.get(delta.groupId)))
  if (fresh.length === 0) return
  const slice = await newestSlice(transaction)
  const { inserts, totals } = gatherBatches(fresh, stored, slice)
  // First of all, so that of two writers of one delta the slower one stops here.
  await writeStates(transaction, fresh, totals)
  const closed = fresh.flatMap(({ groupId, isClosed }) => (isClosed === true ? [groupId] : []))
  if (closed.length > 0)
    await sql`UPDATE partition_state SET closed = true WHERE group_id = ANY(${closed}::integer[])`.execute(
      transaction,
    )
  for (const rows of inserts) await (await loadRows(rows, slice, load)).insert().execute(transaction)
  await writeRanges(transaction, fresh, stored, slice)
  await writeCursors(transaction, fresh)
  await writeSequences(transaction, fresh)
}

/** In the order of their ids, so that two writers never wait for each other. */
async function lockStates(
  transaction: Transaction<Tables>,
  deltas: readonly PartitionDelta[],
): Promise<Map<number, StoredState>> {
  const groupIds = deltas.map((delta) => delta.groupId)
  invariant(new Set(groupIds).size === groupIds.length, 'there is one delta per partition')
  const { rows } = await sql<StoredState>`
    SELECT group_id, applied_index, applied_term, log_start, latest_timestamp, end_bytes, slice
    FROM partition_state
    WHERE group_id = ANY(${groupIds}::integer[])
    ORDER BY group_id
    FOR UPDATE`.execute(transaction)
  return new Map(rows.map((row) => [row.group_id, row]))
}

function isStored(delta: PartitionDelta, stored: StoredState | undefined): boolean {
  invariant(delta.appliedIndex > delta.previousIndex, 'a delta moves its partition forward')
  const storedIndex = stored?.applied_index ?? 0
  if (storedIndex === delta.appliedIndex && stored?.applied_term === delta.appliedTerm) return true
  if (storedIndex !== delta.previousIndex) throw new StaleDeltaError(delta, storedIndex)
  return false
}

/** What each INSERT takes, and the totals of every partition after them. */
function gatherBatches(
  deltas: readonly PartitionDelta[],
  stored: ReadonlyMap<number, StoredState>,
  slice: number,
): { readonly inserts: readonly PlannedRow[][]; readonly totals: ReadonlyMap<number, Totals> } {
  const inserts: PlannedRow[][] = []
  const totals = new Map<number, Totals>()
  let insertBytes = 0
  for (const delta of deltas) {
    const { groupId } = delta
    let latestTimestamp = stored.get(groupId)?.latest_timestamp ?? null
    let endBytes = stored.get(groupId)?.end_bytes ?? 0
    for (const batch of delta.batches) {
      latestTimestamp = Math.max(latestTimestamp ?? batch.maxTimestamp, batch.maxTimestamp)
      endBytes += batch.sizeBytes
      const row = { groupId, batch, upTo: { latestTimestamp, endBytes } }
      const rows = inserts.at(-1)
      if (rows === undefined || insertBytes + batch.sizeBytes > INSERT_BYTES_MAX) {
        inserts.push([row])
        insertBytes = batch.sizeBytes
      } else {
        rows.push(row)
        insertBytes += batch.sizeBytes
      }
    }
    totals.set(groupId, {
      latestTimestamp,
      endBytes,
      slice: delta.batches.length > 0 ? slice : (stored.get(groupId)?.slice ?? null),
    })
  }
  return { inserts, totals }
}

async function loadRows(
  planned: readonly PlannedRow[],
  slice: number,
  load: LoadBatches,
): Promise<BatchRows> {
  const rows = new BatchRows(slice)
  for (let at = 0; at < planned.length;) {
    const { groupId } = planned[at]!
    let end = at + 1
    while (planned[end]?.groupId === groupId) end++
    const batches = await load(
      groupId,
      planned.slice(at, end).map(({ batch }) => batch),
    )
    invariant(batches.length === end - at, 'every batch is loaded')
    for (const batch of batches) rows.add(groupId, batch, planned[at++]!.upTo)
  }
  return rows
}

async function writeStates(
  transaction: Transaction<Tables>,
  deltas: readonly PartitionDelta[],
  totals: ReadonlyMap<number, Totals>,
): Promise<void> {
  // The condition guards a first delta too, whose row could not be locked: two writers of it meet here.
  const { rows } = await sql<{ group_id: number }>`
    INSERT INTO partition_state AS state (group_id, topic, number, applied_index, applied_term, next_offset,
      log_start, latest_timestamp, end_bytes, slice, log_configuration)
    SELECT row.group_id, row.topic, row.number, row.applied_index, row.applied_term, row.next_offset,
      row.log_start, row.latest_timestamp, row.end_bytes, row.slice, row.log_configuration
    FROM unnest(
      ${deltas.map((delta) => delta.groupId)}::integer[],
      ${deltas.map((delta) => delta.topic)}::text[],
      ${deltas.map((delta) => delta.number)}::integer[],
      ${deltas.map((delta) => delta.appliedIndex)}::bigint[],
      ${deltas.map((delta) => delta.appliedTerm)}::bigint[],
      ${deltas.map((delta) => delta.nextOffset)}::bigint[],
      ${deltas.map((delta) => delta.logStart)}::bigint[],
      ${deltas.map((delta) => totals.get(delta.groupId)?.latestTimestamp ?? null)}::bigint[],
      ${deltas.map((delta) => totals.get(delta.groupId)?.endBytes ?? 0)}::bigint[],
      ${deltas.map((delta) => totals.get(delta.groupId)?.slice ?? null)}::integer[],
      ${deltas.map(({ configuration }) => (configuration === undefined ? null : Buffer.from(configuration)))}::bytea[]
    ) AS row (group_id, topic, number, applied_index, applied_term, next_offset, log_start, latest_timestamp,
      end_bytes, slice, log_configuration)
    ON CONFLICT (group_id) DO UPDATE SET
      applied_index = excluded.applied_index,
      applied_term = excluded.applied_term,
      next_offset = excluded.next_offset,
      log_start = excluded.log_start,
      latest_timestamp = excluded.latest_timestamp,
      end_bytes = excluded.end_bytes,
      slice = excluded.slice,
      -- The log has followed where a snapshot had put the state: from here on the two are compared.
      configuration = NULL,
      log_configuration = coalesce(excluded.log_configuration, state.log_configuration)
    WHERE state.applied_index = (
      (${deltas.map((delta) => delta.previousIndex)}::bigint[])
      [array_position(${deltas.map((delta) => delta.groupId)}::integer[], state.group_id)])
    RETURNING group_id`.execute(transaction)
  const written = new Set(rows.map((row) => row.group_id))
  for (const delta of deltas) if (!written.has(delta.groupId)) throw new StaleDeltaError(delta, undefined)
}

async function writeCursors(
  transaction: Transaction<Tables>,
  deltas: readonly PartitionDelta[],
): Promise<void> {
  const rows = deltas.flatMap(({ groupId, cursors }) => cursors.map((cursor) => ({ groupId, ...cursor })))
  if (rows.length === 0) return
  await sql`
    INSERT INTO consumer_cursors (group_id, consumer_id, cursor, grants)
    SELECT group_id, consumer_id, cursor, grants
    FROM unnest(
      ${rows.map((row) => row.groupId)}::integer[],
      ${rows.map((row) => row.consumerId)}::bigint[],
      ${rows.map((row) => row.cursor)}::bigint[],
      ${rows.map((row) => JSON.stringify(row.grants))}::jsonb[]
    ) AS row (group_id, consumer_id, cursor, grants)
    ON CONFLICT (group_id, consumer_id) DO UPDATE SET cursor = excluded.cursor, grants = excluded.grants`.execute(
    transaction,
  )
}

async function writeSequences(
  transaction: Transaction<Tables>,
  deltas: readonly PartitionDelta[],
): Promise<void> {
  const expired = deltas.flatMap(({ groupId, expiredSequences }) =>
    expiredSequences.map((producerId) => ({ groupId, producerId: String(producerId) })),
  )
  if (expired.length > 0) {
    await sql`
      DELETE FROM producer_sequences AS stored
      USING unnest(
        ${expired.map((row) => row.groupId)}::integer[], ${expired.map((row) => row.producerId)}::bigint[]
      ) AS row (group_id, producer_id)
      WHERE stored.group_id = row.group_id AND stored.producer_id = row.producer_id`.execute(transaction)
  }
  const rows = deltas.flatMap(({ groupId, sequences }) => sequences.map((row) => ({ groupId, ...row })))
  if (rows.length === 0) return
  await sql`
    INSERT INTO producer_sequences (group_id, producer_id, epoch, last_sequence, at, batches)
    SELECT group_id, producer_id, epoch, last_sequence, at, batches
    FROM unnest(
      ${rows.map((row) => row.groupId)}::integer[],
      ${rows.map((row) => String(row.producerId))}::bigint[],
      ${rows.map((row) => row.epoch)}::integer[],
      ${rows.map((row) => row.lastSequence)}::bigint[],
      ${rows.map((row) => row.at)}::bigint[],
      ${rows.map((row) => JSON.stringify(row.batches))}::jsonb[]
    ) AS row (group_id, producer_id, epoch, last_sequence, at, batches)
    ON CONFLICT (group_id, producer_id) DO UPDATE SET
      epoch = excluded.epoch, last_sequence = excluded.last_sequence, at = excluded.at, batches = excluded.batches`.execute(
    transaction,
  )
}

/** A partition's first batches in a slice begin a range there. */
async function writeRanges(
  transaction: Transaction<Tables>,
  deltas: readonly PartitionDelta[],
  stored: ReadonlyMap<number, StoredState>,
  slice: number,
): Promise<void> {
  const ranges = deltas.flatMap(({ groupId, batches }) => {
    const first = batches[0]
    if (first === undefined || stored.get(groupId)?.slice === slice) return []
    return [{ group_id: groupId, first_offset: first.baseOffset, slice }]
  })
  if (ranges.length === 0) return
  await sql`
    INSERT INTO batch_ranges (group_id, first_offset, slice)
    SELECT group_id, first_offset, ${slice}::integer
    FROM unnest(
      ${ranges.map((range) => range.group_id)}::integer[], ${ranges.map((range) => range.first_offset)}::bigint[]
    ) AS row (group_id, first_offset)`.execute(transaction)
}
