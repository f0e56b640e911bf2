import { describe, expect, test } from '@jest/globals'
import { encodeRecordBatch, readBatchHeader, stampBatch, toOffset } from '@sluice/domain'
import {
  type AppliedBatch,
  batchOf,
  type CursorOperation,
  decodePartitionCommand,
  encodeAppend,
  encodeCursors,
  encodeTrim,
  LeaderProjection,
  PartitionState,
  RecentBatches,
  RecentBudget,
  resident,
} from '@sluice/partition'
import fc from 'fast-check'

const text = new TextEncoder()

interface Shape {
  readonly base: number
  readonly count?: number
  readonly producerId?: bigint
  readonly epoch?: number
  readonly sequence?: number
  readonly at?: number
}

function batch({ base, count = 1, producerId = -1n, epoch = 0, sequence = 0, at = 1000 }: Shape): Uint8Array {
  const records = Array.from({ length: count }, (_, i) => ({
    timestamp: at,
    key: null,
    value: text.encode(`m${base + i}`),
    headers: [],
  }))
  const bytes = encodeRecordBatch(
    producerId < 0n ? { records } : { records, producerId, producerEpoch: epoch, baseSequence: sequence },
  )
  stampBatch(bytes, toOffset(base), 1)
  return bytes
}

function append(state: PartitionState, index: number, shape: Shape): void {
  state.apply(index, 1, encodeAppend(batch(shape)))
}

const ID = { groupId: 7, topic: 'orders', number: 1 }
const requestId = (n: number): string => n.toString(16).padStart(32, '0')
const grant = (consumerId: number, n: number, from: number, to: number, holder = 1): CursorOperation => ({
  kind: 'grant',
  consumerId,
  requestId: requestId(n),
  from,
  to,
  holder,
})
const hold = (n: number, holder: number): CursorOperation => ({
  kind: 'hold',
  consumerId: 1,
  requestId: requestId(n),
  holder,
})
const release = (n: number, holder: number, more = {}): CursorOperation => ({
  kind: 'release',
  consumerId: 1,
  requestId: requestId(n),
  from: 0,
  holder,
  orEarlier: false,
  ...more,
})

describe('commands', () => {
  test('cursor operations survive encoding', () => {
    const operations: CursorOperation[] = [
      grant(3, 0xabcdef, 5, 9),
      { kind: 'set', consumerId: 4, requestId: 'ff'.repeat(16), offset: 2 ** 40, forwardOnly: true },
      { kind: 'set', consumerId: 5, requestId: '00'.repeat(16), offset: 0, forwardOnly: false },
      hold(6, 2 ** 50),
      release(7, 2 ** 50, { from: 12, orEarlier: true }),
    ]
    expect(decodePartitionCommand(encodeCursors(operations))).toEqual({ kind: 'cursors', operations })
  })

  test('a batch survives encoding and is copied', () => {
    const bytes = batch({ base: 3, count: 2 })
    const command = encodeAppend(bytes)
    const before = bytes.slice()
    bytes.fill(0)
    expect(batchOf(command)).toEqual(before)
  })

  test('random bytes give a typed error or a command, never anything else', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 120 }), (bytes) => {
        try {
          decodePartitionCommand(bytes)
        } catch (error) {
          expect(error).toMatchObject({
            code: expect.stringMatching(/^(CORRUPT_BATCH|UNSUPPORTED_VERSION)$/),
          })
        }
      }),
    )
  })
})

describe('offsets', () => {
  test('are dense, and an entry that does not fit the log is a broken invariant, not a message', () => {
    const state = new PartitionState()
    append(state, 1, { base: 0, count: 3 })
    append(state, 2, { base: 3 })
    expect(state.nextOffset).toBe(4)
    expect(() => append(state, 3, { base: 9 })).toThrow('continues at 4')
    expect(() => append(new PartitionState(), 2, { base: 0 })).toThrow('does not follow')
  })
})

