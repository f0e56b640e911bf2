import { type ConsumerInfo, isClosing, type MetadataChanges } from '@sluice/metadata'
import { type RawBuilder, sql, type Transaction } from 'kysely'
import type { Database } from './database.js'
import type { Tables } from './tables.js'

/** What a broker starts its replica of the metadata from. */
export interface StoredMetadata {
  /** Raft index and term of the last entry in the snapshot: the log is applied from the next one on. */
  readonly appliedIndex: number
  readonly appliedTerm: number
  readonly snapshot: unknown
}

export interface MetadataDelta {
  readonly appliedIndex: number
  readonly appliedTerm: number
  /** JSON of the whole state at the applied index; absent keeps the one that is stored, at its index. */
  readonly snapshot?: unknown
  /** Whole rows; of several for one thing the last counts. */
  readonly changes: MetadataChanges
  /** What an earlier call has written, so that the tables are not behind it; default 0. */
  readonly previousIndex?: number
  /** The changes and the snapshot are all there is: they take the place of whatever is there. */
  readonly whole?: boolean
}

/** The database has less than it confirmed: it was emptied, or restored from a backup. */
export class MetadataLostError extends Error {
  override readonly name = 'MetadataLostError'
}

/** Rows of the audit trail; the oldest go. */
const AUDIT_EVENTS_MAX = 100_000

/** The cluster's metadata in PostgreSQL: one snapshot to start from, and tables to look at. */
export class MetadataStore {
  /** Undefined before the first snapshot. */
  async load(db: Database): Promise<StoredMetadata | undefined> {
    const row = await db
      .selectFrom('metadata_state')
      .select(['snapshot', 'snapshot_index', 'snapshot_term'])
      .executeTakeFirst()
    if (row === undefined || row.snapshot === null) return undefined
    return {
      appliedIndex: row.snapshot_index!,
      appliedTerm: row.snapshot_term!,
      snapshot: JSON.parse(row.snapshot) as unknown,
    }
  }

  /** Up to where the tables have the metadata; 0 when they have nothing. */
  async appliedIndex(db: Database): Promise<number> {
    const row = await db.selectFrom('metadata_state').select('applied_index').executeTakeFirst()
    return row?.applied_index ?? 0
  }

  /**
   * Writes in one transaction. The tables only move forward: false says that they were that far already,
   * as after a restart from an older snapshot, and that the changes were left out.
   * @throws MetadataLostError they are behind what was written before
   */
  materialise(db: Database, delta: MetadataDelta): Promise<boolean> {
    return db.transaction().execute(async (transaction) => {
      if (delta.whole === true) for (const table of TABLES) await transaction.deleteFrom(table).execute()
      else await checkNothingLost(transaction, delta.previousIndex ?? 0)
      if (delta.snapshot !== undefined) await writeSnapshot(transaction, delta)
      if (!(await advance(transaction, delta))) return false
      await writeChanges(transaction, delta.changes)
      return true
    })
  }
}

const TABLES = [
  'metadata_state',
  'brokers',
  'topics',
  'partitions',
  'replicas',
  'producers',
  'consumers',
  'health_checks',
] as const

async function checkNothingLost(transaction: Transaction<Tables>, previousIndex: number): Promise<void> {
  const row = await transaction
    .selectFrom('metadata_state')
    .select('applied_index')
    .forUpdate()
    .executeTakeFirst()
  const stored = row?.applied_index ?? 0
  if (stored < previousIndex)
    throw new MetadataLostError(`the metadata is stored up to ${stored}, ${previousIndex} was written before`)
}

/** Applied index 0 stands until the tables follow. */
async function writeSnapshot(transaction: Transaction<Tables>, delta: MetadataDelta): Promise<void> {
  await sql`
    INSERT INTO metadata_state AS state (applied_index, applied_term, snapshot, snapshot_index, snapshot_term)
    VALUES (0, 0, ${JSON.stringify(delta.snapshot)}, ${delta.appliedIndex}, ${delta.appliedTerm})
    ON CONFLICT (single) DO UPDATE SET
      snapshot = excluded.snapshot,
      snapshot_index = excluded.snapshot_index,
      snapshot_term = excluded.snapshot_term
    WHERE state.snapshot_index IS NULL OR state.snapshot_index < excluded.snapshot_index`.execute(transaction)
}

