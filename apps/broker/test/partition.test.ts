import { afterEach, describe, expect, test } from '@jest/globals'
import { decodeRecords, encodeRecordBatch, toOffset, withRuns } from '@sluice/domain'
import { WalRangeError } from '@sluice/raft'
import { eventually } from '@sluice/foundation/testing'
import { PartitionReader } from '../src/partition-reader.js'
import type { FetchAnswer, FetchRequest } from '../src/partition-service.js'
import { batchOf, LIMITS, requestId, SingleReplica } from './single-replica.js'

let one: SingleReplica

afterEach(async () => {
  await one.destroy()
})

let nextRequest = 1
const request = (fields: Partial<FetchRequest> = {}): FetchRequest => ({
  consumerId: 1,
  requestId: requestId(nextRequest++),
  messagesMax: 1,
  bytesMax: 1_000_000,
  autoAck: true,
  lookupOnly: false,
  holder: 1,
  skipDeleted: true,
  ...fields,
})

function valuesOf(answer: FetchAnswer): string[] {
  return answer.batches
    .flatMap((batch) => decodeRecords(batch, toOffset(answer.from)))
    .filter((record) => record.offset >= answer.from && record.offset < answer.to)
    .map((record) => new TextDecoder().decode(record.value ?? new Uint8Array()))
}

describe('produce', () => {
  test('gives dense offsets, and the same batch again the same offsets', async () => {
    one = await SingleReplica.start()
    expect(await one.replica.produce(batchOf(['a', 'b'], { sequence: 0 }))).toMatchObject({
      baseOffset: 0,
      duplicate: false,
    })
    expect(await one.replica.produce(batchOf(['c'], { sequence: 2 }))).toMatchObject({
      baseOffset: 2,
      duplicate: false,
    })
    expect(await one.replica.produce(batchOf(['a', 'b'], { sequence: 0 }))).toMatchObject({
      baseOffset: 0,
      duplicate: true,
    })
    expect(one.replica.nextOffset).toBe(3)
  })

  test('of one batch many times at once stores it once', async () => {
    one = await SingleReplica.start()
    const answers = await Promise.all(
      Array.from({ length: 10 }, () => one.replica.produce(batchOf(['a'], { sequence: 0 }))),
    )
    expect(answers).toMatchObject(new Array(10).fill({ baseOffset: 0 }))
    expect(answers.filter((answer) => 'duplicate' in answer && !answer.duplicate)).toHaveLength(1)
  })

  test('refuses an older sequence and a damaged batch, and stores nothing of them', async () => {
    one = await SingleReplica.start()
    await one.replica.produce(batchOf(['new'], { sequence: 10 }))
    await expect(one.replica.produce(batchOf(['old'], { sequence: 4 }))).rejects.toMatchObject({
      code: 'STALE_SEQUENCE',
    })
    const damaged = batchOf(['x'])
    damaged[damaged.length - 1]! ^= 1
    await expect(one.replica.produce(damaged)).rejects.toMatchObject({ code: 'CORRUPT_BATCH' })
    expect(one.replica.nextOffset).toBe(1)
  })
})

