import { expect, test } from '@jest/globals'
import {
  type AuditEvent,
  DEFAULT_SETTINGS,
  type MetadataCommand,
  MetadataState,
  parseMetadataCommand,
} from '@sluice/metadata'

const AT = 1_700_000_000_000
const brokers = [3, 1, 2].map((id) => ({ id, host: 'h', port: 7000 + id, uuid: '' }))

function founded(): MetadataState {
  const state = new MetadataState()
  state.apply(1, { kind: 'bootstrap', at: AT, clusterId: 'c', brokers, settings: DEFAULT_SETTINGS })
  return state
}

function next(state: MetadataState, command: MetadataCommand): readonly AuditEvent[] {
  const parsed = parseMetadataCommand(JSON.parse(JSON.stringify(command)))
  return state.apply(state.version + 1, parsed).changes.auditEvents
}

const nobody = { producers: [], consumers: [], brokers: [] }

test('every change is an event with its time, its subject and its reason', () => {
  const state = founded()
  next(state, { kind: 'create-topic', at: AT + 1, topic: 'a', partitions: 2 })
  next(state, { kind: 'register-producer', at: AT + 2, topic: 'a' })
  next(state, { kind: 'register-producer', at: AT + 3, topic: 'b' })
  next(state, { kind: 'add-partition', at: AT + 4, topic: 'a', expectedCount: 2 })
  next(state, { kind: 'add-broker', at: AT + 5, host: 'h4', port: 7, uuid: 'u' })
  next(state, { kind: 'update-broker', at: AT + 6, id: 4, host: 'h5', port: 7, uuid: 'u' })
  const dead = { type: 'producer', id: 1, status: 'dead', reason: 'silent for 6 ms' } as const
  next(state, { kind: 'mark', at: AT + 8, marks: [dead] })
  next(state, { kind: 'activity', at: AT + 10, ...nobody, producers: [[1, AT + 9]] })
  next(state, { kind: 'change-settings', at: AT + 11, deadAfterMs: { broker: 5000 } })
  expect(
    [...state.auditEvents()].map(({ id, at, kind, subject, reason }) => [id, at - AT, kind, subject, reason]),
  ).toEqual([
    [1, 0, 'cluster-founded', 'cluster', 'by 3 brokers'],
    [2, 1, 'topic-created', 'topic/a', 'asked for: 2 partitions, 3 replicas'],
    [3, 3, 'topic-created', 'topic/b', 'producer 2 registered for it: 1 partitions, 3 replicas'],
    [4, 4, 'partition-added', 'partition/a.3', 'the topic grew'],
    [5, 5, 'broker-added', 'broker/4', 'at h4:7'],
    [6, 6, 'broker-changed', 'broker/4', 'moved to h5:7'],
    [7, 8, 'producer-dead', 'producer/1', 'silent for 6 ms'],
    [8, 10, 'producer-alive', 'producer/1', 'active again'],
    [9, 11, 'settings-changed', 'cluster', 'broker dead after 5000 ms'],
  ])
})

test('a refusal, a repetition and activity of those alive are no events', () => {
  const state = founded()
  next(state, { kind: 'create-topic', at: AT, topic: 'a', partitions: 1 })
  expect(next(state, { kind: 'create-topic', at: AT, topic: 'a', partitions: 1 })).toEqual([])
  expect(next(state, { kind: 'add-partition', at: AT, topic: 'a', expectedCount: 9 })).toEqual([])
  next(state, { kind: 'register-producer', at: AT, topic: 'a' })
  expect(next(state, { kind: 'activity', at: AT, ...nobody, producers: [[1, AT + 9]] })).toEqual([])
  const mark: MetadataCommand = {
    kind: 'mark',
    at: AT,
    marks: [{ type: 'producer', id: 1, status: 'dead', reason: 'silent' }],
  }
  expect(next(state, mark)).toHaveLength(1)
  expect(next(state, mark)).toEqual([])
})

test('a report that is too old brings nobody back to life', () => {
  const state = founded()
  next(state, { kind: 'change-settings', at: AT, deadAfterMs: { broker: 1000 } })
  const mark = { type: 'broker', id: 2, status: 'dead', reason: 'silent' } as const
  next(state, { kind: 'mark', at: AT + 5000, marks: [mark] })
  expect(next(state, { kind: 'activity', at: AT + 5001, ...nobody, brokers: [[2, AT + 4000]] })).toEqual([])
  expect(state.healthCheck('broker', 2)).toMatchObject({ status: 'dead', lastSeenAt: AT + 4000 })
  expect(next(state, { kind: 'activity', at: AT + 5001, ...nobody, brokers: [[2, AT + 4001]] })).toHaveLength(
    1,
  )
})

test('thousands of clients that come and go leave the events of the cluster alone, and ids are never reused', () => {
  const state = founded()
  next(state, { kind: 'register-producer', at: AT, topic: 'a' })
  for (let i = 1; i <= 2100; i++)
    next(state, {
      kind: 'mark',
      at: AT + i,
      marks: [{ type: 'producer', id: 1, status: i % 2 === 0 ? 'alive' : 'dead', reason: `${i}` }],
    })
  const events = [...state.auditEvents()]
  expect(events.slice(0, 3).map(({ id, kind }) => `${id} ${kind}`)).toEqual([
    '1 cluster-founded',
    '2 topic-created',
    '103 producer-dead',
  ])
  expect(events).toHaveLength(2002)
  expect(events.at(-1)!.id).toBe(2102)
  const restored = MetadataState.fromJSON(JSON.parse(JSON.stringify(state)))
  expect([...restored.auditEvents()]).toEqual(events)
  const [event] = next(restored, { kind: 'create-topic', at: AT, topic: 'b', partitions: 1 })
  expect(event!.id).toBe(2103)
})

test('a snapshot without a trail, and with one threshold for all, is read', () => {
  const { audit, ...rest } = founded().toJSON()
  expect(audit.events).toHaveLength(1)
  const state = MetadataState.fromJSON({ ...rest, settings: { ...rest.settings, deadAfterMs: 7 } })
  expect([...state.auditEvents()]).toEqual([])
  expect(state.settings.deadAfterMs).toEqual({ broker: 7, producer: 7, consumer: 7 })
})

test('health rows come in the order of their ids, from any row on, and all are looked at in turn', () => {
  const state = founded()
  for (let i = 0; i < 12_000; i++) next(state, { kind: 'register-producer', at: AT, topic: 'a' })
  const first = [...state.healthChecks()].slice(0, 4)
  expect(first.map(({ type, id }) => `${type} ${id}`)).toEqual([
    'broker 1',
    'broker 2',
    'broker 3',
    'producer 1',
  ])
  const rest = [...state.healthChecks('producer', { type: 'producer', id: 11_998 })]
  expect(rest.map(({ id }) => id)).toEqual([11_999, 12_000])
  expect([...state.healthChecks('consumer', { type: 'broker', id: 1 })]).toEqual([])
  const silent = new Set<number>()
  for (let round = 0; round < 2; round++)
    for (const { type, id } of state.silentActors(AT + 300_001, AT)) if (type === 'producer') silent.add(id)
  expect(silent.size).toBe(12_000)
})
