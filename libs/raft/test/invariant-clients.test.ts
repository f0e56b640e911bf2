import { describe, test } from '@jest/globals'
import { encodeConfiguration } from '../src/core/configuration.js'
import { appliedOnce } from '../src/testing/invariants/applied-once.js'
import { CommitLedger } from '../src/testing/invariants/commit-ledger.js'
import { everythingBounded } from '../src/testing/invariants/everything-bounded.js'
import { groupsApart } from '../src/testing/invariants/groups-apart.js'
import { linearizable } from '../src/testing/invariants/linearizable.js'
import { nothingAcknowledgedIsLost } from '../src/testing/invariants/nothing-acknowledged-is-lost.js'
import { snapshotsAreStates } from '../src/testing/invariants/snapshots-are-states.js'
import { StateLedger } from '../src/testing/invariants/state-ledger.js'
import { stateMachineSafety } from '../src/testing/invariants/state-machine-safety.js'
import {
  call,
  configuration,
  configurationEntry,
  diskOf,
  entry,
  expectBroken,
  group,
  id,
  leader,
  logOf,
  progress,
  replica,
} from './invariant-fixture.js'

describe('I7, state machine safety', () => {
  test('finds two nodes that apply different entries at one index', () => {
    const check = stateMachineSafety(new StateLedger())
    check.applied?.(replica({ stateHash: 5 }), entry(1, 1))
    check.applied?.(replica({ node: id(2), stateHash: 5 }), entry(1, 1))
    expectBroken('applied another entry', () =>
      check.applied?.(replica({ node: id(3), stateHash: 5 }), entry(1, 2)),
    )
  })

  test('finds the same entry that leads to different states', () => {
    const check = stateMachineSafety(new StateLedger())
    check.applied?.(replica({ stateHash: 5 }), entry(1, 1))
    expectBroken('has another state', () =>
      check.applied?.(replica({ node: id(2), stateHash: 6 }), entry(1, 1)),
    )
  })
})

describe('I13, applied once', () => {
  test.each([
    ['twice', 2],
    ['after a gap', 4],
  ])('finds an entry that is applied %s', (_how, index) => {
    const check = appliedOnce()
    check.opened?.(replica({ applied: 1 }))
    check.applied?.(replica(), entry(2, 1))
    expectBroken('applied in order', () => check.applied?.(replica(), entry(index, 1)))
  })

  test('goes on behind a snapshot, and finds what it holds applied again', () => {
    const check = appliedOnce()
    const meta = { index: 5, term: 1, configuration: new Uint8Array() }
    check.snapshot?.(replica(), meta, { stateHash: 0, isRestored: true })
    check.applied?.(replica(), entry(6, 1))
    check.snapshot?.(replica(), meta, { stateHash: 0, isRestored: false })
    check.applied?.(replica(), entry(7, 1))
    expectBroken('applied in order', () => check.applied?.(replica(), entry(5, 1)))
  })

  test('finds a command that stands at two places, and a call that is answered twice', () => {
    const check = appliedOnce()
    check.applied?.(replica(), entry(1, 1, 77))
    expectBroken('a command stands once', () => check.applied?.(replica(), entry(2, 1, 77)))
    const answered = call()
    check.answered?.(answered)
    expectBroken('a call is answered once', () => check.answered?.(answered))
  })
})

describe('I14, nothing acknowledged is lost', () => {
  test('finds a member without what was acknowledged', () => {
    const check = nothingAcknowledgedIsLost()
    check.applied?.(replica(), entry(1, 1, 7))
    check.answered?.(call({ serial: 7, index: 1 }))
    check.converged?.([replica({ applied: 1 })])
    expectBroken('nothing acknowledged is lost', () =>
      check.converged?.([replica({ applied: 1 }), replica({ node: id(2), applied: 0 })]),
    )
  })

  test('finds what was acknowledged at one place and stands at another', () => {
    const check = nothingAcknowledgedIsLost()
    check.applied?.(replica(), entry(2, 1, 7))
    check.answered?.(call({ serial: 7, index: 1 }))
    expectBroken('nothing acknowledged is lost', () => check.converged?.([replica({ applied: 2 })]))
  })

  test('finds what was refused and is done all the same, whatever comes first', () => {
    const before = nothingAcknowledgedIsLost()
    before.answered?.(call({ serial: 7, outcome: 'refused' }))
    expectBroken('what is refused is not done', () => before.applied?.(replica(), entry(1, 1, 7)))
    const after = nothingAcknowledgedIsLost()
    after.applied?.(replica(), entry(1, 1, 7))
    expectBroken('what is refused is not done', () =>
      after.answered?.(call({ serial: 7, outcome: 'refused' })),
    )
  })
})

