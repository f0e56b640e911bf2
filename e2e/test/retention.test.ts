import { afterEach, expect, test } from '@jest/globals'
import { acknowledgedInEachDatabase } from '../src/databases.js'
import { Api } from '../src/api.js'
import { LocalCluster, until } from '../src/index.js'

let cluster: LocalCluster | undefined

afterEach(async () => {
  await cluster?.destroy()
  cluster = undefined
})

const BATCH = 10
const KEEP = 100
const COUNT = 500

async function startsOf(running: LocalCluster, partition: string): Promise<number[]> {
  const starts: number[] = []
  for (const broker of running.processes().filter(({ kind }) => kind === 'broker')) {
    const api = new Api(broker.port)
    const { body } = await api.get('/status').finally(() => api.close())
    const found = (body['partitions'] as { name: string; start: number }[]).find((p) => p.name === partition)
    starts.push(found?.start ?? -1)
  }
  return starts
}

test('what a topic does not keep is deleted on every replica, told to who had not read it, and never comes back', async () => {
  cluster = await LocalCluster.start({ env: { BROKER_RETENTION_CHECK_MS: '200' } })
  const running = cluster
  const { api } = running
  const topic = await api.must('POST', '/topics', { topic_name: 'kept', retention_messages: KEEP })
  expect(topic).toMatchObject({ retention_messages: KEEP })
  expect(await api.must('GET', '/topics/kept')).toMatchObject({ retention_messages: KEEP })
  const producer = await api.registerProducer('kept')
  const slow = await api.registerConsumer('kept')
  const strict = (
    await api.must('POST', '/consumer/register', { topic_name: 'kept', auto_offset_reset: 'none' })
  )['consumer_id'] as number
  const produce = (from: number): Promise<unknown> =>
    api.must('POST', '/producer/produce', {
      producer_id: producer,
      topic_name: 'kept',
      messages: Array.from({ length: BATCH }, (_, i) => `m${from + i}`),
    })
  const consume = (consumer: number, more: Record<string, unknown> = {}) =>
    api.post('/consumer/consume', { consumer_id: consumer, topic_name: 'kept', ...more })
  for (let i = 0; i < COUNT; i += BATCH) {
    await produce(i)
    if (i === 0) expect((await consume(slow)).body['message']).toBe('m0')
  }
  const start = COUNT - KEEP
  const allStart = async (at: number): Promise<void> =>
    until(
      async () => (await startsOf(running, 'kept.1')).every((one) => one === at),
      60_000,
      () => `the replicas do not all start at ${at}`,
    )
  await allStart(start)
  await acknowledgedInEachDatabase(running, ['kept'], KEEP)

  const jumped = await consume(slow)
  expect(jumped.body).toMatchObject({ message: `m${start}`, offset: start, skipped: { 'kept.1': start - 1 } })
  expect(await consume(strict)).toMatchObject({ status: 416, body: { code: 'OFFSET_OUT_OF_RANGE' } })

  // Another leader, and then everything at once, start where the log starts.
  const leader = await running.leaderOf('kept.1')
  running.kill(leader)
  await until(
    async () => (await consume(slow)).body['offset'] === start + 1,
    60_000,
    () => 'the consumer does not go on at another leader',
  )
  await running.killEverything()
  await running.up()
  await allStart(start)
  await acknowledgedInEachDatabase(running, ['kept'], KEEP)
  const fresh = await api.registerConsumer('kept')
  const first = await consume(fresh, { max_messages: 1 })
  expect(first.body).toMatchObject({ count: 1, messages: [{ offset: start }] })
  expect(first.body).not.toHaveProperty('skipped')
  const rest = await consume(slow, { max_messages: 1000 })
  expect(rest.body).toMatchObject({ count: KEEP - 2 })
})