describe('duplicate suppression', () => {
  const producerId = 99n

  test('a batch that is repeated keeps its first offset; an older one is refused; a gap is allowed', () => {
    const state = new PartitionState()
    const projection = new LeaderProjection(state)
    const identity = (sequence: number, recordCount = 1, producerEpoch = 0) => ({
      producerId,
      producerEpoch,
      baseSequence: sequence,
      recordCount,
    })
    append(state, 1, { base: 0, producerId, sequence: 0 })
    append(state, 2, { base: 1, producerId, sequence: 5 })
    expect(projection.planAppend(identity(5))).toEqual({ kind: 'duplicate', baseOffset: 1, index: 0 })
    expect(projection.planAppend(identity(0))).toEqual({ kind: 'duplicate', baseOffset: 0, index: 0 })
    expect(projection.planAppend(identity(3))).toEqual({ kind: 'stale' })
    expect(projection.planAppend(identity(9)).kind).toBe('append')
    expect(projection.planAppend(identity(0, 1, 1)).kind).toBe('append')
  })

  test('the state is the same after a restart from what was drained', () => {
    const state = new PartitionState()
    append(state, 1, { base: 0, producerId, sequence: 0 })
    state.apply(2, 1, encodeCursors([grant(1, 1, 0, 1)]))
    const restarted = new PartitionState(state.snapshot())
    expect(restarted.snapshot()).toEqual(state.snapshot())
    const plan = new LeaderProjection(restarted).planAppend(readBatchHeader(batch({ base: 0, producerId })))
    expect(plan).toEqual({ kind: 'duplicate', baseOffset: 0, index: 0 })
  })

  test('only so many producers are remembered: the one silent longest is forgotten, and the delta says so', () => {
    const state = new PartitionState()
    for (let i = 0; i < 1001; i++) append(state, i + 1, { base: i, producerId: BigInt(i), at: 5000 + i })
    expect(state.sequenceRow(0n)).toBeUndefined()
    expect(state.sequenceRow(1n)).toBeDefined()
    const delta = state.drain(ID)!
    expect(delta.expiredSequences).toEqual([0n])
    expect(delta.sequences).toHaveLength(1000)
  })
})

describe('cursors', () => {
  test('a grant moves the cursor once: the same request again gets the same messages', () => {
    const state = new PartitionState()
    append(state, 1, { base: 0, count: 10 })
    const first = state.apply(2, 1, encodeCursors([grant(1, 1, 0, 4)]))
    const again = state.apply(3, 1, encodeCursors([grant(1, 1, 0, 4)]))
    expect(again).toEqual(first)
    expect(state.cursorRow(1)?.cursor).toBe(4)
  })

  test('a grant that does not start at the cursor gets nothing', () => {
    const state = new PartitionState()
    append(state, 1, { base: 0, count: 10 })
    state.apply(2, 1, encodeCursors([grant(1, 1, 0, 4)]))
    const late = state.apply(3, 1, encodeCursors([grant(1, 2, 0, 4)]))
    expect(late).toEqual({ kind: 'cursors', outcomes: [{ from: 0, to: 0, skipped: 0 }] })
    expect(state.cursorRow(1)?.cursor).toBe(4)
  })

  test('an acknowledgement never moves back; a seek may', () => {
    const state = new PartitionState()
    append(state, 1, { base: 0, count: 10 })
    const set = (index: number, n: number, offset: number, forwardOnly: boolean): void => {
      const operation = { kind: 'set' as const, consumerId: 1, requestId: requestId(n), offset, forwardOnly }
      state.apply(index, 1, encodeCursors([operation]))
    }
    set(2, 1, 8, true)
    set(3, 2, 5, true)
    expect(state.cursorRow(1)?.cursor).toBe(8)
    set(4, 3, 5, false)
    expect(state.cursorRow(1)?.cursor).toBe(5)
  })

  test('a remembered request is bounded in number', () => {
    const state = new PartitionState()
    append(state, 1, { base: 0, count: 200 })
    for (let i = 0; i < 100; i++) state.apply(i + 2, 1, encodeCursors([grant(1, i, i, i + 1)]))
    expect(state.cursorRow(1)?.grants).toHaveLength(64)
    expect(state.cursorRow(1)?.cursor).toBe(100)
  })
})

