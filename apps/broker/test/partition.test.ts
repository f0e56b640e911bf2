import { afterEach, describe, expect, test } from '@jest/globals'
import { decodeRecords, toOffset } from '@sluice/domain'
import { eventually } from '@sluice/foundation/testing'
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
    expect(answers.map((answer) => answer.baseOffset)).toEqual(new Array(10).fill(0))
    expect(answers.filter((answer) => !answer.duplicate)).toHaveLength(1)
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
    expect((await one.replica.produce(batchOf(['after']))).baseOffset).toBe(acknowledged.length)
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
