import { createHash } from 'node:crypto'
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import { RpcMethod } from '@sluice/contracts'
import { systemClock } from '@sluice/foundation'
import { eventually } from '@sluice/foundation/testing'
import { CopiedBatches } from '@sluice/persistence'
import type { SnapshotSource } from '@sluice/raft'
import { pino } from 'pino'
import { CopyRate } from '../src/copy-rate.js'
import { DatabaseSnapshots } from '../src/database-snapshots.js'
import { PartitionCatchUp } from '../src/partition-catch-up.js'
import { RangeCalls } from '../src/range-calls.js'
import { batchOf, LIMITS, requestId, SingleReplica } from './single-replica.js'

const CONFIGURATION = Uint8Array.from([1, 2, 3])
/** Three of them make a piece. */
const LARGE = 'x'.repeat(300_000)
const ROOMY = { ...LIMITS, unmaterialisedBytesMax: 10_000_000 }
const SENDER = 1

let from: SingleReplica
let to: SingleReplica
/** Pieces that the sender was asked for. */
let pieces: number
/** The sender dies before it gives the piece of this number. */
let diesAt: number

beforeEach(async () => {
  from = await SingleReplica.start(ROOMY)
  to = await SingleReplica.start(ROOMY)
  pieces = 0
  diesAt = Number.POSITIVE_INFINITY
})

afterEach(async () => {
  await from.destroy()
  await to.destroy()
})

async function produce(replica: SingleReplica, texts: readonly string[]): Promise<void> {
  for (const text of texts) await replica.replica.produce(batchOf([`${text}a`, `${text}b ${LARGE}`]))
  await eventually(() => expect(replica.replica.materialisedIndex).toBe(replica.replica.appliedIndex))
}

/** A catch-up of a process that was just started. */
function catchUp(): PartitionCatchUp {
  const sender = new RangeCalls(from.database, () => undefined)
  const ranges = new RangeCalls(to.database, (id) =>
    id !== SENDER
      ? undefined
      : {
          request: (method, payload) => {
            if (method === RpcMethod.RANGE_READ && ++pieces >= diesAt)
              return Promise.reject(new Error('the connection broke'))
            return sender.answer(method, payload)
          },
        },
  )
  const rate = new CopyRate(1e9, systemClock)
  return new PartitionCatchUp({ database: to.database, ranges, rate, logger: pino({ level: 'silent' }) })
}

function snapshot(): Promise<SnapshotSource> {
  const snapshots = new DatabaseSnapshots(from.database, from.store, () => true)
  return snapshots.open(from.replica.info, () => CONFIGURATION)
}

async function bringUp(by: PartitionCatchUp, source: SnapshotSource): Promise<void> {
  const { info } = to.replica
  const { signal } = new AbortController()
  const prepared = await by.prepare(info, source, { brokers: [SENDER], signal })
  await new DatabaseSnapshots(to.database, to.store, () => true).restore(info, prepared)
}

async function expectSame(): Promise<void> {
  const { configuration, logConfiguration, ...stored } = (await to.store.load(to.database, 2))!
  expect(stored).toEqual({ ...(await from.store.load(from.database, 2)), logConfiguration: undefined })
  expect([configuration, logConfiguration].map((one) => Uint8Array.from(one!))).toEqual([
    CONFIGURATION,
    CONFIGURATION,
  ])
  const columns = ['base_offset', 'term', 'raft_index', 'latest_timestamp', 'end_bytes', 'bytes'] as const
  const rowsOf = async ({ database, replica }: SingleReplica): Promise<unknown> => {
    const rows = await database
      .selectFrom('record_batches')
      .select(columns)
      .where('last_offset', '>=', replica.logStart)
      .orderBy('base_offset')
      .execute()
    return rows.map((row) => ({ ...row, bytes: createHash('sha256').update(row.bytes).digest('hex') }))
  }
  expect(await rowsOf(to)).toEqual(await rowsOf(from))
  expect(await to.database.selectFrom('copied_batches').select('base_offset').execute()).toEqual([])
}

