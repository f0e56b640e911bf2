import { describe, expect, test } from '@jest/globals'
import { BLANK } from '../src/core/message.js'
import { MessageKind, type RaftMessage, Role } from '../src/core/types.js'
import {
  CoreDriver,
  type DriverOptions,
  entriesOfTerms,
  MemoryLog,
  nodeId,
  ScriptCluster,
} from '../src/testing/index.js'

function from(sender: number, kind: MessageKind, fields: Partial<RaftMessage>): RaftMessage {
  return { ...BLANK, kind, from: nodeId(sender), to: nodeId(1), ...fields }
}

/** Node 1, a leader whose own writes are synced on command only. */
function leaderOf(term: number, options: DriverOptions): CoreDriver {
  const driver = new CoreDriver({ hardState: { term: term - 1, vote: 0, commit: 0 }, ...options })
  const others = driver.core.configuration.voters.filter((id) => id !== 1)
  driver.core.campaign()
  for (const id of others) driver.receive(from(id, MessageKind.PRE_VOTE_RESPONSE, { term }))
  driver.settle()
  for (const id of others) driver.receive(from(id, MessageKind.VOTE_RESPONSE, { term }))
  driver.turn()
  driver.takeSent()
  return driver
}

function acknowledge(driver: CoreDriver, sender: number, index: number): void {
  driver.receive(from(sender, MessageKind.APPEND_RESPONSE, { term: driver.core.term, index }))
  driver.turn()
}

describe('what a leader commits', () => {
  test('figure 8: "Raft never commits log entries from previous terms by counting replicas"', () => {
    const voters = [1, 2, 3, 4, 5].map(nodeId)
    const s1 = leaderOf(4, { voters, log: MemoryLog.of(entriesOfTerms([1, 2])) })
    s1.persist()
    acknowledge(s1, 2, 2)
    acknowledge(s1, 3, 2)
    expect(s1.core.commit).toBe(0)

    // (d): the entry of term 2 is on a majority, and S5 may still overwrite it.
    const candidate = from(5, MessageKind.VOTE, { term: 5, index: 2, logTerm: 3 })
    const s3 = new CoreDriver({ voters, log: MemoryLog.of(entriesOfTerms([1, 2])) })
    s3.receive(candidate)
    s3.settle()
    expect(s3.takeSent()[0]?.reject).toBe(false)

    // (e): "once an entry from the current term has been committed in this way, then all prior entries are".
    acknowledge(s1, 2, 3)
    acknowledge(s1, 3, 3)
    expect(s1.core.commit).toBe(3)
    const s2 = new CoreDriver({ voters, log: MemoryLog.of(entriesOfTerms([1, 2, 4])) })
    s2.receive(candidate)
    s2.settle()
    expect(s2.takeSent()[0]?.reject).toBe(true)
  })

  test('a leader appends a no-op, so that earlier entries are committed soon', () => {
    const cluster = new ScriptCluster(3, () => ({ log: MemoryLog.of(entriesOfTerms([1, 1])) }))
    expect(cluster.elect(1).core.commit).toBe(3)
    expect(cluster.node(1).applied.map((entry) => entry.index)).toEqual([1, 2, 3])
  })

  test('followers hear of a commit at once, without a tick', () => {
    const cluster = new ScriptCluster(3)
    const leader = cluster.elect(1)
    leader.propose('a')
    cluster.settle()
    expect([1, 2, 3].map((id) => cluster.node(id).core.commit)).toEqual([2, 2, 2])
  })

  test('its own log counts only as far as it is durable', () => {
    const driver = leaderOf(1, {})
    acknowledge(driver, 2, 1)
    expect(driver.core.commit).toBe(0)
    driver.persist()
    expect(driver.core.commit).toBe(1)
  })

  test('a majority of others suffices, but nothing is applied that is not durable here', () => {
    const driver = leaderOf(1, {})
    acknowledge(driver, 2, 1)
    acknowledge(driver, 3, 1)
    expect([driver.core.commit, driver.core.applied]).toEqual([1, 0])
    driver.persist()
    expect(driver.core.applied).toBe(1)
  })

  test('a node alone commits only after its own sync', () => {
    const driver = new CoreDriver({ voters: [nodeId(1)] })
    driver.timeOut()
    driver.propose('a')
    driver.turn()
    expect([driver.core.role, driver.core.commit]).toEqual([Role.LEADER, 0])
    driver.persist()
    expect([driver.core.commit, driver.applied.length]).toEqual([2, 2])
  })

  test('answers of an earlier leadership of the same node are not counted', () => {
    const driver = leaderOf(3, {})
    driver.persist()
    driver.receive(from(2, MessageKind.APPEND_RESPONSE, { term: 2, index: 1 }))
    expect(driver.core.progress(nodeId(2))?.match).toBe(0)
    expect(driver.core.commit).toBe(0)
  })
})

