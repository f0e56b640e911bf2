import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import { eventually } from '@sluice/foundation/testing'
import { publish, type Running, runReadManager } from './running-read-manager.js'

let running: Running

beforeEach(async () => {
  running = await runReadManager({ SLUICE_CONSUME_TIMEOUT_MS: '1000', SLUICE_PARTITION_PATIENCE_MS: '100' })
  await running.createTopic('A', 2)
  await publish(running.cluster, { topic: 'A', partition: 1 }, [
    { timestamp: 1000, value: Buffer.from('a') },
    { timestamp: 2000, value: Buffer.from('b') },
    { timestamp: 3000, value: Buffer.from('c') },
  ])
})

afterEach(() => running.stop())

async function messageFor(consumer: number): Promise<unknown> {
  return (await running.consume(consumer, 'A')).body['message']
}

describe('a consumer registers', () => {
  test('and starts at the earliest message unless it says otherwise', async () => {
    const { status, body } = await running.call('POST', '/consumer/register', { topic: 'A' })
    const id = Number(body['consumer_id'])
    expect({ status, body }).toEqual({
      status: 200,
      body: {
        status: 'success',
        consumer_id: id,
        topic: 'A',
        message: `Consumer ID ${id} subscribed to topic A`,
      },
    })
    expect(await messageFor(id)).toBe('a')
  })

  test('to start at the latest: it gets what comes after the registration', async () => {
    const consumer = await running.register('A', { start: 'latest' })
    expect((await running.consume(consumer, 'A')).status).toBe(404)
    await publish(running.cluster, { topic: 'A', partition: 1 }, ['d'])
    expect(await messageFor(consumer)).toBe('d')
  })

  test('to start at a time', async () => {
    expect(await messageFor(await running.register('A', { start: 1500 }))).toBe('b')
    expect(await messageFor(await running.register('A', { start: '1970-01-01T00:00:03Z' }))).toBe('c')
  })

  test('a consumer that was registered through another read manager is known at once', async () => {
    const other = await runReadManager({}, running.cluster)
    try {
      expect(await messageFor(await other.register('A'))).toBe('a')
    } finally {
      await other.stop()
    }
  })
})

describe('acknowledging by hand', () => {
  test('a message is given again until it is acknowledged; the cursor never goes back', async () => {
    const consumer = await running.register('A', { ack: 'manual' })
    const ack = (offset: number): Promise<unknown> =>
      running
        .call('POST', '/consumer/ack', { consumer_id: consumer, topic_name: 'A', partition: 'A.1', offset })
        .then(({ body }) => body['cursor'])
    expect([await messageFor(consumer), await messageFor(consumer)]).toEqual(['a', 'a'])
    expect(await ack(1)).toBe(2)
    expect(await messageFor(consumer)).toBe('c')
    expect(await ack(0)).toBe(2)
    expect(await messageFor(consumer)).toBe('c')
  })

  test('a message that is not there cannot be acknowledged', async () => {
    const consumer = await running.register('A', { ack: 'manual' })
    const body = { consumer_id: consumer, topic_name: 'A', partition: 1, offset: 3 }
    expect(await running.call('POST', '/consumer/ack', body)).toMatchObject({
      status: 416,
      body: { code: 'OFFSET_OUT_OF_RANGE', field: 'offset', outcome: 'no' },
    })
    expect(await messageFor(consumer)).toBe('a')
  })
})

describe('seeking, lag and size', () => {
  test('the cursor goes back and forth in one partition, and in all', async () => {
    const consumer = await running.register('A')
    const seek = (fields: object): Promise<unknown> =>
      running
        .call('POST', '/consumer/seek', { consumer_id: consumer, topic_name: 'A', ...fields })
        .then(({ body }) => body['partitions'])
    expect(await seek({ partition: 1, offset: 2 })).toEqual([{ partition: 'A.1', cursor: 2 }])
    expect(await messageFor(consumer)).toBe('c')
    expect(await seek({ to: 'earliest' })).toEqual([
      { partition: 'A.1', cursor: 0 },
      { partition: 'A.2', cursor: 0 },
    ])
    expect(await messageFor(consumer)).toBe('a')
    expect(await seek({ partition: 1, to: 'latest' })).toEqual([{ partition: 'A.1', cursor: 3 }])
  })

  test.each([
    ['a JSON body', '/size', { consumer_id: 2, topic_name: 'A' }],
    ['a query', '/size?consumer_id=2&topic=A', undefined],
  ])('the size is the number of messages left, asked with %s', async (_name, url, body) => {
    expect(await running.register('A')).toBe(2)
    await running.consume(2, 'A')
    await publish(running.cluster, { topic: 'A', partition: 2 }, ['x'])
    expect((await running.call('GET', url, body)).body).toMatchObject({ status: 'success', size: 3 })
    const lag = await running.call('GET', '/consumer/lag?consumer_id=2&topic_name=A')
    expect(lag.body).toEqual({
      status: 'success',
      lag: 3,
      partitions: [
        { partition: 'A.1', cursor: 1, end: 3, lag: 2 },
        { partition: 'A.2', cursor: 0, end: 1, lag: 1 },
      ],
    })
  })

  test('a size is not told when a partition does not answer', async () => {
    const consumer = await running.register('A')
    running.cluster.moveLeader(running.cluster.groupOf('A', 2), 99)
    const answer = await running.call('GET', `/size?consumer_id=${consumer}&topic_name=A`)
    expect(answer).toMatchObject({ status: 503, body: { code: 'NO_QUORUM', retriable: true } })
  })
})

test('who consumes is reported as active', async () => {
  const consumer = await running.register('A')
  await messageFor(consumer)
  await eventually(() =>
    expect(running.cluster.activity).toContainEqual(
      expect.objectContaining({ consumers: [[consumer, expect.any(Number)]] }),
    ),
  )
})