describe('I15, linearizable', () => {
  const written = (): ReturnType<typeof linearizable> => {
    const check = linearizable()
    const first = call({ serial: 7, index: 1 })
    check.invoked?.(first)
    check.applied?.(replica(), entry(1, 1, 7))
    check.answered?.(first)
    return check
  }

  test('finds a read that does not see what was answered before it began', () => {
    const check = written()
    const read = call({ kind: 'read', previous: 0, index: 0, applied: 0 })
    check.invoked?.(read)
    expectBroken('reads are fresh', () => check.answered?.(read))
  })

  test('finds a read of something that is not in the log there', () => {
    const check = written()
    const read = call({ kind: 'read', previous: 8, index: 1, applied: 1 })
    check.invoked?.(read)
    expectBroken('a read gives what the log says', () => check.answered?.(read))
  })

  test('finds a write that begins later and stands earlier', () => {
    const check = written()
    const late = call({ serial: 8, index: 1 })
    check.invoked?.(late)
    expectBroken('what begins later stands later', () => check.answered?.(late))
  })

  test('finds a write that is told of another value before it', () => {
    const check = written()
    const second = call({ serial: 8, index: 2, previous: 0 })
    check.invoked?.(second)
    check.applied?.(replica(), entry(2, 1, 8))
    expectBroken('a write finds what the log says', () => check.answered?.(second))
  })

  test('finds a command that nobody asked for', () => {
    expectBroken('nothing is done that nobody asked for', () =>
      written().applied?.(replica(), entry(2, 1, 99)),
    )
  })

  test('finds a history that no order explains, by the calls alone', () => {
    const check = linearizable()
    const calls = [
      call({ serial: 1, invokedAt: 1, answeredAt: 2, index: 1 }),
      call({ serial: 2, kind: 'read', invokedAt: 3, answeredAt: 4, previous: 0 }),
    ]
    for (const each of calls) check.invoked?.(each)
    expectBroken('linearizable', () => check.converged?.([]))
  })
})

describe('I18, snapshots are states', () => {
  const check = (): ReturnType<typeof snapshotsAreStates> => {
    const ledger = new CommitLedger(configuration([1, 2, 3]))
    const log = logOf(1, 1)
    log.write({ entries: [configurationEntry(3, 2, configuration([1, 2, 3, 4]))] })
    ledger.stepped(leader({ term: 2, commit: 3, log }))
    const states = new StateLedger()
    for (const index of [1, 2, 3]) states.record(index, { fingerprint: 0, stateHash: index * 10 })
    return snapshotsAreStates(ledger, states)
  }
  const at = (index: number, term: number, voters: readonly number[]): Parameters<typeof encode>[0] => ({
    index,
    term,
    voters,
  })
  function encode(of: { index: number; term: number; voters: readonly number[] }): {
    index: number
    term: number
    configuration: Uint8Array
  } {
    return { index: of.index, term: of.term, configuration: encodeConfiguration(configuration(of.voters)) }
  }

  test.each([
    ['a snapshot has the term of its last entry', at(2, 2, [1, 2, 3]), 20],
    ['a snapshot is the state at its index', at(2, 1, [1, 2, 3]), 30],
    ['a snapshot has the configuration at its index', at(2, 1, [1, 2, 3, 4]), 20],
    ['a snapshot has the configuration at its index', at(3, 2, [1, 2, 3]), 30],
    ['a snapshot is of what is committed', at(4, 2, [1, 2, 3, 4]), 30],
  ])('finds that %s', (law, meta, stateHash) => {
    const about = { isRestored: true }
    check().snapshot?.(replica(), encode(at(2, 1, [1, 2, 3])), { stateHash: 20, ...about })
    check().snapshot?.(replica(), encode(at(3, 2, [1, 2, 3, 4])), { stateHash: 30, ...about })
    expectBroken(law, () => check().snapshot?.(replica(), encode(meta), { stateHash, ...about }))
  })
})

