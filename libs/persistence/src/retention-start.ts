import { sql } from 'kysely'
import type { Database } from './database.js'

/** What a partition keeps; absent: no limit. */
export interface RetentionLimits {
  /** Batches whose messages are all older are deleted. Milliseconds since 1970. */
  readonly oldestTimestamp?: number
  /** Of its newest record batches it keeps at least so many bytes. */
  readonly bytes?: number
  /** Of its newest messages it keeps at least so many. */
  readonly messages?: number
}

interface State {
  readonly next_offset: number
  readonly log_start: number
  readonly latest_timestamp: number | null
  readonly end_bytes: number
}

interface Batch {
  readonly base_offset: number
  readonly last_offset: number
  readonly end_bytes: number
}

/**
 * Where a partition's log may start so that nothing that the limits keep is deleted: at the first message
 * of a batch, or at the end. It looks at a few rows, however many there are.
 */
export async function retentionStart(
  db: Database,
  groupId: number,
  limits: RetentionLimits,
): Promise<number> {
  const state = await db
    .selectFrom('partition_state')
    .select(['next_offset', 'log_start', 'latest_timestamp', 'end_bytes'])
    .where('group_id', '=', groupId)
    .executeTakeFirst()
  if (state === undefined) return 0
  const { oldestTimestamp, bytes, messages } = limits
  return Math.max(
    state.log_start,
    oldestTimestamp === undefined ? 0 : await startByAge(db, { groupId, state, oldestTimestamp }),
    messages === undefined ? 0 : await startByCount(db, { groupId, state, messages }),
    bytes === undefined ? 0 : await startBySize(db, { groupId, state, bytes }),
  )
}

/** The largest timestamp so far grows with the offset, so the first batch that is young enough has an index. */
async function startByAge(
  db: Database,
  by: { readonly groupId: number; readonly state: State; readonly oldestTimestamp: number },
): Promise<number> {
  const { groupId, state, oldestTimestamp } = by
  if (state.latest_timestamp === null) return 0
  if (state.latest_timestamp < oldestTimestamp) return state.next_offset
  const young = await db
    .selectFrom('record_batches')
    .select('base_offset')
    .where('group_id', '=', groupId)
    .where('latest_timestamp', '>=', oldestTimestamp)
    .orderBy('latest_timestamp')
    .orderBy('base_offset')
    .limit(1)
    .executeTakeFirst()
  return young?.base_offset ?? 0
}

async function startByCount(
  db: Database,
  by: { readonly groupId: number; readonly state: State; readonly messages: number },
): Promise<number> {
  const { groupId, state, messages } = by
  const first = state.next_offset - messages
  if (first <= state.log_start) return 0
  return (await batchAt(db, groupId, first))?.base_offset ?? 0
}

/** Sizes so far grow with the offset: the first batch that is to stay is found by halving. */
async function startBySize(
  db: Database,
  by: { readonly groupId: number; readonly state: State; readonly bytes: number },
): Promise<number> {
  const { groupId, state, bytes } = by
  const dropUpTo = state.end_bytes - bytes
  let low = state.log_start
  let high = state.next_offset
  while (low < high) {
    const batch = await batchAt(db, groupId, low + Math.floor((high - low) / 2))
    if (batch === undefined) return 0
    if (batch.end_bytes <= dropUpTo) low = batch.last_offset + 1
    else high = batch.base_offset
  }
  return low
}

/** The batch that holds the offset. */
function batchAt(db: Database, groupId: number, offset: number): Promise<Batch | undefined> {
  return sql<Batch>`
    SELECT base_offset, last_offset, end_bytes FROM record_batches
    WHERE group_id = ${groupId} AND base_offset <= ${offset} AND slice = (
      SELECT slice FROM batch_ranges
      WHERE group_id = ${groupId} AND first_offset <= ${offset}
      ORDER BY first_offset DESC LIMIT 1)
    ORDER BY base_offset DESC LIMIT 1`
    .execute(db)
    .then(({ rows }) => rows[0])
}
