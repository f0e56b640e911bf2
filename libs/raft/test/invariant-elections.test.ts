import { describe, test } from '@jest/globals'
import { BY_TRANSFER } from '../src/core/message.js'
import { MessageKind, Role } from '../src/core/types.js'
import { electionSafety } from '../src/testing/invariants/election-safety.js'
import { nothingGoesBack } from '../src/testing/invariants/nothing-goes-back.js'
import { oneChangeAtATime } from '../src/testing/invariants/one-change-at-a-time.js'
import { oneVoteATerm } from '../src/testing/invariants/one-vote-a-term.js'
import { onlyVotersCount } from '../src/testing/invariants/only-voters-count.js'
import { MemoryLog } from '../src/testing/index.js'
import {
  configuration,
  configurationEntry,
  diskOf,
  entry,
  expectBroken,
  group,
  id,
  leader,
  message,
  replica,
} from './invariant-fixture.js'

describe('I1, election safety', () => {
  test('finds two leaders of one term', () => {
    const check = electionSafety()
    check.stepped?.(leader({ node: id(1), term: 4 }))
    check.stepped?.(leader({ node: id(2), term: 5 }))
    check.stepped?.(leader({ node: id(1), term: 4 }))
    expectBroken('election safety', () => check.stepped?.(leader({ node: id(2), term: 4 })))
  })
})

describe('I2, one vote a term', () => {
  const vote = (to: number, term: number): Parameters<typeof message>[0] => ({
    kind: MessageKind.VOTE_RESPONSE,
    to: id(to),
    term,
  })

  test('finds a node that tells two candidates that they have its vote', () => {
    const check = oneVoteATerm()
    check.sent?.(replica(), message(vote(2, 3)), [])
    check.sent?.(replica(), message(vote(2, 3)), [])
    check.sent?.(replica(), message({ ...vote(3, 3), reject: true }), [])
    check.sent?.(replica(), message(vote(3, 4)), [])
    expectBroken('one vote a term', () => check.sent?.(replica(), message(vote(3, 3)), []))
  })

  test('finds a candidate that votes for another one, too', () => {
    const check = oneVoteATerm()
    check.sent?.(replica(), message({ kind: MessageKind.VOTE, term: 3 }), [])
    expectBroken('one vote a term', () => check.sent?.(replica(), message(vote(2, 3)), []))
  })

  test('finds a vote that is changed in the storage', () => {
    const check = oneVoteATerm()
    const stored = (vote: number, term: number): ReturnType<typeof replica> =>
      replica({ hardState: { term, vote: vote === 0 ? 0 : id(vote), commit: 0 } })
    check.stepped?.(stored(0, 2))
    check.stepped?.(stored(2, 2))
    check.stepped?.(stored(0, 3))
    check.stepped?.(stored(1, 3))
    expectBroken('one vote a term', () => check.stepped?.(stored(0, 3)))
  })
})

describe('I3, nothing goes back', () => {
  test.each([
    ['terms never go back', { term: 4 }],
    ['commit never goes back', { commit: 6 }],
    ['applied never goes back', { applied: 5 }],
  ])('finds that %s', (law, change) => {
    const check = nothingGoesBack()
    check.stepped?.(replica({ term: 5, commit: 7, applied: 6 }))
    expectBroken(law, () => check.stepped?.(replica({ term: 5, commit: 7, applied: 6, ...change })))
  })

  test.each([
    ['a restart keeps the term', { term: 4 }],
    ['a restart keeps the commit', { commit: 6 }],
    ['a restart keeps the vote', { hardState: { term: 5, vote: 0, commit: 7 } }],
    ['what is applied was committed', { applied: 8 }],
  ] as const)('finds that %s', (law, change) => {
    const check = nothingGoesBack()
    const disk = diskOf(new MemoryLog(), { term: 5, vote: id(2), commit: 7 })
    const hardState = { term: 5, vote: id(2), commit: 7 }
    const restarted = { opening: 2, term: 5, commit: 7, applied: 3, hardState, disk }
    check.opened?.(replica(restarted))
    expectBroken(law, () => check.opened?.(replica({ ...restarted, ...change })))
  })
})

