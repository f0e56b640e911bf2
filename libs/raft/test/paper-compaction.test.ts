import { describe, expect, test } from '@jest/globals'
import { encodeConfiguration, simpleConfiguration } from '../src/core/configuration.js'
import { EntryKind, MessageKind, Role, type SnapshotMeta } from '../src/core/types.js'
import { MemoryLog } from '../src/storage/memory-log.js'
import { CoreDriver, entriesOfTerms, nodeId } from '../src/testing/core-driver.js'
import { acknowledge, ids, leaderWith, messageFrom, nodeWith } from './paper-messages.js'

const CONFIGURATION = simpleConfiguration(ids(1, 2, 3))

function snapshotOf(index: number, term: number, configuration = CONFIGURATION): SnapshotMeta {
  return { index, term, configuration: encodeConfiguration(configuration) }
}

/** Node 1 follows leader 2 in this term. */
function followerOf(term: number, terms: readonly number[], commit = 0): CoreDriver {
  const driver = nodeWith(terms, { hardState: { term, vote: 0, commit } })
  driver.receive(messageFrom(2, MessageKind.HEARTBEAT, { term }))
  driver.settle()
  driver.takeSent()
  return driver
}

/** The machine has taken the snapshot, and the log follows. */
function restore(driver: CoreDriver, snapshot: SnapshotMeta): void {
  driver.core.restoreSnapshot(snapshot)
  driver.turn()
  if (driver.log.compactedIndex === snapshot.index) driver.core.appliedTo(snapshot.index)
  driver.settle()
}

function termsOf({ log }: CoreDriver): readonly number[] {
  return log.lastIndex === log.compactedIndex
    ? []
    : log.slice(log.compactedIndex + 1, log.lastIndex).map(({ term }) => term)
}