describe('deletion', () => {
  test('a trim survives encoding, moves the start and never back, and not past the end', () => {
    expect(decodePartitionCommand(encodeTrim(2 ** 40))).toEqual({ kind: 'trim', logStart: 2 ** 40 })
    const state = new PartitionState()
    append(state, 1, { base: 0, count: 10 })
    expect(state.apply(2, 1, encodeTrim(6))).toEqual({ kind: 'trimmed', logStart: 6 })
    expect(state.apply(3, 1, encodeTrim(4))).toEqual({ kind: 'trimmed', logStart: 6 })
    expect(new PartitionState(state.snapshot()).logStart).toBe(6)
    expect(() => state.apply(4, 1, encodeTrim(11))).toThrow('behind its end')
  })

  test('a consumer that was overtaken goes on at the start, and its grant says over how much', () => {
    const state = new PartitionState()
    append(state, 1, { base: 0, count: 10 })
    state.apply(2, 1, encodeCursors([grant(1, 1, 0, 2)]))
    state.apply(3, 1, encodeTrim(6))
    const late = state.apply(4, 1, encodeCursors([grant(1, 2, 2, 4)]))
    expect(late).toEqual({ kind: 'cursors', outcomes: [{ from: 2, to: 2, skipped: 0 }] })
    const jumped = { kind: 'cursors', outcomes: [{ from: 6, to: 8, skipped: 4 }] }
    expect(state.apply(5, 1, encodeCursors([grant(1, 3, 6, 8)]))).toEqual(jumped)
    const restarted = new PartitionState(state.snapshot())
    expect(restarted.apply(6, 1, encodeCursors([grant(1, 3, 6, 8)]))).toEqual(jumped)
    const next = { kind: 'cursors', outcomes: [{ from: 8, to: 10, skipped: 0 }] }
    expect(state.apply(6, 1, encodeCursors([grant(1, 4, 8, 10)]))).toEqual(next)
  })

  test('what was deleted before it was written down is not in the delta', () => {
    const state = new PartitionState()
    append(state, 1, { base: 0, count: 3 })
    append(state, 2, { base: 3, count: 3 })
    state.apply(3, 1, encodeTrim(4))
    const delta = state.drain(ID)!
    expect(delta.batches.map((one) => one.baseOffset)).toEqual([3])
    expect(delta).toMatchObject({ logStart: 4, nextOffset: 6 })
  })
})

