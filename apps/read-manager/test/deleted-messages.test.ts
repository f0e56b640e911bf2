import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import { RpcMethod } from '@sluice/contracts'
import { BrokerError } from '@sluice/domain'
import { publish, type Running, runReadManager } from './running-read-manager.js'

let running: Running

beforeEach(async () => {
  running = await runReadManager({ SLUICE_CONSUME_TIMEOUT_MS: '1500', SLUICE_PARTITION_PATIENCE_MS: '100' })
  await running.createTopic('A')
  await publish(
    running.cluster,
    { topic: 'A' },
    Array.from({ length: 10 }, (_, i) => `m${i}`),
  )
})

afterEach(() => running.stop())

const texts = (body: Record<string, unknown>): unknown[] =>
  (body['messages'] as { message: unknown }[]).map(({ message }) => message)

describe('a consumer that was overtaken by deletion', () => {
  test('goes on at the first message there is, and the answer says over how many it went', async () => {
    const consumer = await running.register('A')
    await running.consume(consumer, 'A', { max_messages: 2 })
    running.cluster.partition('A', 1).trim(7)
    const { body } = await running.consume(consumer, 'A')
    expect(body).toMatchObject({ message: 'm7', offset: 7, skipped: { 'A.1': 5 } })
    const next = await running.consume(consumer, 'A', { max_messages: 5 })
    expect(texts(next.body)).toEqual(['m8', 'm9'])
    expect(next.body).not.toHaveProperty('skipped')
  })

  test('gets an error when it asked for one, whatever it calls, until it seeks', async () => {
    const consumer = await running.register('A', { auto_offset_reset: 'none' })
    running.cluster.partition('A', 1).trim(7)
    for (const more of [{}, { max_messages: 3 }])
      expect(await running.consume(consumer, 'A', more)).toMatchObject({
        status: 416,
        body: { code: 'OFFSET_OUT_OF_RANGE', component: 'broker', retriable: false, outcome: 'no' },
      })
    await running.call('POST', '/consumer/seek', { consumer_id: consumer, topic_name: 'A', to: 'earliest' })
    expect((await running.consume(consumer, 'A')).body).toMatchObject({ message: 'm7' })
  })

  test('is told of the loss with the next message when everything it had not read is gone', async () => {
    const consumer = await running.register('A')
    running.cluster.partition('A', 1).trim(10)
    expect(await running.consume(consumer, 'A')).toMatchObject({ status: 404 })
    await publish(running.cluster, { topic: 'A' }, ['new'])
    expect((await running.consume(consumer, 'A')).body).toMatchObject({
      message: 'new',
      skipped: { 'A.1': 10 },
    })
  })
})

test('messages that were given in a lost answer and deleted before it was asked for again are told as lost', async () => {
  const consumer = await running.register('A')
  // The broker carries the call out, and the answer never comes.
  running.cluster.script = async (call, next) => {
    const answer = await next()
    if (call.method === RpcMethod.FETCH) throw new BrokerError('CONNECTION_LOST', 'the answer is lost')
    return answer
  }
  const lost = await running.consume(consumer, 'A', { max_messages: 4 })
  expect(lost.status).toBeGreaterThanOrEqual(500)
  running.cluster.partition('A', 1).trim(3)
  running.cluster.script = (_call, next) => next()
  const { body } = await running.consume(consumer, 'A', { max_messages: 10 })
  expect(texts(body)).toEqual(['m3', 'm4', 'm5', 'm6', 'm7', 'm8', 'm9'])
  expect(body['skipped']).toEqual({ 'A.1': 3 })
})

test('messages that were given in a lost answer and all deleted since are told with those behind', async () => {
  const consumer = await running.register('A')
  const headers = { 'x-request-id': 'ab'.repeat(16) }
  const call = { consumer_id: consumer, topic_name: 'A', max_messages: 4 }
  const first = await running.call('POST', '/consumer/consume', call, headers)
  expect(texts(first.body)).toEqual(['m0', 'm1', 'm2', 'm3'])
  running.cluster.partition('A', 1).trim(6)
  const again = await running.call('POST', '/consumer/consume', call, headers)
  expect(texts(again.body)).toEqual(['m6', 'm7', 'm8', 'm9'])
  expect(again.body['skipped']).toEqual({ 'A.1': 6 })
})

test('a new consumer of a topic with retention begins at what there is, and has lost nothing', async () => {
  running.cluster.metadata.propose({
    kind: 'create-topic',
    at: Date.now(),
    topic: 'kept',
    partitions: 1,
    settings: { retentionMessages: 1 },
  })
  await running.register('kept')
  await publish(running.cluster, { topic: 'kept' }, ['a', 'b', 'c'])
  running.cluster.partition('kept', 1).trim(2)
  const { body } = await running.consume(await running.register('kept'), 'kept')
  expect(body).toMatchObject({ message: 'c', offset: 2 })
  expect(body).not.toHaveProperty('skipped')
})
