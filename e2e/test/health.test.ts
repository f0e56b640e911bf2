import { afterEach, expect, test } from '@jest/globals'
import { isDeepStrictEqual } from 'node:util'
import pg from 'pg'
import { Api } from '../src/api.js'
import { type Launch, launchOf, relaunch } from '../src/command.js'
import { LocalCluster, until } from '../src/index.js'

let cluster: LocalCluster | undefined

afterEach(async () => {
  await cluster?.destroy()
  cluster = undefined
})

interface Check {
  readonly type: string
  readonly id: number
  readonly status: string
  readonly since: number
  readonly reason: string
}

interface Event {
  readonly id: number
  readonly at: number
  readonly kind: string
  readonly subject: string
  readonly reason: string
}

/** Times as milliseconds, in the order of types and ids. */
async function checksOf(running: LocalCluster): Promise<readonly Check[]> {
  const body = await running.api.must('GET', '/health-checks')
  return (body['health_checks'] as (Omit<Check, 'since'> & { since: string })[])
    .map(({ type, id, status, since, reason }) => ({ type, id, status, since: Date.parse(since), reason }))
    .sort((a, b) => a.type.localeCompare(b.type) || a.id - b.id)
}

async function eventsOf(running: LocalCluster): Promise<readonly Event[]> {
  const body = await running.api.must('GET', '/audit-events')
  return (body['audit_events'] as (Omit<Event, 'at'> & { time: string })[]).map(
    ({ id, time, kind, subject, reason }) => ({
      id,
      at: Date.parse(time),
      kind,
      subject,
      reason,
    }),
  )
}

async function statusOf(running: LocalCluster, type: string, id: number): Promise<string | undefined> {
  const body = await running.api.must('GET', '/health-checks')
  return (body['health_checks'] as Check[]).find((check) => check.type === type && check.id === id)?.status
}

test('whoever is silent past the threshold is dead, in the API and in SQL; activity revives', async () => {
  cluster = await LocalCluster.start({
    env: { SLUICE_DEAD_AFTER_MS: '4000', SLUICE_RESTART_DELAY_MS: '60000' },
  })
  const running = cluster
  const producer = await running.api.registerProducer('health')
  const consumer = await running.api.registerConsumer('health')
  const dead = running.process('broker', 2)
  const launch = launchOf(dead)
  running.kill(dead)
  const is = (type: string, id: number, status: string): Promise<void> =>
    until(
      async () => (await statusOf(running, type, id)) === status,
      60_000,
      () => `${type} ${id} is not ${status}`,
    )
  await is('producer', producer, 'dead')
  await is('consumer', consumer, 'dead')
  await is('broker', dead.id, 'dead')
  expect(await statusOf(running, 'broker', 1)).toBe('alive')
  await running.api.must('POST', '/producer/produce', {
    producer_id: producer,
    topic_name: 'health',
    message: 'back',
  })
  await is('producer', producer, 'alive')

  const url = new URL(running.postgresUrl)
  url.pathname = '/sluice_broker_1'
  const client = new pg.Client({ connectionString: url.href })
  await client.connect()
  try {
    await until(
      async () => {
        const { rows } = await client.query<Check>(
          `SELECT actor_type AS type, actor_id::integer AS id, status, since::float AS since, reason
           FROM health_checks ORDER BY type, id`,
        )
        return isDeepStrictEqual(rows, await checksOf(running))
      },
      60_000,
      () => 'the table does not say what the API says',
    )
    await until(
      async () => {
        const { rows } = await client.query<Event>(
          'SELECT id::integer, at::float, kind, subject, reason FROM audit_events ORDER BY id',
        )
        return isDeepStrictEqual(rows, await eventsOf(running))
      },
      60_000,
      () => 'the audit trail in SQL is not that of the API',
    )
    const story = (await eventsOf(running)).filter(({ subject }) => subject === `broker/${dead.id}`)
    expect(story.at(-1)).toMatchObject({
      kind: 'broker-dead',
      reason: expect.stringMatching(/^silent for \d+ ms$/),
    })
    const check = (await checksOf(running)).find(({ type, id }) => type === 'broker' && id === dead.id)
    expect(check).toMatchObject({ since: story.at(-1)!.at, reason: story.at(-1)!.reason })
  } finally {
    await client.end()
  }
  await getsWhatItLacks(running, launch)
})

/** The replica is one that votes. */
async function planIsDone(running: LocalCluster): Promise<void> {
  let plan: Record<string, unknown> = {}
  await until(
    async () => (plan = (await running.api.get('/rebalance')).body)['state'] === 'done',
    60_000,
    () => `the plan is not done: ${JSON.stringify(plan)}`,
  )
  expect(plan).toMatchObject({ reason: 'replicas-missing' })
}

/** A partition that is made while one of three brokers is dead has two replicas, and three when that is back. */
async function getsWhatItLacks(running: LocalCluster, dead: Launch): Promise<void> {
  await running.api.must('POST', '/topics', { topic_name: 'made-meanwhile' })
  let replicas: readonly number[] = []
  const look = async (): Promise<readonly number[]> => {
    const api = new Api(running.process('broker', 1).port)
    const { partitions } = await api.must('GET', '/recovery').finally(() => api.close())
    const all = partitions as { name: string; replicas: number[] }[]
    return (replicas = all.find(({ name }) => name === 'made-meanwhile.1')?.replicas ?? [])
  }
  await until(
    async () => (await look()).length === 2,
    60_000,
    () => `its replicas are on ${replicas.join(', ')}`,
  )
  const end = new AbortController()
  const ended = relaunch(dead, {}, end.signal)
  await until(
    async () => (await look()).length === 3,
    60_000,
    () => `its replicas are on ${replicas.join(', ')}`,
  )
    .then(() => planIsDone(running))
    .finally(() => end.abort())
  await ended
}
