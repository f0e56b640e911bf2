import { rm } from 'node:fs/promises'
import pg from 'pg'
import { FakeBroker } from '@sluice/client/testing'
import { FEATURES } from '@sluice/metadata'
import { afterAll, beforeAll, expect, test } from '@jest/globals'
import type { Answer } from '../src/api.js'
import { ExtraBroker } from '../src/extra-broker.js'
import { freePort, LocalCluster, until } from '../src/index.js'

let cluster: LocalCluster
/** One broker, alone. */
let other: LocalCluster

beforeAll(async () => {
  cluster = await LocalCluster.start()
  other = await LocalCluster.start({ brokers: 1 })
  await cluster.api.must('POST', '/topics', { topic_name: 'kept', partitions: 3 })
})

afterAll(async () => {
  await other.destroy()
  await cluster.destroy()
})

/** Everything that a call about brokers could change. */
async function everything({ api }: LocalCluster): Promise<unknown> {
  const brokers = (await api.must('GET', '/brokers'))['brokers'] as Record<string, unknown>[]
  return {
    brokers: brokers.map(({ broker_id, host, port, rack, state, replicas, preferred }) => [
      [broker_id, host, port, rack],
      [state, replicas, preferred],
    ]),
    plan: (await api.get('/rebalance')).body,
    events: await api.must('GET', '/audit-events'),
  }
}

async function refusalOf(of: LocalCluster, call: () => Promise<Answer>): Promise<Answer> {
  const before = await everything(of)
  const answer = await call()
  expect(await everything(of)).toEqual(before)
  return answer
}

const add = (port: number) => (): Promise<Answer> => cluster.api.post('/broker', { port })

test('a broker that is there already: BROKER_EXISTS', async () => {
  const { port } = cluster.process('broker', 1)
  expect(await refusalOf(cluster, add(port))).toMatchObject({
    status: 409,
    body: { code: 'BROKER_EXISTS', field: 'port' },
  })
})

test('a broker of another cluster: BROKER_REFUSED', async () => {
  const { port } = other.process('broker')
  const before = await everything(other)
  expect(await refusalOf(cluster, add(port))).toMatchObject({
    status: 409,
    body: { code: 'BROKER_REFUSED', component: 'broker', field: 'port' },
  })
  expect(await everything(other)).toEqual(before)
})

test('an address where nothing listens: BROKER_UNREACHABLE', async () => {
  expect(await refusalOf(cluster, add(await freePort()))).toMatchObject({
    status: 502,
    body: { code: 'BROKER_UNREACHABLE', field: 'port' },
  })
})

test('a broker of a version that the cluster does not understand, or that does not understand it', async () => {
  const info = { clusterId: '', nodeUuid: 'u', brokerId: null, state: 'waiting', groups: 0, led: 0 }
  const versions = [
    { protocol: 99, features: FEATURES, code: 'BROKER_REFUSED' },
    {
      protocol: 1,
      features: { min: FEATURES.max + 1, max: FEATURES.max + 1 },
      code: 'UNSUPPORTED_VERSION',
    },
  ]
  for (const { protocol, features, code } of versions) {
    const asked: number[] = []
    const node = new FakeBroker({
      nodeId: 'waiting',
      clusterId: () => '',
      answer: (method) => {
        asked.push(method)
        return new TextEncoder().encode(JSON.stringify({ ...info, protocol, features }))
      },
    })
    await node.start()
    try {
      const { status, body } = await refusalOf(cluster, add(node.port))
      expect(body).toMatchObject({ status: 'failure', code, field: 'port' })
      expect(status).toBeGreaterThanOrEqual(400)
      // It was asked who it is, and never told to join.
      expect(asked).toHaveLength(1)
    } finally {
      await node.stop()
    }
  }
})

test('a removal after which a topic could not have its replicas: NOT_ENOUGH_BROKERS', async () => {
  const refused = await refusalOf(cluster, () => cluster.api.raw('DELETE', '/broker/2', undefined))
  expect(refused).toMatchObject({ body: { code: 'NOT_ENOUGH_BROKERS', field: 'broker_id' } })
})

test('an empty disk under the address of a broker: BROKER_REFUSED, and its own is taken again', async () => {
  const first = await ExtraBroker.start(cluster)
  let extra = first
  try {
    expect(await cluster.api.must('POST', '/broker', { port: first.port })).toMatchObject({ broker_id: 4 })
    const isSettled = async (): Promise<boolean> => {
      const [{ body: plan }, { body: list }] = await Promise.all([
        cluster.api.get('/rebalance'),
        cluster.api.get('/brokers'),
      ])
      const brokers = list['brokers'] as { broker_id: number; state: string }[]
      return plan['state'] === 'done' && brokers.every(({ state }) => state === 'active')
    }
    await until(isSettled, 60_000, () => 'broker 4 does not get its share')
    await first.stop()
    await rm(first.dataDirectory, { recursive: true })
    // Beside the database that it had it does not even start.
    await expect(ExtraBroker.start(cluster, first.port)).rejects.toThrow(
      /BROKER_REFUSED: the data directory .* is empty, and the database has partitions of a broker/,
    )
    const client = new pg.Client({ connectionString: cluster.postgresUrl })
    await client.connect()
    await client.query(`DROP DATABASE sluice_broker_${first.port} WITH (FORCE)`)
    await client.end()
    extra = await ExtraBroker.start(cluster, first.port)
    expect(await refusalOf(cluster, add(first.port))).toMatchObject({
      status: 409,
      body: { code: 'BROKER_REFUSED', field: 'port', message: expect.stringContaining('broker 4') },
    })
  } finally {
    await extra.stop()
  }
})

test('the last broker, and one that does not exist: nothing begins to leave', async () => {
  const last = await refusalOf(other, () => other.api.raw('DELETE', '/broker/1', undefined))
  expect(last).toMatchObject({ status: 409, body: { code: 'LAST_BROKER', field: 'broker_id' } })
  const forced = await refusalOf(other, () => other.api.raw('DELETE', '/broker/1?force=true', undefined))
  expect(forced.body).toMatchObject({ code: 'LAST_BROKER' })
  const unknown = await refusalOf(other, () => other.api.raw('DELETE', '/broker/9', undefined))
  expect(unknown).toMatchObject({ status: 404, body: { code: 'BROKER_NOT_FOUND', field: 'broker_id' } })
})