describe('what a follower commits', () => {
  test('"set commitIndex = min(leaderCommit, index of last new entry)"', () => {
    const driver = new CoreDriver({ log: MemoryLog.of(entriesOfTerms([1, 1, 1])) })
    driver.receive(from(2, MessageKind.APPEND, { term: 2, index: 1, logTerm: 1, commit: 3 }))
    expect(driver.core.commit).toBe(1)
  })

  test('a late append or heartbeat never takes a commit back', () => {
    const driver = new CoreDriver({ log: MemoryLog.of(entriesOfTerms([1, 1, 1])) })
    driver.receive(from(2, MessageKind.APPEND, { term: 1, index: 3, logTerm: 1, commit: 3 }))
    driver.receive(from(2, MessageKind.APPEND, { term: 1, index: 1, logTerm: 1, commit: 1 }))
    driver.receive(from(2, MessageKind.HEARTBEAT, { term: 1, commit: 1 }))
    expect(driver.core.commit).toBe(3)
  })

  test('a heartbeat that commits more than there is does no harm', () => {
    const driver = new CoreDriver({ log: MemoryLog.of(entriesOfTerms([1])) })
    driver.receive(from(2, MessageKind.HEARTBEAT, { term: 1, commit: 99 }))
    expect(driver.core.commit).toBe(1)
  })

  test('a leader’s heartbeat commits no further than the follower’s log is verified', () => {
    const driver = leaderOf(1, {})
    driver.persist()
    driver.propose('a')
    driver.settle()
    acknowledge(driver, 2, 2)
    driver.takeSent()
    driver.tick()
    driver.turn()
    const heartbeats = driver.takeSent(MessageKind.HEARTBEAT)
    expect(heartbeats.map(({ to, commit }) => [to, commit])).toEqual([
      [2, 2],
      [3, 0],
    ])
  })
})

describe('writes that become durable later', () => {
  test('an acknowledgement leaves only after the entries, and everything before them, are durable', () => {
    const driver = new CoreDriver()
    driver.receive(from(2, MessageKind.APPEND, { term: 1, count: 1 }), entriesOfTerms([1]))
    driver.turn()
    driver.receive(from(2, MessageKind.APPEND, { term: 1, index: 1, logTerm: 1 }))
    driver.turn()
    expect([driver.takeSent(), driver.unsynced]).toEqual([[], 1])
    driver.persist()
    expect(driver.takeSent().map(({ index }) => index)).toEqual([1, 1])
  })

  test('a write that was overwritten since says nothing about an equal entry written again (ABA)', () => {
    const driver = new CoreDriver({ log: MemoryLog.of(entriesOfTerms([1])) })
    const [, two, three] = entriesOfTerms([1, 1, 1])
    const appendFrom = (sender: number, term: number, entryTerm: number): void => {
      driver.receive(from(sender, MessageKind.APPEND, { term, index: 1, logTerm: 1, count: 1 }), [
        { ...two!, term: entryTerm },
      ])
      driver.turn()
    }
    // A leader of term 3 brings back what one of term 2 had overwritten; then it is committed.
    appendFrom(2, 1, 1)
    appendFrom(3, 2, 2)
    appendFrom(2, 3, 1)
    driver.receive(from(2, MessageKind.APPEND, { term: 3, index: 2, logTerm: 1, count: 1, commit: 2 }), [
      { ...three!, term: 3 },
    ])
    driver.turn()
    expect([driver.core.commit, driver.unsynced]).toEqual([2, 4])
    driver.persist(1)
    expect([driver.core.durableIndex, driver.core.applied]).toEqual([1, 1])
    driver.persist(1)
    expect([driver.core.durableIndex, driver.core.applied]).toEqual([1, 1])
    driver.persist(1)
    expect([driver.core.durableIndex, driver.core.applied]).toEqual([2, 2])
  })

  test('entries that replace others before either was handed out are all that is written', () => {
    const driver = new CoreDriver({ log: MemoryLog.of(entriesOfTerms([1, 1, 1])) })
    const [, two] = entriesOfTerms([1, 1])
    for (const term of [2, 3]) {
      const append = from(2, MessageKind.APPEND, { term, index: 1, logTerm: 1, count: 1 })
      driver.receive(append, [{ ...two!, term }])
    }
    const output = driver.core.take()
    expect(output).toMatchObject({
      truncateFrom: 2,
      entries: [{ index: 2, term: 3 }],
      hardState: { term: 3 },
    })
  })

  test('a commit index alone causes no write, and travels with the next one', () => {
    const driver = new CoreDriver({
      log: MemoryLog.of(entriesOfTerms([1, 1])),
      hardState: { term: 1, vote: 0, commit: 0 },
    })
    driver.receive(from(2, MessageKind.APPEND, { term: 1, index: 2, logTerm: 1, commit: 2 }))
    driver.turn()
    expect(driver.unsynced).toBe(0)
    driver.receive(from(2, MessageKind.APPEND, { term: 1, index: 2, logTerm: 1, count: 1 }), [
      { ...entriesOfTerms([1])[0]!, index: 3 },
    ])
    driver.turn()
    expect(driver.hardState).toEqual({ term: 1, vote: 0, commit: 2 })
  })

  test('applying goes on where it stopped, in ranges of bounded size', () => {
    const driver = new CoreDriver({
      log: MemoryLog.of(entriesOfTerms([1, 1, 1, 1, 1])),
      hardState: { term: 1, vote: 0, commit: 5 },
      applied: 1,
      appendBytesMax: 20,
    })
    const { core } = driver
    expect(core.take()).toMatchObject({ applyFrom: 2, applyTo: 3 })
    expect(core.hasOutput()).toBe(false)
    core.appliedTo(3)
    expect(core.take()).toMatchObject({ applyFrom: 4, applyTo: 5 })
    core.appliedTo(5)
    const { applyFrom, applyTo } = core.take()
    expect(applyTo).toBeLessThan(applyFrom)
  })

  test('a state machine that is ahead of the log means that the disk lost data', () => {
    expect(() => new CoreDriver({ applied: 1 })).toThrow('what was applied is in the log')
  })
})
