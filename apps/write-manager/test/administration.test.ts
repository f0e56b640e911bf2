import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import { FakeBroker, FakeCluster } from '@sluice/client/testing'
import { decodeJson, encodeJson, RpcMethod } from '@sluice/contracts'
import { BrokerError, toTopicName } from '@sluice/domain'
import { SeededRandom, systemClock } from '@sluice/foundation'
import { eventually } from '@sluice/foundation/testing'
import { FEATURES, REPEATED_DELETION_LEVEL } from '@sluice/metadata'
import { pino } from 'pino'
import { startWriteManager } from '../src/app.js'
import { readWriteManagerConfig } from '../src/config.js'
import { type Running, runWriteManager } from './running-write-manager.js'

let running: Running

beforeEach(async () => {
  running = await runWriteManager()
})

afterEach(() => running.stop())

describe('topics and producers', () => {
  test('a topic is created, listed and shown', async () => {
    const created = await running.call('POST', '/topics', { name: 'A' })
    expect(created.body).toMatchObject({
      status: 'success',
      topic: 'A',
      message: 'Topic A.1 created successfully',
    })
    await running.call('POST', '/topics', { topic: 'B', partitions: 2, replication_factor: 1 })
    const listed = await running.call('GET', '/topics')
    expect(listed.body).toMatchObject({
      topics: ['A', 'B'],
      details: [
        { name: 'A', partitions: ['A.1'], replication_factor: 3 },
        { name: 'B', partitions: ['B.1', 'B.2'], replication_factor: 1 },
      ],
    })
    expect((await running.call('GET', '/topics/B')).body).toMatchObject({
      topic: 'B',
      partitions: ['B.1', 'B.2'],
    })
  })

  test('a partition is added', async () => {
    await running.call('POST', '/topics', { topic_name: 'A' })
    const added = await running.call('POST', '/partition', { topic_name: 'A' })
    expect(added.body).toMatchObject({ status: 'success', partition: 'A.2' })
  })

  test('a topic is deleted with its producers; one of the same name begins anew', async () => {
    const producer = await running.register('A')
    const produce = { producer_id: producer, topic_name: 'A', message: 'm' }
    expect((await running.call('POST', '/producer/produce', produce)).status).toBe(200)
    expect((await running.call('DELETE', '/topics/A')).body).toEqual({
      status: 'success',
      topic: 'A',
      message: 'Topic A deleted successfully',
    })
    expect((await running.call('GET', '/topics')).body).toMatchObject({ topics: [] })
    expect((await running.call('POST', '/producer/produce', produce)).body).toMatchObject({
      code: 'TOPIC_NOT_FOUND',
      field: 'topic_name',
    })
    for (const [path, code] of [
      ['/topics/A', 'TOPIC_NOT_FOUND'],
      ['/topics/a%20b', 'INVALID_REQUEST'],
    ])
      expect((await running.call('DELETE', path!)).body).toMatchObject({ status: 'failure', code })
    const again = await running.register('A')
    expect(again).toBe(producer + 1)
    expect((await running.call('POST', '/producer/produce', produce)).body).toMatchObject({
      code: 'PRODUCER_NOT_FOUND',
    })
    const stored = await running.call('POST', '/producer/produce', { ...produce, producer_id: again })
    expect(stored.body).toMatchObject({ partition: 'A.1', offset: 0 })
  })

  test('a topic whose first answer is lost is made once, and answered as made', async () => {
    const { metadata } = running.cluster
    let proposals = 0
    running.cluster.script = async (call, carryOut) => {
      const answer = await carryOut()
      if (call.method !== RpcMethod.META_PROPOSE || ++proposals > 1) return answer
      throw new BrokerError('NOT_LEADER', 'leadership was lost', { outcome: 'unknown' })
    }
    const created = await running.call('POST', '/topics', { name: 'A', partitions: 2 })
    expect(created).toMatchObject({ status: 200, body: { topic: 'A', partitions: ['A.1', 'A.2'] } })
    expect(proposals).toBe(2)
    expect(metadata.state.topics()).toHaveLength(1)
    expect((await running.call('POST', '/topics', { name: 'A' })).body).toMatchObject({
      code: 'TOPIC_EXISTS',
    })
  })

  test.each([
    ['somebody else, earlier', -1, 'request x', 'TOPIC_EXISTS'],
    ['somebody else, in the same millisecond', 0, 'request x', 'TOPIC_EXISTS'],
    ['who cannot be told any more', 0, undefined, 'TIMEOUT'],
  ])('a topic that is there at the second try was made by %s', async (_who, before, by, code) => {
    const { metadata } = running.cluster
    let proposals = 0
    running.cluster.script = (call, carryOut) => {
      if (call.method !== RpcMethod.META_PROPOSE || ++proposals > 1) return carryOut()
      const { at } = decodeJson(call.payload) as { at: number }
      const who = by === undefined ? {} : { by }
      metadata.propose({ kind: 'create-topic', at: at + before, topic: 'A', partitions: 1, ...who })
      // As many events as the trail keeps push the one of the topic out.
      if (by === undefined)
        for (let i = 0; i < 2000; i++)
          metadata.propose({ kind: 'change-settings', at, deadAfterMs: { broker: 5000 + (i % 2) } })
      throw new BrokerError('NOT_LEADER', 'leadership was lost', { outcome: 'unknown' })
    }
    const { body } = await running.call('POST', '/topics', { name: 'A', partitions: 2 })
    expect(body).toMatchObject({ status: 'failure', code, outcome: code === 'TIMEOUT' ? 'unknown' : 'no' })
    expect(metadata.state.partitionsOf(toTopicName('A'))).toHaveLength(1)
  })

  test('a deletion whose answer is lost is said again, and answered; a newer topic of the name stays', async () => {
    const { metadata } = running.cluster
    for (const begins of [false, true]) {
      await running.call('POST', '/topics', { name: 'A' })
      let proposals = 0
      running.cluster.script = async (call, carryOut) => {
        const answer = await carryOut()
        if (call.method !== RpcMethod.META_PROPOSE || ++proposals > 1) return answer
        if (begins) metadata.propose({ kind: 'create-topic', at: 1, topic: 'A', partitions: 3 })
        throw new BrokerError('NOT_LEADER', 'leadership was lost', { outcome: 'unknown' })
      }
      expect(await running.call('DELETE', '/topics/A')).toMatchObject({ status: 200, body: { topic: 'A' } })
      expect(proposals).toBe(2)
      expect(metadata.state.topics()).toHaveLength(begins ? 1 : 0)
    }
  })

  test('a topic that was made anew without this manager having heard of it is the one that is deleted', async () => {
    await running.call('POST', '/topics', { name: 'A' })
    const { metadata } = running.cluster
    let isCutOff = true
    running.cluster.script = async (call, carryOut) => {
      if (call.method === RpcMethod.META_FOLLOW && isCutOff)
        throw new BrokerError('NOT_LEADER', 'no news here', { outcome: 'no' })
      if (call.method === RpcMethod.META_VERSION) isCutOff = false
      return carryOut()
    }
    await eventually(() => expect(running.cluster.callsOf(RpcMethod.META_FOLLOW).length).toBeGreaterThan(3))
    metadata.propose({ kind: 'delete-topic', at: 1, topic: 'A' })
    metadata.propose({ kind: 'create-topic', at: 1, topic: 'A', partitions: 3 })
    expect((await running.call('DELETE', '/topics/A')).status).toBe(200)
    expect(metadata.state.topics()).toEqual([])
  })

  test('below the level that can name the topic a deletion is said once', async () => {
    const cluster = await FakeCluster.start(3, { featureLevel: REPEATED_DELETION_LEVEL - 1 })
    const older = await runWriteManager({}, cluster)
    try {
      await older.call('POST', '/topics', { name: 'A' })
      let proposals = 0
      cluster.script = async (call, carryOut) => {
        if (call.method !== RpcMethod.META_PROPOSE) return carryOut()
        proposals++
        throw new BrokerError('NOT_LEADER', 'leadership was lost', { outcome: 'unknown' })
      }
      expect((await older.call('DELETE', '/topics/A')).body).toMatchObject({
        code: 'TIMEOUT',
        outcome: 'unknown',
      })
      expect(proposals).toBe(1)
    } finally {
      await older.stop()
      await cluster.close()
    }
  })

  test('messages that wait for a partition are refused when its topic is deleted', async () => {
    const producer = await running.register('A')
    running.cluster.script = (call, carryOut) => {
      if (call.method === RpcMethod.PRODUCE)
        throw new BrokerError('NO_QUORUM', 'no majority', { outcome: 'no' })
      return carryOut()
    }
    const message = { producer_id: producer, topic_name: 'A', message: 'm' }
    const first = running.call('POST', '/producer/produce', message)
    await eventually(() => expect(running.cluster.callsOf(RpcMethod.PRODUCE).length).toBeGreaterThan(0))
    const second = running.call('POST', '/producer/produce', message)
    expect((await running.call('DELETE', '/topics/A')).status).toBe(200)
    for (const answer of [await first, await second])
      expect(answer.body).toMatchObject({ code: 'TOPIC_NOT_FOUND' })
  })

  test('a topic is changed: how it grows, and how many partitions take messages', async () => {
    await running.call('POST', '/topics', { name: 'A', growth: 'bytes', growth_limit: 5000 })
    expect((await running.call('GET', '/topics/A')).body).toMatchObject({
      growth: 'bytes',
      growth_limit: 5000,
    })
    const change = { partitions: 4, growth: 'off', partitions_max: 8 }
    const changed = await running.call('PATCH', '/topics/A', change)
    expect(changed.body).toMatchObject({
      status: 'success',
      topic: 'A',
      partitions: ['A.1', 'A.2', 'A.3', 'A.4'],
      closing: [],
      key_partitions: 1,
      growth: 'off',
      partitions_max: 8,
    })
    expect(changed.body).not.toHaveProperty('growth_limit')
    expect(
      (await running.call('PATCH', '/topics/A', { partitions: 2, growth: 'default' })).body,
    ).toMatchObject({
      partitions: ['A.1', 'A.2'],
      closing: ['A.3', 'A.4'],
    })
    expect((await running.call('GET', '/topics/A')).body).not.toHaveProperty('growth')
    for (const [body, code, field] of [
      [{}, 'INVALID_REQUEST', 'partitions'],
      [{ name: 'B' }, 'INVALID_REQUEST', 'name'],
      [{ topic: 'B', partitions: 1 }, 'INVALID_REQUEST', 'topic'],
      [{ growth: 'bytes' }, 'INVALID_REQUEST', 'growth_limit'],
      [{ growth_limit: 5 }, 'INVALID_REQUEST', 'growth_limit'],
      [{ growth: 'often' }, 'INVALID_REQUEST', 'growth'],
      [{ partitions: 0 }, 'INVALID_REQUEST', 'partitions'],
      [{ partitions: 1000, growth: 'off' }, 'PARTITION_LIMIT', 'partitions'],
    ] as const)
      expect((await running.call('PATCH', '/topics/A', body)).body).toMatchObject({ code, field })
    expect((await running.call('GET', '/topics/A')).body).not.toHaveProperty('growth')
    expect((await running.call('PATCH', '/topics/B', { partitions: 2 })).body).toMatchObject({
      code: 'TOPIC_NOT_FOUND',
    })
    await running.call('POST', '/topics', { name: 'C', partitions: 3 })
    expect((await running.call('PATCH', '/topics/C', { partitions: 2 })).body).toMatchObject({
      code: 'PARTITION_LIMIT',
      field: 'partitions',
    })
  })

  test('a message goes elsewhere when its partition was closed before this manager heard of it', async () => {
    const producer = await running.register('A')
    await running.call('POST', '/partition', { topic_name: 'A' })
    running.cluster.partition('A', 2).closeForGood()
    const message = { producer_id: producer, topic_name: 'A', message: 'm' }
    const close = { kind: 'close-partition', at: Date.now(), topic: 'A' } as const
    running.cluster.script = (call, carryOut) => {
      if (
        call.method === RpcMethod.META_VERSION &&
        running.cluster.metadata.state.closingTopics().length === 0
      )
        running.cluster.metadata.propose(close)
      return carryOut()
    }
    for (let i = 0; i < 4; i++)
      expect((await running.call('POST', '/producer/produce', message)).body).toMatchObject({
        partition: 'A.1',
      })
    const named = { ...message, partition: 2 }
    expect((await running.call('POST', '/producer/produce', named)).body).toMatchObject({
      code: 'PARTITION_CLOSED',
      field: 'partition',
    })
  })

  test('a producer is registered, with its topic when there is none; again it gets another id', async () => {
    const first = await running.call('POST', '/producer/register', { topic_name: 'A' })
    expect(first.body).toEqual({
      status: 'success',
      producer_id: 1,
      topic: 'A',
      message: 'Producer ID 1 registered for topic A',
    })
    expect((await running.call('POST', '/producer/register', { topic: 'A' })).body).toMatchObject({
      producer_id: 2,
    })
    expect((await running.call('GET', '/topics')).body).toMatchObject({ topics: ['A'] })
  })

  test('what is needed to start is told at /', async () => {
    expect((await running.call('GET', '/')).body).toMatchObject({ status: 'success', name: 'sluice' })
  })
})

