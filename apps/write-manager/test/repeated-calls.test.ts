import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import { RpcMethod } from '@sluice/contracts'
import { BrokerError, toTopicName } from '@sluice/domain'
import { eventually } from '@sluice/foundation/testing'
import { jumpHash } from '../src/jump-hash.js'
import { type Running, runWriteManager } from './running-write-manager.js'

const CLIENTS = { 'x-sluice-id-origin': 'client', 'x-sluice-retry': '1' }
const RETRY = { 'x-sluice-retry': '1' }

let first: Running
let second: Running
let producer: number

beforeEach(async () => {
  first = await runWriteManager({ SLUICE_PRODUCE_TIMEOUT_MS: '600', WRITE_MANAGER_ID: 'write-manager-1' })
  second = await runWriteManager(
    { SLUICE_PRODUCE_TIMEOUT_MS: '600', WRITE_MANAGER_ID: 'write-manager-2' },
    first.cluster,
  )
  const hourAgo = Date.now() - 3_600_000
  first.cluster.metadata.propose({ kind: 'create-topic', at: hourAgo, topic: 'A', partitions: 1 })
  producer = await first.register('A')
})

afterEach(async () => {
  await second.stop()
  await first.stop()
})

const produce = (
  manager: Running,
  body: Record<string, unknown>,
  headers: Record<string, string> = {},
): Promise<{ status: number; body: Record<string, unknown> }> =>
  manager.call('POST', '/producer/produce', { producer_id: producer, topic_name: 'A', ...body }, headers)

const requestId = (n: number): Record<string, string> => ({
  'x-request-id': n.toString(16).padStart(32, '0'),
})

function stored(partitions = 1): string[] {
  return Array.from({ length: partitions }, (_, i) => first.cluster.partition('A', i + 1).records())
    .flat()
    .map(({ value }) => Buffer.from(value!).toString())
}

/** Partitions made with the topic have settled; those that are added have not. */
async function grow(createdAt: number): Promise<void> {
  first.cluster.metadata.propose({ kind: 'add-partition', at: createdAt, topic: 'A' })
  const { length } = first.cluster.metadata.state.partitionsOf(toTopicName('A'))
  for (const manager of [first, second])
    await eventually(async () => {
      const { body } = await manager.call('GET', '/topics/A')
      expect(JSON.stringify(body)).toContain(`A.${length}`)
    })
}

function loseAnswersOf(method: number): void {
  first.cluster.script = async (call, next) => {
    const answer = await next()
    if (call.method !== method) return answer
    throw new BrokerError('CONNECTION_LOST', 'gone', { outcome: 'unknown' })
  }
}

function heal(): void {
  first.cluster.script = (_call, next) => next()
}

describe('a message with an id of its own', () => {
  test('is stored once, through whichever write manager it comes again, and answered alike', async () => {
    const call = { message: 'm', message_id: 'order-7' }
    const once = await produce(first, call)
    expect(once.body).toMatchObject({ partition: 'A.1', offset: 0 })
    expect(once.body).not.toHaveProperty('duplicate')
    for (const manager of [first, second]) {
      const again = await produce(manager, call)
      expect(again).toEqual({ status: 200, body: { ...once.body, duplicate: true } })
    }
    expect(stored()).toEqual(['m'])
  })

  test('is stored once when its answer was lost', async () => {
    loseAnswersOf(RpcMethod.PRODUCE)
    const lost = await produce(first, { message: 'm', message_id: 'a' })
    expect(lost.body).toMatchObject({ code: 'TIMEOUT', outcome: 'unknown', retriable: true })
    heal()
    const again = await produce(second, { message: 'm', message_id: 'a' })
    expect(again.body).toMatchObject({ status: 'success', offset: 0, duplicate: true })
    expect(stored()).toEqual(['m'])
  })

  test('is stored once when it comes through both at the same time', async () => {
    const answers = await Promise.all(
      Array.from({ length: 40 }, (_, i) =>
        produce(i % 2 === 0 ? first : second, { message: 'm', message_id: `id-${i >> 1}` }),
      ),
    )
    expect(answers.map(({ status }) => status)).toEqual(new Array(40).fill(200))
    expect(answers.filter(({ body }) => body['duplicate'] === true)).toHaveLength(20)
    expect(stored()).toHaveLength(20)
  })

  test('is told from the same id of another producer', async () => {
    await produce(first, { message: 'mine', message_id: 'a' })
    const other = await first.register('A')
    const answer = await produce(second, { producer_id: other, message: 'theirs', message_id: 'a' })
    expect(answer.body).not.toHaveProperty('duplicate')
    expect(stored()).toEqual(['mine', 'theirs'])
  })

  test('in a call of several: those that are stored are named, the others are stored', async () => {
    await produce(first, { messages: [{ message: 'b', message_id: 'b' }] })
    const { body } = await produce(second, {
      messages: ['a', 'b', 'c'].map((name) => ({ message: name, message_id: name })),
    })
    expect(body['messages']).toMatchObject([{ offset: 1 }, { offset: 0, duplicate: true }, { offset: 2 }])
    expect(stored()).toEqual(['b', 'a', 'c'])
  })

  test('goes where it went when the topic has grown since', async () => {
    const ids = Array.from({ length: 30 }, (_, i) => `id-${i}`)
    for (const id of ids) await produce(first, { message: id, message_id: id })
    // Old enough to take messages by their ids, new enough to be remembered as new.
    await grow(Date.now() - 60_000)
    const moved = new Set<unknown>()
    for (const id of ids) {
      const { body } = await produce(second, { message: id, message_id: id })
      expect(body).toMatchObject({ status: 'success', partition: 'A.1', duplicate: true })
    }
    for (const id of ids)
      moved.add((await produce(second, { message: id, message_id: `${id}-new` })).body['partition'])
    expect(moved).toEqual(new Set(['A.1', 'A.2']))
    expect(stored(2)).toHaveLength(60)
  })

  test('is not stored anywhere while the place where it may be cannot be asked', async () => {
    const ids = Array.from({ length: 8 }, (_, i) => `id-${i}`)
    for (const id of ids) await produce(first, { message: id, message_id: id })
    await grow(Date.now() - 60_000)
    first.cluster.moveLeader(first.cluster.groupOf('A', 1), 99)
    const answers = await Promise.all(ids.map((id) => produce(second, { message: id, message_id: id })))
    // Whether the try ends first or the wait for it is up to the clock: either says that nothing is sure.
    for (const { body } of answers)
      expect(body).toMatchObject({
        status: 'failure',
        code: expect.stringMatching(/^(NO_QUORUM|TIMEOUT)$/),
        retriable: true,
      })
    expect(answers.some(({ body }) => body['outcome'] === 'unknown')).toBe(true)
    expect(first.cluster.partition('A', 2).records()).toEqual([])
  })

  test('goes to a new partition only when every write manager must have heard of it', async () => {
    await grow(Date.now())
    for (let i = 0; i < 20; i++) {
      const { body } = await produce(second, { message: 'm', message_id: `id-${i}` })
      expect(body).toMatchObject({ partition: 'A.1' })
    }
  })
})