describe('I19, everything is bounded', () => {
  test('finds a leader that takes more than it may before something is committed', () => {
    const check = everythingBounded(group())
    check.settled?.(leader({ log: logOf(1) }))
    check.settled?.(leader({ log: logOf(1, 1, 1) }))
    const many = logOf(...Array.from({ length: 40 }, () => 1))
    check.settled?.(leader({ log: many, commit: 38 }))
    const check2 = everythingBounded(group())
    check2.settled?.(leader({ log: logOf(1) }))
    expectBroken('what is not committed is bounded', () => check2.settled?.(leader({ log: many })))
  })

  test('finds a window that is overrun', () => {
    const check = everythingBounded(group())
    const log = logOf(...Array.from({ length: 20 }, () => 1))
    const of = { log, commit: 20 }
    check.settled?.(leader({ ...of, progress: () => progress({ match: 15, next: 21 }) }))
    const check2 = everythingBounded(group())
    expectBroken('what is on its way is bounded', () =>
      check2.settled?.(leader({ ...of, progress: () => progress({ match: 0, next: 21 }) })),
    )
  })

  test('finds reads without end, and calls that nobody answers', () => {
    const check = everythingBounded(group())
    check.settled?.(replica({ waitingCount: 6 }))
    expectBroken('reads that wait are bounded', () => check.settled?.(replica({ waitingCount: 7 })))
    const waiting = call({ outcome: 'pending' })
    check.invoked?.(waiting)
    expectBroken('every call is answered in the end', () => check.converged?.([]))
    check.answered?.(waiting)
    check.converged?.([])
  })
})

describe('I20, groups share nothing', () => {
  test('finds a command or configuration of another group', () => {
    const check = groupsApart(group())
    check.applied?.(replica(), entry(1, 1))
    expectBroken('groups never mix', () => check.applied?.(replica(), entry(1, 1, 1, 1002)))
    const foreign = configuration([1, 2], { context: Uint8Array.of(0, 0, 7, 7) })
    expectBroken('groups never mix', () => check.applied?.(replica(), configurationEntry(1, 1, foreign)))
  })

  test('finds a group that sleeps although a member that is there lacks something', () => {
    const lagging = group({ disk: () => diskOf(logOf(1)) })
    const asleep = { isQuiesced: true, log: logOf(1, 1) }
    const peer = (isLost: boolean): ReturnType<typeof progress> => progress({ match: 1, next: 3, isLost })
    groupsApart(lagging).settled?.(leader({ ...asleep, progress: () => peer(true) }))
    expectBroken('a group sleeps when its members have everything', () =>
      groupsApart(lagging).settled?.(leader({ ...asleep, progress: () => peer(false) })),
    )
  })

  test('finds a group that does not wake for a member that is back', () => {
    const check = groupsApart(group())
    const asleep = leader({ isQuiesced: true, progress: () => progress({ isLost: true }) })
    for (let tick = 1; tick <= 20; tick++) check.ticked?.(asleep)
    expectBroken('a group wakes for a member that comes back', () => check.ticked?.(asleep))
  })

  test('finds a follower that sleeps on when its leader is gone', () => {
    const check = groupsApart(group())
    check.ticked?.(replica({ node: id(2), isQuiesced: true, silentTicks: () => 20 }))
    expectBroken('nobody sleeps on when the leader is gone', () =>
      check.ticked?.(replica({ node: id(2), isQuiesced: true, silentTicks: () => 21 })),
    )
    expectBroken('who sleeps has a leader', () =>
      check.ticked?.(replica({ node: id(2), isQuiesced: true, leader: 0 })),
    )
  })
})