describe('messages that reached nobody', () => {
  const made = (
    ...operations: CursorOperation[]
  ): { state: PartitionState; projection: LeaderProjection } => {
    const state = new PartitionState()
    append(state, 1, { base: 0, count: 10 })
    for (const [i, operation] of operations.entries()) state.apply(i + 2, 1, encodeCursors([operation]))
    return { state, projection: new LeaderProjection(state) }
  }

  test('are unread again once their holder releases them; the request that had them has nothing', () => {
    const { state, projection } = made(grant(1, 1, 0, 4), release(1, 1))
    expect(state.unread(1).from).toBe(0)
    expect(projection.earlierGrant(1, requestId(1))).toBeUndefined()
  })

  test('come before what follows them, when that was given meanwhile, and are given in one run', () => {
    const { state, projection } = made(grant(1, 1, 0, 4), grant(1, 2, 4, 6), release(1, 1))
    expect(projection.unread(1)).toMatchObject({ from: 0, until: 4 })
    state.apply(5, 1, encodeCursors([grant(1, 3, 0, 3)]))
    expect(projection.unread(1)).toMatchObject({ from: 3, until: 4 })
    state.apply(6, 1, encodeCursors([grant(1, 4, 3, 4)]))
    expect(projection.unread(1).from).toBe(6)
  })

  test('that meet the cursor are before it', () => {
    const { state } = made(grant(1, 1, 0, 4), grant(1, 2, 4, 6), release(1, 1), release(2, 1))
    expect(state.cursorRow(1)).toEqual({ consumerId: 1, cursor: 0, grants: [] })
  })

  test('are not released by who has them no more: a later try that was told the same has them', () => {
    const { state } = made(grant(1, 1, 0, 4), hold(1, 2), release(1, 1), release(1, 1, { orEarlier: true }))
    expect(state.unread(1).from).toBe(4)
    const again = state.apply(6, 1, encodeCursors([hold(1, 1)]))
    expect(again).toEqual({ kind: 'cursors', outcomes: [{ from: 0, to: 4, skipped: 0 }] })
    state.apply(7, 1, encodeCursors([release(1, 1)]))
    expect(state.unread(1).from).toBe(4)
  })

  test('are released for an earlier try by a later one that could not find out', () => {
    expect(made(grant(1, 1, 0, 4), release(1, 2)).state.unread(1).from).toBe(4)
    expect(made(grant(1, 1, 0, 4), release(1, 2, { orEarlier: true })).state.unread(1).from).toBe(0)
  })

  test('take the news of deleted ones with them: who gets them next is told', () => {
    const state = new PartitionState()
    append(state, 1, { base: 0, count: 10 })
    state.apply(2, 1, encodeTrim(4))
    state.apply(3, 1, encodeCursors([grant(1, 1, 4, 6), grant(1, 2, 6, 8), release(1, 1)]))
    expect(state.unread(1)).toEqual({ position: 0, from: 4, until: 6, skipped: 4 })
    state.apply(4, 1, encodeTrim(9))
    expect(state.unread(1)).toEqual({ position: 0, from: 9, until: Infinity, skipped: 7 })
    const given = state.apply(5, 1, encodeCursors([grant(1, 3, 9, 10)]))
    expect(given).toEqual({ kind: 'cursors', outcomes: [{ from: 9, to: 10, skipped: 7 }] })
    expect(state.unread(1)).toEqual({ position: 10, from: 10, until: Infinity, skipped: 0 })
  })

  test('are released in part: the request keeps what was delivered', () => {
    const { state, projection } = made(grant(1, 1, 0, 4), release(1, 1, { from: 2 }))
    expect(state.unread(1).from).toBe(2)
    expect(projection.earlierGrant(1, requestId(1))).toMatchObject({ from: 0, to: 2 })
  })

  test('are not brought back by a release that comes after a seek or an acknowledgement', () => {
    const set = (offset: number, forwardOnly: boolean): CursorOperation => ({
      kind: 'set',
      consumerId: 1,
      requestId: requestId(99),
      offset,
      forwardOnly,
    })
    expect(made(grant(1, 1, 0, 4), set(4, true), release(1, 1)).state.unread(1).from).toBe(4)
    expect(made(grant(1, 1, 0, 4), set(2, false), release(1, 1)).state.unread(1).from).toBe(2)
    const ahead = made(grant(1, 1, 0, 4), grant(1, 2, 4, 6), release(1, 1), set(3, true))
    expect(ahead.state.unread(1).from).toBe(3)
    expect(
      made(grant(1, 1, 0, 4), grant(1, 2, 4, 6), release(1, 1), set(5, false)).state.unread(1).from,
    ).toBe(5)
  })

  test('are bounded in number, since only what is remembered can be released', () => {
    const { state } = made()
    append(state, 2, { base: 10, count: 500 })
    let index = 2
    let releasedMax = 0
    const apply = (operation: CursorOperation): unknown => state.apply(++index, 1, encodeCursors([operation]))
    for (let i = 0; i < 800; i++) {
      const { from } = new LeaderProjection(state).unread(1)
      apply(grant(1, i, from, from + 1))
      // All but the newest, which stands between the others and the cursor.
      if (i % 70 === 69) for (let back = 1; back <= 70; back++) apply(release(i - back, 1))
      const { grants } = state.cursorRow(1)!
      expect(grants.length).toBeLessThanOrEqual(64 + 64)
      releasedMax = Math.max(releasedMax, grants.filter((one) => one.released).length)
    }
    expect(releasedMax).toBeGreaterThan(50)
  })

  test('can be released, too, when an older version gave them', () => {
    const old = encodeCursors([grant(1, 1, 0, 4)])
    const without = new Uint8Array(old.length - 8)
    without.set(old.subarray(0, without.length))
    without[0] = 2
    const state = new PartitionState()
    append(state, 1, { base: 0, count: 10 })
    state.apply(2, 1, without)
    expect(state.unread(1).from).toBe(4)
    state.apply(3, 1, encodeCursors([release(1, 7, { orEarlier: true })]))
    expect(state.unread(1).from).toBe(0)
  })
})

