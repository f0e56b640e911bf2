import { describe, expect, test } from '@jest/globals'
import {
  DEFAULT_SETTINGS,
  type MetadataCommand,
  MetadataState,
  parseMetadataCommand,
  placeReplicas,
} from '@sluice/metadata'
import type { BrokerId } from '@sluice/domain'
import fc from 'fast-check'

const AT = 1_700_000_000_000

function founded(brokerCount = 3, settings = DEFAULT_SETTINGS): MetadataState {
  const state = new MetadataState()
  const brokers = Array.from({ length: brokerCount }, (_, i) => ({
    id: i + 1,
    host: 'h',
    port: 7001 + i,
    uuid: '',
  }))
  state.apply(1, { kind: 'bootstrap', at: AT, clusterId: 'c', brokers, settings })
  return state
}

/** Applies the next command. */
function next(state: MetadataState, command: MetadataCommand): unknown {
  return state.apply(state.version + 1, command).result
}

const create = (topic: string, partitions = 1): MetadataCommand => ({
  kind: 'create-topic',
  at: AT,
  topic,
  partitions,
})

describe('topics', () => {
  test('start with the partitions asked for, each on as many brokers as the replication factor says', () => {
    const state = founded(5)
    expect(next(state, create('orders', 2))).toEqual({
      topic: 'orders',
      partitions: ['orders.1', 'orders.2'],
    })
    for (const partition of state.partitionsOf('orders')) {
      expect(partition.replicas).toHaveLength(3)
      expect(new Set(partition.replicas).size).toBe(3)
      expect(state.partitionByGroup(partition.groupId)).toBe(partition)
    }
  })

  test('have settings, and remember for good that messages may have been deleted', () => {
    const state = founded()
    const settings = { retentionMs: 1000, retentionBytes: 2000, retentionMessages: 3000 }
    next(state, parseMetadataCommand({ ...create('short'), settings }))
    next(state, parseMetadataCommand(create('long')))
    expect(state.topic('short')).toMatchObject({ settings, trimmed: true })
    expect(state.topic('long')).toMatchObject({ settings: {}, trimmed: false })
    const none = { retentionMs: null, retentionBytes: null, retentionMessages: null }
    next(state, parseMetadataCommand({ kind: 'alter-topic', at: AT, topic: 'short', settings: none }))
    expect(state.topic('short')).toMatchObject({ settings: {}, trimmed: true })
    next(
      state,
      parseMetadataCommand({ kind: 'alter-topic', at: AT, topic: 'long', settings: { retentionMs: 5 } }),
    )
    expect(state.topic('long')).toMatchObject({ settings: { retentionMs: 5 }, trimmed: true })
    for (const limit of [0, 1.5, -1, '7'])
      expect(() => parseMetadataCommand({ ...create('x'), settings: { retentionMs: limit } })).toThrow(
        'retentionMs',
      )
  })

  test('with fewer brokers than the replication factor use all there are', () => {
    const state = founded(2)
    next(state, create('orders'))
    expect(state.partitionsOf('orders')[0]!.replicas).toHaveLength(2)
  })

  test('replicas and leaders spread within one of even', () => {
    const state = founded(5)
    for (let i = 0; i < 33; i++) next(state, create(`t${i}`))
    const replicas = new Map<number, number>()
    const leaders = new Map<number, number>()
    for (const partition of state.partitions()) {
      for (const id of partition.replicas) replicas.set(id, (replicas.get(id) ?? 0) + 1)
      leaders.set(partition.replicas[0]!, (leaders.get(partition.replicas[0]!) ?? 0) + 1)
    }
    for (const counts of [replicas, leaders])
      expect(Math.max(...counts.values()) - Math.min(...counts.values())).toBeLessThanOrEqual(1)
  })

  test('are refused twice, and a refusal changes nothing', () => {
    const state = founded()
    next(state, create('orders'))
    const before = state.toJSON()
    const { result, changes } = state.apply(state.version + 1, create('orders'))
    expect(result).toMatchObject({ error: { code: 'TOPIC_EXISTS', field: 'topic_name', outcome: 'no' } })
    expect(Object.values(changes).every((rows) => rows.length === 0)).toBe(true)
    expect({ ...state.toJSON(), version: 0 }).toEqual({ ...before, version: 0 })
  })

  test('grow by one, once, however many ask at the same time', () => {
    const state = founded()
    next(state, create('orders'))
    const grow: MetadataCommand = { kind: 'add-partition', at: AT, topic: 'orders', expectedCount: 1 }
    expect(next(state, grow)).toEqual({ partition: 2, added: true })
    expect(next(state, grow)).toEqual({ partition: 2, added: false })
    expect(state.partitionsOf('orders').map((p) => p.name)).toEqual(['orders.1', 'orders.2'])
  })

  test('are not placed on a broker that is dead', () => {
    const state = founded(4)
    next(state, {
      kind: 'mark',
      at: AT,
      marks: [{ type: 'broker', id: 2, status: 'dead', reason: 'silent' }],
    })
    for (let i = 0; i < 8; i++) next(state, create(`t${i}`))
    for (const partition of state.partitions()) expect(partition.replicas).not.toContain(2)
    expect(next(state, { ...create('big'), replicationFactor: 4 } as MetadataCommand)).toMatchObject({
      error: { code: 'NOT_ENOUGH_BROKERS' },
    })
  })
})