async function advance(transaction: Transaction<Tables>, delta: MetadataDelta): Promise<boolean> {
  const { rows } = await sql<{ single: boolean }>`
    INSERT INTO metadata_state AS state (applied_index, applied_term)
    VALUES (${delta.appliedIndex}, ${delta.appliedTerm})
    ON CONFLICT (single) DO UPDATE SET
      applied_index = excluded.applied_index, applied_term = excluded.applied_term
    WHERE state.applied_index < excluded.applied_index
    RETURNING single`.execute(transaction)
  return rows.length === 1
}

async function writeChanges(transaction: Transaction<Tables>, changes: MetadataChanges): Promise<void> {
  await writeRemovals(transaction, changes.removed)
  const partitions = [
    ...changes.topics.flatMap((topic) => topic.partitions),
    // Those of a topic that grew are listed by themselves.
    ...changes.partitions,
  ]
  if (changes.removedBrokers.length > 0) {
    const ids = [...changes.removedBrokers]
    await transaction.deleteFrom('brokers').where('id', 'in', ids).execute()
    await transaction
      .deleteFrom('health_checks')
      .where('actor_type', '=', 'broker')
      .where('actor_id', 'in', ids)
      .execute()
  }
  await upsert(transaction, 'brokers', {
    key: ['id'],
    rows: changes.brokers.map(({ id, host, port, uuid, rack, state, createdAt }) => ({
      id,
      host,
      port,
      uuid,
      created_at: createdAt,
      rack,
      state,
    })),
  })
  await upsert(transaction, 'topics', {
    key: ['name'],
    rows: changes.topics.map((topic) => ({
      name: topic.name,
      replication_factor: topic.replicationFactor,
      partition_count: topic.partitions.length,
      retention_ms: topic.settings.retentionMs ?? null,
      retention_bytes: topic.settings.retentionBytes ?? null,
      retention_messages: topic.settings.retentionMessages ?? null,
      key_partitions: topic.keyPartitions,
      growth: topic.growth?.by ?? null,
      growth_limit: topic.growth === undefined || topic.growth.by === 'off' ? null : topic.growth.limit,
      growth_max: topic.growthMax ?? null,
      created_at: topic.createdAt,
    })),
  })
  await upsert(transaction, 'partitions', {
    key: ['group_id'],
    rows: partitions.map(({ groupId, topic, number, name, createdAt }) => ({
      group_id: groupId,
      topic,
      number,
      name,
      created_at: createdAt,
    })),
  })
  for (const topic of changes.topics) {
    const closing = topic.partitions.filter(({ number }) => isClosing(topic, number))
    if (closing.length > 0)
      await sql`UPDATE partitions SET closing = true WHERE group_id = ANY(${closing.map(({ groupId }) => groupId)}::integer[])`.execute(
        transaction,
      )
  }
  await writeReplicas(transaction, new Map(partitions.map(({ groupId, replicas }) => [groupId, replicas])))
  await upsert(transaction, 'producers', {
    key: ['id'],
    rows: changes.producers.map(({ id, topic, createdAt }) => ({ id, topic, created_at: createdAt })),
  })
  await upsert(transaction, 'consumers', { key: ['id'], rows: changes.consumers.map(consumerRow) })
  await upsert(transaction, 'health_checks', {
    key: ['actor_type', 'actor_id'],
    rows: changes.healthChecks.map(({ type, id, lastSeenAt, status, since, reason }) => ({
      actor_type: type,
      actor_id: id,
      last_seen_at: lastSeenAt,
      status,
      since,
      reason,
    })),
  })
  await writeAuditEvents(transaction, changes.auditEvents)
}

