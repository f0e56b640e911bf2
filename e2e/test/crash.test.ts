import { once } from 'node:events'
import { createServer, type Server } from 'node:net'
import { afterEach, expect, test } from '@jest/globals'
import { acknowledgedInEachDatabase } from '../src/databases.js'
import { LocalCluster, until } from '../src/index.js'

let cluster: LocalCluster | undefined

afterEach(async () => {
  await cluster?.destroy()
  cluster = undefined
})

/** Produces numbered messages until told to stop; gives those that were acknowledged. */
function produceOn(
  running: LocalCluster,
  topic: string,
  producer: number,
): { readonly acknowledged: readonly string[]; stop(): Promise<string[]> } {
  let stopping = false
  const acknowledged: string[] = []
  const lanes = Array.from({ length: 8 }, async (_, lane) => {
    for (let n = 0; !stopping; n++) {
      const message = `${lane}-${n}`
      try {
        const answer = await running.api.post('/producer/produce', {
          producer_id: producer,
          topic_name: topic,
          message,
        })
        if (answer.status === 200) acknowledged.push(message)
      } catch {
        // The load balancer is gone: not acknowledged.
      }
    }
  })
  return {
    acknowledged,
    stop: async () => {
      stopping = true
      await Promise.all(lanes)
      return acknowledged
    },
  }
}

async function drain(running: LocalCluster, topic: string): Promise<string[]> {
  const consumer = await running.api.registerConsumer(topic)
  const messages: string[] = []
  for (;;) {
    const body = await running.api.must('POST', '/consumer/consume', {
      consumer_id: consumer,
      topic_name: topic,
      max_messages: 1000,
    })
    const part = body['messages'] as { message: string }[]
    if (part.length === 0) return messages
    messages.push(...part.map((m) => m.message))
  }
}

test('every process killed at once during produce, PostgreSQL too: everything acknowledged is there', async () => {
  cluster = await LocalCluster.start()
  const producer = await cluster.api.registerProducer('crash')
  const producing = produceOn(cluster, 'crash', producer)
  await until(
    () => Promise.resolve(producing.acknowledged.length > 100),
    60_000,
    () => `only ${producing.acknowledged.length} messages were acknowledged`,
  )
  await cluster.killEverything()
  const acknowledged = await producing.stop()
  await cluster.up()
  const there = await drain(cluster, 'crash')
  expect(acknowledged.filter((message) => !there.includes(message))).toEqual([])
  expect(new Set(there).size).toBe(there.length)
  const counts = await acknowledgedInEachDatabase(cluster, ['crash'], there.length)
  expect(counts).toEqual([there.length, there.length, there.length])
})

test('the write manager and a read manager killed and restarted: topics, producers, consumers and positions unharmed', async () => {
  cluster = await LocalCluster.start()
  const running = cluster
  const { api } = running
  const producer = await api.registerProducer('managers')
  const consumer = await api.registerConsumer('managers')
  const of = { consumer_id: consumer, topic_name: 'managers' }
  const produce = (message: string) =>
    api.post('/producer/produce', { producer_id: producer, topic_name: 'managers', message })
  for (const message of ['a', 'b', 'c']) expect((await produce(message)).status).toBe(200)
  expect((await api.must('GET', '/consumer/consume', of))['message']).toBe('a')
  running.kill(running.process('write-manager'))
  running.kill(running.process('read-manager'))
  // The other read manager serves at once.
  expect((await api.must('GET', '/consumer/consume', of))['message']).toBe('b')
  expect((await api.must('GET', '/consumer/consume', of))['message']).toBe('c')
  await until(
    async () => (await produce('d')).status === 200,
    60_000,
    () => 'the write manager did not come back',
  )
  expect((await api.must('GET', '/consumer/consume', of))['message']).toBe('d')
  expect((await api.must('GET', '/topics'))['topics']).toContain('managers')
})

test('Ctrl-C leaves no process, and the next start has all data again', async () => {
  cluster = await LocalCluster.start()
  const producer = await cluster.api.registerProducer('again')
  await cluster.api.must('POST', '/producer/produce', {
    producer_id: producer,
    topic_name: 'again',
    message: 'kept',
  })
  const pids = cluster.processes().map((p) => p.pid)
  expect(await cluster.down()).toBe(0)
  for (const pid of pids) expect(() => process.kill(pid, 0)).toThrow('ESRCH')
  await cluster.up()
  expect(await drain(cluster, 'again')).toEqual(['kept'])
})

test('a cluster whose ports were taken while it was down takes others, and is found there when it says it is ready', async () => {
  cluster = await LocalCluster.start()
  const producer = await cluster.api.registerProducer('moved')
  const message = { producer_id: producer, topic_name: 'moved', message: 'kept' }
  await cluster.api.must('POST', '/producer/produce', message)
  const before = cluster.processes().filter(({ kind }) => kind === 'broker')
  expect(await cluster.down()).toBe(0)
  // Somebody who takes connections and never says a word.
  const strangers = await Promise.all(before.map(({ port }) => listenOn(port)))
  try {
    await cluster.up()
    expect(await drain(cluster, 'moved')).toEqual(['kept'])
    await cluster.api.must('POST', '/producer/produce', { ...message, message: 'more' })
    const after = cluster.processes().filter(({ kind }) => kind === 'broker')
    expect(after.filter(({ port }) => before.some((old) => old.port === port))).toEqual([])
  } finally {
    for (const stranger of strangers) stranger.close()
  }
})

async function listenOn(port: number): Promise<Server> {
  const server = createServer()
  server.listen(port, '127.0.0.1')
  await once(server, 'listening')
  return server
}