describe('producers and consumers', () => {
  test('a producer brings its topic into being; a consumer does not', () => {
    const state = founded()
    expect(
      next(state, { kind: 'register-consumer', at: AT, topic: 'a', start: 'earliest', ack: 'auto' }),
    ).toMatchObject({
      error: { code: 'TOPIC_NOT_FOUND' },
    })
    expect(next(state, { kind: 'register-producer', at: AT, topic: 'a' })).toEqual({
      producerId: 1,
      topicCreated: true,
    })
    expect(next(state, { kind: 'register-producer', at: AT, topic: 'a' })).toEqual({
      producerId: 2,
      topicCreated: false,
    })
    expect(
      next(state, { kind: 'register-consumer', at: AT, topic: 'a', start: 'latest', ack: 'manual' }),
    ).toEqual({
      consumerId: 1,
    })
    expect(state.consumer(1)).toMatchObject({ topic: 'a', start: 'latest', ack: 'manual' })
    expect(state.producer(3)).toBeUndefined()
  })
})

describe('health', () => {
  test('last seen never goes back; silence past the threshold is death, activity revives', () => {
    const state = founded()
    next(state, { kind: 'register-producer', at: AT, topic: 'a' })
    const seen = (at: number, now = at): unknown =>
      next(state, {
        kind: 'activity',
        at: now,
        producers: [
          [1, at],
          [99, at],
        ],
        consumers: [],
        brokers: [
          [1, at],
          [2, at],
          [3, at],
        ],
      })
    seen(AT + 5000)
    seen(AT + 1000, AT + 6000)
    expect(state.healthCheck('producer', 1)?.lastSeenAt).toBe(AT + 5000)
    expect(state.healthCheck('producer', 99)).toBeUndefined()
    expect(state.silentActors(AT + 305_000, AT)).toEqual([])
    const marks = state.silentActors(AT + 305_001, AT)
    expect(marks.map(({ type, id, status }) => `${type} ${id} ${status}`)).toEqual([
      'broker 1 dead',
      'broker 2 dead',
      'broker 3 dead',
      'producer 1 dead',
    ])
    next(state, { kind: 'mark', at: AT + 305_001, marks })
    expect(state.healthCheck('producer', 1)).toMatchObject({ status: 'dead', since: AT + 305_001 })
    expect(state.silentActors(AT + 305_001, AT)).toEqual([])
    seen(AT + 400_000)
    expect(state.healthCheck('producer', 1)).toMatchObject({ status: 'alive', reason: 'active again' })
    expect(state.silentActors(AT + 400_000, AT)).toEqual([])
  })

  test('what a clock that ran ahead has noted is put right by the next sign of life', () => {
    const state = founded()
    const AHEAD = AT + 3_600_000
    const seen = (id: number, now: number): unknown =>
      next(state, { kind: 'activity', at: now, producers: [], consumers: [], brokers: [[id, now]] })
    seen(1, AHEAD)
    const marks = [{ type: 'broker', id: 1, status: 'dead', reason: 'silent' }] as const
    next(state, { kind: 'mark', at: AHEAD + 600_000, marks })
    seen(1, AT + 5000)
    expect(state.healthCheck('broker', 1)).toMatchObject({ status: 'alive', lastSeenAt: AT + 5000 })
    // Who is not heard of any more is silent for as long as the leader has listened.
    seen(2, AHEAD)
    seen(1, AT + 400_000)
    expect(state.silentActors(AT + 400_000, AT + 200_000)).toEqual([])
    expect(state.silentActors(AT + 500_001, AT + 200_000).map(({ id }) => id)).toEqual([2, 3])
    // In a cluster that is not at that level who lives cannot be told from who does not.
    const earlier = founded(3, { ...DEFAULT_SETTINGS, featureLevel: 2 })
    next(earlier, { kind: 'activity', at: AHEAD, producers: [], consumers: [], brokers: [[2, AHEAD]] })
    expect(earlier.silentActors(AT + 500_001, AT + 200_000).map(({ id }) => id)).toEqual([1, 3])
  })

  test('nobody was silent for longer than the leader has listened', () => {
    const state = founded()
    const late = AT + 3_600_000
    expect(state.silentActors(late, late)).toEqual([])
    expect(state.silentActors(late + 300_001, late)).toHaveLength(3)
  })
})

