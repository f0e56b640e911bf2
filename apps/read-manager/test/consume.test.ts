import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import { decodeFetchCall, RpcMethod } from '@sluice/contracts'
import { BrokerError } from '@sluice/domain'
import { eventually } from '@sluice/foundation/testing'
import { publish, type Running, runReadManager } from './running-read-manager.js'

let running: Running

beforeEach(async () => {
  running = await runReadManager({ SLUICE_CONSUME_TIMEOUT_MS: '1500', SLUICE_PARTITION_PATIENCE_MS: '100' })
})

afterEach(() => running.stop())

const texts = (body: Record<string, unknown>): unknown[] =>
  (body['messages'] as { message: unknown }[]).map(({ message }) => message)

const connectionsOf = ({ manager }: Running): Promise<number> =>
  new Promise((resolve) => manager.app.server.getConnections((_error, count) => resolve(count)))

describe('one message at a time', () => {
  test('gives the raw text with its place, then NO_MESSAGES', async () => {
    await running.createTopic('A')
    await publish(running.cluster, { topic: 'A' }, [
      {
        timestamp: 1234,
        key: Buffer.from('k'),
        value: Buffer.from('grüße'),
        headers: [
          { key: 'h', value: Buffer.from('v') },
          { key: 'sluice.own', value: Buffer.from('not for clients') },
        ],
      },
    ])
    const consumer = await running.register('A')
    expect(await running.consume(consumer, 'A')).toEqual({
      status: 200,
      body: {
        status: 'success',
        partition: 'A.1',
        offset: 0,
        timestamp: 1234,
        message: 'grüße',
        key: 'k',
        headers: { h: 'v' },
      },
    })
    expect(await running.consume(consumer, 'A')).toMatchObject({
      status: 404,
      body: { status: 'failure', code: 'NO_MESSAGES', component: 'read-manager' },
    })
  })

  test('bytes that are no text travel as base64', async () => {
    await running.createTopic('A')
    const bytes = Buffer.from([0xff, 0xfe])
    await publish(running.cluster, { topic: 'A' }, [{ value: bytes, key: bytes }])
    const { body } = await running.consume(await running.register('A'), 'A')
    expect(body).toMatchObject({
      message_base64: bytes.toString('base64'),
      key_base64: bytes.toString('base64'),
    })
    expect(body).not.toHaveProperty('message')
  })

  test.each([
    ['GET with a JSON body', 'GET', '/consumer/consume', { consumer_id: 2, topic: 'A' }],
    ['GET with a query', 'GET', '/consumer/consume?consumer_id=2&topic_name=A', undefined],
    ['POST, the id as text', 'POST', '/consumer/consume', { consumer_id: '2', topic_name: 'A' }],
  ] as const)('%s', async (_name, method, url, body) => {
    await running.createTopic('A')
    await publish(running.cluster, { topic: 'A' }, ['m'])
    expect(await running.register('A')).toBe(2)
    expect((await running.call(method, url, body)).body).toMatchObject({ status: 'success', message: 'm' })
  })

  test('the partitions take turns, and "nothing" is said only when all are empty', async () => {
    await running.createTopic('A', 3)
    await publish(running.cluster, { topic: 'A', partition: 1 }, ['1a', '1b', '1c'])
    await publish(running.cluster, { topic: 'A', partition: 3 }, ['3a', '3b'])
    const consumer = await running.register('A')
    const got: unknown[] = []
    for (let i = 0; i < 5; i++) got.push((await running.consume(consumer, 'A')).body['message'])
    expect(got).toEqual(['1a', '3a', '1b', '3b', '1c'])
    expect((await running.consume(consumer, 'A')).status).toBe(404)
  })

  test('a message in a partition that was added a moment ago is found', async () => {
    await running.createTopic('A')
    const consumer = await running.register('A')
    let isHeld = true
    running.cluster.script = async (call, next) => {
      const answer = await next()
      if (call.method !== RpcMethod.META_FOLLOW) return answer
      // News travels slowly.
      while (isHeld) await new Promise((resolve) => setTimeout(resolve, 5))
      return answer
    }
    running.cluster.metadata.propose({ kind: 'add-partition', at: 1, topic: 'A' })
    await publish(running.cluster, { topic: 'A', partition: 2 }, ['new'])
    const consumed = running.consume(consumer, 'A')
    await eventually(() => expect(running.cluster.callsOf(RpcMethod.META_VERSION)).not.toHaveLength(0))
    isHeld = false
    expect((await consumed).body).toMatchObject({ partition: 'A.2', message: 'new' })
  })

  test('eight readers that share a consumer get every message once, and none is told "nothing" too early', async () => {
    await running.createTopic('A', 4)
    for (let partition = 1; partition <= 4; partition++)
      await publish(
        running.cluster,
        { topic: 'A', partition },
        Array.from({ length: 50 }, (_, i) => `${partition}-${i}`),
      )
    const consumer = await running.register('A')
    const got: unknown[] = []
    const read = async (): Promise<void> => {
      for (;;) {
        const { status, body } = await running.consume(consumer, 'A')
        if (status === 404) return
        got.push(body['message'])
      }
    }
    await Promise.all(Array.from({ length: 8 }, read))
    expect(got).toHaveLength(200)
    expect(new Set(got).size).toBe(200)
  })
})

