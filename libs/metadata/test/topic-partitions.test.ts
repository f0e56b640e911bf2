import { expect, test } from '@jest/globals'
import {
  DEFAULT_SETTINGS,
  isClosing,
  type MetadataCommand,
  MetadataState,
  openPartitions,
  parseMetadataCommand,
} from '@sluice/metadata'

const AT = 1_700_000_000_000

function withTopic(partitions = 2): MetadataState {
  const state = new MetadataState()
  const brokers = [1, 2, 3].map((id) => ({ id, host: 'h', port: 7000 + id, uuid: '' }))
  state.apply(1, { kind: 'bootstrap', at: AT, clusterId: 'c', brokers, settings: DEFAULT_SETTINGS })
  next(state, { kind: 'create-topic', at: AT, topic: 'a', partitions })
  return state
}

function next(state: MetadataState, command: MetadataCommand) {
  return state.apply(state.version + 1, parseMetadataCommand(JSON.parse(JSON.stringify(command))))
}

const add: MetadataCommand = { kind: 'add-partition', at: AT, topic: 'a' }
const close: MetadataCommand = { kind: 'close-partition', at: AT, topic: 'a' }

function numbers(state: MetadataState): string {
  const topic = state.topic('a')!
  return topic.partitions.map(({ number }) => `${number}${isClosing(topic, number) ? '-' : ''}`).join(' ')
}

test('keys belong to the partitions that the topic was made with, which are never closed', () => {
  const state = withTopic(2)
  next(state, add)
  next(state, add)
  expect(state.topic('a')).toMatchObject({ keyPartitions: 2, nextNumber: 5 })
  expect(next(state, close).result).toEqual({ closed: true, partition: 4 })
  expect(next(state, close).result).toEqual({ closed: true, partition: 3 })
  const before = state.toJSON()
  expect(next(state, close).result).toMatchObject({ error: { code: 'PARTITION_LIMIT', field: 'partitions' } })
  expect({ ...state.toJSON(), version: 0 }).toEqual({ ...before, version: 0 })
  expect(numbers(state)).toBe('1 2 3- 4-')
  expect(openPartitions(state.topic('a')!).map(({ number }) => number)).toEqual([1, 2])
})

test('a number is never used again, and the count that growth expects is of those that take messages', () => {
  const state = withTopic(1)
  next(state, add)
  next(state, close)
  const closed = state.partition('a', 2)!
  expect(next(state, { ...add, expectedCount: 2 }).result).toMatchObject({ added: false })
  expect(next(state, { ...add, expectedCount: 1 }).result).toEqual({
    partition: 3,
    added: true,
  })
  expect(next(state, { ...close, expectedCount: 1 }).result).toEqual({ closed: false })
  next(state, { kind: 'remove-partition', at: AT, groupId: closed.groupId, reason: 'read' })
  expect(numbers(state)).toBe('1 3')
  next(state, add)
  expect(numbers(state)).toBe('1 3 4')
  expect(state.partition('a', 2)).toBeUndefined()
  expect(state.partition('a', 4)!.name).toBe('a.4')
})

test('only what is closing is removed, and not under a consumer that came in between', () => {
  const state = withTopic(1)
  next(state, add)
  const { groupId } = state.partition('a', 2)!
  const remove = (newestConsumer?: number): MetadataCommand => ({
    kind: 'remove-partition',
    at: AT,
    groupId,
    reason: '1 consumers have read it',
    ...(newestConsumer === undefined ? {} : { newestConsumer }),
  })
  expect(next(state, remove()).result).toMatchObject({ error: { code: 'PARTITION_LIMIT' } })
  next(state, close)
  expect(state.closingTopics().map(({ name }) => name)).toEqual(['a'])
  for (let i = 0; i < 2; i++)
    next(state, { kind: 'register-consumer', at: AT, topic: 'a', start: 'earliest', ack: 'auto' })
  expect(next(state, remove(1)).result).toMatchObject({ error: { code: 'PARTITION_LIMIT' } })
  const restored = MetadataState.fromJSON(JSON.parse(JSON.stringify(state)))
  for (const one of [state, restored]) {
    expect(one.closingTopics()).toHaveLength(1)
    const { result, changes } = next(one, remove(2))
    expect(result).toEqual({ removed: true })
    expect(changes.removed).toMatchObject([{ kind: 'partition', groupId }])
    expect(changes.auditEvents).toMatchObject([{ kind: 'partition-removed', subject: 'partition/a.2' }])
    expect(one.closingTopics()).toEqual([])
    expect(one.wasRemoved(groupId)).toBe(true)
    expect(next(one, remove(2)).result).toEqual({ removed: false })
  }
})

test('what a topic does is given when it is made, and changed or taken back later', () => {
  const state = withTopic()
  next(state, {
    kind: 'create-topic',
    at: AT,
    topic: 'b',
    partitions: 1,
    growth: { by: 'rate', limit: 7 },
    growthMax: 9,
  })
  expect(state.topic('b')).toMatchObject({ growth: { by: 'rate', limit: 7 }, growthMax: 9 })
  const alter = (change: object): MetadataCommand => ({ kind: 'alter-topic', at: AT, topic: 'b', ...change })
  const { changes } = next(state, alter({ growth: { by: 'off' } }))
  expect(state.topic('b')).toMatchObject({ growth: { by: 'off' }, growthMax: 9 })
  expect(changes.topics).toEqual([state.topic('b')])
  expect(changes.auditEvents).toMatchObject([{ kind: 'topic-changed', reason: '{"growth":{"by":"off"}}' }])
  next(state, alter({ growth: null, growthMax: null }))
  expect(state.topic('b')).not.toHaveProperty('growth')
  expect(state.topic('b')).not.toHaveProperty('growthMax')
  expect(next(state, { ...alter({}), topic: 'none' } as MetadataCommand).result).toMatchObject({
    error: { code: 'TOPIC_NOT_FOUND' },
  })
})

test.each([
  [{ growth: { by: 'often' } }, 'growth'],
  [{ growth: { by: 'bytes' } }, 'growth_limit'],
  [{ growth: { by: 'rate', limit: 0 } }, 'growth_limit'],
  [{ growthMax: 0 }, 'growthMax'],
])('a change of %j is refused', (change, field) => {
  const command = { kind: 'alter-topic', at: AT, topic: 'a', ...change }
  expect(() => parseMetadataCommand(command)).toThrow(
    expect.objectContaining({ code: 'INVALID_REQUEST', field }),
  )
})

test('a topic of an earlier version has keys in all of its partitions', () => {
  const snapshot = JSON.parse(JSON.stringify(withTopic(3))) as { topics: Record<string, unknown>[] }
  for (const topic of snapshot.topics) {
    delete topic['keyPartitions']
    delete topic['nextNumber']
    delete topic['closing']
  }
  expect(MetadataState.fromJSON(snapshot).topic('a')).toMatchObject({
    keyPartitions: 3,
    nextNumber: 4,
    closing: [],
  })
})
