import { FakeCluster } from '@sluice/client/testing'
import { Closers, SeededRandom, systemClock } from '@sluice/foundation'
import { eventually } from '@sluice/foundation/testing'
import { pino } from 'pino'
import { startWriteManager, type WriteManager } from '../src/app.js'
import { readWriteManagerConfig } from '../src/config.js'

interface Answer {
  readonly status: number
  readonly body: Record<string, unknown>
}

export interface Running {
  readonly cluster: FakeCluster
  readonly manager: WriteManager
  call(
    method: 'GET' | 'POST' | 'PATCH' | 'DELETE',
    url: string,
    body?: unknown,
    headers?: Record<string, string>,
  ): Promise<Answer>
  /** A producer's id, registered for the topic. */
  register(topic: string): Promise<number>
  stop(): Promise<void>
}

/** A write manager in front of a fake cluster, ready to serve. */
export async function runWriteManager(
  env: Record<string, string> = {},
  shared?: FakeCluster,
): Promise<Running> {
  const closers = new Closers()
  const cluster = shared ?? (await FakeCluster.start())
  if (shared === undefined) closers.add('cluster', () => cluster.close())
  const manager = await startWriteManager(
    readWriteManagerConfig({
      WRITE_MANAGER_PORT: '0',
      SLUICE_CLUSTER_ID: cluster.clusterId,
      SLUICE_BROKERS: cluster
        .addresses()
        .map(({ host, port }) => `${host}:${port}`)
        .join(),
      ...env,
    }),
    { clock: systemClock, random: new SeededRandom(3), logger: pino({ level: 'silent' }) },
  )
  closers.add('write manager', () => manager.stop())
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
    register: async (topic) =>
      Number((await call('POST', '/producer/register', { topic_name: topic })).body['producer_id']),
    stop: () => closers.closeAll(),
  }
}