describe('several messages at a time', () => {
  test('are gathered over the partitions up to the number asked for', async () => {
    await running.createTopic('A', 3)
    await publish(running.cluster, { topic: 'A', partition: 1 }, ['1a', '1b'])
    await publish(running.cluster, { topic: 'A', partition: 2 }, ['2a', '2b', '2c'])
    const consumer = await running.register('A')
    const first = await running.consume(consumer, 'A', { max_messages: 4 })
    expect(first.body).toMatchObject({ status: 'success', count: 4 })
    expect(texts(first.body)).toEqual(['1a', '1b', '2a', '2b'])
    expect(texts((await running.consume(consumer, 'A', { max_messages: 4 })).body)).toEqual(['2c'])
    expect((await running.consume(consumer, 'A', { max_messages: 4 })).body).toEqual({
      status: 'success',
      count: 0,
      messages: [],
    })
  })

  test('an answer is bounded in bytes', async () => {
    await running.stop()
    running = await runReadManager({ SLUICE_ANSWER_BYTES_MAX: '2000' })
    await running.createTopic('A', 2)
    await publish(running.cluster, { topic: 'A', partition: 1 }, ['x'.repeat(2000)])
    await publish(running.cluster, { topic: 'A', partition: 2 }, ['y'])
    const consumer = await running.register('A')
    expect((await running.consume(consumer, 'A', { max_messages: 10 })).body).toMatchObject({ count: 1 })
    expect((await running.consume(consumer, 'A', { max_messages: 10 })).body).toMatchObject({ count: 1 })
  })
})