describe('produce that comes again', () => {
  const at = 1_700_000_000_000
  /** Of one write manager, which is another producer than any other one. */
  const batchUnderIds = (
    producerId: bigint,
    messages: readonly (readonly [string, number])[],
  ): Uint8Array => {
    const records = messages.map(([value]) => ({
      timestamp: at,
      key: null,
      value: new TextEncoder().encode(value),
      headers: [],
    }))
    const runs = messages.map(([, id], first) => ({ id: requestId(id), at, first, count: 1 }))
    return encodeRecordBatch({
      records: withRuns(records, runs),
      producerId,
      producerEpoch: 0,
      baseSequence: 0,
    })
  }

  test('through another write manager stores nothing, and names what is stored where', async () => {
    one = await SingleReplica.start()
    const first = one.replica.produce(
      batchUnderIds(1n, [
        ['a', 1],
        ['b', 2],
      ]),
    )
    // Under way at the same time.
    const again = one.replica.produce(
      batchUnderIds(2n, [
        ['c', 3],
        ['b', 2],
      ]),
    )
    expect(await first).toMatchObject({ baseOffset: 0, duplicate: false })
    expect(await again).toEqual({ repeated: new Map([[1, { kind: 'stored', baseOffset: 1, at }]]) })
    expect(one.replica.nextOffset).toBe(2)
    expect(await one.replica.produce(batchUnderIds(3n, [['c', 3]]))).toMatchObject({ baseOffset: 2 })
  })

  test('is recognised after a restart, whatever the database has of it', async () => {
    one = await SingleReplica.start()
    await one.replica.produce(batchUnderIds(1n, [['a', 1]]))
    await one.replica.produce(batchUnderIds(2n, [['b', 2]]))
    await eventually(() => expect(one.replica.materialisedOffset).toBe(2))
    one.databaseFault = new Error('down')
    await one.replica.produce(batchUnderIds(3n, [['c', 3]]))
    await one.close()
    one.databaseFault = undefined
    await one.open()
    for (const id of [1, 2, 3])
      expect(await one.replica.produce(batchUnderIds(BigInt(10 + id), [['again', id]]))).toEqual({
        repeated: new Map([[0, { kind: 'stored', baseOffset: id - 1, at }]]),
      })
  })

  test('a claim says what is stored, and keeps the rest from ever being stored', async () => {
    one = await SingleReplica.start()
    await one.replica.produce(batchUnderIds(1n, [['a', 1]]))
    const stored = { kind: 'stored', baseOffset: 0, at }
    expect(await one.replica.claim([requestId(1), requestId(2)])).toEqual([stored, { kind: 'void' }])
    expect(await one.replica.claim([requestId(1)])).toEqual([stored])
    expect(await one.replica.produce(batchUnderIds(2n, [['late', 2]]))).toEqual({
      repeated: new Map([[0, { kind: 'void' }]]),
    })
    expect(one.replica.nextOffset).toBe(1)
  })

  test('ids are forgotten when they are old', async () => {
    one = await SingleReplica.start()
    await one.replica.produce(batchUnderIds(1n, [['a', 1]]))
    for (let minute = 0; minute < 9; minute++) one.replica.growOlder()
    await one.replica.produce(batchUnderIds(2n, [['b', 2]]))
    expect(await one.replica.produce(batchUnderIds(3n, [['a', 1]]))).toHaveProperty('repeated')
    one.replica.growOlder()
    expect(await one.replica.produce(batchUnderIds(4n, [['a', 1]]))).toMatchObject({ baseOffset: 2 })
    expect(await one.replica.produce(batchUnderIds(5n, [['b', 2]]))).toHaveProperty('repeated')
  })
})

