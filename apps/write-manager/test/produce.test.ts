import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import { RpcMethod } from '@sluice/contracts'
import { BrokerError } from '@sluice/domain'
import { eventually } from '@sluice/foundation/testing'
import { partitionIndexOfKey } from '../src/murmur2.js'
import { type Running, runWriteManager } from './running-write-manager.js'

let running: Running

beforeEach(async () => {
  running = await runWriteManager({ SLUICE_PRODUCE_TIMEOUT_MS: '600' })
})

afterEach(() => running.stop())

function values(topic: string, partition = 1): string[] {
  return running.cluster
    .partition(topic, partition)
    .records()
    .map(({ value }) => Buffer.from(value!).toString())
}

describe('POST /producer/produce, one message', () => {
  test('answers with partition, offset and timestamp once the message is stored', async () => {
    const producer = await running.register('A')
    for (const offset of [0, 1]) {
      const answer = await running.call('POST', '/producer/produce', {
        producer_id: producer,
        topic_name: 'A',
        message: `m${offset}`,
      })
      expect(answer).toEqual({
        status: 200,
        body: {
          status: 'success',
          partition: 'A.1',
          offset,
          timestamp: expect.any(Number),
          message: `Producer ID ${producer} published in topic A`,
        },
      })
    }
    expect(values('A')).toEqual(['m0', 'm1'])
  })

  test('the id may be text and the topic may be called topic; key, headers, bytes and time are stored', async () => {
    const producer = await running.register('A')
    const answer = await running.call('POST', '/producer/produce', {
      producer_id: String(producer),
      topic: 'A',
      message_base64: Buffer.from([0, 255]).toString('base64'),
      key: 'k',
      headers: { trace: 'ä' },
      timestamp: 1234,
    })
    expect(answer.body).toMatchObject({ status: 'success', timestamp: 1234 })
    const [record] = running.cluster.partition('A').records()
    expect(record).toMatchObject({ timestamp: 1234 })
    expect(record!.headers[0]).toMatchObject({ key: 'trace' })
    expect([...record!.value!]).toEqual([0, 255])
    expect(Buffer.from(record!.key!).toString()).toBe('k')
    expect(Buffer.from(record!.headers[0]!.value!).toString()).toBe('ä')
  })

  test('calls that come together travel in few batches, each with its own offset', async () => {
    const producer = await running.register('A')
    const answers = await Promise.all(
      Array.from({ length: 60 }, (_, i) =>
        running.call('POST', '/producer/produce', {
          producer_id: producer,
          topic_name: 'A',
          message: `${i}`,
        }),
      ),
    )
    const offsets = answers.map(({ body }) => Number(body['offset']))
    expect(offsets.toSorted((a, b) => a - b)).toEqual(Array.from({ length: 60 }, (_, i) => i))
    expect(values('A').map(Number)).toEqual(
      Array.from({ length: 60 }, (_, offset) => offsets.indexOf(offset)),
    )
    expect(running.cluster.callsOf(RpcMethod.PRODUCE).length).toBeLessThan(30)
  })

  test('without a key the partitions take turns, with one the key decides', async () => {
    await running.call('POST', '/topics', { topic_name: 'A', partitions: 3 })
    const producer = await running.register('A')
    const produce = async (fields: object): Promise<unknown> =>
      (
        await running.call('POST', '/producer/produce', {
          producer_id: producer,
          topic_name: 'A',
          message: 'm',
          ...fields,
        })
      ).body['partition']
    const turns = [await produce({}), await produce({}), await produce({})]
    expect(new Set(turns)).toEqual(new Set(['A.1', 'A.2', 'A.3']))
    const keyed = `A.${partitionIndexOfKey(Buffer.from('k'), 3) + 1}`
    expect([await produce({ key: 'k' }), await produce({ key: 'k' })]).toEqual([keyed, keyed])
    expect(await produce({ partition: 2 })).toBe('A.2')
    expect(await produce({ partition: 'A.3' })).toBe('A.3')
  })

  test('a partition without a leader is left out for messages that may go anywhere', async () => {
    await running.call('POST', '/topics', { topic_name: 'A', partitions: 2 })
    const producer = await running.register('A')
    running.cluster.moveLeader(running.cluster.groupOf('A', 1), 99)
    const message = { producer_id: producer, topic_name: 'A', message: 'm' }
    const failed = await running.call('POST', '/producer/produce', { ...message, partition: 1 })
    expect(failed).toMatchObject({
      status: 503,
      body: { code: 'NO_QUORUM', outcome: 'no', component: 'broker' },
    })
    for (let i = 0; i < 3; i++)
      expect((await running.call('POST', '/producer/produce', message)).body).toMatchObject({
        partition: 'A.2',
      })
  })

  test('an answer that never comes: TIMEOUT with outcome unknown, and later messages are stored behind it', async () => {
    const producer = await running.register('A')
    const message = { producer_id: producer, topic_name: 'A', message: 'm' }
    running.cluster.script = async (call, next) => {
      const answer = await next()
      if (call.method !== RpcMethod.PRODUCE) return answer
      throw new BrokerError('CONNECTION_LOST', 'gone', { outcome: 'unknown' })
    }
    const lost = await running.call('POST', '/producer/produce', { ...message, message: 'lost' })
    expect(lost).toMatchObject({
      status: 504,
      body: { code: 'TIMEOUT', outcome: 'unknown', retriable: true },
    })
    running.cluster.script = (_call, next) => next()
    expect((await running.call('POST', '/producer/produce', message)).body).toMatchObject({ offset: 1 })
    expect(values('A')).toEqual(['lost', 'm'])
    expect(
      running.cluster
        .partition('A')
        .headers()
        .map(({ baseSequence }) => baseSequence),
    ).toEqual([0, 1])
  })
})

