import { afterAll, beforeAll, beforeEach, expect, test } from '@jest/globals'
import type { BrokerId } from '@sluice/domain'
import { DEFAULT_SETTINGS, type MetadataCommand, MetadataState, parseMetadataCommand } from '@sluice/metadata'
import { MetadataLostError, MetadataStore } from '@sluice/persistence'
import { sql } from 'kysely'
import { createTestDatabase, type TestDatabase } from './test-database.js'

const store = new MetadataStore()
let database: TestDatabase

beforeAll(async () => {
  database = await createTestDatabase()
})

afterAll(() => database.drop())

beforeEach(async () => {
  await sql`TRUNCATE metadata_state, brokers, topics, partitions, replicas, producers, consumers, health_checks, audit_events`.execute(
    database.db,
  )
})

const at = 1_700_000_000_000
const commands = [
  {
    kind: 'bootstrap',
    at,
    clusterId: 'c',
    settings: DEFAULT_SETTINGS,
    brokers: [1, 2, 3].map((id) => ({ id, host: '127.0.0.1', port: 7000 + id, uuid: '' })),
  },
  { kind: 'create-topic', at, topic: 'orders', partitions: 2 },
  { kind: 'add-partition', at, topic: 'orders', expectedCount: 2 },
  { kind: 'register-producer', at, topic: 'orders' },
  { kind: 'register-consumer', at, topic: 'orders', start: { time: 5 }, ack: 'manual' },
  { kind: 'activity', at, producers: [[1, at + 9]], consumers: [], brokers: [] },
].map((command) => parseMetadataCommand(command as unknown as MetadataCommand))

async function countOf(table: string): Promise<number> {
  const { rows } = await sql<{ count: number }>`SELECT count(*) AS count FROM ${sql.table(table)}`.execute(
    database.db,
  )
  return rows[0]!.count
}

test('nothing is loaded before the first snapshot', async () => {
  expect(await store.load(database.db)).toBeUndefined()
})

test('the tables show what the commands led to, and the snapshot gives the state back', async () => {
  const state = new MetadataState()
  for (const [i, command] of commands.entries()) {
    const { changes } = state.apply(i + 1, command)
    const delta = { appliedIndex: i + 1, appliedTerm: 1, snapshot: state.toJSON(), changes }
    expect(await store.materialise(database.db, delta)).toBe(true)
  }
  const loaded = (await store.load(database.db))!
  expect(loaded).toMatchObject({ appliedIndex: 6, appliedTerm: 1 })
  expect(MetadataState.fromJSON(loaded.snapshot).toJSON()).toEqual(state.toJSON())

  expect(await countOf('brokers')).toBe(3)
  expect(await database.db.selectFrom('topics').selectAll().execute()).toEqual([
    {
      name: 'orders',
      replication_factor: 3,
      partition_count: 3,
      key_partitions: 2,
      growth: null,
      growth_limit: null,
      growth_max: null,
      created_at: at,
      retention_ms: null,
      retention_bytes: null,
      retention_messages: null,
    },
  ])
  expect(
    await database.db.selectFrom('partitions').select(['group_id', 'name']).orderBy('group_id').execute(),
  ).toEqual([
    { group_id: 2, name: 'orders.1' },
    { group_id: 3, name: 'orders.2' },
    { group_id: 4, name: 'orders.3' },
  ])
  const replicas = await database.db
    .selectFrom('replicas')
    .select('broker_id')
    .where('group_id', '=', 4)
    .orderBy('position')
    .execute()
  expect(replicas.map((row) => row.broker_id)).toEqual(state.partitionByGroup(4)!.replicas)
  expect(await countOf('replicas')).toBe(9)
  expect(await database.db.selectFrom('consumers').selectAll().execute()).toEqual([
    {
      id: 1,
      topic: 'orders',
      start_kind: 'time',
      start_time: 5,
      ack: 'manual',
      auto_offset_reset: 'earliest',
      created_at: at,
    },
  ])
  const seen = await database.db
    .selectFrom('health_checks')
    .selectAll()
    .where('actor_type', '=', 'producer')
    .execute()
  expect(seen).toEqual([
    {
      actor_type: 'producer',
      actor_id: 1,
      last_seen_at: at + 9,
      status: 'alive',
      since: at,
      reason: 'registered',
    },
  ])
})