describe('waiting', () => {
  test('a message that comes meanwhile is given at once, whichever partition it is in', async () => {
    await running.createTopic('A', 2)
    const consumer = await running.register('A')
    const consumed = running.consume(consumer, 'A', { wait_ms: 20_000 })
    await eventually(() => expect(running.cluster.callsOf(RpcMethod.AWAIT)).toHaveLength(2))
    await publish(running.cluster, { topic: 'A', partition: 2 }, ['m'])
    expect((await consumed).body).toMatchObject({ message: 'm' })
  })

  test('a consumer that waits hears that its topic was deleted', async () => {
    await running.createTopic('A')
    const consumer = await running.register('A')
    const consumed = running.consume(consumer, 'A', { wait_ms: 20_000 })
    await eventually(() => expect(running.cluster.callsOf(RpcMethod.AWAIT).length).toBeGreaterThan(0))
    running.cluster.metadata.propose({ kind: 'delete-topic', at: Date.now(), topic: 'A' })
    expect((await consumed).body).toMatchObject({ code: 'TOPIC_NOT_FOUND', field: 'topic_name' })
    await running.createTopic('A')
    expect((await running.consume(consumer, 'A')).body).toMatchObject({ code: 'CONSUMER_NOT_FOUND' })
  })

  test('a message in a partition that is added meanwhile is given, too', async () => {
    await running.createTopic('A')
    const consumer = await running.register('A')
    const consumed = running.consume(consumer, 'A', { wait_ms: 20_000, max_messages: 5 })
    await eventually(() => expect(running.cluster.callsOf(RpcMethod.AWAIT)).toHaveLength(1))
    running.cluster.metadata.propose({ kind: 'add-partition', at: 1, topic: 'A' })
    await eventually(() => expect(running.cluster.callsOf(RpcMethod.AWAIT)).toHaveLength(2))
    await publish(running.cluster, { topic: 'A', partition: 2 }, ['m'])
    expect(texts((await consumed).body)).toEqual(['m'])
  })

  test('many who wait for a partition cost one question', async () => {
    await running.createTopic('A')
    const consumers = [await running.register('A'), await running.register('A'), await running.register('A')]
    const consumed = consumers.map((consumer) => running.consume(consumer, 'A', { wait_ms: 20_000 }))
    await eventually(() => expect(running.cluster.callsOf(RpcMethod.FETCH)).toHaveLength(3))
    await publish(running.cluster, { topic: 'A' }, ['m'])
    for (const answer of await Promise.all(consumed)) expect(answer.body).toMatchObject({ message: 'm' })
    expect(running.cluster.callsOf(RpcMethod.AWAIT).length).toBeLessThanOrEqual(2)
  })

  test('ends with nothing when the time is up', async () => {
    await running.createTopic('A')
    const consumer = await running.register('A')
    expect((await running.consume(consumer, 'A', { wait_ms: 30 })).status).toBe(404)
  })

  test('ends when the process stops, which answers everyone first', async () => {
    await running.createTopic('A')
    const consumer = await running.register('A')
    const url = `http://127.0.0.1:${running.manager.port}/consumer/consume`
    const waiting = fetch(`${url}?consumer_id=${consumer}&topic=A&max_messages=1&wait_ms=30000`)
    await eventually(() => expect(running.cluster.callsOf(RpcMethod.AWAIT)).toHaveLength(1))
    await running.manager.stop()
    const answer = await waiting
    expect(await answer.json()).toMatchObject({ status: 'success', messages: [] })
  })

  test('ends when the caller goes away: nothing is taken for it any more', async () => {
    await running.createTopic('A')
    const consumer = await running.register('A')
    const url = `http://127.0.0.1:${running.manager.port}/consumer/consume`
    const leaving = new AbortController()
    const waiting = fetch(`${url}?consumer_id=${consumer}&topic=A&wait_ms=30000`, { signal: leaving.signal })
    const left = waiting.catch((error: unknown) => String(error))
    await eventually(() => expect(running.cluster.callsOf(RpcMethod.AWAIT)).toHaveLength(1))
    leaving.abort()
    expect(await left).toContain('abort')
    await eventually(async () => expect(await connectionsOf(running)).toBe(0))
    await publish(running.cluster, { topic: 'A' }, ['m'])
    expect((await running.consume(consumer, 'A')).body).toMatchObject({ message: 'm' })
  })
})