describe('I16, one change at a time', () => {
  const changes = (...voters: readonly (readonly number[])[]): MemoryLog =>
    MemoryLog.of(voters.map((ids, i) => configurationEntry(i + 1, 1, configuration(ids))))

  test('finds a leader with two changes that are not committed', () => {
    const check = oneChangeAtATime(group())
    const log = changes([1, 2, 3, 4], [1, 2, 3, 4, 5])
    check.settled?.(leader({ log, commit: 1 }))
    expectBroken('one change at a time', () => check.settled?.(leader({ log, commit: 0 })))
  })

  test('finds configurations whose majorities need not meet', () => {
    const check = oneChangeAtATime(group())
    check.settled?.(replica({ log: changes([1, 2, 3, 4], [2, 3, 4], [2, 3, 5, 4]) }))
    expectBroken('quorums of successive configurations intersect', () =>
      check.settled?.(replica({ opening: 2, log: changes([1, 2, 3, 4], [3, 4, 5]) })),
    )
  })

  test('takes a joint configuration between two that share nobody', () => {
    const joint = configuration([4, 5, 6], { votersOutgoing: [1, 2, 3].map(id) })
    const log = MemoryLog.of([
      configurationEntry(1, 1, joint),
      configurationEntry(2, 1, configuration([4, 5, 6])),
    ])
    oneChangeAtATime(group()).settled?.(replica({ log }))
  })
})

describe('I17, only voters count', () => {
  const granted = (from: number, kind: MessageKind, term: number): ReturnType<typeof message> =>
    message({ kind, from: id(from), to: id(1), term })

  test('finds a leader without the votes of a quorum', () => {
    const check = onlyVotersCount()
    check.sent?.(replica({ node: id(2) }), granted(2, MessageKind.VOTE_RESPONSE, 3), [])
    check.stepped?.(leader({ term: 3 }))
    expectBroken('a leader has a quorum of votes', () => check.stepped?.(leader({ term: 4 })))
  })

  test('finds a leader that counts the vote of a learner', () => {
    const check = onlyVotersCount()
    check.sent?.(replica({ node: id(4) }), granted(4, MessageKind.VOTE_RESPONSE, 3), [])
    const learners = configuration([1, 2, 3], { learners: [id(4)] })
    expectBroken('a leader has a quorum of votes', () =>
      check.stepped?.(leader({ term: 3, configuration: learners })),
    )
  })

  test('finds a candidate that enters a term although nobody said that he would vote', () => {
    const check = onlyVotersCount()
    const candidate = replica({ role: Role.CANDIDATE, term: 3 })
    const request = message({ kind: MessageKind.VOTE, term: 3 })
    check.sent?.(candidate, { ...request, hint: BY_TRANSFER }, [])
    expectBroken('a term is entered with the support of a quorum', () => check.sent?.(candidate, request, []))
    check.sent?.(replica({ node: id(2) }), granted(2, MessageKind.PRE_VOTE_RESPONSE, 3), [])
    check.sent?.(candidate, request, [])
  })

  test('finds one that is no voter and seeks votes, unless its removal is not committed', () => {
    const check = onlyVotersCount()
    const removed = { role: Role.PRE_CANDIDATE, configuration: configuration([2, 3]) }
    const request = message({ kind: MessageKind.PRE_VOTE, term: 2 })
    const log = MemoryLog.of([entry(1, 1), configurationEntry(2, 1, configuration([2, 3]))])
    check.sent?.(replica({ ...removed, log, commit: 1 }), request, [])
    expectBroken('who is no voter seeks no votes', () =>
      check.sent?.(replica({ ...removed, log, commit: 2 }), request, []),
    )
    expectBroken('who is no voter is a learner', () =>
      check.settled?.(replica({ ...removed, log, commit: 2 })),
    )
  })
})
