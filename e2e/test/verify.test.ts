import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { afterEach, expect, test } from '@jest/globals'
import pg from 'pg'
import { Api } from '../src/api.js'
import { acknowledgedInEachDatabase } from '../src/databases.js'
import { LocalCluster, until } from '../src/index.js'

let cluster: LocalCluster | undefined

afterEach(async () => {
  await cluster?.destroy()
  cluster = undefined
})

const CLI = fileURLToPath(new URL('../../apps/cli/dist/main.js', import.meta.url))

async function verify(running: LocalCluster): Promise<{ readonly code: number; readonly output: string }> {
  const child = spawn(process.execPath, [CLI, 'verify', '--data-dir', running.dataDirectory])
  let output = ''
  child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()))
  child.stderr.on('data', (chunk: Buffer) => (output += chunk.toString()))
  const [code] = (await once(child, 'close')) as [number]
  return { code, output }
}

async function inDatabase<T>(
  running: LocalCluster,
  brokerId: number,
  run: (client: pg.Client) => Promise<T>,
): Promise<T> {
  const url = new URL(running.postgresUrl)
  url.pathname = `/sluice_broker_${brokerId}`
  const client = new pg.Client({ connectionString: url.href })
  await client.connect()
  try {
    return await run(client)
  } finally {
    await client.end()
  }
}

const FLIP = `UPDATE record_batches SET bytes = set_bit(bytes, 1000, 1 - get_bit(bytes, 1000)) WHERE base_offset = 100`
const DROP = 'DELETE FROM record_batches WHERE base_offset = 200'

async function produced(running: LocalCluster): Promise<void> {
  const producer = await running.api.registerProducer('checked')
  for (let i = 0; i < 40; i++)
    await running.api.must('POST', '/producer/produce', {
      producer_id: producer,
      topic_name: 'checked',
      messages: Array.from({ length: 50 }, (_, j) => `m${i * 50 + j}`),
    })
  await acknowledgedInEachDatabase(running, ['checked'], 2000)
}

async function wholeTopic(running: LocalCluster): Promise<void> {
  const consumer = await running.api.registerConsumer('checked')
  const { messages } = await running.api.must('POST', '/consumer/consume', {
    consumer_id: consumer,
    topic_name: 'checked',
    max_messages: 5000,
  })
  expect((messages as { message: string }[]).map(({ message }) => message)).toEqual(
    Array.from({ length: 2000 }, (_, i) => `m${i}`),
  )
}

test('verify says what is the same, finds what was changed behind a broker, and has it mended from the majority', async () => {
  cluster = await LocalCluster.start({ env: { BROKER_REPLICA_CHECK_MS: '3600000' } })
  const running = cluster
  await produced(running)
  const before = await verify(running)
  expect(before.output).toMatch(/checked\.1 +0 to 1999 +1, 2, 3 +same/)
  expect(before.code).toBe(0)

  const leader = await running.leaderOf('checked.1')
  const follower = running.processes().find(({ kind, id }) => kind === 'broker' && id !== leader.id)!
  for (const [broker, damage] of [
    [follower, FLIP],
    [leader, DROP],
  ] as const) {
    await inDatabase(running, broker.id, (client) => client.query(damage))
    const found = await verify(running)
    expect(found.output).toMatch(new RegExp(`checked\\.1 .*mended on broker ${broker.id}\\n`))
    expect(found.code).toBe(1)
    expect((await verify(running)).code).toBe(0)
  }
  const api = new Api(leader.port)
  const { replica_checks: checks } = await api.must('GET', '/status').finally(() => api.close())
  expect(checks).toMatchObject({
    differences: 2,
    repairs: 2,
    alarms: [
      { partition: 'checked.1', brokers: [follower.id], repaired: true },
      { partition: 'checked.1', brokers: [leader.id], repaired: true },
    ],
  })
  await acknowledgedInEachDatabase(running, ['checked'], 2000)
  await wholeTopic(running)

  process.kill(follower.pid, 'SIGSTOP')
  try {
    const away = await verify(running)
    expect(away.output).toContain('does not answer')
    expect(away.code).toBe(2)
  } finally {
    process.kill(follower.pid, 'SIGCONT')
  }
})

test('what differs is found and mended without being asked', async () => {
  cluster = await LocalCluster.start({ env: { BROKER_REPLICA_CHECK_MS: '50' } })
  const running = cluster
  await produced(running)
  const broker = running
    .processes()
    .filter(({ kind }) => kind === 'broker')
    .at(-1)!
  await inDatabase(running, broker.id, async (client) => {
    await client.query(FLIP)
    await client.query(DROP)
  })
  await until(
    () =>
      inDatabase(running, broker.id, async (client) => {
        const { rows } = await client.query('SELECT 1 FROM record_batches WHERE base_offset = 200')
        return rows.length === 1
      }),
    60_000,
    () => 'the batch does not come back',
  )
  expect((await verify(running)).code).toBe(0)
  await wholeTopic(running)
})