// The Raft paper, §7 and figure 13.
describe('a follower that gets a snapshot', () => {
  test.each([
    { name: 'nothing', terms: [], snapshot: [5, 3], compacted: 5, left: [], commit: 5 },
    { name: 'a shorter log', terms: [1, 1, 2], snapshot: [5, 3], compacted: 5, left: [], commit: 5 },
    {
      name: 'another entry there',
      terms: [1, 1, 2, 2, 2],
      snapshot: [5, 3],
      compacted: 5,
      left: [],
      commit: 5,
    },
    {
      name: 'more behind another entry',
      terms: [1, 1, 2, 2, 2, 2],
      snapshot: [5, 3],
      compacted: 5,
      left: [],
      commit: 5,
    },
  ])(
    'figure 13 "Discard the entire log": where the log has $name',
    ({ terms, snapshot: [index = 0, term = 0], compacted, left, commit }) => {
      const driver = followerOf(3, terms)
      restore(driver, snapshotOf(index, term))
      expect([driver.log.compactedIndex, termsOf(driver), driver.core.commit]).toEqual([
        compacted,
        left,
        commit,
      ])
      expect([driver.core.applied, driver.core.durableIndex]).toEqual([5, 5])
      expect(driver.takeSent()).toMatchObject([{ to: 2, index: 5, reject: false }])
    },
  )

  test.each([
    { name: 'ends with the entry', terms: [1, 1, 3] },
    { name: 'has more behind it', terms: [1, 1, 3, 3, 3] },
  ])(
    'figure 13 "If existing log entry has same index and term as snapshot’s last included entry, retain log entries following it and reply": the log $name',
    ({ terms }) => {
      const driver = followerOf(3, terms)
      restore(driver, snapshotOf(3, 3))
      expect([driver.log.compactedIndex, termsOf(driver), driver.core.commit]).toEqual([0, terms, 3])
      expect(driver.takeSent()).toMatchObject([{ to: 2, index: 3, reject: false }])
    },
  )

  test('§7 "a snapshot that describes a prefix of its log (due to retransmission or by mistake)" takes nothing back', () => {
    const driver = followerOf(3, [1, 1, 3, 3], 3)
    for (const [index = 0, term = 0] of [
      [1, 1],
      [2, 1],
      [3, 3],
      [2, 9],
    ])
      restore(driver, snapshotOf(index, term))
    expect([driver.log.compactedIndex, termsOf(driver), driver.core.commit]).toEqual([0, [1, 1, 3, 3], 3])
    for (const { index } of driver.takeSent()) expect(index).toBe(3)
  })

  test('§7 "Usually the snapshot will contain new information": the log goes on behind it', () => {
    const driver = followerOf(3, [1])
    restore(driver, snapshotOf(5, 3))
    driver.takeSent()
    const [entry] = entriesOfTerms([3])
    driver.receive(
      messageFrom(2, MessageKind.APPEND, { term: 3, index: 5, logTerm: 3, count: 1, commit: 6 }),
      [{ ...entry!, index: 6 }],
    )
    driver.settle()
    expect(driver.takeSent()).toMatchObject([{ index: 6, reject: false }])
    expect([driver.core.applied, driver.applied.map(({ index }) => index)]).toEqual([6, [6]])
  })

  test('§7 "To enable cluster membership changes, the snapshot also includes the latest configuration in the log as of last included index"', () => {
    const driver = leaderWith([], { voters: ids(1) })
    driver.propose('x')
    driver.core.changeConfiguration({ voters: ids(1), learners: ids(4) })
    driver.propose('y')
    driver.settle()
    expect(driver.core.configurationAt(2)).toEqual(encodeConfiguration(simpleConfiguration(ids(1))))
    const changed = simpleConfiguration(ids(1), ids(4))
    for (const index of [3, 4])
      expect(driver.core.configurationAt(index)).toEqual(encodeConfiguration(changed))

    // A node that starts with nothing but the snapshot is what that makes of it.
    const receiver = new CoreDriver({ id: nodeId(4), voters: [] })
    receiver.receive({ ...messageFrom(1, MessageKind.HEARTBEAT, { term: 1 }), to: nodeId(4) })
    restore(receiver, snapshotOf(4, 1, changed))
    expect([receiver.core.configuration, receiver.core.role]).toEqual([changed, Role.LEARNER])
    const restarted = new CoreDriver({
      id: nodeId(4),
      voters: [],
      log: receiver.log,
      hardState: receiver.hardState,
      applied: 4,
    })
    expect([restarted.core.configuration, restarted.core.configurationIndex]).toEqual([changed, 4])
  })

  test('an uncommitted configuration goes with the log that a snapshot replaces', () => {
    const driver = followerOf(3, [1])
    const data = encodeConfiguration(simpleConfiguration(ids(2, 3)))
    driver.receive(messageFrom(2, MessageKind.APPEND, { term: 3, index: 1, logTerm: 1, count: 1 }), [
      { index: 2, term: 3, kind: EntryKind.CONFIGURATION, data },
    ])
    expect(driver.core.role).toBe(Role.LEARNER)
    driver.core.restoreSnapshot(snapshotOf(5, 3))
    expect([driver.core.role, driver.core.configuration]).toEqual([Role.FOLLOWER, CONFIGURATION])
  })

  test('a snapshot makes a learner a voter', () => {
    const driver = new CoreDriver({ id: nodeId(1), voters: ids(2, 3), learners: ids(1) })
    restore(driver, snapshotOf(5, 3))
    expect([driver.core.role, driver.core.configuration.voters]).toEqual([Role.FOLLOWER, [1, 2, 3]])
    driver.timeOut()
    expect(driver.core.role).toBe(Role.PRE_CANDIDATE)
  })

  test('what was being written when the snapshot came counts for nothing when it is durable at last', () => {
    const driver = followerOf(3, [1])
    const [entry] = entriesOfTerms([3])
    driver.receive(messageFrom(2, MessageKind.APPEND, { term: 3, index: 1, logTerm: 1, count: 1 }), [
      { ...entry!, index: 2 },
    ])
    driver.turn()
    driver.core.restoreSnapshot(snapshotOf(5, 3))
    driver.turn()
    expect(driver.unsynced).toBe(2)
    driver.persist(1)
    expect(driver.core.durableIndex).toBe(0)
    expect(driver.takeSent().map(({ index }) => index)).toEqual([2])
    driver.persist(1)
    expect(driver.core.durableIndex).toBe(5)
    expect(driver.takeSent().map(({ index }) => index)).toEqual([5])
  })

  test('the snapshot of a leader of a later term brings that term: no log ends in a term that its node has not reached', () => {
    const driver = followerOf(3, [1, 3])
    restore(driver, snapshotOf(5, 7))
    expect(driver.core.term).toBe(7)
    const restarted = new CoreDriver({ log: driver.log, hardState: driver.hardState, applied: 5 })
    expect([restarted.core.term, restarted.core.commit]).toEqual([7, 5])
  })

  test('the leader of an earlier term is not told that it has entries of a later one on its side', () => {
    const driver = followerOf(3, [1, 3])
    restore(driver, snapshotOf(2, 7))
    expect(driver.takeSent().filter(({ to, term, reject }) => to === 2 && term === 3 && !reject)).toEqual([])
  })
})