describe('a call with a request id of the client', () => {
  test('is stored once, of several messages too; with other content it is another call', async () => {
    const headers = { ...requestId(5), ...CLIENTS }
    const call = { messages: ['a', { message: 'b', key: 'k' }, 'a'] }
    const once = await produce(first, call, headers)
    expect(stored()).toEqual(['a', 'b', 'a'])
    const again = await produce(second, call, headers)
    const expected = (once.body['messages'] as object[]).map((one) => ({ ...one, duplicate: true }))
    expect(again.body['messages']).toEqual(expected)
    await produce(second, { messages: ['a', 'x'] }, headers)
    expect(stored()).toEqual(['a', 'b', 'a', 'x'])
  })
})

describe('a call that the load balancer gives to a second write manager', () => {
  beforeEach(async () => {
    await grow(Date.now())
    await grow(Date.now())
  })

  test('is stored once, wherever the first one has put it', async () => {
    for (let n = 1; n <= 6; n++) {
      const once = await produce(first, { message: `m${n}` }, requestId(n))
      const again = await produce(second, { message: `m${n}` }, { ...requestId(n), ...RETRY })
      expect(again.body).toEqual({ ...once.body, duplicate: true })
    }
    expect(stored(3)).toHaveLength(6)
  })

  test('is stored when the first one did not, and then what the first one sends late is not', async () => {
    await produce(second, { message: 'turns' })
    let late: (() => void) | undefined
    const blocked = new Promise<void>((resolve) => (late = resolve))
    let held = 0
    first.cluster.script = async (call, next) => {
      // The first batch is in a socket's buffer for a while.
      if (call.method === RpcMethod.PRODUCE && held++ === 0) await blocked
      return next()
    }
    const slow = produce(first, { message: 'm' }, requestId(9))
    await eventually(() => expect(held).toBe(1))
    const retried = await produce(second, { message: 'm' }, { ...requestId(9), ...RETRY })
    expect(retried.body).toMatchObject({ status: 'success' })
    late!()
    await slow
    expect(stored(3).toSorted()).toEqual(['m', 'turns'])
  })

  test('of several messages without keys is stored once', async () => {
    const call = { messages: Array.from({ length: 25 }, (_, i) => `m${i}`) }
    const once = await produce(first, call, requestId(11))
    const again = await produce(second, call, { ...requestId(11), ...RETRY })
    const places = (body: Record<string, unknown>): unknown[] =>
      (body['messages'] as { partition: string; offset: number }[]).map(({ partition, offset }) => [
        partition,
        offset,
      ])
    expect(places(again.body)).toEqual(places(once.body))
    expect(stored(3)).toHaveLength(25)
  })

  test('is not stored while a place where it may be cannot be asked', async () => {
    first.cluster.moveLeader(first.cluster.groupOf('A', 2), 99)
    const answers = await Promise.all(
      [21, 22, 23].map((n) => produce(second, { message: 'm' }, { ...requestId(n), ...RETRY })),
    )
    for (const { body } of answers) expect(body).toMatchObject({ status: 'failure', retriable: true })
    expect(stored(3)).toEqual([])
  })
})

test('one more bucket moves only what goes into it', () => {
  const counts = new Array<number>(10).fill(0)
  for (let i = 0; i < 20_000; i++) {
    const seed = Math.imul(i + 1, 0x9e3779b1) >>> 0
    let before = jumpHash(seed, 1)
    expect(before).toBe(0)
    for (let buckets = 2; buckets <= 10; buckets++) {
      const now = jumpHash(seed, buckets)
      if (now !== before) expect(now).toBe(buckets - 1)
      before = now
    }
    counts[before]!++
  }
  for (const count of counts) {
    expect(count).toBeGreaterThan(1700)
    expect(count).toBeLessThan(2300)
  }
})