describe('a replica that lacks part of a partition', () => {
  test('is sent that part only, and the state', async () => {
    await produce(from, ['1', '2', '3', '4', '5'])
    const first = catchUp()
    await bringUp(first, await snapshot())
    expect(first.counters).toMatchObject({ batches: 5, kept: 0 })
    await produce(from, ['6', '7'])
    const move = { kind: 'grant', consumerId: 4, requestId: requestId(1), from: 0, to: 7, holder: 1 } as const
    await from.replica.moveCursor(move)
    await eventually(() => expect(from.replica.materialisedIndex).toBe(from.replica.appliedIndex))
    const second = catchUp()
    await bringUp(second, await snapshot())
    expect(second.counters).toMatchObject({ batches: 2, kept: 10 })
    await expectSame()
  })

  test('has a state of which the log need not know, until the log has gone on from it', async () => {
    await produce(from, ['1'])
    await bringUp(catchUp(), await snapshot())
    const restored = (await to.store.load(to.database, 2))!
    expect(restored.configuration).toBeDefined()
    const { appliedIndex, appliedTerm, nextOffset, logStart } = restored
    const nothing = { batches: [], cursors: [], sequences: [], expiredSequences: [] }
    const place = { groupId: 2, topic: 'orders', number: 1, appliedTerm, nextOffset, logStart }
    const delta = { ...place, ...nothing, previousIndex: appliedIndex, appliedIndex: appliedIndex + 1 }
    await to.store.materialise(to.database, [delta])
    expect((await to.store.load(to.database, 2))?.configuration).toBeUndefined()
  })

  test('is sent nothing when only the state has changed', async () => {
    await produce(from, ['1', '2'])
    await bringUp(catchUp(), await snapshot())
    await from.replica.claim(['id'])
    await eventually(() => expect(from.replica.materialisedIndex).toBe(from.replica.appliedIndex))
    const second = catchUp()
    await bringUp(second, await snapshot())
    expect(second.counters).toEqual({ batches: 0, bytes: 0, kept: 4 })
    await expectSame()
  })

  test('goes on where it was when the sender dies, and when it dies itself', async () => {
    await produce(from, ['1', '2', '3', '4', '5', '6', '7', '8'])
    const source = await snapshot()
    diesAt = 2
    const first = catchUp()
    await expect(bringUp(first, source)).rejects.toThrow('the connection broke')
    expect(first.counters.batches).toBe(3)
    // Nothing of it is to be seen before all of it is there.
    expect((await to.store.load(to.database, 2))?.nextOffset ?? 0).toBe(0)
    // The sender was started again, and so was this one; the partition has gone on.
    await produce(from, ['9'])
    diesAt = Number.POSITIVE_INFINITY
    const second = catchUp()
    await bringUp(second, await snapshot())
    expect(second.counters).toMatchObject({ batches: 6, kept: 6 })
    await expectSame()
  })

  test('keeps what an earlier try brought until the log has brought that too', async () => {
    await produce(from, ['1', '2', '3', '4'])
    diesAt = 2
    await expect(bringUp(catchUp(), await snapshot())).rejects.toThrow('the connection broke')
    const left = async (): Promise<readonly number[]> => {
      await catchUp().open()
      const rows = await to.database.selectFrom('copied_batches').select('base_offset').execute()
      return rows.map((row) => row.base_offset)
    }
    expect(await left()).toEqual([0, 2, 4])
    await produce(to, ['1', '2'])
    expect(await left()).toEqual([4])
    await produce(to, ['3'])
    expect(await left()).toEqual([])
  })

  test('is sent what it has otherwise, in its table or of an earlier try', async () => {
    await produce(from, ['1', '2', '3'])
    await produce(to, ['1', 'another', '3'])
    const ranges = new RangeCalls(to.database, () => ({
      request: (method, payload) => new RangeCalls(to.database, () => undefined).answer(method, payload),
    }))
    const { database } = to
    await new CopiedBatches().add(database, 2, await ranges.readFrom(2, { groupId: 2, from: 2, to: 6 }))
    const only = catchUp()
    await bringUp(only, await snapshot())
    expect(only.counters).toMatchObject({ batches: 3, kept: 0 })
    await expectSame()
  })

  test('is sent the batch in which the partition starts whole', async () => {
    await produce(from, ['1', '2', '3', '4'])
    await from.replica.trim(3)
    await eventually(() => expect(from.replica.materialisedIndex).toBe(from.replica.appliedIndex))
    const source = await snapshot()
    diesAt = 1
    await expect(bringUp(catchUp(), source)).rejects.toThrow('the connection broke')
    diesAt = Number.POSITIVE_INFINITY
    const second = catchUp()
    await bringUp(second, source)
    expect(second.counters.batches).toBe(3)
    expect(await to.messagesInDatabase()).toHaveLength(5)
    const third = catchUp()
    await produce(from, ['5'])
    await bringUp(third, await snapshot())
    expect(third.counters.batches).toBe(1)
    expect(await to.messagesInDatabase()).toHaveLength(7)
  })
})
