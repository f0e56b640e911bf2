import { describe, expect, test } from '@jest/globals'
import { ManualClock } from '@sluice/foundation/testing'
import { type CommandOutcome, PendingCommands } from '../src/node/pending-commands.js'

const BATCH = { countMax: 100, bytesMax: 1000 }

function world(bounds = { countMax: 4, bytesMax: 100, waitMs: 1000 }) {
  const clock = new ManualClock()
  const pending = new PendingCommands<string>(bounds, clock)
  const told: string[] = []
  const add = (name: string, sizeBytes = 1): number | undefined =>
    pending.add(new Uint8Array(sizeBytes), (outcome) => told.push(`${name} ${textOf(outcome)}`))
  return { clock, pending, told, add }
}

function textOf(outcome: CommandOutcome<string>): string {
  return outcome.kind === 'applied' ? outcome.result : `${outcome.error.reason} ${outcome.error.outcome}`
}

describe('a pending command', () => {
  test('is told the result of its own application, once', () => {
    const { pending, told, add } = world()
    const a = add('a')!
    pending.take(1, BATCH)
    expect(pending.applied(a, 'done')).toBe(true)
    expect(pending.applied(a, 'again')).toBe(false)
    pending.reachedTerm(5)
    pending.abort(a)
    pending.destroy()
    expect(told).toEqual(['a done'])
    expect([pending.count, pending.bytes]).toEqual([0, 0])
  })

  test('is refused once the queue is full by count or by bytes, and room comes back', () => {
    const { pending, told, add } = world()
    expect(add('large', 101)).toBeUndefined()
    for (const name of ['a', 'b', 'c', 'd']) expect(add(name, 25)).toBeDefined()
    expect(add('e')).toBeUndefined()
    pending.failWaiting('MISSING_LEADER')
    expect(told).toHaveLength(4)
    expect(add('f', 100)).toBeDefined()
  })

  test('of an earlier term is certainly without effect once a later term is applied here', () => {
    const { pending, told, add } = world()
    const a = add('a')!
    pending.take(3, BATCH)
    add('waiting')
    pending.reachedTerm(3)
    expect(told).toEqual([])
    pending.reachedTerm(4)
    expect(told).toEqual(['a DISCARDED no'])
    expect(pending.applied(a, 'late')).toBe(false)
    expect(pending.hasWaiting).toBe(true)
  })

  test('that a leader refused waits for the next one, in its old place', () => {
    const { pending, add } = world()
    add('a')
    add('b')
    const first = pending.take(1, BATCH)
    add('c')
    pending.refused(first)
    pending.refused(first)
    expect(pending.take(2, BATCH).map((command) => command.sequence)).toEqual([1, 2, 3])
  })

  test('that was settled meanwhile does not come back by a refusal', () => {
    const { pending, told, add } = world()
    const a = add('a')!
    const taken = pending.take(1, BATCH)
    pending.applied(a, 'done')
    pending.refused(taken)
    pending.fail(taken, 'QUEUE_FULL')
    expect(pending.hasWaiting).toBe(false)
    expect(told).toEqual(['a done'])
  })

  test('behind a snapshot is unknown, one of a later term still open', () => {
    const { pending, told, add } = world()
    add('a')
    pending.take(1, BATCH)
    add('b')
    pending.take(3, BATCH)
    add('c')
    pending.skippedTo(2)
    expect(told).toEqual(['a LEADER_CHANGED unknown'])
    pending.reachedTerm(2)
    expect(told).toHaveLength(1)
  })

  test('that waits too long for a leader has no effect; one that was sent is unknown', () => {
    const { clock, pending, told, add } = world()
    add('sent')
    pending.take(1, BATCH)
    add('waiting')
    clock.advance(999)
    add('younger')
    pending.expire()
    expect(told).toEqual([])
    clock.advance(1)
    pending.expire()
    expect(told).toEqual(['sent LEADER_CHANGED unknown', 'waiting MISSING_LEADER no'])
    expect(pending.count).toBe(1)
  })

  test('that its caller gives up has no effect only when nobody was given it', () => {
    const { pending, told, add } = world()
    const a = add('a')!
    pending.take(1, BATCH)
    const b = add('b')!
    pending.abort(b)
    pending.abort(a)
    pending.abort(77)
    expect(told).toEqual(['b ABORTED no', 'a ABORTED unknown'])
    expect(pending.hasWaiting).toBe(false)
  })

  test('is settled when the node ends', () => {
    const { pending, told, add } = world()
    add('a')
    pending.take(1, BATCH)
    add('b')
    pending.destroy()
    expect(told).toEqual(['a DESTROYED unknown', 'b DESTROYED no'])
  })
})

describe('taking commands', () => {
  test('respects the bounds, but takes a large one alone', () => {
    const { pending, add } = world({ countMax: 10, bytesMax: 1000, waitMs: 1 })
    for (const size of [300, 10, 10, 10]) add('x', size)
    const sizes = (bounds: { countMax: number; bytesMax: number }): number[] =>
      pending.take(1, bounds).map((command) => command.payload.length)
    expect(sizes({ countMax: 10, bytesMax: 100 })).toEqual([300])
    expect(sizes({ countMax: 2, bytesMax: 100 })).toEqual([10, 10])
    expect(sizes({ countMax: 1, bytesMax: 100 })).toEqual([10])
    expect(sizes({ countMax: 1, bytesMax: 100 })).toEqual([])
  })

  test('a callback that adds another command while many are settled loses none', () => {
    const clock = new ManualClock()
    const pending = new PendingCommands<string>({ countMax: 10, bytesMax: 100, waitMs: 1 }, clock)
    const told: string[] = []
    pending.add(Uint8Array.of(1), () => {
      told.push('first')
      pending.add(Uint8Array.of(2), () => told.push('second'))
    })
    clock.advance(1)
    pending.expire()
    expect(told).toEqual(['first'])
    clock.advance(1)
    pending.expire()
    expect(told).toEqual(['first', 'second'])
  })
})