test('what a leader projects is what every replica applies, whatever the mix', () => {
  const step = fc.oneof(
    fc.record({
      kind: fc.constant('append' as const),
      count: fc.integer({ min: 1, max: 5 }),
      producer: fc.integer({ min: -1, max: 3 }),
      sequence: fc.integer({ min: 0, max: 12 }),
    }),
    fc.record({
      kind: fc.constant('grant' as const),
      consumer: fc.integer({ min: 1, max: 3 }),
      request: fc.integer({ min: 0, max: 8 }),
      take: fc.integer({ min: 1, max: 4 }),
    }),
    fc.record({
      kind: fc.constant('release' as const),
      consumer: fc.integer({ min: 1, max: 3 }),
      request: fc.integer({ min: 0, max: 8 }),
      holder: fc.integer({ min: 1, max: 2 }),
      orEarlier: fc.boolean(),
    }),
    fc.record({ kind: fc.constant('trim' as const), behind: fc.integer({ min: 0, max: 9 }) }),
    fc.record({ kind: fc.constant('apply' as const), upTo: fc.integer({ min: 1, max: 6 }) }),
  )
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const leader = new PartitionState()
      const follower = new PartitionState()
      const projection = new LeaderProjection(leader)
      const log: Uint8Array[] = []
      const applyTo = (end: number): void => {
        for (let i = leader.appliedIndex; i < end; i++) leader.apply(i + 1, 1, log[i]!)
        projection.appliedTo(leader.appliedIndex)
      }
      let end = 0
      for (const action of steps) {
        if (action.kind === 'apply') {
          applyTo(Math.min(log.length, leader.appliedIndex + action.upTo))
        } else if (action.kind === 'append') {
          const shape = {
            base: end,
            count: action.count,
            producerId: BigInt(action.producer),
            sequence: action.sequence,
          }
          const header = readBatchHeader(batch(shape))
          const plan = projection.planAppend(header)
          if (plan.kind !== 'append') continue
          expect(plan.baseOffset).toBe(end)
          log.push(encodeAppend(batch(shape)))
          projection.appended(log.length, header, plan.baseOffset)
          end += action.count
        } else if (action.kind === 'trim') {
          const logStart = Math.max(end - action.behind, 0)
          log.push(encodeTrim(logStart))
          projection.trimmed(log.length, logStart)
        } else if (action.kind === 'release') {
          const operation = {
            ...release(action.request, action.holder, { orEarlier: action.orEarlier }),
            consumerId: action.consumer,
          }
          log.push(encodeCursors([operation]))
          projection.moved(log.length, [operation])
        } else {
          const { from, until } = projection.unread(action.consumer)
          const to = Math.min(end, from + action.take, until)
          const operation = grant(action.consumer, action.request, from, to)
          log.push(encodeCursors([operation]))
          projection.moved(log.length, [operation])
        }
      }
      const projected = [1, 2, 3].map((id) => projection.unread(id))
      const projectedStart = projection.logStart
      applyTo(log.length)
      expect(leader.logStart).toBe(projectedStart)
      for (let i = 0; i < log.length; i++) follower.apply(i + 1, 1, log[i]!)
      expect(follower.snapshot()).toEqual(leader.snapshot())
      expect([1, 2, 3].map((id) => leader.unread(id))).toEqual(projected)
    }),
  )
})

test('deltas add up: draining at any points gives the same rows as draining once', () => {
  const state = new PartitionState()
  const parts: (number | bigint)[] = []
  append(state, 1, { base: 0, count: 2, producerId: 5n })
  const first = state.drain(ID)!
  expect(state.drain(ID)).toBeUndefined()
  state.apply(2, 1, encodeCursors([grant(1, 1, 0, 2)]))
  state.skip(3, 2)
  const second = state.drain(ID)!
  parts.push(first.previousIndex, first.appliedIndex, second.previousIndex, second.appliedIndex)
  expect(parts).toEqual([0, 1, 1, 3])
  expect(first.batches).toHaveLength(1)
  expect(second.batches).toHaveLength(0)
  expect(second.cursors.map((row) => row.cursor)).toEqual([2])
  expect(second.appliedTerm).toBe(2)
})