describe('health', () => {
  test('the table shows brokers, producers and consumers as the metadata has them', async () => {
    const producer = await running.register('A')
    await running.call('POST', '/producer/produce', { producer_id: producer, topic_name: 'A', message: 'm' })
    const { body } = await running.call('GET', '/health-checks')
    const actors = body['health_checks'] as { type: string }[]
    expect(actors.filter(({ type }) => type === 'broker')).toHaveLength(3)
    expect(actors).toContainEqual({
      type: 'producer',
      id: producer,
      last_seen_at: expect.any(String),
      status: 'alive',
      since: expect.any(String),
      reason: 'registered',
    })
    await eventually(() =>
      expect(running.cluster.activity).toMatchObject([{ producers: [[producer, expect.any(Number)]] }]),
    )
  })

  test('the table comes in pages, by type and by status', async () => {
    for (let i = 0; i < 5; i++) await running.register('A')
    const mark = { type: 'producer', id: 3, status: 'dead', reason: 'silent for 9 ms' } as const
    running.cluster.metadata.propose({ kind: 'mark', at: Date.now(), marks: [mark] })
    const rows: string[] = []
    let after = ''
    do {
      const { body } = await running.call('GET', `/health-checks?limit=3${after}`)
      for (const { type, id } of body['health_checks'] as { type: string; id: number }[])
        rows.push(`${type}/${id}`)
      after = body['next_after'] === null ? '' : `&after=${body['next_after'] as string}`
    } while (after !== '')
    expect(rows).toEqual(
      [1, 2, 3].map((id) => `broker/${id}`).concat([1, 2, 3, 4, 5].map((id) => `producer/${id}`)),
    )
    await eventually(async () => {
      const { body } = await running.call('GET', '/health-checks?type=producer&status=dead')
      expect(body['health_checks']).toMatchObject([{ id: 3, reason: 'silent for 9 ms' }])
    })
    for (const [query, field] of [
      ['type=x', 'type'],
      ['status=x', 'status'],
      ['limit=0', 'limit'],
      ['after=7', 'after'],
      ['first=1', 'first'],
    ])
      expect((await running.call('GET', `/health-checks?${query}`)).body).toMatchObject({
        code: 'INVALID_REQUEST',
        field,
      })
  })

  test('the audit trail tells what happened, in pages, from either end, by kind, subject and time', async () => {
    await running.register('A')
    await running.call('POST', '/partition', { topic_name: 'A' })
    const mark = { type: 'broker', id: 2, status: 'dead', reason: 'silent for 9 ms' } as const
    running.cluster.metadata.propose({ kind: 'mark', at: Date.now(), marks: [mark] })
    const kindsOf = async (query: string): Promise<string[]> => {
      const { body } = await running.call('GET', `/audit-events?${query}`)
      return (body['audit_events'] as { kind: string }[]).map(({ kind }) => kind)
    }
    const story = ['cluster-founded', 'topic-created', 'partition-added', 'broker-dead']
    await eventually(async () => expect(await kindsOf('')).toEqual(story))
    expect(await kindsOf('order=newest')).toEqual([...story].reverse())
    expect(await kindsOf('after=1&limit=2')).toEqual(story.slice(1, 3))
    expect(await kindsOf('after=3&order=newest')).toEqual(['topic-created', 'cluster-founded'])
    expect(await kindsOf('kind=topic-created')).toEqual(['topic-created'])
    expect(await kindsOf('subject=partition/A.2')).toEqual(['partition-added'])
    expect(await kindsOf(`since=${Date.now() + 60_000}`)).toEqual([])
    expect(await kindsOf(`until=${Date.now() + 60_000}`)).toEqual(story)
    const { body } = await running.call('GET', '/audit-events?limit=1&kind=broker-dead')
    expect(body).toMatchObject({
      audit_events: [
        { id: 4, subject: 'broker/2', reason: 'silent for 9 ms', time: expect.any(String), by: null },
      ],
      next_after: null,
    })
    expect((await running.call('GET', '/audit-events?limit=2')).body['next_after']).toBe(2)
    for (const [query, field] of [
      ['order=x', 'order'],
      ['since=yesterday', 'since'],
      ['after=-1', 'after'],
      ['kind=', 'kind'],
    ])
      expect((await running.call('GET', `/audit-events?${query}`)).body).toMatchObject({
        code: 'INVALID_REQUEST',
        field,
      })
  })

  test('the audit trail names the call that changed a topic', async () => {
    const asked = (digit: string): Record<string, string> => ({ 'x-request-id': digit.repeat(32) })
    await running.call('POST', '/topics', { topic_name: 'A' }, asked('a'))
    await running.call('POST', '/partition', { topic_name: 'A' }, asked('b'))
    await running.call('PATCH', '/topics/A', { retention_ms: 60_000 }, asked('c'))
    await running.call('PATCH', '/topics/A', { partitions: 1 }, asked('d'))
    await running.call('DELETE', '/topics/A', undefined, asked('e'))
    const { body } = await running.call('GET', '/audit-events')
    const told = (body['audit_events'] as { kind: string; by: string | null }[]).slice(1)
    expect(told.map(({ kind, by }) => [kind, by])).toEqual([
      ['topic-created', `request ${'a'.repeat(32)}`],
      ['partition-added', `request ${'b'.repeat(32)}`],
      ['topic-changed', `request ${'c'.repeat(32)}`],
      ['partition-closed', `request ${'d'.repeat(32)}`],
      ['topic-deleted', `request ${'e'.repeat(32)}`],
    ])
  })

  test('the silence after which an actor is dead is a setting of each type', async () => {
    const changed = await running.call('PATCH', '/settings', { dead_after_ms: { broker: 20_000 } })
    const dead_after_ms = { broker: 20_000, producer: 300_000, consumer: 300_000 }
    expect(changed.body).toMatchObject({ status: 'success', dead_after_ms })
    expect((await running.call('GET', '/settings')).body).toMatchObject({ dead_after_ms })
    expect((await running.call('PATCH', '/settings', { feature_level: 1 })).body).toMatchObject({
      feature_level: FEATURES.max,
    })
    expect(
      (await running.call('PATCH', '/settings', { feature_level: FEATURES.max + 1 })).body,
    ).toMatchObject({
      code: 'UNSUPPORTED_VERSION',
      field: 'feature_level',
    })
    expect((await running.call('GET', '/settings')).body).toMatchObject({ rebuild_after_ms: 20_000 })
    const later = await running.call('PATCH', '/settings', { rebuild_after_ms: 600_000 })
    expect(later.body).toMatchObject({ rebuild_after_ms: 600_000, dead_after_ms })
    for (const [body, field] of [
      [{ rebuild_after_ms: 999 }, 'rebuild_after_ms'],
      [{}, 'dead_after_ms'],
      [{ feature_level: 0 }, 'feature_level'],
      [{ dead_after_ms: {} }, 'dead_after_ms'],
      [{ dead_after_ms: { broker: 999 } }, 'broker'],
      [{ dead_after_ms: { reader: 1000 } }, 'reader'],
      [{ replication_factor: 1 }, 'replication_factor'],
    ] as const)
      expect((await running.call('PATCH', '/settings', body)).body).toMatchObject({
        code: 'INVALID_REQUEST',
        field,
      })
    expect((await running.call('GET', '/settings')).body).toMatchObject({ dead_after_ms })
  })

  test('a write manager that has no metadata yet is alive but not ready', async () => {
    const lonely = await startWriteManager(
      readWriteManagerConfig({
        WRITE_MANAGER_PORT: '0',
        SLUICE_CLUSTER_ID: 'x',
        SLUICE_BROKERS: '127.0.0.1:1',
      }),
      { clock: systemClock, random: new SeededRandom(3), logger: pino({ level: 'silent' }) },
    )
    try {
      expect((await lonely.app.inject('/health/live')).statusCode).toBe(200)
      const ready = await lonely.app.inject('/health/ready')
      expect(ready.statusCode).toBe(503)
      expect(ready.json()).toMatchObject({ status: 'failure', component: 'write-manager', retriable: true })
    } finally {
      await lonely.stop()
    }
  })

  test('a configuration that lacks something says all of what', () => {
    expect(() => readWriteManagerConfig({ WRITE_MANAGER_PORT: 'x' })).toThrow(
      /WRITE_MANAGER_PORT must be[^]*SLUICE_CLUSTER_ID is not set[^]*SLUICE_BROKERS is not set/,
    )
  })
})

