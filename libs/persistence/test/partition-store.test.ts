import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals'
import { decodeRecords, verifyRecordBatch } from '@sluice/domain'
import type { PartitionDelta } from '@sluice/partition'
import { PartitionStore, StaleDeltaError } from '@sluice/persistence'
import { sql } from 'kysely'
import { BASE_TIME, batchAt, delta, record } from './delta.js'
import { createTestDatabase, type TestDatabase } from './test-database.js'

const store = new PartitionStore()
let database: TestDatabase

beforeAll(async () => {
  database = await createTestDatabase()
})

afterAll(() => database.drop())

beforeEach(async () => {
  await sql`TRUNCATE record_batches, batch_ranges, partition_state, consumer_cursors, producer_sequences`.execute(
    database.db,
  )
})

function materialise(...deltas: PartitionDelta[]): Promise<void> {
  return store.materialise(database.db, deltas)
}

async function counts(): Promise<{ batches: number; states: number; cursors: number }> {
  const { rows } = await sql<{ batches: number; states: number; cursors: number }>`
    SELECT (SELECT count(*) FROM record_batches) AS batches, (SELECT count(*) FROM partition_state) AS states,
      (SELECT count(*) FROM consumer_cursors) AS cursors`.execute(database.db)
  return rows[0]!
}

describe('a partition', () => {
  test('that was never materialised has nothing to load', async () => {
    expect(await store.load(database.db, 2)).toBeUndefined()
    expect(await store.readBatches(database.db, 2, 0, 1_000)).toEqual([])
    expect(await store.offsetAtTime(database.db, 2, 0)).toBeUndefined()
    await materialise()
  })

  test('loads as it was materialised, the newest rows winning', async () => {
    const grants = [{ requestId: 'ab'.repeat(16), from: 0, to: 2 }]
    const huge = 9_223_372_036_854_775_807n
    const batches = [{ sequence: 0, count: 2, baseOffset: 0 }]
    await materialise(
      delta({
        appliedIndex: 5,
        batches: [batchAt(0, [record('a'), record('b')])],
        cursors: [
          { consumerId: 7, cursor: 1, grants: [] },
          { consumerId: 8, cursor: 2, grants },
        ],
        sequences: [
          { producerId: 1n, epoch: 0, lastSequence: 1, batches, at: BASE_TIME },
          { producerId: huge, epoch: 3, lastSequence: 2_147_483_647, batches: [], at: BASE_TIME },
        ],
      }),
    )
    await materialise(
      delta({
        previousIndex: 5,
        appliedIndex: 9,
        appliedTerm: 4,
        nextOffset: 2,
        cursors: [{ consumerId: 7, cursor: 2, grants }],
        sequences: [{ producerId: 2n, epoch: 1, lastSequence: 0, batches: [], at: BASE_TIME + 1 }],
        expiredSequences: [1n, 99n],
      }),
    )
    expect(await store.load(database.db, 2)).toEqual({
      appliedIndex: 9,
      appliedTerm: 4,
      nextOffset: 2,
      logStart: 0,
      runs: [],
      cursors: [
        { consumerId: 7, cursor: 2, grants },
        { consumerId: 8, cursor: 2, grants },
      ],
      sequences: [
        { producerId: 2n, epoch: 1, lastSequence: 0, batches: [], at: BASE_TIME + 1 },
        { producerId: huge, epoch: 3, lastSequence: 2_147_483_647, batches: [], at: BASE_TIME },
      ],
    })
  })
})