test('the changes of many commands go in one call, the last of several for one row counting', async () => {
  const state = new MetadataState()
  const all = commands.map((command, i) => state.apply(i + 1, command).changes)
  const changes = {
    brokers: all.flatMap((change) => change.brokers),
    topics: all.flatMap((change) => change.topics),
    partitions: all.flatMap((change) => change.partitions),
    producers: all.flatMap((change) => change.producers),
    consumers: all.flatMap((change) => change.consumers),
    healthChecks: all.flatMap((change) => change.healthChecks),
    removedBrokers: [],
    auditEvents: all.flatMap((change) => change.auditEvents),
    removed: all.flatMap((change) => change.removed),
  }
  await store.materialise(database.db, { appliedIndex: 6, appliedTerm: 1, changes })
  expect(await store.load(database.db)).toBeUndefined()
  expect(await countOf('partitions')).toBe(3)
  expect((await database.db.selectFrom('topics').selectAll().executeTakeFirst())!.partition_count).toBe(3)
})

test('a broker that is removed is gone from the tables, with its health', async () => {
  const state = new MetadataState()
  const removal = { kind: 'remove-broker', at, brokerId: 3 } as const
  const settings = { ...DEFAULT_SETTINGS }
  const brokers = [1, 3].map((id) => ({ id, host: 'h', port: 7000 + id, uuid: '' }))
  const founded = state.apply(1, { kind: 'bootstrap', at, clusterId: 'c', settings, brokers })
  await store.materialise(database.db, { appliedIndex: 1, appliedTerm: 1, changes: founded.changes })
  expect([await countOf('brokers'), await countOf('health_checks')]).toEqual([2, 2])
  const { changes } = state.apply(2, removal)
  await store.materialise(database.db, { appliedIndex: 2, appliedTerm: 1, changes })
  expect(await database.db.selectFrom('brokers').select(['id', 'rack', 'state']).execute()).toEqual([
    { id: 1, rack: '', state: 'active' },
  ])
  expect(await countOf('health_checks')).toBe(1)
})

test('what is deleted leaves the tables, before a topic of the same name comes into them', async () => {
  const state = new MetadataState()
  const all = commands.map((command) => state.apply(state.version + 1, command).changes)
  for (const [i, changes] of all.entries())
    await store.materialise(database.db, { appliedIndex: i + 1, appliedTerm: 1, changes })
  const { changes: gone } = state.apply(7, { kind: 'delete-topic', at, topic: 'orders' })
  const { changes: anew } = state.apply(8, { kind: 'register-producer', at, topic: 'orders' })
  const changes = { ...anew, removed: gone.removed }
  await store.materialise(database.db, { appliedIndex: 8, appliedTerm: 1, changes })
  const partitions = await database.db.selectFrom('partitions').select(['group_id', 'name']).execute()
  expect(partitions).toEqual([{ group_id: 5, name: 'orders.1' }])
  expect(await countOf('replicas')).toBe(3)
  expect(await database.db.selectFrom('producers').select('id').execute()).toEqual([{ id: 2 }])
  expect(await countOf('consumers')).toBe(0)
  const checks = await database.db.selectFrom('health_checks').select(['actor_type', 'actor_id']).execute()
  expect(checks.filter(({ actor_type }) => actor_type !== 'broker')).toEqual([
    { actor_type: 'producer', actor_id: 2 },
  ])
  const { changes: last } = state.apply(9, { kind: 'delete-topic', at, topic: 'orders' })
  await store.materialise(database.db, { appliedIndex: 9, appliedTerm: 1, changes: last })
  for (const table of ['topics', 'partitions', 'replicas', 'producers']) expect(await countOf(table)).toBe(0)
})

test('partitions that are closing, and what a topic does, are in SQL', async () => {
  const state = new MetadataState()
  const all = commands.map((command) => state.apply(state.version + 1, command).changes)
  for (const [i, changes] of all.entries())
    await store.materialise(database.db, { appliedIndex: i + 1, appliedTerm: 1, changes })
  const { changes: altered } = state.apply(7, {
    kind: 'alter-topic',
    at,
    topic: 'orders',
    growth: { by: 'bytes', limit: 9 },
    growthMax: 4,
  })
  const { changes: closed } = state.apply(8, { kind: 'close-partition', at, topic: 'orders' })
  await store.materialise(database.db, { appliedIndex: 7, appliedTerm: 1, changes: altered })
  await store.materialise(database.db, { appliedIndex: 8, appliedTerm: 1, changes: closed })
  expect(await database.db.selectFrom('topics').selectAll().executeTakeFirst()).toMatchObject({
    growth: 'bytes',
    growth_limit: 9,
    growth_max: 4,
  })
  const partitions = database.db.selectFrom('partitions').select(['name', 'closing']).orderBy('name')
  expect(await partitions.execute()).toEqual([
    { name: 'orders.1', closing: false },
    { name: 'orders.2', closing: false },
    { name: 'orders.3', closing: true },
  ])
})