describe('brokers', () => {
  test('are added once, whether known by directory or by address', () => {
    const state = founded()
    const add: MetadataCommand = { kind: 'add-broker', at: AT, host: 'h', port: 7104, uuid: 'u4' }
    expect(next(state, add)).toEqual({ brokerId: 4 })
    expect(next(state, { ...add, port: 9999 })).toMatchObject({ error: { code: 'BROKER_EXISTS' } })
    expect(next(state, { ...add, uuid: 'u5' })).toMatchObject({ error: { code: 'BROKER_REFUSED' } })
  })

  test('may move, but not come back with another data directory', () => {
    const state = founded()
    const move = (port: number, uuid: string): unknown =>
      next(state, { kind: 'update-broker', at: AT, id: 1, host: 'h', port, uuid })
    expect(move(8001, 'u1')).toEqual({ brokerId: 1 })
    expect(move(8002, 'u1')).toEqual({ brokerId: 1 })
    expect(state.broker(1)).toMatchObject({ port: 8002, uuid: 'u1' })
    expect(move(8002, 'other')).toMatchObject({ error: { code: 'BROKER_REFUSED' } })
  })
})

const commandArbitrary: fc.Arbitrary<MetadataCommand> = fc.oneof(
  fc.record({
    kind: fc.constant('create-topic' as const),
    at: fc.constant(AT),
    topic: fc.constantFrom('a', 'b', 'c'),
    partitions: fc.integer({ min: 1, max: 3 }),
  }),
  fc.record({
    kind: fc.constant('add-partition' as const),
    at: fc.constant(AT),
    topic: fc.constantFrom('a', 'b'),
    expectedCount: fc.integer({ min: 1, max: 4 }),
  }),
  fc.record({
    kind: fc.constant('register-producer' as const),
    at: fc.constant(AT),
    topic: fc.constantFrom('a', 'd'),
  }),
  fc.record({
    kind: fc.constant('register-consumer' as const),
    at: fc.constant(AT),
    topic: fc.constantFrom('a', 'd'),
    start: fc.constant('earliest' as const),
    ack: fc.constant('auto' as const),
  }),
  fc.record({
    kind: fc.constant('add-broker' as const),
    at: fc.constant(AT),
    host: fc.constant('h'),
    port: fc.integer({ min: 7001, max: 7010 }),
    uuid: fc.constantFrom('x', 'y', 'z'),
  }),
  fc.record({
    kind: fc.constant('mark' as const),
    at: fc.constant(AT),
    marks: fc.array(
      fc.record({
        type: fc.constant('broker' as const),
        id: fc.integer({ min: 1, max: 5 }),
        status: fc.constantFrom('alive' as const, 'dead' as const),
        reason: fc.constant('r'),
      }),
    ),
  }),
)

test('the same commands give the same state, through JSON and through a snapshot taken anywhere', () => {
  fc.assert(
    fc.property(fc.array(commandArbitrary, { maxLength: 40 }), fc.nat(40), (commands, cut) => {
      const straight = founded()
      let other = founded()
      const groups = new Set<number>()
      for (const [i, command] of commands.entries()) {
        if (i === cut) other = MetadataState.fromJSON(JSON.parse(JSON.stringify(other)))
        const result = next(straight, command)
        expect(next(other, parseMetadataCommand(JSON.parse(JSON.stringify(command))))).toEqual(result)
      }
      expect(other.toJSON()).toEqual(straight.toJSON())
      for (const partition of straight.partitions()) {
        expect(groups.has(partition.groupId)).toBe(false)
        expect(partition.groupId).toBeGreaterThan(1)
        groups.add(partition.groupId)
        expect(new Set(partition.replicas).size).toBe(partition.replicas.length)
      }
    }),
  )
})

test('placement takes the least loaded, and the one that leads least to lead', () => {
  const load = (id: number, replicas: number, preferred: number) => ({
    id: id as BrokerId,
    replicas,
    preferred,
  })
  expect(placeReplicas([load(1, 5, 2), load(2, 4, 2), load(3, 4, 1), load(4, 9, 0)], 3)).toEqual([3, 1, 2])
  expect(placeReplicas([load(2, 0, 0), load(1, 0, 0)], 3)).toEqual([1, 2])
  expect(placeReplicas([], 3)).toEqual([])
})

describe('commands from outside', () => {
  test.each([
    null,
    5,
    {},
    { kind: 'create-topic', at: -1, topic: 'a', partitions: 1 },
    { kind: 'create-topic', at: 1, topic: 'a b', partitions: 1 },
    { kind: 'create-topic', at: 1, topic: 'a', partitions: 0 },
    { kind: 'register-consumer', at: 1, topic: 'a', start: 'middle', ack: 'auto' },
    { kind: 'activity', at: 1, producers: [[0, 1]], consumers: [], brokers: [] },
    { kind: 'mark', at: 1, marks: [{ type: 'cat', id: 1, status: 'dead', reason: '' }] },
    { kind: 'add-broker', at: 1, host: 'h', port: 70_000, uuid: '' },
  ])('%j is refused', (value) => {
    expect(() => parseMetadataCommand(value)).toThrow(expect.objectContaining({ code: 'INVALID_REQUEST' }))
  })
})
