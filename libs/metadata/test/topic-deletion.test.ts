import { expect, test } from '@jest/globals'
import { DEFAULT_SETTINGS, type MetadataCommand, MetadataState, parseMetadataCommand } from '@sluice/metadata'

const AT = 1_700_000_000_000

function founded(): MetadataState {
  const state = new MetadataState()
  const brokers = [1, 2, 3, 4].map((id) => ({ id, host: 'h', port: 7000 + id, uuid: '' }))
  state.apply(1, { kind: 'bootstrap', at: AT, clusterId: 'c', brokers, settings: DEFAULT_SETTINGS })
  return state
}

function next(state: MetadataState, command: MetadataCommand) {
  return state.apply(state.version + 1, parseMetadataCommand(JSON.parse(JSON.stringify(command))))
}

const create = (topic: string): MetadataCommand => ({ kind: 'create-topic', at: AT, topic, partitions: 2 })
const remove = (topic: string): MetadataCommand => ({ kind: 'delete-topic', at: AT, topic })

test('a topic goes with its partitions, producers, consumers and their health, and leaves the others alone', () => {
  const state = founded()
  next(state, create('a'))
  next(state, create('b'))
  for (const topic of ['a', 'b', 'a']) {
    next(state, { kind: 'register-producer', at: AT, topic })
    next(state, { kind: 'register-consumer', at: AT, topic, start: 'earliest', ack: 'auto' })
  }
  const groups = state.partitionsOf('a').map(({ groupId }) => groupId)
  const { result, changes } = next(state, remove('a'))
  expect(result).toEqual({ topic: 'a' })
  expect(changes.removed).toMatchObject([
    { kind: 'topic', name: 'a' },
    { kind: 'partition', groupId: groups[0], partition: { name: 'a.1' } },
    { kind: 'partition', groupId: groups[1], partition: { name: 'a.2' } },
    { kind: 'producer', id: 1 },
    { kind: 'producer', id: 3 },
    { kind: 'consumer', id: 1 },
    { kind: 'consumer', id: 3 },
  ])
  expect(changes.auditEvents).toMatchObject([{ kind: 'topic-deleted', subject: 'topic/a' }])
  expect(state.topics().map(({ name }) => name)).toEqual(['b'])
  expect(groups.map((id) => [state.partitionByGroup(id), state.wasRemoved(id)])).toEqual([
    [undefined, true],
    [undefined, true],
  ])
  expect(state.producer(1)).toBeUndefined()
  expect(state.producer(2)).toBeDefined()
  expect([...state.healthChecks('consumer')].map(({ id }) => id)).toEqual([2])
  expect(next(state, remove('a')).result).toMatchObject({
    error: { code: 'TOPIC_NOT_FOUND', field: 'topic_name' },
  })
})

test('a deletion that says which topic it means may be said again: it leaves a newer one alone', () => {
  const state = founded()
  next(state, create('a'))
  const { groupId } = state.partitionsOf('a')[0]!
  const named: MetadataCommand = { kind: 'delete-topic', at: AT, topic: 'a', groupId }
  expect(next(state, named).changes.removed).not.toEqual([])
  for (const again of [() => undefined, () => next(state, create('a'))]) {
    again()
    const before = state.topics()
    expect(next(state, named)).toMatchObject({
      result: { topic: 'a' },
      changes: { removed: [], auditEvents: [] },
    })
    expect(state.topics()).toEqual(before)
  }
  expect(state.topics().map(({ name }) => name)).toEqual(['a'])
})

test('a topic of the same name begins anew: other groups, other ids, nothing of the old one', () => {
  const state = founded()
  next(state, create('a'))
  next(state, { kind: 'register-producer', at: AT, topic: 'a' })
  const before = state.partitionsOf('a').map(({ groupId }) => groupId)
  next(state, remove('a'))
  next(state, { kind: 'register-producer', at: AT, topic: 'a' })
  const after = state.partitionsOf('a').map(({ groupId }) => groupId)
  expect(after).toHaveLength(1)
  expect(before).not.toContain(after[0])
  expect(state.wasRemoved(after[0]!)).toBe(false)
  expect(state.wasRemoved(after[0]! + 1)).toBe(false)
  expect(state.producer(1)).toBeUndefined()
  expect(state.producer(2)).toMatchObject({ topic: 'a' })
})

test('the places of a deleted topic are free again, here and after a snapshot', () => {
  const state = founded()
  for (let i = 0; i < 8; i++) next(state, create(`t${i}`))
  for (let i = 0; i < 8; i += 2) next(state, remove(`t${i}`))
  const restored = MetadataState.fromJSON(JSON.parse(JSON.stringify(state)))
  for (const one of [state, restored]) {
    for (let i = 0; i < 8; i += 2) next(one, create(`n${i}`))
    const counts = new Map<number, number>()
    for (const { replicas } of one.partitions())
      for (const id of replicas) counts.set(id, (counts.get(id) ?? 0) + 1)
    expect([...counts.values()]).toEqual([12, 12, 12, 12])
  }
  expect(restored.toJSON()).toEqual(state.toJSON())
})
