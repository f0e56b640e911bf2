import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import { InflightWindow } from '../src/core/inflight-window.js'
import { majorityValue, quorumSize, tally } from '../src/core/quorum.js'
import { simpleConfiguration } from '../src/core/configuration.js'
import { Membership } from '../src/core/membership.js'
import { RaftLog } from '../src/core/raft-log.js'
import { entriesOfTerms, MemoryLog, nodeId } from '../src/testing/index.js'

const indexes = fc.array(fc.nat(20), { minLength: 1, maxLength: 9 })
const terms = fc
  .array(fc.integer({ min: 1, max: 5 }), { maxLength: 12 })
  .map((all) => all.sort((a, b) => a - b))

function logOf(view: MemoryLog): RaftLog {
  return new RaftLog(view, new Membership(nodeId(1), simpleConfiguration([1, 2, 3].map(nodeId)), view))
}

describe('quorums', () => {
  test('two majorities always share a voter, and no smaller sets do', () => {
    for (let count = 1; count <= 20; count++) {
      expect(quorumSize(count) * 2).toBeGreaterThan(count)
      expect((quorumSize(count) - 1) * 2).toBeLessThanOrEqual(count)
    }
  })

  test('the majority value is the highest that a majority reached', () => {
    fc.assert(
      fc.property(indexes, (values) => {
        const reached = (value: number): boolean =>
          values.filter((other) => other >= value).length * 2 > values.length
        const highest = Math.max(...[...Array(21).keys()].filter(reached))
        expect(majorityValue([...values])).toBe(highest)
      }),
    )
  })

  test('an election is decided exactly when the missing answers cannot change it', () => {
    const answers = fc.array(fc.constantFrom(true, false, undefined), { minLength: 1, maxLength: 7 })
    fc.assert(
      fc.property(answers, (votes) => {
        const granted = votes.filter((vote) => vote === true).length
        const refused = votes.filter((vote) => vote === false).length
        const open = votes.length - granted - refused
        const wins = (count: number): boolean => count * 2 > votes.length
        const expected = wins(granted) ? 'won' : wins(granted + open) ? 'pending' : 'lost'
        expect(tally({ granted, refused, voterCount: votes.length })).toBe(expected)
      }),
    )
  })
})

describe('backing off', () => {
  test('finds the last position whose term is not above the other’s', () => {
    fc.assert(
      fc.property(terms, fc.nat(14), fc.nat(6), fc.nat(12), (all, index, term, compacted) => {
        const view = MemoryLog.of(entriesOfTerms(all))
        view.compact(Math.min(compacted, all.length))
        const log = logOf(view)
        let expected = Math.min(index, all.length)
        while (expected > view.compactedIndex && all[expected - 1]! > term) expected--
        expect(log.conflictBackOff({ index, term }).index).toBe(expected)
      }),
    )
  })

  test('never goes below what two logs have in common', () => {
    fc.assert(
      fc.property(terms, terms, terms, (common, left, right) => {
        const base = common.length === 0 ? 0 : common.at(-1)!
        const extend = (tail: readonly number[], shift: number): RaftLog => {
          const all = [...common, ...tail.map((term) => base + shift + 2 * term)]
          return logOf(MemoryLog.of(entriesOfTerms(all)))
        }
        const leader = extend(left, 0)
        const follower = extend(right, 1)
        for (let previous = common.length; previous <= leader.lastIndex; previous++) {
          const hint = follower.conflictBackOff({ index: previous, term: leader.knownTerm(previous) })
          expect(leader.conflictBackOff(hint).index).toBeGreaterThanOrEqual(common.length)
        }
      }),
    )
  })
})

describe('the window of appends in flight', () => {
  test('counts messages and bytes like a plain list', () => {
    const operation = fc.record({ free: fc.boolean(), bytes: fc.nat(50) })
    fc.assert(
      fc.property(
        fc.array(operation, { maxLength: 60 }),
        fc.integer({ min: 1, max: 9 }),
        (operations, messagesMax) => {
          const window = new InflightWindow({ messagesMax, bytesMax: 100 })
          let list: { last: number; bytes: number }[] = []
          operations.forEach(({ free, bytes }, last) => {
            if (free) {
              const upTo = list[Math.floor(list.length / 2)]?.last ?? 0
              window.freeTo(upTo)
              list = list.filter((sent) => sent.last > upTo)
            } else if (!window.isFull) {
              window.add(last, bytes)
              list.push({ last, bytes })
            }
            const sum = list.reduce((total, sent) => total + sent.bytes, 0)
            expect([window.count, window.isFull]).toEqual([
              list.length,
              list.length >= messagesMax || sum >= 100,
            ])
          })
        },
      ),
    )
  })
})