async function writeRemovals(
  transaction: Transaction<Tables>,
  removed: MetadataChanges['removed'],
): Promise<void> {
  const names: string[] = []
  const groups: number[] = []
  const actors = { broker: [] as number[], producer: [] as number[], consumer: [] as number[] }
  for (const removal of removed)
    if (removal.kind === 'topic') names.push(removal.name)
    else if (removal.kind === 'partition') groups.push(removal.groupId)
    else actors[removal.kind].push(removal.id)
  if (names.length > 0) await transaction.deleteFrom('topics').where('name', 'in', names).execute()
  if (groups.length > 0)
    for (const table of ['replicas', 'partitions'] as const)
      await sql`DELETE FROM ${sql.table(table)} WHERE group_id = ANY(${groups}::integer[])`.execute(
        transaction,
      )
  for (const type of ['broker', 'producer', 'consumer'] as const) {
    if (actors[type].length === 0) continue
    const ids = sql`${actors[type]}::bigint[]`
    await sql`DELETE FROM ${sql.table(`${type}s`)} WHERE id = ANY(${ids})`.execute(transaction)
    await sql`DELETE FROM health_checks WHERE actor_type = ${type} AND actor_id = ANY(${ids})`.execute(
      transaction,
    )
  }
}

async function writeAuditEvents(
  transaction: Transaction<Tables>,
  events: MetadataChanges['auditEvents'],
): Promise<void> {
  const newest = events.at(-1)
  if (newest === undefined) return
  await upsert(transaction, 'audit_events', {
    key: ['id'],
    rows: events.map(({ id, at, kind, subject, reason, by }) => ({
      id,
      at,
      kind,
      subject,
      reason,
      asked_by: by ?? null,
    })),
  })
  await transaction
    .deleteFrom('audit_events')
    .where('id', '<=', newest.id - AUDIT_EVENTS_MAX)
    .execute()
}

function consumerRow({
  id,
  topic,
  start,
  ack,
  autoOffsetReset,
  createdAt,
}: ConsumerInfo): Tables['consumers'] {
  const isTime = typeof start === 'object'
  return {
    id,
    topic,
    start_kind: isTime ? 'time' : start,
    start_time: isTime ? start.time : null,
    ack,
    auto_offset_reset: autoOffsetReset,
    created_at: createdAt,
  }
}

/** The replicas of a partition are replaced as a whole. */
async function writeReplicas(
  transaction: Transaction<Tables>,
  replicas: ReadonlyMap<number, readonly number[]>,
): Promise<void> {
  if (replicas.size === 0) return
  await sql`DELETE FROM replicas WHERE group_id = ANY(${[...replicas.keys()]}::integer[])`.execute(
    transaction,
  )
  await upsert(transaction, 'replicas', {
    key: ['group_id', 'broker_id'],
    rows: Array.from(replicas).flatMap(([groupId, brokers]) =>
      brokers.map((brokerId, position) => ({ group_id: groupId, broker_id: brokerId, position })),
    ),
  })
}

/** Whole rows, as one parameter of JSON that PostgreSQL reads as rows of the table. */
async function upsert<Name extends keyof Tables>(
  transaction: Transaction<Tables>,
  table: Name,
  change: {
    readonly key: readonly (keyof Tables[Name] & string)[]
    readonly rows: readonly Partial<Tables[Name]>[]
  },
): Promise<void> {
  // One statement may not touch a row twice.
  const last = new Map(change.rows.map((row) => [JSON.stringify(change.key.map((name) => row[name])), row]))
  const rows = [...last.values()]
  const first = rows[0]
  if (first === undefined) return
  const columns = Object.keys(first as object).filter(
    (name) => !(change.key as readonly string[]).includes(name),
  )
  const names = sql.join(Object.keys(first as object).map((name) => sql.id(name)))
  const set: RawBuilder<unknown>[] = columns.map((name) => sql`${sql.id(name)} = excluded.${sql.id(name)}`)
  await sql`
    INSERT INTO ${sql.table(table)} (${names})
    SELECT ${names} FROM jsonb_populate_recordset(NULL::${sql.table(table)}, ${JSON.stringify(rows)}::jsonb)
    ON CONFLICT (${sql.join(change.key.map((name) => sql.id(name)))}) DO UPDATE SET ${sql.join(set)}`.execute(
    transaction,
  )
}
