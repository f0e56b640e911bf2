import { afterEach, expect, test } from '@jest/globals'
import { LocalCluster, until } from '../src/index.js'

let cluster: LocalCluster | undefined

afterEach(async () => {
  await cluster?.destroy()
  cluster = undefined
})

interface Message {
  readonly partition: string
  readonly offset: number
  readonly message: string
  readonly key?: string
}

test('under load a topic grows and shrinks: each key in order, each message once, closed partitions go when read', async () => {
  cluster = await LocalCluster.start({ env: { SLUICE_CLOSED_PARTITION_GRACE_MS: '1000' } })
  const running = cluster
  const { api } = running
  await api.must('POST', '/topics', { topic_name: 'a', partitions: 2, growth: 'messages', growth_limit: 200 })
  const producer = await api.registerProducer('a')
  const consumer = await api.registerConsumer('a')
  const topic = () => api.must('GET', '/topics/a')
  const count = async () => ((await topic())['partitions'] as string[]).length
  const stopped = { value: false }
  const sent = new Set<string>()
  const keyed = Array.from({ length: 8 }, async (_, key) => {
    for (let number = 0; !stopped.value; number++) {
      const message = `k${key}/${number}`
      const body = { producer_id: producer, topic_name: 'a', message, key: `k${key}` }
      await api.must('POST', '/producer/produce', body)
      sent.add(message)
    }
  })
  const keyless = Array.from({ length: 8 }, async (_, lane) => {
    for (let number = 0; !stopped.value; number++) {
      const message = `n${lane}/${number}`
      await api.must('POST', '/producer/produce', { producer_id: producer, topic_name: 'a', message })
      sent.add(message)
    }
  })
  const read: Message[] = []
  const reading = (async () => {
    for (;;) {
      const path = `/consumer/consume?consumer_id=${consumer}&topic_name=a&max_messages=500&wait_ms=200`
      const messages = (await api.must('GET', path))['messages'] as Message[]
      read.push(...messages)
      if (messages.length === 0 && stopped.value) return
    }
  })()

  // It grows by itself while it is produced to, and shrinks when it is told to.
  await until(
    async () => (await count()) >= 4,
    60_000,
    () => 'the topic does not grow',
  )
  const patch = (body: unknown) => api.raw('PATCH', '/topics/a', JSON.stringify(body))
  expect((await patch({ growth: 'off', partitions: 6 })).body).toMatchObject({ growth: 'off' })
  expect(await count()).toBe(6)
  await new Promise((resolve) => setTimeout(resolve, 1000))
  expect((await patch({ partitions: 2 })).body).toMatchObject({ partitions: ['a.1', 'a.2'] })
  await until(
    async () => ((await topic())['closing'] as string[]).length === 0,
    60_000,
    () => 'partitions that are read do not go',
  )
  expect((await patch({ partitions: 3 })).body).toMatchObject({ partitions: ['a.1', 'a.2', 'a.7'] })
  stopped.value = true
  await Promise.all([...keyed, ...keyless])
  await reading

  expect(read.map(({ message }) => message).sort()).toEqual([...sent].sort())
  for (let key = 0; key < 8; key++) {
    const own = read.filter((message) => message.key === `k${key}`)
    expect(new Set(own.map(({ partition }) => partition)).size).toBe(1)
    expect(own.map(({ message }) => Number(message.split('/')[1]))).toEqual(own.map((_, i) => i))
  }
  expect(new Set(read.map(({ partition }) => partition)).size).toBeGreaterThanOrEqual(6)
  const { body } = await api.get('/audit-events?kind=partition-removed')
  expect((body['audit_events'] as { subject: string }[]).map(({ subject }) => subject).sort()).toEqual(
    [3, 4, 5, 6].map((number) => `partition/a.${number}`),
  )
  const lag = await api.must('GET', `/size?consumer_id=${consumer}&topic_name=a`)
  expect(lag['size']).toBe(0)
})
