import { randomBytes } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { LocalCluster } from '../src/index.js'

let cluster: LocalCluster

beforeAll(async () => {
  cluster = await LocalCluster.start({ env: { SLUICE_PARTITION_MESSAGES_MAX: '300' } })
})

afterAll(async () => {
  await cluster.destroy()
})

test('8 readers of one consumer share 2000 messages: each delivered once, nobody told "nothing left" too early', async () => {
  const { api } = cluster
  const producer = await api.registerProducer('shared')
  for (let sent = 0; sent < 2000; sent += 20)
    await api.must('POST', '/producer/produce', {
      producer_id: producer,
      topic_name: 'shared',
      messages: Array.from({ length: 20 }, (_, i) => `m${sent + i}`),
    })
  const consumer = await api.registerConsumer('shared')
  const delivered: string[] = []
  const toldEmptyAt: number[] = []
  const read = async (): Promise<void> => {
    for (;;) {
      const answer = await api.get('/consumer/consume', { consumer_id: consumer, topic_name: 'shared' })
      if (answer.status === 404) {
        toldEmptyAt.push(delivered.length)
        return
      }
      expect(answer.status).toBe(200)
      delivered.push(answer.body['message'] as string)
    }
  }
  await Promise.all(Array.from({ length: 8 }, read))
  expect(delivered).toHaveLength(2000)
  expect(new Set(delivered).size).toBe(2000)
  // Whoever is told "nothing left" may overtake the last messages of seven others, no more.
  for (const count of toldEmptyAt) expect(count).toBeGreaterThanOrEqual(2000 - 7)
})

describe('the consumer API', () => {
  test('batch, size, lag, waiting, and the end', async () => {
    const { api } = cluster
    const producer = await api.registerProducer('calls')
    const consumer = await api.registerConsumer('calls')
    const of = { consumer_id: consumer, topic_name: 'calls' }
    expect((await api.get('/consumer/consume', of)).body).toMatchObject({
      code: 'NO_MESSAGES',
      status: 'failure',
    })
    const waiting = api.get('/consumer/consume', { ...of, wait_ms: 10_000 })
    await api.must('POST', '/producer/produce', { producer_id: producer, topic: 'calls', message: 'first' })
    expect((await waiting).body).toMatchObject({ status: 'success', message: 'first', offset: 0 })
    await api.must('POST', '/producer/produce', {
      producer_id: producer,
      topic: 'calls',
      messages: ['second', { message: 'third', key: 'k', headers: { trace: '1' } }],
    })
    expect((await api.get('/size', of)).body).toMatchObject({ size: 2 })
    const batch = await api.must('POST', '/consumer/consume', { ...of, max_messages: 10 })
    const messages = batch['messages'] as { message: string }[]
    expect(messages.map((m) => m.message).sort()).toEqual(['second', 'third'])
    expect((await api.get('/size', of)).body).toMatchObject({ size: 0 })
    const empty = await api.must('POST', '/consumer/consume', { ...of, max_messages: 10 })
    expect(empty['messages']).toEqual([])
  })

  test('query parameters serve where a GET cannot have a body', async () => {
    const { api } = cluster
    const producer = await api.registerProducer('query')
    const consumer = await api.registerConsumer('query')
    await api.must('POST', '/producer/produce', {
      producer_id: producer,
      topic_name: 'query',
      message: 'über',
    })
    const answer = await api.get(`/consumer/consume?consumer_id=${consumer}&topic_name=query`)
    expect(answer.body).toMatchObject({ message: 'über', partition: 'query.1', offset: 0 })
  })

  test('manual acknowledgement delivers again until it is acknowledged', async () => {
    const { api } = cluster
    const producer = await api.registerProducer('manual')
    const registered = await api.must('POST', '/consumer/register', { topic_name: 'manual', ack: 'manual' })
    const of = { consumer_id: registered['consumer_id'], topic_name: 'manual' }
    for (const message of ['a', 'b'])
      await api.must('POST', '/producer/produce', { producer_id: producer, topic_name: 'manual', message })
    const first = await api.must('GET', '/consumer/consume', of)
    expect(await api.must('GET', '/consumer/consume', of)).toMatchObject({ message: first['message'] })
    await api.must('POST', '/consumer/ack', { ...of, partition: first['partition'], offset: first['offset'] })
    expect(await api.must('GET', '/consumer/consume', of)).toMatchObject({ message: 'b' })
  })

  test('a consumer may start at the end, and go back', async () => {
    const { api } = cluster
    const producer = await api.registerProducer('starts')
    const produce = (message: string): Promise<unknown> =>
      api.must('POST', '/producer/produce', { producer_id: producer, topic_name: 'starts', message })
    await produce('old')
    const registered = await api.must('POST', '/consumer/register', { topic_name: 'starts', start: 'latest' })
    const of = { consumer_id: registered['consumer_id'], topic_name: 'starts' }
    await produce('new')
    expect(await api.must('GET', '/consumer/consume', of)).toMatchObject({ message: 'new' })
    await api.must('POST', '/consumer/seek', { ...of, partition: 'starts.1', offset: 0 })
    expect(await api.must('GET', '/consumer/consume', of)).toMatchObject({ message: 'old' })
  })
})

test('a read manager that stood still takes and gives back nothing that another one has delivered since', async () => {
  const { api } = cluster
  const producer = await api.registerProducer('still')
  const sent = Array.from({ length: 250 }, (_, i) => `m${i}`)
  await api.must('POST', '/producer/produce', { producer_id: producer, topic_name: 'still', messages: sent })
  const consumer = await api.registerConsumer('still')
  const delivered: string[] = []
  const call = { consumer_id: consumer, topic_name: 'still', max_messages: 5 }
  const read = async (): Promise<number> => {
    const id = randomBytes(16).toString('hex')
    for (;;) {
      const answer = await api.raw('POST', '/consumer/consume', JSON.stringify(call), { 'x-request-id': id })
      if (answer.status !== 200) continue
      const messages = answer.body['messages'] as { message: string }[]
      delivered.push(...messages.map(({ message }) => message))
      return messages.length
    }
  }
  for (const index of [0, 1]) {
    const { pid } = cluster.process('read-manager', index)
    process.kill(pid, 'SIGSTOP')
    try {
      // One of these calls waits there until its load balancer takes it elsewhere.
      for (let i = 0; i < 4; i++) await read()
    } finally {
      process.kill(pid, 'SIGCONT')
    }
    for (let i = 0; i < 10; i++) await read()
  }
  while ((await read()) > 0);
  expect(delivered).toEqual(sent)
})