describe('consume', () => {
  test('gives each message once, however many ask at the same time', async () => {
    one = await SingleReplica.start()
    const all = Array.from({ length: 200 }, (_, i) => `m${i}`)
    for (let i = 0; i < 200; i += 20) await one.replica.produce(batchOf(all.slice(i, i + 20)))
    const answers = await Promise.all(all.map(() => one.service.fetch(one.replica, request())))
    expect(answers.flatMap(valuesOf).sort()).toEqual([...all].sort())
    const empty = await one.service.fetch(one.replica, request())
    expect(empty).toMatchObject({ granted: false, cursor: 200, end: 200, batches: [] })
  })

  test('gives the same request the same messages, also when it is under way twice', async () => {
    one = await SingleReplica.start()
    await one.replica.produce(batchOf(['a', 'b', 'c']))
    const id = requestId(9_000_000)
    const twice = await Promise.all([
      one.service.fetch(one.replica, request({ requestId: id })),
      one.service.fetch(one.replica, request({ requestId: id })),
    ])
    expect(twice.map(valuesOf)).toEqual([['a'], ['a']])
    expect(valuesOf(await one.service.fetch(one.replica, request()))).toEqual(['b'])
    expect(
      valuesOf(await one.service.fetch(one.replica, request({ requestId: id, lookupOnly: true }))),
    ).toEqual(['a'])
    const unknown = await one.service.fetch(one.replica, request({ lookupOnly: true }))
    expect(unknown).toMatchObject({ granted: false, batches: [] })
  })

  test('gives what was released to whoever asks next, unless a later try of the request has it', async () => {
    one = await SingleReplica.start()
    await one.replica.produce(batchOf(['a', 'b', 'c', 'd']))
    const [first, second] = [requestId(7_000_001), requestId(7_000_002)]
    const fetch = (fields: Partial<FetchRequest>) => one.service.fetch(one.replica, request(fields))
    const release = (id: string, holder: number) =>
      one.service.release(one.replica, { consumerId: 1, requestId: id, from: 0, holder, orEarlier: false })
    expect(valuesOf(await fetch({ requestId: first, holder: 10 }))).toEqual(['a'])
    expect(valuesOf(await fetch({ requestId: second, holder: 20 }))).toEqual(['b'])
    await release(first, 10)
    await release(first, 10)
    expect(await one.service.offsets(one.replica, 1)).toMatchObject({ cursor: 0 })
    // What of the released try is late is refused, so that nobody has what nobody asks for.
    await expect(fetch({ requestId: first, holder: 10 })).rejects.toMatchObject({
      code: 'MANAGER_UNAVAILABLE',
      outcome: 'no',
    })
    expect(valuesOf(await fetch({ requestId: second, holder: 30, lookupOnly: true }))).toEqual(['b'])
    await release(second, 20)
    expect(valuesOf(await fetch({ messagesMax: 4 }))).toEqual(['a'])
    expect(valuesOf(await fetch({ messagesMax: 4 }))).toEqual(['c', 'd'])
  })

  test('gives a try nothing that comes after a later one has looked the request up', async () => {
    one = await SingleReplica.start()
    await one.replica.produce(batchOf(['a']))
    const id = requestId(7_000_003)
    const fetch = (fields: Partial<FetchRequest>) => one.service.fetch(one.replica, request(fields))
    expect(await fetch({ requestId: id, holder: 2, lookupOnly: true })).toMatchObject({ granted: false })
    const late = { code: 'MANAGER_UNAVAILABLE', outcome: 'no' }
    await expect(fetch({ requestId: id, holder: 1 })).rejects.toMatchObject(late)
    await expect(fetch({ requestId: id, holder: 1, lookupOnly: true })).rejects.toMatchObject(late)
    expect(valuesOf(await fetch({ requestId: id, holder: 2 }))).toEqual(['a'])
    // Nor does it take back what the later one has, or has given back.
    const release = (holder: number) =>
      one.service.release(one.replica, { consumerId: 1, requestId: id, from: 0, holder, orEarlier: true })
    await release(1)
    expect(await one.service.offsets(one.replica, 1)).toMatchObject({ cursor: 1 })
    await release(2)
    expect(await one.service.offsets(one.replica, 1)).toMatchObject({ cursor: 0 })
    await expect(fetch({ requestId: id, holder: 1, lookupOnly: true })).rejects.toMatchObject(late)
  })

  test('without automatic acknowledgement moves nothing until it is acknowledged', async () => {
    one = await SingleReplica.start()
    await one.replica.produce(batchOf(['a', 'b']))
    const look = () => one.service.fetch(one.replica, request({ autoAck: false }))
    expect(valuesOf(await look())).toEqual(['a'])
    expect(valuesOf(await look())).toEqual(['a'])
    const seek = (kind: 'acknowledge' | 'offset', offset: number) =>
      one.service.seek(one.replica, {
        consumerId: 1,
        requestId: requestId(nextRequest++),
        target: { kind, offset },
      })
    expect(await seek('acknowledge', 1)).toBe(1)
    expect(valuesOf(await look())).toEqual(['b'])
    expect(await seek('acknowledge', 0)).toBe(1)
    expect(await seek('offset', 0)).toBe(0)
    await expect(seek('offset', 3)).rejects.toMatchObject({ code: 'OFFSET_OUT_OF_RANGE' })
  })

  test('gives nothing to a request that was given up while the database was read for it', async () => {
    one = await SingleReplica.start({ ...LIMITS, recentBytesMax: 0 })
    await one.replica.produce(batchOf(['a', 'b']))
    await eventually(() => expect(one.replica.recent.firstOffset).toBeUndefined())
    const slow = request({ requestId: requestId(90), messagesMax: 1 })
    const given = one.service.fetch(one.replica, slow)
    const { consumerId, requestId: id, holder } = slow
    const back = one.service.release(one.replica, {
      ...{ consumerId, requestId: id, holder },
      ...{ from: 0, orEarlier: false },
    })
    await expect(given).rejects.toMatchObject({ code: 'MANAGER_UNAVAILABLE' })
    await back
    expect(valuesOf(await one.service.fetch(one.replica, request()))).toEqual(['a'])
  })

  test('reads from the database what memory no longer holds', async () => {
    one = await SingleReplica.start({ ...LIMITS, recentBytesMax: 0 })
    const all = Array.from({ length: 50 }, (_, i) => `m${i}`)
    await one.replica.produce(batchOf(all))
    await eventually(() => expect(one.replica.recent.firstOffset).toBeUndefined())
    expect(valuesOf(await one.service.fetch(one.replica, request({ messagesMax: 3 })))).toEqual(
      all.slice(0, 3),
    )
    const rest = await Promise.all(
      [1, 2, 3].map(() => one.service.fetch(one.replica, request({ messagesMax: 20 }))),
    )
    expect(rest.flatMap(valuesOf).sort()).toEqual(all.slice(3).sort())
  })
})

