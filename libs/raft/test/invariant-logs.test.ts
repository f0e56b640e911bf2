import { describe, test } from '@jest/globals'
import { CommitLedger } from '../src/testing/invariants/commit-ledger.js'
import { committedForEver } from '../src/testing/invariants/committed-for-ever.js'
import { committedOnQuorum } from '../src/testing/invariants/committed-on-quorum.js'
import { durableBeforeReply } from '../src/testing/invariants/durable-before-reply.js'
import { indexOrder } from '../src/testing/invariants/index-order.js'
import { leaderAppendOnly } from '../src/testing/invariants/leader-append-only.js'
import { leaderCompleteness } from '../src/testing/invariants/leader-completeness.js'
import { logMatching } from '../src/testing/invariants/log-matching.js'
import { ownTermCommit } from '../src/testing/invariants/own-term-commit.js'
import { MessageKind } from '../src/core/types.js'
import { MemoryLog } from '../src/testing/index.js'
import {
  configuration,
  diskOf,
  entry,
  expectBroken,
  group,
  id,
  leader,
  logOf,
  message,
  progress,
  replica,
} from './invariant-fixture.js'

describe('I4, leader append-only', () => {
  test('finds a leader that changes or loses what it had', () => {
    const check = leaderAppendOnly()
    check.settled?.(leader({ log: logOf(1, 1, 1), changedFrom: 1 }))
    check.settled?.(leader({ log: logOf(1, 1, 1, 1), changedFrom: 4 }))
    expectBroken('leader append-only', () =>
      check.settled?.(leader({ log: logOf(1, 1, 1, 1, 1), changedFrom: 4 })),
    )
    expectBroken('leader append-only', () =>
      check.settled?.(leader({ log: logOf(1, 1, 1), changedFrom: Number.POSITIVE_INFINITY })),
    )
  })

  test('lets a follower change its log, and then lead', () => {
    const check = leaderAppendOnly()
    check.settled?.(leader({ log: logOf(1, 1, 1), term: 1 }))
    check.settled?.(replica({ log: logOf(1, 2), term: 2, changedFrom: 2 }))
    check.settled?.(leader({ log: logOf(1, 2, 3), term: 3, changedFrom: 3 }))
  })
})

describe('I5, log matching', () => {
  test('finds another entry under an index and a term that are taken', () => {
    const check = logMatching()
    const log = MemoryLog.of([entry(1, 1, 7)])
    check.settled?.(replica({ log, disk: diskOf(log) }))
    expectBroken('log matching', () =>
      check.settled?.(replica({ node: id(2), log: MemoryLog.of([entry(1, 1, 8)]), disk: diskOf(logOf()) })),
    )
  })

  test('finds the same entry behind another one', () => {
    const check = logMatching()
    check.sent?.(replica(), message({ kind: MessageKind.APPEND, index: 1, logTerm: 1 }), [entry(2, 3)])
    const other = logOf(2, 3)
    expectBroken('log matching', () =>
      check.settled?.(replica({ node: id(2), log: other, disk: diskOf(logOf()) })),
    )
  })

  test('lets an index and a term be used again when nobody heard of them and no disk has them', () => {
    const check = logMatching()
    check.settled?.(replica({ log: MemoryLog.of([entry(1, 1, 7)]), disk: diskOf(logOf()) }))
    check.settled?.(replica({ log: MemoryLog.of([entry(1, 1, 8)]), disk: diskOf(logOf()) }))
  })

  test('finds terms that decrease within a log', () => {
    const log = logOf(2, 1)
    expectBroken('terms in a log never decrease', () =>
      logMatching().settled?.(replica({ log, disk: diskOf(logOf()) })),
    )
  })
})

describe('I6, leader completeness', () => {
  test('finds a leader that lacks what was committed in an earlier term', () => {
    const ledger = new CommitLedger(configuration([1, 2, 3]))
    ledger.stepped(leader({ term: 2, commit: 2, log: logOf(1, 2) }))
    const check = leaderCompleteness(ledger)
    check.settled?.(leader({ node: id(2), term: 3, log: logOf(1, 2, 3) }))
    expectBroken('leader completeness', () =>
      check.settled?.(leader({ node: id(3), term: 4, log: logOf(1, 1, 4) })),
    )
    expectBroken('leader completeness', () =>
      check.settled?.(leader({ node: id(3), term: 5, log: logOf(1) })),
    )
  })
})

describe('I8, what is committed stays', () => {
  test('finds another entry where one is committed', () => {
    const ledger = new CommitLedger(configuration([1, 2, 3]))
    ledger.stepped(leader({ term: 2, commit: 2, log: logOf(1, 2) }))
    const check = committedForEver(ledger)
    check.settled?.(replica({ commit: 2, log: logOf(1, 2, 2) }))
    expectBroken('what is committed stays', () =>
      check.settled?.(replica({ node: id(2), commit: 2, log: logOf(1, 1) })),
    )
  })

  test('finds a committed entry that is changed later', () => {
    const ledger = new CommitLedger(configuration([1, 2, 3]))
    ledger.stepped(leader({ term: 2, commit: 2, log: logOf(1, 2) }))
    const check = committedForEver(ledger)
    check.settled?.(replica({ commit: 2, log: logOf(1, 2) }))
    expectBroken('what is committed stays', () =>
      check.settled?.(
        replica({ commit: 2, log: MemoryLog.of([entry(1, 1), entry(2, 2, 9)]), changedFrom: 2 }),
      ),
    )
  })
})

