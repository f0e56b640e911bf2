import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import { FakeBroker } from '@sluice/client/testing'
import { decodeJson, encodeJson, RpcMethod } from '@sluice/contracts'
import { BrokerError } from '@sluice/domain'
import { SeededRandom, systemClock } from '@sluice/foundation'
import { eventually } from '@sluice/foundation/testing'
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
  test('the table shows brokers and producers, with activity of a moment ago', async () => {
    const producer = await running.register('A')
    await running.call('POST', '/producer/produce', { producer_id: producer, topic_name: 'A', message: 'm' })
    const { body } = await running.call('GET', '/health-checks')
    const actors = body['health_checks'] as { type: string; id: number; status: string; silent_ms: number }[]
    expect(actors.filter(({ type }) => type === 'broker')).toHaveLength(3)
    expect(actors.find(({ type }) => type === 'producer')).toMatchObject({ id: producer, status: 'alive' })
    await eventually(() =>
      expect(running.cluster.activity).toMatchObject([{ producers: [[producer, expect.any(Number)]] }]),
    )
  })

  test('an actor that was silent for longer than the threshold is dead', async () => {
    running.cluster.metadata.propose({ kind: 'register-producer', at: Date.now() - 300_001, topic: 'old' })
    await eventually(async () => {
      const { body } = await running.call('GET', '/health-checks')
      expect(body['health_checks']).toContainEqual(
        expect.objectContaining({ type: 'producer', status: 'dead' }),
      )
    })
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
      version: '0.1.0',
      state: 'waiting',
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

  test('a broker of this cluster exists already', async () => {
    const answer = await running.call('POST', '/broker', { port: running.cluster.broker(2).port })
    expect(answer).toMatchObject({
      status: 409,
      body: { code: 'BROKER_EXISTS', field: 'port', outcome: 'no' },
    })
    expect(brokerCount()).toBe(3)
  })
})