describe('POST /broker', () => {
  let joins: unknown[]
  let node: FakeBroker
  let info: Record<string, unknown>
  let joinFailures: number

  beforeEach(async () => {
    joins = []
    joinFailures = 0
    info = {
      clusterId: '',
      nodeUuid: 'uuid-new',
      brokerId: null,
      protocol: 1,
      state: 'waiting',
      features: FEATURES,
      groups: 0,
      led: 0,
    }
    node = new FakeBroker({
      nodeId: 'waiting',
      clusterId: () => String(info['clusterId']),
      answer: (method, payload) => {
        if (method === RpcMethod.NODE_INFO) return encodeJson(info)
        if (joinFailures-- > 0) throw new BrokerError('STORAGE_FAILED', 'disk', { outcome: 'no' })
        joins.push(decodeJson(payload))
        return encodeJson({})
      },
    })
    await node.start()
  })

  afterEach(() => node.stop())

  function brokerCount(): number {
    return [...running.cluster.metadata.state.brokers()].length
  }

  test('a process of another version is not added while the cluster is at a level that it does not know', async () => {
    for (const features of [
      undefined,
      { min: 1, max: 1 },
      { min: FEATURES.max + 1, max: FEATURES.max + 1 },
    ]) {
      info = { ...info, features }
      expect((await running.call('POST', '/broker', { port: node.port })).body).toMatchObject({
        code: 'UNSUPPORTED_VERSION',
        field: 'port',
        outcome: 'no',
      })
    }
    expect(brokerCount()).toBe(3)
    expect(joins).toEqual([])
  })

  test('a process that waits gets an id and its place', async () => {
    const answer = await running.call('POST', '/broker', { port: node.port })
    expect(answer.body).toEqual({
      status: 'success',
      broker_id: 4,
      message: 'Broker ID 4 created successfully',
    })
    expect(joins).toMatchObject([{ clusterId: running.cluster.clusterId, brokerId: 4 }])
    expect((joins[0] as { brokers: unknown[] }).brokers).toHaveLength(4)
    expect((await running.call('GET', '/brokers')).body['brokers']).toContainEqual(
      expect.objectContaining({ broker_id: 4, host: '127.0.0.1', port: node.port, status: 'alive' }),
    )
  })

  test('joining is tried again; a call after a failure goes on with the same id', async () => {
    joinFailures = 2
    expect((await running.call('POST', '/broker', { port: node.port })).body).toMatchObject({ broker_id: 4 })
    joinFailures = 5
    info['nodeUuid'] = 'uuid-other'
    await running.cluster.broker(3).stop()
    const other = await running.call('POST', '/broker', { host: 'localhost', port: node.port })
    expect(other).toMatchObject({ status: 503, body: { code: 'STORAGE_FAILED', outcome: 'unknown' } })
    const again = await running.call('POST', '/broker', { host: 'localhost', port: node.port })
    expect(again.body).toMatchObject({ broker_id: 5 })
    expect(brokerCount()).toBe(5)
  })

  test('nothing listens there: BROKER_UNREACHABLE, the field named, nothing changed', async () => {
    await node.stop()
    const answer = await running.call('POST', '/broker', { port: node.port })
    expect(answer).toMatchObject({
      status: 502,
      body: { code: 'BROKER_UNREACHABLE', field: 'port', component: 'broker', outcome: 'no' },
    })
    expect(brokerCount()).toBe(3)
  })

  test('a broker of another cluster is refused, nothing changed', async () => {
    info = { ...info, clusterId: 'another', brokerId: 1, state: 'serving' }
    const answer = await running.call('POST', '/broker', { port: node.port })
    expect(answer).toMatchObject({
      status: 409,
      body: { code: 'BROKER_REFUSED', field: 'port', outcome: 'no' },
    })
    expect(brokerCount()).toBe(3)
  })

  test('a broker of another version is refused, nothing changed', async () => {
    info['protocol'] = 2
    const answer = await running.call('POST', '/broker', { port: node.port })
    expect(answer).toMatchObject({
      status: 409,
      body: { code: 'BROKER_REFUSED', field: 'port', outcome: 'no' },
    })
    expect(answer.body['message']).toContain('version 2')
    expect(brokerCount()).toBe(3)
  })

  test('a broker that was removed is refused until its directory is empty, nothing changed', async () => {
    info = { ...info, clusterId: running.cluster.clusterId, brokerId: 9, state: 'serving' }
    const answer = await running.call('POST', '/broker', { port: node.port })
    expect(answer).toMatchObject({
      status: 409,
      body: { code: 'BROKER_REFUSED', field: 'port', outcome: 'no' },
    })
    expect(answer.body['message']).toContain('empty data directory')
    expect([brokerCount(), joins]).toEqual([3, []])
  })

  test('an empty disk at the address of a broker is refused, nothing changed', async () => {
    await running.call('POST', '/broker', { port: node.port })
    info['nodeUuid'] = 'uuid-of-an-empty-disk'
    const answer = await running.call('POST', '/broker', { port: node.port })
    expect(answer).toMatchObject({
      status: 409,
      body: { code: 'BROKER_REFUSED', field: 'port', outcome: 'no' },
    })
    expect(answer.body['message']).toContain('broker 4')
    expect([brokerCount(), joins.length]).toEqual([4, 1])
  })

  test('a broker of this cluster exists already', async () => {
    const answer = await running.call('POST', '/broker', { port: running.cluster.broker(2).port })
    expect(answer).toMatchObject({
      status: 409,
      body: { code: 'BROKER_EXISTS', field: 'port', outcome: 'no' },
    })
    expect(brokerCount()).toBe(3)
  })
})
