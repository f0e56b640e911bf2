import { describe, expect, test } from '@jest/globals'
import { ManualClock } from '@sluice/foundation/testing'
import type { NodeId } from '../src/core/types.js'
import { CompactionPolicy } from '../src/node/compaction-policy.js'

const id = (value: number): NodeId => value as NodeId
const MEMBERS = [id(30), id(10), id(20)]

function policy(rules: { minEntries?: number; minMs?: number; split?: boolean } = {}, now = 0) {
  const clock = new ManualClock(now)
  const made = new CompactionPolicy({ minEntries: 10, minMs: 1000, split: false, ...rules }, clock)
  const due = (entryCount: number, self = 10): boolean =>
    made.isDue({ entryCount, self: id(self), members: MEMBERS })
  return { clock, made, due }
}

describe('the compaction policy', () => {
  test('compacts a log with enough entries, and not one with fewer', () => {
    const { due } = policy()
    expect(due(9)).toBe(false)
    expect(due(10)).toBe(true)
  })

  test('compacts what there is when enough time has passed, but nothing is nothing', () => {
    const { clock, made, due } = policy()
    clock.advance(999)
    expect(due(1)).toBe(false)
    clock.advance(1)
    expect(due(1)).toBe(true)
    expect(due(0)).toBe(false)
    made.done()
    expect(due(1)).toBe(false)
  })

  test('does what is forced at once, and forgets it when there is nothing to do', () => {
    const { made, due } = policy()
    made.force()
    expect(due(1)).toBe(true)
    made.done()
    expect(due(1)).toBe(false)
    made.force()
    expect(due(0)).toBe(false)
    expect(due(1)).toBe(false)
  })

  test('rests after a failure', () => {
    const { clock, made, due } = policy()
    made.failed()
    expect(due(100)).toBe(false)
    clock.advance(10_000)
    expect(due(100)).toBe(true)
  })

  test('split, lets one node after the other compact, each in 30 % of its slot', () => {
    const slotMs = 300
    const times = { first: 0, second: slotMs, third: 2 * slotMs }
    const due = (now: number, self: number): boolean => policy({ split: true, minMs: 900 }, now).due(10, self)
    expect([10, 20, 30].map((self) => due(900 + times.first, self))).toEqual([true, false, false])
    expect([10, 20, 30].map((self) => due(900 + times.second, self))).toEqual([false, true, false])
    expect([10, 20, 30].map((self) => due(900 + times.third, self))).toEqual([false, false, true])
    expect(due(900 + 0.3 * slotMs - 1, 10)).toBe(true)
    expect(due(900 + 0.3 * slotMs, 10)).toBe(false)
  })

  test('split, does not let a log grow without bound, and does not stop a node that is no member', () => {
    const { due } = policy({ split: true, minMs: 900 }, 900 + 300)
    expect(due(39, 10)).toBe(false)
    expect(due(40, 10)).toBe(true)
    expect(due(10, 99)).toBe(true)
  })

  test('keeps a few entries for a member that is behind, and none when nobody is', () => {
    const { made } = policy()
    expect(made.dropTo({ snapshotIndex: 100, heldByAll: 100 })).toBe(100)
    expect(made.dropTo({ snapshotIndex: 100, heldByAll: 98 })).toBe(98)
    expect(made.dropTo({ snapshotIndex: 100, heldByAll: 5 })).toBe(95)
  })
})
