import { describe, expect, test } from '@jest/globals'
import { BrokerError, decodeRecords, readBatchHeader, readRuns, type RecordData } from '@sluice/domain'
import { type Deferred, deferred } from '@sluice/foundation'
import { eventually, ManualClock } from '@sluice/foundation/testing'
import { BatchGatherer, type GathererLimits, type SendBatch, type Stored } from '../src/batch-gatherer.js'
import { BatchSequence } from '../src/batch-sequence.js'
import { ByteBudget } from '../src/byte-budget.js'

interface Sent {
  readonly values: readonly string[]
  readonly baseSequence: number
  readonly timeoutMs: number
  readonly runIds: readonly string[]
  readonly answer: Deferred<Awaited<ReturnType<SendBatch>>>
}

const LIMITS: GathererLimits = {
  batchBytesMax: 1000,
  batchRecordsMax: 5,
  queueBytesMax: 4000,
  timeoutMs: 10_000,
}

function open(limits: Partial<GathererLimits> = {}, budgetBytes = 1_000_000) {
  const sent: Sent[] = []
  const clock = new ManualClock()
  const budget = new ByteBudget(budgetBytes)
  const gatherer = new BatchGatherer({
    name: 'orders.1',
    producerId: 5n,
    clock,
    budget,
    limits: { ...LIMITS, ...limits },
    send: (batch, { timeoutMs }) => {
      const answer = deferred<Awaited<ReturnType<SendBatch>>>()
      const values = decodeRecords(batch).map(({ value }) => Buffer.from(value!).toString())
      const runIds = readRuns(batch).map(({ id }) => id)
      sent.push({ values, baseSequence: readBatchHeader(batch).baseSequence, timeoutMs, runIds, answer })
      return answer.promise
    },
  })
  const add = async (...values: string[]): Promise<number> => {
    const sizeBytes = values.reduce((sum, value) => sum + value.length, 0)
    return (await gatherer.add(values.map(record), sizeBytes)).baseOffset
  }
  const addAs = (id: string, value: string): Promise<Stored> =>
    gatherer.add([record(value)], value.length, { id, at: 7 })
  return { sent, clock, budget, gatherer, add, addAs }
}

function record(value: string): RecordData {
  return { timestamp: 1000, key: null, value: Buffer.from(value), headers: [] }
}

async function nth(sent: readonly Sent[], count: number): Promise<Sent> {
  return eventually(() => {
    expect(sent).toHaveLength(count)
    return sent[count - 1]!
  })
}

describe('messages that come again', () => {
  const id = (n: number): string => n.toString(16).padStart(32, '0')

  test('are answered with where they are, and the others of their batch are stored', async () => {
    const { sent, addAs } = open()
    const calls = [addAs(id(1), 'a'), addAs(id(2), 'b'), addAs(id(3), 'c')]
    const batch = await nth(sent, 1)
    expect(batch.runIds).toEqual([id(1), id(2), id(3)])
    batch.answer.resolve({ repeated: new Map([[1, { kind: 'stored', baseOffset: 70, at: 5 }]]) })
    expect(await calls[1]).toEqual({ baseOffset: 70, earlierAt: 5 })
    const rest = await nth(sent, 2)
    expect(rest).toMatchObject({ values: ['a', 'c'], runIds: [id(1), id(3)], baseSequence: 3 })
    rest.answer.resolve({ baseOffset: 80 })
    expect(await Promise.all(calls)).toEqual([
      { baseOffset: 80 },
      { baseOffset: 70, earlierAt: 5 },
      { baseOffset: 81 },
    ])
  })

  test('are told that it is open when a later try has looked for them elsewhere', async () => {
    const { sent, addAs } = open()
    const late = addAs(id(1), 'a')
    const batch = await nth(sent, 1)
    batch.answer.resolve({ repeated: new Map([[0, { kind: 'void' }]]) })
    await expect(late).rejects.toMatchObject({ code: 'TIMEOUT', outcome: 'unknown', retriable: true })
    expect(sent).toHaveLength(1)
  })

  test('never travel twice in one batch', async () => {
    const { sent, addAs } = open()
    const calls = [addAs(id(1), 'a'), addAs(id(1), 'a')]
    const batch = await nth(sent, 1)
    expect(batch.values).toEqual(['a'])
    batch.answer.resolve({ baseOffset: 0 })
    const again = await nth(sent, 2)
    again.answer.resolve({ repeated: new Map([[0, { kind: 'stored', baseOffset: 0, at: 7 }]]) })
    expect(await Promise.all(calls)).toEqual([{ baseOffset: 0 }, { baseOffset: 0, earlierAt: 7 }])
  })
})