describe('when something fails', () => {
  test('a partition without a leader does not keep the others from being served', async () => {
    await running.createTopic('A', 2)
    await publish(running.cluster, { topic: 'A', partition: 1 }, ['1a'])
    await publish(running.cluster, { topic: 'A', partition: 2 }, ['2a', '2b'])
    running.cluster.moveLeader(running.cluster.groupOf('A', 1), 99)
    const consumer = await running.register('A')
    expect((await running.consume(consumer, 'A')).body).toMatchObject({ message: '2a' })
    expect((await running.consume(consumer, 'A')).body).toMatchObject({ message: '2b' })
    expect(await running.consume(consumer, 'A')).toMatchObject({
      status: 503,
      body: { code: 'NO_QUORUM', retriable: true, component: 'broker' },
    })
    running.cluster.moveLeader(running.cluster.groupOf('A', 1), 1)
    expect((await running.consume(consumer, 'A')).body).toMatchObject({ message: '1a' })
  })

  test('a leader that dies after it gave a message, before it answered: the message is delivered once', async () => {
    await running.createTopic('A')
    await publish(running.cluster, { topic: 'A' }, ['a', 'b'])
    const consumer = await running.register('A')
    const groupId = running.cluster.groupOf('A')
    running.cluster.script = async (call, next) => {
      const answer = await next()
      if (call.method !== RpcMethod.FETCH) return answer
      running.cluster.script = (_call, now) => now()
      running.cluster.moveLeader(groupId, (call.brokerId % 3) + 1)
      await running.cluster.broker(call.brokerId).stop()
      return answer
    }
    expect((await running.consume(consumer, 'A')).body).toMatchObject({ message: 'a' })
    expect((await running.consume(consumer, 'A')).body).toMatchObject({ message: 'b' })
  })

  test('what was given in an answer that stayed lost is given by a later call, in parts if need be', async () => {
    await running.createTopic('A')
    await publish(running.cluster, { topic: 'A' }, ['a', 'b', 'c', 'd'])
    const consumer = await running.register('A')
    running.cluster.script = async (call, next) => {
      const answer = await next()
      if (call.method !== RpcMethod.FETCH) return answer
      throw new BrokerError('CONNECTION_LOST', 'gone', { outcome: 'unknown' })
    }
    const lost = await running.consume(consumer, 'A', { max_messages: 3 })
    expect(lost.status).toBeGreaterThanOrEqual(500)
    running.cluster.script = (_call, next) => next()
    const got: unknown[] = []
    for (let i = 0; i < 4; i++) got.push((await running.consume(consumer, 'A')).body['message'])
    expect(got).toEqual(['a', 'b', 'c', 'd'])
    expect((await running.consume(consumer, 'A')).status).toBe(404)
  })

  test('a call that another read manager carried out before it died is answered the same', async () => {
    await running.createTopic('A', 2)
    await publish(running.cluster, { topic: 'A', partition: 1 }, ['1a', '1b'])
    await publish(running.cluster, { topic: 'A', partition: 2 }, ['2a'])
    const consumer = await running.register('A')
    const call = { consumer_id: consumer, topic_name: 'A' }
    const id = { 'x-request-id': '00112233445566778899AABBCCDDEEFF' }
    const first = await running.call('POST', '/consumer/consume', call, id)
    const other = await runReadManager({}, running.cluster)
    try {
      const again = await other.call('POST', '/consumer/consume', call, { ...id, 'x-sluice-retry': '1' })
      expect(again.body).toEqual(first.body)
      const next = await other.call('POST', '/consumer/consume', call, { 'x-sluice-retry': '1' })
      expect(next.body).not.toEqual(first.body)
    } finally {
      await other.stop()
    }
    expect(running.cluster.partition('A', 1).cursor(consumer)).toBe(1)
  })

  describe('two read managers', () => {
    const ID = { 'x-request-id': 'aa'.repeat(16), 'x-sluice-retry': '1' }
    let other: Running

    beforeEach(async () => {
      other = await runReadManager(
        { SLUICE_PARTITION_PATIENCE_MS: '100', SLUICE_CONSUME_TIMEOUT_MS: '1000' },
        running.cluster,
      )
      await running.createTopic('A')
      await publish(running.cluster, { topic: 'A' }, ['a', 'b', 'c', 'd'])
    })

    afterEach(() => other.stop())

    /** Answers of these calls get lost after the broker has carried them out. */
    const loseAnswersOf = (...methods: readonly number[]): void => {
      running.cluster.script = async (call, next) => {
        const answer = await next()
        if (!methods.includes(call.method)) return answer
        throw new BrokerError('CONNECTION_LOST', 'gone', { outcome: 'unknown' })
      }
    }
    const heal = (): void => {
      running.cluster.script = (_call, next) => next()
    }
    const take = (manager: Running, consumer: number, max: number, headers = {}): Promise<unknown[]> =>
      manager
        .call('POST', '/consumer/consume', { consumer_id: consumer, topic: 'A', max_messages: max }, headers)
        .then(({ body }) => texts(body))

    test('what a repeated call got from one is not given again by the other, which lost its answer', async () => {
      const consumer = await running.register('A')
      // Neither the messages nor their return get through to the first one.
      running.cluster.script = (call, next) => {
        const isTheirs = call.method === RpcMethod.FETCH || call.method === RpcMethod.RELEASE
        if (!isTheirs) return next()
        if (call.method === RpcMethod.RELEASE)
          throw new BrokerError('CONNECTION_LOST', 'gone', { outcome: 'unknown' })
        return Promise.resolve(next()).then(() => {
          throw new BrokerError('CONNECTION_LOST', 'gone', { outcome: 'unknown' })
        })
      }
      const call = { consumer_id: consumer, topic: 'A', max_messages: 2 }
      const lost = await running.call('POST', '/consumer/consume', call, ID)
      expect(lost.status).toBeGreaterThanOrEqual(500)
      running.cluster.script = (made, next) => {
        if (made.method === RpcMethod.RELEASE)
          throw new BrokerError('CONNECTION_LOST', 'gone', { outcome: 'unknown' })
        return next()
      }
      expect(await take(other, consumer, 2, ID)).toEqual(['a', 'b'])
      heal()
      let next: unknown[] = []
      // Refused until the messages are given back, or their return is refused.
      await eventually(async () => (next = await take(running, consumer, 2)))
      expect(next).toEqual(['c', 'd'])
      expect(await take(other, consumer, 2)).toEqual([])
    })

    test('what one was given for a call that failed is given by the other, before what follows it', async () => {
      const consumer = await running.register('A')
      loseAnswersOf(RpcMethod.FETCH)
      const call = { consumer_id: consumer, topic: 'A', max_messages: 2 }
      const lost = await running.call('POST', '/consumer/consume', call)
      expect(lost.status).toBeGreaterThanOrEqual(500)
      heal()
      await eventually(() => expect(running.cluster.partition('A').cursor(consumer)).toBe(0))
      expect(await take(other, consumer, 4)).toEqual(['a', 'b', 'c', 'd'])
    })

    test('messages that were lost once belong to the call that gives them then: repeated, it gives them again', async () => {
      const consumer = await running.register('A')
      loseAnswersOf(RpcMethod.FETCH)
      const call = { consumer_id: consumer, topic: 'A', max_messages: 2 }
      await running.call('POST', '/consumer/consume', call)
      heal()
      const got = await take(running, consumer, 2, ID)
      expect(got).toEqual(['a', 'b'])
      expect(await take(other, consumer, 2, ID)).toEqual(got)
      expect(await take(other, consumer, 2)).toEqual(['c', 'd'])
    })

    test('messages for a caller that went away are for whoever asks next', async () => {
      const consumer = await running.register('A')
      const leaving = new AbortController()
      running.cluster.script = async (call, next) => {
        const answer = await next()
        if (call.method !== RpcMethod.FETCH) return answer
        leaving.abort()
        await eventually(async () => expect(await connectionsOf(running)).toBe(0))
        return answer
      }
      const url = `http://127.0.0.1:${running.manager.port}/consumer/consume?consumer_id=${consumer}&topic=A`
      await fetch(url, { signal: leaving.signal }).catch(() => undefined)
      heal()
      await eventually(() => expect(running.cluster.partition('A').cursor(consumer)).toBe(0))
      expect(await take(other, consumer, 4)).toEqual(['a', 'b', 'c', 'd'])
    })

    test('a partition that may have given messages is not asked again for a caller that went away meanwhile', async () => {
      const consumer = await running.register('A')
      const leaving = new AbortController()
      running.cluster.script = async (call, next) => {
        const answer = await next()
        if (call.method !== RpcMethod.FETCH) return answer
        leaving.abort()
        await eventually(async () => expect(await connectionsOf(running)).toBe(0))
        throw new BrokerError('CONNECTION_LOST', 'gone', { outcome: 'unknown' })
      }
      const url = `http://127.0.0.1:${running.manager.port}/consumer/consume?consumer_id=${consumer}&topic=A`
      await fetch(url, { signal: leaving.signal }).catch(() => undefined)
      await eventually(() => expect(running.cluster.callsOf(RpcMethod.RELEASE)).not.toHaveLength(0))
      expect(running.cluster.callsOf(RpcMethod.FETCH)).toHaveLength(1)
      heal()
      await eventually(() => expect(running.cluster.partition('A').cursor(consumer)).toBe(0))
      expect(await take(other, consumer, 4)).toEqual(['a', 'b', 'c', 'd'])
    })

    test('a repeated call that cannot ask one partition what it gave is refused: what is behind does not overtake', async () => {
      const consumer = await running.register('A')
      running.cluster.metadata.propose({ kind: 'add-partition', at: 1, topic: 'A' })
      await publish(running.cluster, { topic: 'A', partition: 2 }, ['x'])
      const first = { 'x-request-id': 'bb'.repeat(16), 'x-sluice-retry': '1' }
      // The first answer never reaches the client: it had a and b of A.1.
      expect(await take(running, consumer, 2, first)).toEqual(['a', 'b'])
      running.cluster.moveLeader(running.cluster.groupOf('A', 1), 99)
      const call = { consumer_id: consumer, topic_name: 'A', max_messages: 2 }
      const refused = await other.call('POST', '/consumer/consume', call, first)
      expect(refused).toMatchObject({ status: 503, body: { code: 'NO_QUORUM', retriable: true } })
      running.cluster.moveLeader(running.cluster.groupOf('A', 1), 1)
      const rest: unknown[] = []
      await eventually(async () => {
        rest.push(...(await take(other, consumer, 4)))
        expect(rest).toHaveLength(5)
      })
      expect(rest.filter((message) => message !== 'x')).toEqual(['a', 'b', 'c', 'd'])
    })

    test('of two tries the one that was sent later has the messages, whichever is carried out last', async () => {
      const consumer = await running.register('A')
      const nth = (number: number) => ({ ...ID, 'x-sluice-try': String(number) })
      expect(await take(running, consumer, 2, nth(2000))).toEqual(['a', 'b'])
      // Read by a manager that had stood still.
      expect(await take(other, consumer, 2, nth(1000))).toEqual(['a', 'b'])
      const holders = running.cluster
        .callsOf(RpcMethod.FETCH)
        .map(({ payload }) => decodeFetchCall(payload).holder)
      expect(Math.max(...holders.slice(-1))).toBeLessThan(Math.min(...holders.slice(0, 1)))
    })
  })

  test('a batch that is damaged is not delivered, and not passed over', async () => {
    await running.createTopic('A')
    await publish(running.cluster, { topic: 'A' }, ['a'])
    await publish(running.cluster, { topic: 'A' }, ['b'])
    const consumer = await running.register('A')
    running.cluster.partition('A').corrupt(0)
    expect((await running.consume(consumer, 'A')).body).toMatchObject({
      code: 'CORRUPT_BATCH',
      component: 'broker',
    })
    running.cluster.partition('A').corrupt(0)
    expect((await running.consume(consumer, 'A')).body).toMatchObject({ message: 'a' })
    expect((await running.consume(consumer, 'A')).body).toMatchObject({ message: 'b' })
  })
})