describe('what the database lacks, when memory has no room for it', () => {
  const LITTLE = { ...LIMITS, recentBytesMax: 0, heldBytesMax: 0 }
  const values = Array.from({ length: 60 }, (_, i) => `m${i}`)
  const time = 1_700_000_000_000

  /** Twenty batches of three, each with a time of its own, and entries of a consumer between them. */
  async function pagedOut(): Promise<void> {
    one = await SingleReplica.start(LITTLE)
    one.databaseFault = new Error('down')
    for (let at = 0; at < values.length; at += 3) {
      const records = values.slice(at, at + 3).map((value) => ({
        timestamp: time + at,
        key: null,
        value: new TextEncoder().encode(value),
        headers: [],
      }))
      await one.replica.produce(encodeRecordBatch({ records }))
      if (at % 9 === 0) await one.service.fetch(one.replica, request({ consumerId: 9 }))
    }
    expect(one.replica.materialisedOffset).toBe(0)
    expect(one.replica.recent.read(0, 1)).toBeUndefined()
    expect(one.replica.recent.read(59, 1)).toBeUndefined()
  }

  const readAll = async (): Promise<string[]> => {
    const consumerId = nextRequest
    const read: string[] = []
    while (read.length < values.length)
      read.push(...valuesOf(await one.service.fetch(one.replica, request({ consumerId, messagesMax: 7 }))))
    return read
  }

  test('is read from the log, also after a restart, and written to the database from there', async () => {
    await pagedOut()
    expect(await readAll()).toEqual(values)
    await one.close()
    await one.open(LITTLE)
    expect(one.replica.materialisedOffset).toBe(0)
    expect(await readAll()).toEqual(values)
    one.databaseFault = undefined
    await eventually(() => expect(one.replica.materialisedOffset).toBe(60))
    expect(await one.messagesInDatabase()).toEqual(values)
    expect(one.replica.recent.firstOffset).toBeUndefined()
    expect(await readAll()).toEqual(values)
  })

  test('is found by its time', async () => {
    await pagedOut()
    const at = (ms: number) =>
      one.service.seek(one.replica, {
        consumerId: 1,
        requestId: requestId(nextRequest++),
        target: { kind: 'time', ms },
      })
    expect(await at(0)).toBe(0)
    expect(await at(time + 3)).toBe(3)
    expect(await at(time + 4)).toBe(6)
    expect(await at(time + 57)).toBe(57)
    expect(await at(time + 58)).toBe(60)
  })

  test('is read from the database when the log is freed while it is looked up there', async () => {
    await pagedOut()
    const reader = new PartitionReader({
      readBatches: async (...question) => {
        expect(one.replica.materialisedOffset).toBe(60)
        return one.store.readBatches(one.database, ...question)
      },
      offsetAtTime: (...question) => one.store.offsetAtTime(one.database, ...question),
    })
    const { replica } = one
    const paged = replica.recent.pagedOut(0, 1)!
    one.databaseFault = undefined
    await eventually(() => expect(replica.materialisedOffset).toBe(60))
    one.freeLog()
    await expect(replica.withBytes(paged)).rejects.toThrow(WalRangeError)
    replica.recent.pagedOut = () => paged
    const range = await reader.load(replica, 0, { messagesMax: 60, bytesMax: 1_000_000 })
    expect(range).toMatchObject({ from: 0, to: 60 })
    replica.recent.atTime = () => paged[0]
    expect(await reader.offsetAtTime(replica, time + 4)).toBe(6)
  })
})