describe('POST /producer/produce, a list', () => {
  test('goes to one partition together and is answered in its order', async () => {
    await running.call('POST', '/topics', { topic_name: 'A', partitions: 3 })
    const producer = await running.register('A')
    const answer = await running.call('POST', '/producer/produce', {
      producer_id: producer,
      topic_name: 'A',
      messages: ['a', { message: 'b' }, { message: 'c' }],
    })
    const at = (offset: number): unknown => ({ partition: 'A.1', offset, timestamp: expect.any(Number) })
    expect(answer.body).toEqual({
      status: 'success',
      count: 3,
      messages: [at(0), at(1), at(2)],
      message: `Producer ID ${producer} published in topic A`,
    })
    expect(running.cluster.callsOf(RpcMethod.PRODUCE)).toHaveLength(1)
  })

  test('keys and named partitions spread it; every message is answered in its place', async () => {
    await running.call('POST', '/topics', { topic_name: 'A', partitions: 3 })
    const producer = await running.register('A')
    const answer = await running.call('POST', '/producer/produce', {
      producer_id: producer,
      topic_name: 'A',
      messages: [
        { message: 'a', partition: 3 },
        { message: 'b', partition: 1 },
        { message: 'c', partition: 3 },
      ],
    })
    expect(answer.body['messages']).toMatchObject([
      { partition: 'A.3', offset: 0 },
      { partition: 'A.1', offset: 0 },
      { partition: 'A.3', offset: 1 },
    ])
    expect(values('A', 3)).toEqual(['a', 'c'])
  })

  test('more than a batch holds is stored in order in several', async () => {
    await running.stop()
    running = await runWriteManager({ SLUICE_BATCH_RECORDS_MAX: '100' })
    const producer = await running.register('A')
    const messages = Array.from({ length: 950 }, (_, i) => `${i}`)
    const answer = await running.call('POST', '/producer/produce', {
      producer_id: producer,
      topic_name: 'A',
      messages,
    })
    expect(answer.body).toMatchObject({ count: 950 })
    expect(values('A')).toEqual(messages)
    expect(running.cluster.callsOf(RpcMethod.PRODUCE)).toHaveLength(10)
  })

  test('when one partition fails the call fails, and says what is stored', async () => {
    await running.call('POST', '/topics', { topic_name: 'A', partitions: 2 })
    const producer = await running.register('A')
    running.cluster.moveLeader(running.cluster.groupOf('A', 2), 99)
    const answer = await running.call('POST', '/producer/produce', {
      producer_id: producer,
      topic_name: 'A',
      messages: [
        { message: 'a', partition: 1 },
        { message: 'b', partition: 2 },
        { message: 'c', partition: 1 },
      ],
    })
    expect(answer).toMatchObject({ status: 503, body: { code: 'NO_QUORUM', outcome: 'unknown' } })
    expect(answer.body['message']).toContain('2 of 3 messages are certainly stored')
    expect(answer.body['message']).toContain('messages[0,2] stored in A.1 from offset 0')
    expect(answer.body['message']).toContain('messages[1] not stored in A.2')
    expect(values('A')).toEqual(['a', 'c'])
  })
})

test('a topic grows by a partition when it passes the threshold, and its messages spread', async () => {
  await running.stop()
  running = await runWriteManager({ SLUICE_PARTITION_MESSAGES_MAX: '5' })
  const producer = await running.register('A')
  const produce = (): Promise<unknown> =>
    running.call('POST', '/producer/produce', { producer_id: producer, topic_name: 'A', message: 'm' })
  for (let i = 0; i < 5; i++) await produce()
  await eventually(async () => {
    expect((await running.call('GET', '/topics/A')).body['partitions']).toEqual(['A.1', 'A.2'])
  })
  await produce()
  await produce()
  expect(running.cluster.partition('A', 2).end).toBeGreaterThan(0)
  const added = running.cluster.metadata.log.filter(([, command]) => command.kind === 'add-partition')
  expect(added).toHaveLength(1)
})