describe('BatchGatherer', () => {
  test('what arrives in one turn travels together, each call gets its own offset', async () => {
    const { sent, add } = open()
    const offsets = [add('a'), add('b', 'c'), add('d')]
    const batch = await nth(sent, 1)
    expect(batch.values).toEqual(['a', 'b', 'c', 'd'])
    batch.answer.resolve({ baseOffset: 40 })
    expect(await Promise.all(offsets)).toEqual([40, 41, 43])
  })

  test('one batch at a time: what arrives meanwhile travels in the next, with later sequences', async () => {
    const { sent, add } = open()
    const first = add('a', 'b')
    const batch = await nth(sent, 1)
    const later = [add('c'), add('d')]
    await new Promise((resolve) => setImmediate(resolve))
    expect(sent).toHaveLength(1)
    batch.answer.resolve({ baseOffset: 0 })
    await first
    const next = await nth(sent, 2)
    expect(next.values).toEqual(['c', 'd'])
    expect([batch.baseSequence, next.baseSequence]).toEqual([0, 2])
    next.answer.resolve({ baseOffset: 2 })
    expect(await Promise.all(later)).toEqual([2, 3])
  })

  test('a batch is bounded in records and bytes, and one large call travels alone', async () => {
    const { sent, add } = open()
    const calls = [add('1', '2', '3'), add('4', '5'), add('6'), add('x'.repeat(990)), add('y'.repeat(990))]
    for (const [i, values] of [
      ['1', '2', '3', '4', '5'],
      ['6', 'x'.repeat(990)],
      ['y'.repeat(990)],
    ].entries()) {
      const batch = await nth(sent, i + 1)
      expect(batch.values).toEqual(values)
      batch.answer.resolve({ baseOffset: i * 10 })
    }
    expect(await Promise.all(calls)).toEqual([0, 3, 10, 11, 20])
  })

  test('the queue of a partition is bounded: OVERLOADED, certainly not stored', async () => {
    const { sent, add } = open()
    const calls = Array.from({ length: 4 }, () => add('x'.repeat(1000)))
    await expect(add('y')).rejects.toMatchObject({ code: 'OVERLOADED', outcome: 'no', retriable: true })
    const batch = await nth(sent, 1)
    batch.answer.resolve({ baseOffset: 0 })
    await calls[0]
    const again = add('y')
    for (let i = 2; i <= 5; i++) (await nth(sent, i)).answer.resolve({ baseOffset: i })
    await expect(again).resolves.toBe(5)
  })

  test('what waits in the whole process is bounded, and given back when answered', async () => {
    const { sent, add, budget } = open({}, 100)
    const first = add('x'.repeat(100))
    await expect(add('y')).rejects.toMatchObject({ code: 'OVERLOADED' })
    ;(await nth(sent, 1)).answer.reject(new BrokerError('NO_QUORUM', 'no'))
    await expect(first).rejects.toMatchObject({ code: 'NO_QUORUM' })
    await eventually(() => expect(budget.usedBytes).toBe(0))
  })

  test('a call answers at its deadline: unknown when on its way, certainly not stored when still waiting', async () => {
    const { sent, add, clock, gatherer } = open()
    const flying = add('a')
    const batch = await nth(sent, 1)
    expect(batch.timeoutMs).toBe(10_000)
    clock.advance(4000)
    const waiting = add('b')
    clock.advance(6000)
    gatherer.expire()
    await expect(flying).rejects.toMatchObject({ code: 'TIMEOUT', outcome: 'unknown' })
    clock.advance(4000)
    gatherer.expire()
    await expect(waiting).rejects.toMatchObject({ code: 'TIMEOUT', outcome: 'no' })
    batch.answer.resolve({ baseOffset: 0 })
    const later = add('c')
    const next = await nth(sent, 2)
    expect(next.values).toEqual(['c'])
    expect(next.baseSequence).toBe(1)
    next.answer.resolve({ baseOffset: 1 })
    await expect(later).resolves.toBe(1)
  })

  test('a batch is worth trying for as long as its youngest call waits', async () => {
    const { sent, add, clock } = open()
    const first = add('a')
    const batch = await nth(sent, 1)
    const older = add('b')
    clock.advance(6000)
    const younger = add('c')
    clock.advance(1000)
    batch.answer.resolve({ baseOffset: 0 })
    await first
    const next = await nth(sent, 2)
    expect(next.timeoutMs).toBe(9000)
    next.answer.resolve({ baseOffset: 1 })
    expect(await Promise.all([older, younger])).toEqual([1, 2])
  })

  test('a batch that fails fails its calls and no others', async () => {
    const { sent, add, gatherer, clock } = open()
    const failing = [add('a'), add('b')]
    const batch = await nth(sent, 1)
    const next = add('c')
    batch.answer.reject(new BrokerError('STORAGE_FAILED', 'disk', { component: 'broker' }))
    for (const call of failing) await expect(call).rejects.toMatchObject({ code: 'STORAGE_FAILED' })
    expect(gatherer.stalled).toBe(true)
    const following = await nth(sent, 2)
    following.answer.resolve({ baseOffset: 0 })
    await expect(next).resolves.toBe(0)
    await eventually(() => expect(gatherer.stalled).toBe(false))
    const slow = add('d')
    await nth(sent, 3)
    clock.advance(1001)
    expect(gatherer.stalled).toBe(true)
    sent[2]!.answer.resolve({ baseOffset: 1 })
    await slow
  })

  test('closing refuses what waits', async () => {
    const { sent, add, gatherer } = open()
    const flying = add('a')
    const batch = await nth(sent, 1)
    const waiting = add('b')
    gatherer.close()
    await expect(waiting).rejects.toMatchObject({ code: 'SHUTTING_DOWN', outcome: 'no' })
    await expect(add('c')).rejects.toMatchObject({ code: 'SHUTTING_DOWN' })
    batch.answer.resolve({ baseOffset: 0 })
    await expect(flying).resolves.toBe(0)
  })
})

describe('BatchSequence', () => {
  test('grows by the records of each batch', () => {
    const sequence = new BatchSequence()
    expect(sequence.take(3)).toEqual({ producerEpoch: 0, baseSequence: 0 })
    expect(sequence.take(1)).toEqual({ producerEpoch: 0, baseSequence: 3 })
  })

  test('goes on in the next epoch before its 32 bits overflow', () => {
    const sequence = new BatchSequence(0x7fff_ffff - 1)
    expect(sequence.take(2)).toEqual({ producerEpoch: 0, baseSequence: 0x7fff_fffe })
    expect(sequence.take(1)).toEqual({ producerEpoch: 1, baseSequence: 0 })
    const nearEnd = new BatchSequence(0x7fff_ffff)
    expect(nearEnd.take(2)).toEqual({ producerEpoch: 1, baseSequence: 0 })
    expect(nearEnd.take(1)).toEqual({ producerEpoch: 1, baseSequence: 2 })
  })
})