describe('a leader whose followers lag behind', () => {
  function leaderThatCompacted(): CoreDriver {
    const driver = leaderWith([], { voters: ids(1, 2, 3) })
    acknowledge(driver, 3, 1)
    driver.propose('x', 'y', 'z')
    driver.settle()
    acknowledge(driver, 3, 4)
    driver.log.compact(3)
    driver.takeSent()
    return driver
  }

  /** What the leader asks its host to send snapshots to. */
  function snapshotsAsked(driver: CoreDriver): readonly number[] {
    return driver.core.hasOutput() ? driver.core.take().snapshotTo : []
  }

  test('§7 "the leader must occasionally send snapshots to followers that lag behind … when the leader has already discarded the next log entry that it needs to send"', () => {
    const driver = leaderThatCompacted()
    const refusal = { term: 1, reject: true, index: 0, hint: 0 }
    driver.receive(messageFrom(2, MessageKind.APPEND_RESPONSE, refusal))
    expect(snapshotsAsked(driver)).toEqual([2])
    expect(driver.core.progress(nodeId(2))?.state).toBe('snapshot')
    driver.tick(3)
    expect(snapshotsAsked(driver)).toEqual([])
    driver.core.snapshotFailed(nodeId(2))
    expect(snapshotsAsked(driver)).toEqual([2])
  })

  test('§7 the snapshot’s last index and term "support the AppendEntries consistency check for the first log entry following the snapshot"', () => {
    const driver = leaderThatCompacted()
    driver.receive(messageFrom(2, MessageKind.APPEND_RESPONSE, { term: 1, reject: true, index: 0, hint: 0 }))
    snapshotsAsked(driver)
    acknowledge(driver, 2, 3)
    const appends = driver.takeSent(MessageKind.APPEND).filter(({ to }) => to === 2)
    expect(appends).toMatchObject([{ index: 3, logTerm: 1, count: 1 }])
    expect(driver.core.progress(nodeId(2))?.state).toBe('replicate')
  })

  test('a snapshot that ends before what is compacted by now is followed by another', () => {
    const driver = leaderThatCompacted()
    driver.receive(messageFrom(2, MessageKind.APPEND_RESPONSE, { term: 1, reject: true, index: 0, hint: 0 }))
    snapshotsAsked(driver)
    driver.receive(messageFrom(2, MessageKind.APPEND_RESPONSE, { term: 1, index: 2 }))
    driver.core.snapshotFailed(nodeId(2))
    expect(snapshotsAsked(driver)).toEqual([2])
    expect(driver.core.progress(nodeId(2))?.match).toBe(2)
  })

  test('an acknowledgement that says nothing new asks for no second snapshot', () => {
    const driver = leaderThatCompacted()
    driver.receive(messageFrom(2, MessageKind.APPEND_RESPONSE, { term: 1, reject: true, index: 0, hint: 0 }))
    expect(snapshotsAsked(driver)).toEqual([2])
    driver.receive(messageFrom(2, MessageKind.APPEND_RESPONSE, { term: 1, index: 0 }))
    expect(snapshotsAsked(driver)).toEqual([])
  })

  test('a leader that is sent a snapshot goes on leading, with the log it has', () => {
    const driver = leaderThatCompacted()
    restore(driver, snapshotOf(9, 1))
    expect([driver.core.role, driver.log.lastIndex, driver.core.commit]).toEqual([Role.LEADER, 4, 4])
  })

  test('§7 "Servers … take snapshots independently": a restart begins behind what is compacted', () => {
    const driver = leaderThatCompacted()
    const { log, hardState } = driver
    const restarted = new CoreDriver({ log, hardState, applied: 3 })
    expect([restarted.core.applied, restarted.core.commit >= 3]).toEqual([3, true])
    expect(() => new CoreDriver({ log, hardState, applied: 2 })).toThrow('what is compacted has been applied')
  })

  test('a node whose log is a snapshot only votes, and is voted for, by the snapshot’s last entry', () => {
    const log = new MemoryLog()
    log.write({ snapshot: snapshotOf(5, 3) })
    const driver = new CoreDriver({ log, hardState: { term: 3, vote: 0, commit: 5 }, applied: 5 })
    driver.receive(messageFrom(2, MessageKind.VOTE, { term: 4, index: 9, logTerm: 2 }))
    driver.receive(messageFrom(3, MessageKind.VOTE, { term: 4, index: 5, logTerm: 3 }))
    driver.settle()
    expect(driver.takeSent().map(({ to, reject }) => [to, reject])).toEqual([
      [2, true],
      [3, false],
    ])
    driver.timeOut()
    driver.settle()
    expect(driver.takeSent(MessageKind.PRE_VOTE)[0]).toMatchObject({ index: 5, logTerm: 3 })
  })
})
