import { FakeCluster } from '@sluice/client/testing'
import { encodeProduceCall, RpcMethod } from '@sluice/contracts'
import { encodeRecordBatch, type RecordData } from '@sluice/domain'
import { Closers, SeededRandom, systemClock } from '@sluice/foundation'
import { eventually } from '@sluice/foundation/testing'
import { pino } from 'pino'
import { type ReadManager, startReadManager } from '../src/app.js'
import { readReadManagerConfig } from '../src/config.js'

interface Answer {
  readonly status: number
  readonly body: Record<string, unknown>
}

export interface Running {
  readonly cluster: FakeCluster
  readonly manager: ReadManager
  call(method: 'GET' | 'POST', url: string, body?: unknown, headers?: Record<string, string>): Promise<Answer>
  createTopic(topic: string, partitions?: number): Promise<void>
  register(topic: string, more?: Record<string, unknown>): Promise<number>
  consume(consumerId: number, topic: string, more?: Record<string, unknown>): Promise<Answer>
  stop(): Promise<void>
}

export type Environment = Record<string, string>

/** A read manager in front of a fake cluster, ready to serve. */
export async function runReadManager(env: Environment = {}, shared?: FakeCluster): Promise<Running> {
  const closers = new Closers()
  const cluster = shared ?? (await FakeCluster.start())
  if (shared === undefined) closers.add('cluster', () => cluster.close())
  const manager = await startReadManager(
    readReadManagerConfig({
      READ_MANAGER_PORT: '0',
      SLUICE_CLUSTER_ID: cluster.clusterId,
      SLUICE_BROKERS: cluster
        .addresses()
        .map(({ host, port }) => `${host}:${port}`)
        .join(),
      ...env,
    }),
    { clock: systemClock, random: new SeededRandom(3), logger: pino({ level: 'silent' }) },
  )
  closers.add('read manager', () => manager.stop())
  const call: Running['call'] = async (method, url, body, headers = {}) => {
    const response = await manager.app.inject({
      method,
      url,
      headers: { ...(body === undefined ? {} : { 'content-type': 'application/json' }), ...headers },
      ...(body === undefined ? {} : { payload: typeof body === 'string' ? body : JSON.stringify(body) }),
    })
    return { status: response.statusCode, body: response.json<Record<string, unknown>>() }
  }
  await eventually(async () => {
    if ((await call('GET', '/health/ready')).status !== 200) throw new Error('not ready')
  })
  return {
    cluster,
    manager,
    call,
    createTopic: async (topic, partitions = 1) => {
      cluster.metadata.propose({ kind: 'create-topic', at: Date.now(), topic, partitions })
      await eventually(async () => {
        if ((await call('POST', '/consumer/register', { topic_name: topic })).status !== 200)
          throw new Error('not there')
      })
    },
    register: async (topic, more = {}) =>
      Number((await call('POST', '/consumer/register', { topic_name: topic, ...more })).body['consumer_id']),
    consume: (consumerId, topic, more = {}) =>
      call('POST', '/consumer/consume', { consumer_id: consumerId, topic_name: topic, ...more }),
    stop: () => closers.closeAll(),
  }
}

/** Stores messages in a partition of the fake cluster. */
export async function publish(
  cluster: FakeCluster,
  place: { readonly topic: string; readonly partition?: number },
  messages: readonly (string | Partial<RecordData>)[],
): Promise<void> {
  const records = messages.map((message) => ({
    timestamp: 1000,
    key: null,
    value: typeof message === 'string' ? Buffer.from(message) : null,
    headers: [],
    ...(typeof message === 'string' ? {} : message),
  }))
  const groupId = cluster.groupOf(place.topic, place.partition ?? 1)
  const batch = encodeRecordBatch({ records })
  await cluster
    .partition(place.topic, place.partition ?? 1)
    .answer(RpcMethod.PRODUCE, encodeProduceCall({ groupId, batch }))
}
