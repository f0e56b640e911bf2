import { describe, expect, test } from '@jest/globals'
import type { Configuration, NodeId } from '@sluice/raft'
import fc from 'fast-check'
import {
  type MemberCandidate,
  type MembersStep,
  METADATA_VOTERS_MAX,
  nextMembersStep,
} from '../src/metadata-members.js'

const ids = (...list: number[]): NodeId[] => list as NodeId[]
const members = (voters: number[], learners: number[] = []): Configuration => ({
  voters: ids(...voters),
  votersOutgoing: [],
  learners: ids(...learners),
  promotable: [],
  context: new Uint8Array(0),
})
const broker = (id: number, fields: Partial<MemberCandidate> = {}): MemberCandidate => ({
  id,
  isFit: true,
  isGoing: false,
  ...fields,
})

function step(
  configuration: Configuration,
  brokers: readonly MemberCandidate[],
  view: { leader?: number; caughtUp?: number[]; isCommitted?: boolean } = {},
): MembersStep {
  const { leader = 1, isCommitted = true } = view
  const caughtUp = new Set(view.caughtUp ?? [...configuration.voters, ...configuration.learners])
  return nextMembersStep({ configuration, isCommitted, leader, caughtUp }, brokers)
}

const change = (voters: number[], learners: number[]): MembersStep => ({
  kind: 'change',
  to: { voters: ids(...voters), learners: ids(...learners) },
})

describe('the metadata group', () => {
  test('is left alone when it is as it shall be, and while a change is on its way', () => {
    expect(
      step(
        members([1, 2, 3]),
        [1, 2, 3].map((id) => broker(id)),
      ),
    ).toEqual({ kind: 'none' })
    expect(
      step(
        members([1, 2, 3]),
        [1, 2, 3, 4].map((id) => broker(id)),
        { isCommitted: false },
      ),
    ).toEqual({ kind: 'none' })
  })

  test('takes new brokers as learners, and as voters once that makes an odd number', () => {
    const four = [1, 2, 3, 4].map((id) => broker(id))
    expect(step(members([1, 2, 3]), four)).toEqual(change([1, 2, 3], [4]))
    expect(step(members([1, 2, 3], [4]), four)).toEqual({ kind: 'none' })
    const five = [...four, broker(5)]
    expect(step(members([1, 2, 3], [4]), five)).toEqual(change([1, 2, 3], [4, 5]))
    expect(step(members([1, 2, 3], [4, 5]), five, { caughtUp: [1, 2, 3, 4] })).toEqual({ kind: 'none' })
    expect(step(members([1, 2, 3], [4, 5]), five)).toEqual(change([1, 2, 3, 4, 5], []))
  })

  test('has at most five voters', () => {
    const seven = [1, 2, 3, 4, 5, 6, 7].map((id) => broker(id))
    expect(step(members([1, 2, 3, 4, 5], [6, 7]), seven)).toEqual({ kind: 'none' })
  })

  test('replaces a voter that is dead, when another one has caught up and not before', () => {
    const brokers = [broker(1), broker(2), broker(3, { isFit: false }), broker(4)]
    expect(step(members([1, 2, 3], [4]), brokers, { caughtUp: [1, 2] })).toEqual({ kind: 'none' })
    expect(step(members([1, 2, 3], [4]), brokers, { caughtUp: [1, 2, 4] })).toEqual(change([1, 2, 4], [3]))
    expect(step(members([1, 2, 3]), brokers.slice(0, 3))).toEqual({ kind: 'none' })
  })

  test('lets a broker go that is to be removed, the leader last', () => {
    const going = [broker(1, { isGoing: true }), broker(2), broker(3), broker(4)]
    expect(step(members([1, 2, 3], [4]), going, { leader: 1 })).toEqual({ kind: 'hand-over', to: 2 })
    expect(step(members([1, 2, 3], [4]), going, { leader: 2 })).toEqual(change([2, 3, 4], []))
    const learner = [broker(1), broker(2), broker(3), broker(4, { isGoing: true })]
    expect(step(members([1, 2, 3], [4]), learner)).toEqual(change([1, 2, 3], []))
  })

  test('whatever brokers come, go and die, gets to its members and stays there', () => {
    const candidate = fc.record({ isFit: fc.boolean(), isGoing: fc.boolean() })
    fc.assert(
      fc.property(fc.array(candidate, { minLength: 3, maxLength: 9 }), (fields) => {
        const brokers = fields.map((it, i) => broker(i + 1, i === 0 ? {} : it))
        let configuration = members([1, 2, 3])
        let leader = 3
        for (let i = 0; i < 20; i++) {
          const fit = brokers.filter(({ isFit }) => isFit).map(({ id }) => id)
          const next = step(configuration, brokers, { leader, caughtUp: [...fit, leader] })
          if (next.kind === 'none') break
          if (next.kind === 'hand-over') leader = next.to
          else {
            expect(next.to.voters.length).toBeGreaterThan(0)
            expect(next.to.voters).toContain(leader)
            configuration = members([...next.to.voters], [...(next.to.learners ?? [])])
          }
          expect(i).toBeLessThan(19)
        }
        const { voters, learners } = configuration
        expect(voters.length).toBeLessThanOrEqual(METADATA_VOTERS_MAX)
        const staying = brokers.filter(({ isGoing }) => !isGoing).map(({ id }) => id)
        for (const id of staying) expect([...voters, ...learners]).toContain(id)
        expect([...voters, ...learners].every((id) => staying.includes(id))).toBe(true)
      }),
    )
  })
})
