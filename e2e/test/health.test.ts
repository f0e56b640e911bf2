import { afterEach, expect, test } from '@jest/globals'
import pg from 'pg'
import { LocalCluster, until } from '../src/index.js'

let cluster: LocalCluster | undefined

afterEach(async () => {
  await cluster?.destroy()
  cluster = undefined
}, 30_000)

interface Check {
  readonly type: string
  readonly id: number
  readonly status: string
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
  running.kill(dead)
  const is = (type: string, id: number, status: string): Promise<void> =>
    until(
      async () => (await statusOf(running, type, id)) === status,
      20_000,
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
        const { rows } = await client.query<{ actor_type: string; status: string }>(
          'SELECT actor_type, status FROM health_checks WHERE (actor_type, actor_id) IN (($1, $2), ($3, $4))',
          ['broker', dead.id, 'producer', producer],
        )
        const found = Object.fromEntries(rows.map((row) => [row.actor_type, row.status]))
        return found['broker'] === 'dead' && found['producer'] === 'alive'
      },
      10_000,
      () => 'the table does not say what the API says',
    )
  } finally {
    await client.end()
  }
}, 90_000)