test('the audit trail in SQL is that of the state, and keeps the newest 100,000 events', async () => {
  const state = new MetadataState()
  const eventsOf = (command: MetadataCommand) =>
    state.apply(state.version + 1, { ...command, by: `request ${state.version}` }).changes.auditEvents
  const auditEvents = commands.flatMap(eventsOf)
  const changes = { ...state.apply(7, commands[0]!).changes, auditEvents }
  await store.materialise(database.db, { appliedIndex: 6, appliedTerm: 1, changes })
  // Once more, as after a crash between the tables and the log.
  await store.materialise(database.db, { appliedIndex: 7, appliedTerm: 1, changes })
  const rows = database.db.selectFrom('audit_events').selectAll().orderBy('id')
  expect(await rows.execute()).toEqual(
    state.auditEvents().map(({ by, ...event }) => ({ ...event, asked_by: by ?? null })),
  )
  expect(await rows.execute()).toHaveLength(3)

  const late = { ...auditEvents[0]!, id: 100_002 }
  await store.materialise(database.db, {
    appliedIndex: 8,
    appliedTerm: 1,
    changes: { ...changes, auditEvents: [late] },
  })
  expect((await rows.execute()).map(({ id }) => id)).toEqual([3, 100_002])
})

test('the tables never go back, and a snapshot keeps the index it was taken at', async () => {
  const state = new MetadataState()
  const first = state.apply(1, commands[0]!)
  const snapshot = state.toJSON()
  const second = state.apply(2, commands[1]!)
  await store.materialise(database.db, { appliedIndex: 1, appliedTerm: 1, snapshot, changes: first.changes })
  await store.materialise(database.db, { appliedIndex: 2, appliedTerm: 1, changes: second.changes })
  expect(await store.load(database.db)).toEqual({ appliedIndex: 1, appliedTerm: 1, snapshot })

  const stale = {
    ...first.changes,
    brokers: first.changes.brokers.map((broker) => ({ ...broker, host: 'old' })),
  }
  for (const appliedIndex of [1, 2]) {
    const delta = { appliedIndex, appliedTerm: 1, changes: stale }
    expect(await store.materialise(database.db, delta)).toBe(false)
  }
  expect(await database.db.selectFrom('brokers').select('id').where('host', '=', 'old').execute()).toEqual([])
})

test('tables that are behind what was written before are found out, and written anew as a whole', async () => {
  const changes = {
    brokers: [],
    topics: [],
    partitions: [],
    producers: [],
    consumers: [],
    healthChecks: [],
    removedBrokers: [],
    auditEvents: [],
    removed: [],
  }
  const broker = {
    id: 7 as BrokerId,
    host: 'h',
    port: 1,
    uuid: '',
    rack: '',
    state: 'active',
    createdAt: 1,
  } as const
  const first = { appliedIndex: 100_000, appliedTerm: 1, changes: { ...changes, brokers: [broker] } }
  await store.materialise(database.db, { ...first, whole: true, snapshot: { version: 100_000 } })
  expect(await countOf('brokers')).toBe(1)
  expect(await store.appliedIndex(database.db)).toBe(100_000)
  const next = { appliedIndex: 100_005, appliedTerm: 1, changes, previousIndex: 100_001 }
  await expect(store.materialise(database.db, next)).rejects.toThrow(MetadataLostError)
  expect(await store.appliedIndex(database.db)).toBe(100_000)
  const other = { ...broker, id: 8 as BrokerId }
  const whole = { ...first, appliedIndex: 50, changes: { ...changes, brokers: [other] }, whole: true }
  await store.materialise(database.db, { ...whole, snapshot: { version: 50 } })
  const ids = await database.db.selectFrom('brokers').select('id').execute()
  expect(ids).toEqual([{ id: 8 }])
  expect(await store.load(database.db)).toEqual({
    appliedIndex: 50,
    appliedTerm: 1,
    snapshot: { version: 50 },
  })
})