describe('materialising', () => {
  test('writes many partitions in one transaction', async () => {
    const groups = Array.from({ length: 20 }, (_, i) => i + 2)
    await materialise(
      ...groups.map((groupId) =>
        delta({ groupId, number: groupId, batches: [batchAt(0, [record(`of ${groupId}`)])] }),
      ),
    )
    for (const groupId of groups) {
      const [bytes] = await store.readBatches(database.db, groupId, 0, 1)
      expect(Buffer.from(decodeRecords(bytes!)[0]!.value!).toString()).toBe(`of ${groupId}`)
    }
  })

  test('the same delta again changes nothing', async () => {
    const first = delta({
      batches: [batchAt(0, [record('a')])],
      cursors: [{ consumerId: 1, cursor: 1, grants: [] }],
    })
    await materialise(first)
    await materialise(first)
    expect(await counts()).toEqual({ batches: 1, states: 1, cursors: 1 })
  })

  test('goes on with the new ones when a part was stored already', async () => {
    const first = delta({ batches: [batchAt(0, [record('a')])] })
    await materialise(first)
    await materialise(first, delta({ groupId: 3, batches: [batchAt(0, [record('b')])] }))
    expect(await counts()).toMatchObject({ batches: 2, states: 2 })
  })

  test.each([
    ['a delta is missing before it', delta({ previousIndex: 4, appliedIndex: 6 })],
    ['it was overtaken', delta({ previousIndex: 0, appliedIndex: 1 })],
    ['it overlaps what is stored', delta({ previousIndex: 1, appliedIndex: 7 })],
  ])('writes nothing at all when %s', async (_case, stale) => {
    await materialise(delta({ appliedIndex: 3, batches: [batchAt(0, [record('a')])] }))
    const other = delta({
      groupId: 3,
      batches: [batchAt(0, [record('b')])],
      cursors: [{ consumerId: 1, cursor: 1, grants: [] }],
    })
    const failure = await materialise(other, stale).catch((error: unknown) => error)
    expect(failure).toBeInstanceOf(StaleDeltaError)
    expect(failure).toMatchObject({ groupId: 2 })
    expect(await counts()).toEqual({ batches: 1, states: 1, cursors: 0 })
  })

  test('bytes that are not in memory are loaded, no more of them at once than one INSERT takes', async () => {
    const value = new Uint8Array(1024 * 1024)
    const batches = Array.from({ length: 8 }, (_, i) => batchAt(i, [record(value)], i + 1))
    const paged = batches.map((batch, i) => (i % 2 === 0 ? { ...batch, bytes: undefined } : batch))
    const loads: number[][] = []
    const other = batchAt(0, [record('other')])
    await store.materialise(
      database.db,
      [
        delta({ batches: paged, appliedIndex: 8 }),
        delta({ groupId: 3, batches: [{ ...other, bytes: undefined }] }),
      ],
      (groupId, asked) => {
        loads.push(asked.map(({ index }) => index))
        return Promise.resolve(groupId === 3 ? [other] : asked.map(({ index }) => batches[index - 1]!))
      },
    )
    expect(loads.map(({ length }) => length)).toEqual([3, 3, 2, 1])
    expect(loads.slice(0, 3).flat()).toEqual(batches.map(({ index }) => index))
    const stored = await store.readBatches(database.db, 2, 0, Number.MAX_SAFE_INTEGER)
    expect(Buffer.concat(stored).equals(Buffer.concat(batches.map(({ bytes }) => bytes)))).toBe(true)
    expect(await store.readBatches(database.db, 3, 0, 1)).toHaveLength(1)
  })

  test('a load that fails leaves nothing of the transaction', async () => {
    const broken = { ...batchAt(0, [record('a')]), bytes: undefined }
    const failure = new Error('the log cannot be read')
    await expect(
      store.materialise(database.db, [delta({ batches: [broken] })], () => Promise.reject(failure)),
    ).rejects.toBe(failure)
    await expect(store.materialise(database.db, [delta({ batches: [broken] })])).rejects.toThrow('in memory')
    expect(await counts()).toEqual({ batches: 0, states: 0, cursors: 0 })
  })

  test('a first delta must begin at the beginning', async () => {
    await expect(materialise(delta({ previousIndex: 1 }))).rejects.toThrow(StaleDeltaError)
    expect(await counts()).toEqual({ batches: 0, states: 0, cursors: 0 })
  })

  test('of two writers of the first delta one wins, and they agree', async () => {
    const other = await database.open()
    const mine = delta({ appliedIndex: 1, batches: [batchAt(0, [record('mine')])] })
    const theirs = delta({ appliedIndex: 2, batches: [batchAt(0, [record('theirs'), record('too')])] })
    const results = await Promise.allSettled([
      store.materialise(database.db, [mine]),
      store.materialise(other, [theirs]),
    ])
    expect(results.map((result) => result.status).sort()).toEqual(['fulfilled', 'rejected'])
    expect(results.find((result) => result.status === 'rejected')!.reason).toBeInstanceOf(StaleDeltaError)
    const snapshot = (await store.load(database.db, 2))!
    const [bytes] = await store.readBatches(database.db, 2, 0, 1)
    expect(decodeRecords(bytes!)).toHaveLength(snapshot.nextOffset)
  })

  test('a batch that is stored under another offset than it carries is a bug', async () => {
    const wrong = { ...batchAt(0, [record('a')]), baseOffset: 5, lastOffset: 5 }
    await expect(materialise(delta({ batches: [wrong] }))).rejects.toThrow('the offset it carries')
  })

  test('hides the messages before the start of the log', async () => {
    const batches = [0, 2, 4].map((offset) => batchAt(offset, [record('x'), record('y')]))
    await materialise(delta({ batches }))
    await materialise(delta({ previousIndex: 1, nextOffset: 6, logStart: 3 }))
    expect(await store.readBatches(database.db, 2, 0, 1e6)).toHaveLength(2)
    const { rows } = await sql<{ message_offset: number }>`
      SELECT message_offset FROM messages ORDER BY message_offset`.execute(database.db)
    expect(rows.map((row) => row.message_offset)).toEqual([3, 4, 5])
    expect(await store.offsetAtTime(database.db, 2, 0)).toBe(3)
  })

  test('takes batches that do not fit into one statement', async () => {
    const value = new Uint8Array(6 * 1024 * 1024)
    const batches = [0, 1, 2, 3].map((offset) => batchAt(offset, [record(value)]))
    await materialise(delta({ batches }))
    expect(await store.readBatches(database.db, 2, 0, 1e9)).toHaveLength(4)
  })
})