describe('deleted messages', () => {
  const values = Array.from({ length: 10 }, (_, i) => `m${i}`)

  /** Ten messages in batches of one, the first six of them deleted. */
  async function trimmed(recentBytesMax: number): Promise<void> {
    one = await SingleReplica.start({ ...LIMITS, recentBytesMax })
    for (const value of values) await one.replica.produce(batchOf([value]))
    await eventually(() => expect(one.replica.materialisedOffset).toBe(10))
    const first = await one.service.fetch(one.replica, request({ messagesMax: 2, requestId: requestId(77) }))
    expect(valuesOf(first)).toEqual(['m0', 'm1'])
    await one.replica.trim(6)
  }

  test.each([
    ['memory', 1_000_000],
    ['the database', 0],
  ])('are not in %s any more, and who had not read them is told how many', async (_where, recentBytesMax) => {
    await trimmed(recentBytesMax)
    const id = requestId(78)
    const next = await one.service.fetch(one.replica, request({ requestId: id }))
    expect(valuesOf(next)).toEqual(['m6'])
    expect(next).toMatchObject({ from: 6, skipped: 4, logStart: 6, cursor: 7 })
    const again = await one.service.fetch(one.replica, request({ requestId: id }))
    expect(again).toMatchObject({ from: 6, to: 7, skipped: 4 })
    expect(await one.service.fetch(one.replica, request())).toMatchObject({ from: 7, skipped: 0 })
    await eventually(async () => expect(await one.messagesInDatabase()).toEqual(values.slice(6)))
    await one.close()
    await one.open({ ...LIMITS, recentBytesMax })
    expect(one.replica.logStart).toBe(6)
    expect(await one.service.fetch(one.replica, request({ consumerId: 2 }))).toMatchObject({
      from: 6,
      skipped: 6,
    })
  })

  test('are not given again to the request that had them: it gets those behind, and is told of the loss', async () => {
    await trimmed(1_000_000)
    const repeat = () => one.service.fetch(one.replica, request({ requestId: requestId(77), messagesMax: 2 }))
    const again = await repeat()
    expect(valuesOf(again)).toEqual(['m6', 'm7'])
    expect(again).toMatchObject({ skipped: 6, granted: true })
    expect(await repeat()).toMatchObject({ from: 6, to: 8, skipped: 6 })
    expect(await one.service.fetch(one.replica, request())).toMatchObject({ from: 8, skipped: 0 })
  })

  test.each([6, 8])('are told to who wants no gap when it repeats its request, %i of them', async (start) => {
    await trimmed(1_000_000)
    const strict = { skipDeleted: false, requestId: requestId(79), messagesMax: 2 }
    await one.service.seek(one.replica, {
      consumerId: 1,
      requestId: requestId(nextRequest++),
      target: { kind: 'offset', offset: 6 },
    })
    const first = await one.service.fetch(one.replica, request(strict))
    expect(valuesOf(first)).toEqual(['m6', 'm7'])
    await one.replica.trim(start + 1)
    for (const more of [{}, { requestId: requestId(nextRequest++) }])
      await expect(one.service.fetch(one.replica, request({ ...strict, ...more }))).rejects.toMatchObject({
        code: 'OFFSET_OUT_OF_RANGE',
      })
  })

  test('are not taken back from a consumer that has moved since', async () => {
    await trimmed(1_000_000)
    await one.service.seek(one.replica, {
      consumerId: 1,
      requestId: requestId(nextRequest++),
      target: { kind: 'acknowledge', offset: 8 },
    })
    const again = await one.service.fetch(one.replica, request({ requestId: requestId(77) }))
    expect(again).toMatchObject({ batches: [], cursor: 8 })
  })

  test('are an error for who does not want to go on behind them, until it seeks', async () => {
    await trimmed(1_000_000)
    for (const autoAck of [true, false])
      await expect(
        one.service.fetch(one.replica, request({ skipDeleted: false, autoAck })),
      ).rejects.toMatchObject({ code: 'OFFSET_OUT_OF_RANGE' })
    const seek = (offset: number) =>
      one.service.seek(one.replica, {
        consumerId: 1,
        requestId: requestId(nextRequest++),
        target: { kind: 'offset', offset },
      })
    await expect(seek(5)).rejects.toMatchObject({ code: 'OFFSET_OUT_OF_RANGE' })
    await seek(6)
    expect(valuesOf(await one.service.fetch(one.replica, request({ skipDeleted: false })))).toEqual(['m6'])
  })

  test('may be acknowledged by who read them before; the loss of the others is told', async () => {
    await trimmed(1_000_000)
    const acknowledged = one.service.seek(one.replica, {
      consumerId: 1,
      requestId: requestId(nextRequest++),
      target: { kind: 'acknowledge', offset: 4 },
    })
    expect(await acknowledged).toBe(4)
    const look = await one.service.fetch(one.replica, request({ autoAck: false }))
    expect(look).toMatchObject({ from: 6, skipped: 2, granted: false })
  })

  test('when all are deleted the loss is told with the next message', async () => {
    await trimmed(0)
    await one.replica.trim(10)
    expect(await one.service.fetch(one.replica, request())).toMatchObject({ batches: [], skipped: 0 })
    await one.replica.produce(batchOf(['new']))
    const next = await one.service.fetch(one.replica, request())
    expect(valuesOf(next)).toEqual(['new'])
    expect(next.skipped).toBe(8)
  })

  test('are never given while they are being read, whatever the order', async () => {
    one = await SingleReplica.start({ ...LIMITS, recentBytesMax: 0 })
    for (let i = 0; i < 100; i++) await one.replica.produce(batchOf([`m${i}`]))
    await eventually(() => expect(one.replica.materialisedOffset).toBe(100))
    const reads = Array.from({ length: 40 }, async (_, i) => {
      if (i % 4 === 0) await one.replica.trim(i * 2)
      const startBefore = one.replica.logStart
      const answer = await one.service.fetch(one.replica, request({ messagesMax: 3 }))
      expect(answer.from).toBeGreaterThanOrEqual(startBefore)
      return { count: answer.to - answer.from, skipped: answer.skipped }
    })
    const given = await Promise.all(reads)
    const total = given.reduce((sum, { count, skipped }) => sum + count + skipped, 0)
    const end = await one.service.fetch(one.replica, request({ lookupOnly: true }))
    expect(total).toBe(one.replica.committedUnread(1).position)
    expect(end.cursor).toBe(Math.max(total, one.replica.logStart))
  })
})

