import { afterEach, expect, test } from '@jest/globals'
import pg from 'pg'
import { Api } from '../src/api.js'
import { LocalCluster, until } from '../src/index.js'

let cluster: LocalCluster | undefined

afterEach(async () => {
  await cluster?.destroy()
  cluster = undefined
})

/** What brokers hold of partitions: open replicas, and rows in their databases. */
async function leftovers(running: LocalCluster): Promise<Record<string, number>> {
  const counts: Record<string, number> = { replicas: 0 }
  for (const { id, port } of running.processes().filter(({ kind }) => kind === 'broker')) {
    const api = new Api(port)
    counts['replicas']! += ((await api.get('/status')).body['partitions'] as unknown[]).length
    api.close()
    const url = new URL(running.postgresUrl)
    url.pathname = `/sluice_broker_${id}`
    const client = new pg.Client({ connectionString: url.href })
    await client.connect()
    try {
      for (const table of ['record_batches', 'partition_state', 'consumer_cursors', 'topics', 'producers']) {
        const { rows } = await client.query<{ count: string }>(`SELECT count(*) FROM ${table}`)
        counts[table] = (counts[table] ?? 0) + Number(rows[0]!.count)
      }
    } finally {
      await client.end()
    }
  }
  return counts
}

const NOTHING = {
  replicas: 0,
  record_batches: 0,
  partition_state: 0,
  consumer_cursors: 0,
  topics: 0,
  producers: 0,
}

async function gone(running: LocalCluster): Promise<void> {
  let left: unknown
  await until(
    async () => {
      left = await leftovers(running)
      return JSON.stringify(left) === JSON.stringify(NOTHING)
    },
    60_000,
    () => `left of the topic: ${JSON.stringify(left)}`,
  )
}

test('a topic under load is deleted: calls hear of it, nothing is left, and its name begins anew, crashes included', async () => {
  cluster = await LocalCluster.start()
  const running = cluster
  const { api } = running
  await api.must('POST', '/topics', { topic_name: 'a', partitions: 4 })
  const producer = await api.registerProducer('a')
  const consumer = await api.registerConsumer('a')
  const produce = (id: number, message: string) =>
    api.post('/producer/produce', { producer_id: id, topic_name: 'a', message })
  const refusals = new Set<unknown>()
  const load = Array.from({ length: 8 }, async () => {
    for (;;) {
      const { status, body } = await produce(producer, 'old')
      if (status === 200) continue
      refusals.add(body['code'])
      return
    }
  })
  const waits = api.raw(
    'GET',
    `/consumer/consume?consumer_id=${consumer}&topic_name=a&max_messages=1`,
    undefined,
  )
  expect((await waits).status).toBe(200)
  const deleted = await api.raw('DELETE', '/topics/a', undefined)
  expect(deleted.body).toEqual({ status: 'success', topic: 'a', message: 'Topic a deleted successfully' })
  await Promise.all(load)
  expect([...refusals]).toEqual(['TOPIC_NOT_FOUND'])
  await gone(running)

  // Again, with a crash of everything before the brokers can have finished.
  const second = await api.registerProducer('a')
  for (let i = 0; i < 20; i++) expect((await produce(second, 'older')).status).toBe(200)
  await api.must('POST', '/topics', { topic_name: 'b', partitions: 3 })
  expect((await api.raw('DELETE', '/topics/a', undefined)).status).toBe(200)
  expect((await api.raw('DELETE', '/topics/b', undefined)).status).toBe(200)
  await running.killEverything()
  await running.up()
  await gone(running)

  const third = await api.registerProducer('a')
  expect((await produce(third, 'new')).body).toMatchObject({ partition: 'a.1', offset: 0 })
  for (const id of [producer, second])
    expect((await produce(id, 'ghost')).body).toMatchObject({ code: 'PRODUCER_NOT_FOUND' })
  const reader = await api.registerConsumer('a')
  const read = await api.must('GET', `/consumer/consume?consumer_id=${reader}&topic_name=a&max_messages=10`)
  expect(read['messages']).toMatchObject([{ message: 'new', offset: 0 }])
  const { body } = await api.get('/audit-events?subject=topic/a')
  expect((body['audit_events'] as { kind: string }[]).map(({ kind }) => kind)).toEqual([
    'topic-created',
    'topic-deleted',
    'topic-created',
    'topic-deleted',
    'topic-created',
  ])
})