describe('reading batches', () => {
  test('begins with the one that holds the offset and gives back its bytes', async () => {
    const batches = [
      batchAt(0, [record('a'), record('b')], 1),
      batchAt(2, [record('c')], 2),
      batchAt(3, [record('d'), record('e'), record('f')], 3),
    ]
    await materialise(delta({ batches, appliedIndex: 3 }))
    const bytes = batches.map((batch) => Buffer.from(batch.bytes))
    expect(await store.readBatches(database.db, 2, 0, 1e6)).toEqual(bytes)
    expect(await store.readBatches(database.db, 2, 1, 1e6)).toEqual(bytes)
    expect(await store.readBatches(database.db, 2, 2, 1e6)).toEqual(bytes.slice(1))
    expect(await store.readBatches(database.db, 2, 5, 1e6)).toEqual(bytes.slice(2))
    expect(await store.readBatches(database.db, 2, 6, 1e6)).toEqual([])
    for (const stored of await store.readBatches(database.db, 2, 0, 1e6)) verifyRecordBatch(stored)
  })

  test('keeps within the bound, but gives one at least', async () => {
    const batches = [0, 1, 2, 3].map((offset) => batchAt(offset, [record('x'.repeat(100))]))
    await materialise(delta({ batches }))
    const size = batches[0]!.bytes.length
    for (const [bytesMax, count] of [
      [0, 1],
      [size, 1],
      [2 * size - 1, 1],
      [2 * size, 2],
      [4 * size, 4],
    ] as const) {
      expect(await store.readBatches(database.db, 2, 0, bytesMax)).toHaveLength(count)
    }
  })

  test('begins with the first one kept when the offset is before it', async () => {
    const batches = [0, 1].map((offset) => batchAt(offset, [record('x')]))
    await materialise(delta({ batches }))
    await materialise(delta({ previousIndex: 1, nextOffset: 2, logStart: 1 }))
    expect(await store.readBatches(database.db, 2, 0, 1e6)).toEqual([Buffer.from(batches[1]!.bytes)])
  })
})