describe('recent batches', () => {
  const UNBOUNDED = Number.MAX_SAFE_INTEGER
  const stored = (base: number, count: number) =>
    resident({
      baseOffset: base,
      lastOffset: base + count - 1,
      term: 1,
      index: base + 1,
      maxTimestamp: 0,
      bytes: batch({ base, count }),
    })

  test('answer from the batch that holds the offset, within the bound, at least one', () => {
    const recent = new RecentBatches(new RecentBudget({ bytesMax: 1e6, heldBytesMax: UNBOUNDED }))
    for (const base of [10, 13, 16]) recent.add(stored(base, 3))
    expect(recent.read(9, 1e6)).toBeUndefined()
    expect(recent.read(14, 1)?.map((b) => b.baseOffset)).toEqual([13])
    expect(recent.read(14, 1e6)?.map((b) => b.baseOffset)).toEqual([13, 16])
    expect(recent.read(19, 1e6)).toBeUndefined()
    expect(() => recent.add(stored(25, 1))).toThrow('gap')
  })

  test('let go of deleted ones, also of those that the database does not have', () => {
    const budget = new RecentBudget({ bytesMax: 1e6, heldBytesMax: UNBOUNDED })
    const recent = new RecentBatches(budget)
    for (const base of [0, 3, 6]) recent.add(stored(base, 3))
    recent.trim(4)
    expect(recent.firstOffset).toBe(3)
    recent.trim(9)
    expect(budget.usedBytes).toBe(0)
    recent.add(stored(9, 1))
    expect(recent.firstOffset).toBe(9)
  })

  test('go when room is needed, the oldest first, but never what the database does not have', () => {
    const budget = new RecentBudget({ bytesMax: 0, heldBytesMax: UNBOUNDED })
    const recent = new RecentBatches(budget)
    for (let base = 0; base < 300; base += 3) recent.add(stored(base, 3))
    budget.enforce()
    expect(recent.firstOffset).toBe(0)
    recent.release(150)
    budget.enforce()
    expect(recent.firstOffset).toBe(150)
    expect(recent.read(150, 1)?.[0]?.baseOffset).toBe(150)
    recent.release(300)
    budget.enforce()
    expect(recent.firstOffset).toBeUndefined()
    expect(budget.usedBytes).toBe(0)
    recent.add(stored(300, 1))
    expect(recent.read(300, 1)).toHaveLength(1)
  })

  test('of which the database lacks too much leave memory, and nothing else: who needs them reads the log', () => {
    const size = 100
    const sized = (base: number) => resident({ ...stored(base, 3), bytes: new Uint8Array(size) })
    const budget = new RecentBudget({ bytesMax: 0, heldBytesMax: 10 * size })
    const [one, other] = [new RecentBatches(budget), new RecentBatches(budget)]
    const added = Array.from({ length: 20 }, (_, i) => sized(i * 3))
    const batches: readonly AppliedBatch[] = added
    for (const batch of added) one.add(batch)
    other.add(sized(0))
    budget.enforce()
    expect(budget.usedBytes).toBe(10 * size)
    // They take turns: ten of twenty, and the only one of the other.
    expect(other.read(0, 1)).toBeUndefined()
    expect(batches.filter(({ bytes }) => bytes === undefined)).toEqual(batches.slice(0, 10))
    expect(one.firstOffset).toBe(0)
    expect(one.read(29, 1)).toBeUndefined()
    expect(one.pagedOut(4, 1)).toEqual([batches[1]])
    expect(one.pagedOut(4, 3 * size)).toEqual(batches.slice(1, 4))
    expect(one.pagedOut(25, 1e6)).toEqual(batches.slice(8, 10))
    expect(one.pagedOut(30, 1e6)).toBeUndefined()
    expect(one.read(30, 1e6)).toHaveLength(10)
    one.release(15)
    expect(one.firstOffset).toBe(15)
    expect(budget.usedBytes).toBe(10 * size)
    one.release(36)
    budget.enforce()
    expect(one.firstOffset).toBe(36)
    expect(budget.usedBytes).toBe(8 * size)
    one.trim(45)
    expect(batches[14]!.bytes).toBeUndefined()
    expect(batches[15]!.bytes).toBeDefined()
    one.close()
    other.close()
    expect(budget.usedBytes).toBe(0)
    // It may be on its way to the database.
    expect(batches[19]!.bytes).toBeDefined()
  })

  test('keep to both bounds whatever happens to them, and hold what nobody else has', () => {
    const SIZE = 10
    const step = fc.record({
      owner: fc.nat({ max: 2 }),
      kind: fc.constantFrom('add', 'release', 'trim', 'enforce', 'replace'),
      part: fc.double({ min: 0, max: 1, noNaN: true }),
    })
    fc.assert(
      fc.property(
        fc.array(step, { maxLength: 40, size: 'max' }),
        fc.nat({ max: 6 }),
        fc.nat({ max: 12 }),
        (steps, recent, held) => {
          const bounds = { bytesMax: recent * SIZE, heldBytesMax: held * SIZE }
          const budget = new RecentBudget(bounds)
          const owners = [0, 1, 2].map(() => ({
            recent: new RecentBatches(budget),
            all: [] as AppliedBatch[],
            stored: 0,
            start: 0,
          }))
          for (const { owner: at, kind, part } of steps) {
            const owner = owners[at]!
            const end = owner.all.length
            if (kind === 'add')
              for (let offset = end; offset <= end + Math.floor(part * 8); offset++) {
                const batch = resident({ ...stored(offset, 1), bytes: new Uint8Array(SIZE) })
                owner.recent.add(batch)
                owner.all.push(batch)
              }
            else if (kind === 'release') {
              owner.stored += Math.floor(part * (end - owner.stored + 1))
              owner.stored = Math.min(owner.stored, end)
              owner.recent.release(owner.stored)
            } else if (kind === 'trim') {
              owner.start += Math.floor((part * (end - owner.start)) / 3)
              owner.recent.trim(owner.start)
            } else if (kind === 'replace') {
              owner.recent.close()
              owner.recent = new RecentBatches(budget)
              owner.stored = owner.start = end
            }
            budget.enforce()
            let inMemory = 0
            for (const { recent: some, all, stored: inDatabase, start } of owners)
              for (let offset = start; offset < all.length; offset++) {
                const here = some.read(offset, 1)
                const paged = some.pagedOut(offset, 1)
                if (here !== undefined) inMemory++
                expect(here ?? paged ?? (offset < inDatabase ? [all[offset]] : undefined)).toEqual([
                  all[offset],
                ])
                expect(here === undefined || paged === undefined).toBe(true)
              }
            expect(budget.usedBytes).toBe(inMemory * SIZE)
            const isPinned = owners.every(({ recent: some }) => !some.canDrop)
            expect(budget.usedBytes).toBeLessThanOrEqual(
              isPinned ? Math.max(recent, held) * SIZE : bounds.bytesMax,
            )
          }
        },
      ),
      { numRuns: 300 },
    )
  })

  test('are found by time wherever their bytes are', () => {
    const budget = new RecentBudget({ bytesMax: 0, heldBytesMax: 0 })
    const recent = new RecentBatches(budget)
    for (const [base, maxTimestamp] of [
      [0, 5],
      [3, 4],
      [6, 9],
    ] as const)
      recent.add({ ...stored(base, 3), maxTimestamp })
    budget.enforce()
    expect(recent.atTime(4, 0)?.baseOffset).toBe(0)
    expect(recent.atTime(4, 3)?.baseOffset).toBe(3)
    expect(recent.atTime(6, 0)?.baseOffset).toBe(6)
    expect(recent.atTime(10, 0)).toBeUndefined()
  })

  test('of many partitions share one bound; one that has to keep its own does not keep the others from going', () => {
    const size = 100
    const sized = (base: number) => resident({ ...stored(base, 3), bytes: new Uint8Array(size) })
    const budget = new RecentBudget({ bytesMax: 10 * size, heldBytesMax: UNBOUNDED })
    const all = Array.from({ length: 20 }, () => new RecentBatches(budget))
    for (let round = 0; round < 200; round++) {
      for (const [i, recent] of all.entries()) {
        recent.add(sized(round * 3))
        // The first partition's database write never comes.
        if (i > 0) recent.release(round * 3 + 3)
      }
      budget.enforce()
      expect(budget.usedBytes).toBe(Math.max(10, round + 1) * size)
    }
    expect(all[0]!.firstOffset).toBe(0)
    expect(all[19]!.firstOffset).toBeUndefined()
    for (const recent of all) recent.close()
    expect(budget.usedBytes).toBe(0)
  })
})