describe('I9, committed on a quorum', () => {
  const disks = (holders: readonly number[]): ReturnType<typeof group> =>
    group({ disk: (node) => diskOf(holders.includes(node) ? logOf(1, 1) : logOf(1)) })

  test('finds a commit that is on the disks of a minority', () => {
    const at = leader({ commit: 2, log: logOf(1, 1) })
    committedOnQuorum(disks([1, 2])).stepped?.(at)
    expectBroken('committed on a quorum', () => committedOnQuorum(disks([1])).stepped?.(at))
  })

  test('finds a commit in a joint configuration that one of the majorities lacks', () => {
    const joint = configuration([3, 4, 5], { votersOutgoing: [1, 2, 3].map(id) })
    const at = leader({ commit: 2, log: logOf(1, 1), configuration: joint })
    committedOnQuorum(disks([1, 3, 4])).stepped?.(at)
    expectBroken('committed on a quorum', () => committedOnQuorum(disks([1, 2, 3])).stepped?.(at))
  })

  test('does not count a learner', () => {
    const learners = configuration([1, 2, 3], { learners: [id(4)] })
    const at = leader({ commit: 2, log: logOf(1, 1), configuration: learners })
    expectBroken('committed on a quorum', () => committedOnQuorum(disks([1, 4])).stepped?.(at))
  })
})

describe('I10, only own entries are committed by counting', () => {
  test('finds a leader that commits an entry of an earlier term', () => {
    const check = ownTermCommit()
    check.settled?.(leader({ term: 3, commit: 0, log: logOf(1, 2, 3) }))
    check.settled?.(leader({ term: 3, commit: 3, log: logOf(1, 2, 3) }))
    const other = ownTermCommit()
    other.settled?.(leader({ term: 3, commit: 0, log: logOf(1, 2, 3) }))
    expectBroken('only own entries', () =>
      other.settled?.(leader({ term: 3, commit: 2, log: logOf(1, 2, 3) })),
    )
  })
})

describe('I11, the order of indexes', () => {
  test.each([
    ['commit ≤ last', { commit: 4, applied: 2 }],
    ['applied ≤ durable', { commit: 3, applied: 3, disk: diskOf(logOf(1, 1)) }],
  ])('finds that %s', (law, given) => {
    const log = logOf(1, 1, 1)
    const check = indexOrder(group())
    check.settled?.(replica({ log, commit: 3, applied: 3 }))
    expectBroken(law, () => check.settled?.(replica({ log, ...given })))
  })

  test('finds that compacted ≤ applied and applied ≤ commit', () => {
    const log = logOf(1, 1, 1)
    log.compact(2)
    const check = indexOrder(group())
    check.stepped?.(replica({ log, commit: 3, applied: 2 }))
    expectBroken('compacted ≤ applied', () => check.stepped?.(replica({ log, commit: 3, applied: 1 })))
    expectBroken('applied ≤ commit', () => check.stepped?.(replica({ log, commit: 2, applied: 3 })))
  })

  test.each([
    ['match < next', { match: 2, next: 2 }],
    ['match ≤ last', { match: 4, next: 5 }],
    ['a match never decreases', { match: 1, next: 2 }],
    ['nobody compacts what a member needs', { match: 2, next: 3, state: 'snapshot' }],
  ] as const)('finds that %s', (law, given) => {
    const log = logOf(1, 1, 1)
    const check = indexOrder(group({ keepsLogs: true }))
    const members = configuration([1, 2, 3])
    const leading = { log, configuration: members }
    check.settled?.(leader({ ...leading, progress: () => progress({ match: 2, next: 3 }) }))
    expectBroken(law, () => check.settled?.(leader({ ...leading, progress: () => progress(given) })))
  })
})

test('I11 lets a match decrease for one whose disk lost what it had', () => {
  const log = logOf(1, 1, 1)
  const members = configuration([1, 2, 3])
  const check = indexOrder(group({ hasLost: (node) => node === id(2) }))
  check.settled?.(leader({ log, configuration: members, progress: () => progress({ match: 2, next: 3 }) }))
  const decreased = (peer: number): ReturnType<typeof leader> =>
    leader({
      log,
      configuration: members,
      progress: (of) => progress(of === id(peer) ? { match: 0, next: 1 } : { match: 2, next: 3 }),
    })
  check.settled?.(decreased(2))
  expectBroken('a match never decreases', () => check.settled?.(decreased(3)))
})

describe('I12, durable before the reply', () => {
  test.each([
    ['own vote is durable', { kind: MessageKind.VOTE, term: 3 }, { term: 3, vote: id(2) }],
    ['own vote is durable', { kind: MessageKind.VOTE, term: 3 }, { term: 2, vote: id(1) }],
    ['term is durable', { kind: MessageKind.VOTE_RESPONSE, term: 3, reject: true }, { term: 2 }],
    ['a vote given is durable', { kind: MessageKind.VOTE_RESPONSE, term: 3 }, { term: 3, vote: id(3) }],
    ['term is durable', { kind: MessageKind.APPEND_RESPONSE, term: 3, reject: true }, { term: 2 }],
    [
      'what is acknowledged is durable',
      { kind: MessageKind.APPEND_RESPONSE, term: 3, index: 2 },
      { term: 3 },
    ],
    ['a leader’s term is durable', { kind: MessageKind.APPEND, term: 3 }, { term: 2 }],
    ['a leader’s term is durable', { kind: MessageKind.HEARTBEAT, term: 3 }, { term: 2 }],
  ])('finds that %s', (law, sent, durable) => {
    const check = durableBeforeReply()
    const before = replica({ disk: diskOf(logOf(1), durable) })
    const after = replica({ disk: diskOf(logOf(1, 1), { term: 4, vote: 0 }) })
    check.sent?.(after, message(sent), [])
    expectBroken(law, () => check.sent?.(before, message(sent), []))
  })
})