describe('the offset at a time', () => {
  test('is that of the first message at or after it, also where times go back', async () => {
    const at = (seconds: number) => record('x', { timestamp: BASE_TIME + seconds * 1_000 })
    const batches = [
      batchAt(0, [at(10), at(12)]),
      batchAt(2, [at(5), at(6)]),
      batchAt(4, [at(20), at(15), at(30)]),
      batchAt(7, [at(1)]),
    ]
    await materialise(delta({ batches: batches.slice(0, 2) }))
    await materialise(delta({ previousIndex: 1, batches: batches.slice(2) }))
    const all = [10, 12, 5, 6, 20, 15, 30, 1]
    for (const seconds of [-1, 0, 1, 5, 10, 11, 12, 12.5, 13, 20, 21, 30]) {
      const expected = all.findIndex((second) => second >= seconds)
      expect(await store.offsetAtTime(database.db, 2, BASE_TIME + seconds * 1_000)).toBe(expected)
    }
    expect(await store.offsetAtTime(database.db, 2, BASE_TIME + 30_001)).toBeUndefined()
    expect(await store.offsetAtTime(database.db, 2, Infinity)).toBeUndefined()
    expect(await store.offsetAtTime(database.db, 2, -Infinity)).toBe(0)
    await expect(store.offsetAtTime(database.db, 2, NaN)).rejects.toThrow('a time is a number')
  })
})

describe('the view of messages', () => {
  test('shows text as text, and what is no text without failing', async () => {
    const records = [
      record('größer ✓', { key: Buffer.from('k1'), timestamp: BASE_TIME + 1 }),
      record(null),
      record('', { key: new Uint8Array(0) }),
      record(Uint8Array.of(0xff, 0x41)),
      record('a\0b'),
      record(Buffer.from('back\\slash')),
    ]
    await materialise(delta({ batches: [batchAt(0, records)] }))
    const rows = await database.db
      .selectFrom('messages')
      .selectAll()
      .where('topic', '=', 'orders')
      .orderBy('message_offset')
      .execute()
    expect(rows[0]).toEqual({
      topic: 'orders',
      partition: 'orders.1',
      partition_number: 1,
      message_offset: 0,
      produced_at: new Date(BASE_TIME + 1),
      key: 'k1',
      value: 'größer ✓',
      value_bytes: Buffer.from('größer ✓'),
    })
    expect(rows.map(({ key, value }) => [key, value])).toEqual([
      ['k1', 'größer ✓'],
      [null, null],
      ['', ''],
      [null, '\\377A'],
      [null, 'a\\000b'],
      [null, 'back\\slash'],
    ])
    expect(rows[1]!.value_bytes).toBeNull()
    expect(rows[4]!.value_bytes).toEqual(Buffer.from('a\0b'))
  })

  test('shows any timestamp without failing', async () => {
    const times = [0, -1, Number.MAX_SAFE_INTEGER, Number.MIN_SAFE_INTEGER]
    for (const [offset, timestamp] of times.entries()) {
      await materialise(
        delta({ previousIndex: offset, batches: [batchAt(offset, [record('x', { timestamp })])] }),
      )
    }
    const { rows } = await sql<{ year: number }>`
      SELECT extract(year FROM produced_at AT TIME ZONE 'UTC')::integer AS year FROM messages
      ORDER BY message_offset`.execute(database.db)
    expect(rows.map((row) => row.year)).toEqual([1970, 1969, 275_760, 1])
  })

  test('counts without reading a byte of the messages', async () => {
    const records = Array.from({ length: 300 }, (_, i) => record(`message ${i} ${'x'.repeat(100)}`))
    await materialise(delta({ batches: [batchAt(0, records)] }))
    const { rows } = await sql<{ count: number }>`SELECT count(*) AS count FROM messages`.execute(database.db)
    expect(rows).toEqual([{ count: 300 }])
    const plan = await sql<Record<string, string>>`EXPLAIN (VERBOSE) SELECT count(*) FROM messages`.execute(
      database.db,
    )
    expect(JSON.stringify(plan.rows)).not.toMatch(/substring|readable_text|convert_from/)
  })
})