describe('the database', () => {
  test('that fails costs nothing up to the limit, then OVERLOADED; when it works again everything is there once', async () => {
    one = await SingleReplica.start({ ...LIMITS, unmaterialisedBytesMax: 2000 })
    one.databaseFault = new Error('down')
    const acknowledged: string[] = []
    for (let i = 0; ; i++) {
      try {
        await one.replica.produce(batchOf([`m${i}`]))
        acknowledged.push(`m${i}`)
      } catch (error) {
        expect(error).toMatchObject({ code: 'OVERLOADED', retriable: true })
        break
      }
    }
    expect(acknowledged.length).toBeGreaterThan(10)
    one.databaseFault = undefined
    await eventually(async () =>
      expect((await one.messagesInDatabase()).sort()).toEqual([...acknowledged].sort()),
    )
    expect(await one.replica.produce(batchOf(['after']))).toMatchObject({ baseOffset: acknowledged.length })
  })

  test.each([
    ['was emptied', () => one.emptyDatabase()],
    ['went back', () => one.shiftDatabase(-1)],
    ['was written to by another', () => one.shiftDatabase(5)],
  ])('that %s is noticed by the next write, which is not made', async (_what, spoil) => {
    one = await SingleReplica.start()
    await one.replica.produce(batchOf(['a']))
    await eventually(() => expect(one.replica.materialisedOffset).toBe(1))
    await spoil()
    await one.replica.produce(batchOf(['b']))
    await eventually(() => expect(one.stale).toEqual([one.replica]))
    await eventually(() => expect(one.materialiser.unmaterialisedBytes).toBe(0))
    expect(await one.messagesInDatabase()).not.toContain('b')
    expect(one.materialiser.failing).toBe(false)
  })

  test.each(['with nothing in the database', 'with everything in the database'])(
    'after a restart %s messages, cursors and sequences are as they were',
    async (name) => {
      one = await SingleReplica.start()
      if (name === 'with nothing in the database') one.databaseFault = new Error('down')
      for (let i = 0; i < 20; i++) await one.replica.produce(batchOf([`m${i}`], { sequence: i }))
      const id = requestId(8_000_000)
      expect(
        valuesOf(await one.service.fetch(one.replica, request({ requestId: id, messagesMax: 5 }))),
      ).toHaveLength(5)
      if (one.databaseFault === undefined)
        await eventually(() => expect(one.replica.materialisedOffset).toBe(20))
      await one.close()
      one.databaseFault = undefined
      await one.open()
      expect(one.replica.nextOffset).toBe(20)
      expect(await one.replica.produce(batchOf(['m19'], { sequence: 19 }))).toMatchObject({
        baseOffset: 19,
        duplicate: true,
      })
      expect(
        valuesOf(await one.service.fetch(one.replica, request({ requestId: id, messagesMax: 5 }))),
      ).toEqual(['m0', 'm1', 'm2', 'm3', 'm4'])
      expect(valuesOf(await one.service.fetch(one.replica, request()))).toEqual(['m5'])
      await eventually(async () => expect(await one.messagesInDatabase()).toHaveLength(20))
    },
  )
})
