import { describe, expect, test } from '@jest/globals'
import { BLANK } from '../src/core/message.js'
import { type Entry, MessageKind, type RaftMessage, Role } from '../src/core/types.js'
import {
  CoreDriver,
  type DriverOptions,
  entriesOfTerms,
  MemoryLog,
  nodeId,
  ScriptCluster,
} from '../src/testing/index.js'

/** Node 1 as a follower with a log of these terms. */
function follower(terms: readonly number[], options: DriverOptions = {}): CoreDriver {
  return new CoreDriver({ log: MemoryLog.of(entriesOfTerms(terms)), ...options })
}

/** The append of `terms` after the entry at `index`, from leader 2, and the answer to it. */
function append(
  driver: CoreDriver,
  fields: { term: number; index: number; logTerm: number; terms?: readonly number[]; commit?: number },
): RaftMessage | undefined {
  const { term, index, logTerm, terms = [], commit = 0 } = fields
  const entries = entriesOfTerms(terms).map((entry): Entry => ({ ...entry, index: index + entry.index }))
  const message = { ...BLANK, kind: MessageKind.APPEND, from: nodeId(2), to: nodeId(1), count: terms.length }
  driver.receive({ ...message, term, index, logTerm, commit }, entries)
  driver.settle()
  return driver.takeSent()[0]
}

/** Node 1 of three, leading term 1, with its no-op durable and nothing in flight but that. */
function leader(options: DriverOptions = {}): CoreDriver {
  const driver = new CoreDriver(options)
  driver.core.campaign()
  driver.receive(response({ kind: MessageKind.PRE_VOTE_RESPONSE, term: driver.core.term + 1 }))
  driver.settle()
  driver.receive(response({ kind: MessageKind.VOTE_RESPONSE, term: driver.core.term }))
  driver.settle()
  driver.takeSent()
  return driver
}

function response(fields: Partial<RaftMessage>): RaftMessage {
  return {
    ...BLANK,
    kind: MessageKind.APPEND_RESPONSE,
    from: nodeId(2),
    to: nodeId(1),
    term: 1,
    ...fields,
  }
}

function termsOf(log: MemoryLog): readonly number[] {
  return log.slice(1, log.lastIndex).map((entry) => entry.term)
}

function spans(messages: readonly RaftMessage[], to = 2): readonly string[] {
  const appends = messages.filter((sent) => sent.kind === MessageKind.APPEND && sent.to === to)
  return appends.map((sent) => `${sent.index}+${sent.count}`)
}

describe('a follower’s log', () => {
  test('"Reply false if log doesn’t contain an entry at prevLogIndex whose term matches prevLogTerm"', () => {
    expect(append(follower([1, 1]), { term: 2, index: 3, logTerm: 1, terms: [2] })).toMatchObject({
      reject: true,
      index: 3,
      hint: 2,
      hintTerm: 1,
    })
    expect(append(follower([1, 1]), { term: 3, index: 2, logTerm: 2, terms: [3] })?.reject).toBe(true)
  })

  test('"If an existing entry conflicts with a new one, delete the existing entry and all that follow it"', () => {
    const driver = follower([1, 1, 2, 2])
    expect(append(driver, { term: 3, index: 2, logTerm: 1, terms: [3] })).toMatchObject({
      reject: false,
      index: 3,
    })
    expect(termsOf(driver.log)).toEqual([1, 1, 3])
  })

  test('an old append that arrives late takes nothing back that agrees', () => {
    const driver = follower([1, 1, 1, 1, 1])
    expect(append(driver, { term: 1, index: 1, logTerm: 1, terms: [1] })).toMatchObject({
      reject: false,
      index: 2,
    })
    expect(append(driver, { term: 1, index: 1, logTerm: 1 })).toMatchObject({ reject: false, index: 1 })
    expect(driver.log.lastIndex).toBe(5)
  })

  test('an answer names what the message verified, not what else is in the log', () => {
    const driver = follower([1, 1, 1, 1, 1])
    expect(append(driver, { term: 2, index: 2, logTerm: 1, terms: [1] })?.index).toBe(3)
  })

  test('an append that begins before the commit index is checked from there on', () => {
    const driver = follower([1, 1, 1], { hardState: { term: 1, vote: 0, commit: 3 } })
    expect(append(driver, { term: 1, index: 1, logTerm: 1, terms: [1, 1, 1] })).toMatchObject({ index: 4 })
    expect(append(driver, { term: 1, index: 0, logTerm: 0, terms: [1] })).toMatchObject({
      reject: false,
      index: 3,
    })
  })

  test('an append before the compacted end is no conflict', () => {
    const log = MemoryLog.of(entriesOfTerms([1, 1, 1, 1]))
    log.compact(3)
    const driver = new CoreDriver({ log, applied: 3, hardState: { term: 1, vote: 0, commit: 3 } })
    expect(append(driver, { term: 2, index: 1, logTerm: 1, terms: [1, 1] })).toMatchObject({
      reject: false,
      index: 3,
    })
    expect(driver.log.lastIndex).toBe(4)
  })

  test('an append that begins before the compacted end and goes on behind the log is taken', () => {
    const log = MemoryLog.of(entriesOfTerms([1, 1, 1, 1]))
    log.compact(3)
    const driver = new CoreDriver({ log, applied: 3, hardState: { term: 1, vote: 0, commit: 3 } })
    const answer = append(driver, { term: 2, index: 1, logTerm: 1, terms: [1, 1, 1, 2] })
    expect(answer).toMatchObject({ reject: false, index: 5 })
    expect(driver.log.lastIndex).toBe(5)
  })

  test('what makes no sense is dropped and changes nothing', () => {
    const driver = follower([1, 1])
    const message = {
      ...BLANK,
      kind: MessageKind.APPEND,
      from: nodeId(2),
      to: nodeId(1),
      term: 2,
      logTerm: 1,
    }
    const [first, second] = entriesOfTerms([2, 2])
    driver.receive({ ...message, index: 2, count: 2 }, [{ ...first!, index: 3 }])
    driver.receive({ ...message, index: 2, count: 1 }, [{ ...second!, index: 9 }])
    driver.receive({ ...message, index: 2, count: 1 }, [{ ...second!, index: 3, term: 7 }])
    driver.receive({ ...message, index: 2, logTerm: 9 }, [])
    driver.settle()
    expect(driver.takeSent()).toEqual([])
    expect(termsOf(driver.log)).toEqual([1, 1])
  })

  test('a second leader of the same term is not followed', () => {
    const driver = follower([])
    append(driver, { term: 2, index: 0, logTerm: 0, terms: [2] })
    const other = { ...BLANK, kind: MessageKind.APPEND, from: nodeId(3), to: nodeId(1), term: 2 }
    driver.receive({ ...other, count: 1 }, entriesOfTerms([1]))
    driver.settle()
    expect([driver.takeSent(), termsOf(driver.log), driver.core.leader]).toEqual([[], [2], 2])
  })
})

describe('log matching', () => {
  const leaderTerms = [1, 1, 1, 4, 4, 5, 5, 6, 6, 6]
  test.each([
    { name: 'a', terms: [1, 1, 1, 4, 4, 5, 5, 6, 6] },
    { name: 'b', terms: [1, 1, 1, 4] },
    { name: 'c', terms: [1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 6] },
    { name: 'd', terms: [1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 7, 7] },
    { name: 'e', terms: [1, 1, 1, 4, 4, 4, 4] },
    { name: 'f', terms: [1, 1, 1, 2, 2, 2, 3, 3, 3, 3, 3] },
  ])('figure 7 ($name): "the leader … finds the latest log entry where the two logs agree"', ({ terms }) => {
    const cluster = new ScriptCluster(3, (id) => ({
      log: MemoryLog.of(entriesOfTerms(id === 2 ? terms : leaderTerms)),
      hardState: { term: 7, vote: 0, commit: 0 },
    }))
    let rounds = 0
    const elected = cluster.elect(1)
    expect(elected.core.role).toBe(Role.LEADER)
    while (cluster.node(2).core.commit < 11 && rounds++ < 10) cluster.tick()
    expect(termsOf(cluster.node(2).log)).toEqual([...leaderTerms, 8])
    expect(rounds).toBeLessThan(3)
  })

  test('a whole term is skipped for each refusal, on both sides', () => {
    const driver = leader({
      log: MemoryLog.of(
        entriesOfTerms([1, ...new Array<number>(50).fill(4), ...new Array<number>(50).fill(6)]),
      ),
      hardState: { term: 7, vote: 0, commit: 0 },
    })
    driver.receive(response({ term: 8, reject: true, index: 101, hint: 80, hintTerm: 5 }))
    driver.turn()
    expect(driver.core.progress(nodeId(2))?.next).toBe(52)
    driver.receive(response({ term: 8, reject: true, index: 51, hint: 40, hintTerm: 3 }))
    driver.turn()
    expect(driver.core.progress(nodeId(2))?.next).toBe(2)
  })
})

describe('pipelining', () => {
  test('a probe sends one append and waits, a replica gets as many as its window holds', () => {
    const driver = leader({ inflightMessagesMax: 3, appendBytesMax: 1 })
    driver.propose('a', 'b', 'c', 'd', 'e')
    driver.turn()
    expect(spans(driver.takeSent())).toEqual([])
    driver.receive(response({ index: 1 }))
    driver.turn()
    expect(spans(driver.takeSent())).toEqual(['1+1', '2+1', '3+1'])
    driver.receive(response({ index: 2 }))
    driver.turn()
    expect(spans(driver.takeSent())).toEqual(['4+1'])
    expect(driver.core.progress(nodeId(2))).toMatchObject({ match: 2, next: 6, state: 'replicate' })
  })

  test('the window is bounded in bytes, too', () => {
    const driver = leader({ inflightBytesMax: 300, appendBytesMax: 200 })
    driver.receive(response({ index: 1 }))
    driver.turn()
    driver.takeSent()
    const text = 'x'.repeat(100)
    driver.propose(text, text, text, text, text)
    driver.turn()
    expect(spans(driver.takeSent())).toEqual(['1+1', '2+1', '3+1'])
  })

  test('entries proposed in one turn leave in one append', () => {
    const driver = leader()
    driver.receive(response({ index: 1 }))
    driver.turn()
    driver.takeSent()
    for (const text of ['a', 'b', 'c']) driver.propose(text)
    driver.turn()
    expect(spans(driver.takeSent())).toEqual(['1+3'])
  })

  test.each([1, 64])(
    'a window of %i whose messages were lost gets going again by heartbeats',
    (inflightMessagesMax) => {
      const cluster = new ScriptCluster(3, () => ({ inflightMessagesMax, appendBytesMax: 1 }))
      const driver = cluster.elect(1)
      cluster.tick()
      cluster.cut(1, 2)
      driver.propose('a', 'b', 'c')
      cluster.settle()
      cluster.heal()
      cluster.tick(6)
      expect(cluster.node(2).core.commit).toBe(driver.log.lastIndex)
    },
  )

  test('a probe that was lost is sent again', () => {
    const cluster = new ScriptCluster(3)
    cluster.cut(1, 2)
    cluster.cut(2, 1)
    const driver = cluster.elect(1)
    cluster.heal()
    cluster.tick(4)
    expect(driver.core.progress(nodeId(2))).toMatchObject({ match: 1, state: 'replicate' })
  })

  test('a broken link turns a replica into a probe that waits for a sign of life', () => {
    const driver = leader()
    driver.receive(response({ index: 1 }))
    driver.propose('a')
    driver.turn()
    driver.takeSent()
    driver.core.unreachable(nodeId(2))
    driver.propose('b')
    driver.turn()
    expect(spans(driver.takeSent())).toEqual([])
    expect(driver.core.progress(nodeId(2))).toMatchObject({ match: 1, next: 2, state: 'probe' })
    driver.receive(response({ kind: MessageKind.HEARTBEAT_RESPONSE }))
    driver.turn()
    expect(spans(driver.takeSent())).toEqual(['1+2'])
  })

  test('refusals and acknowledgements that were overtaken change nothing', () => {
    const driver = leader()
    driver.propose('a', 'b')
    driver.receive(response({ index: 3 }))
    driver.turn()
    driver.takeSent()
    driver.receive(response({ reject: true, index: 2, hint: 0 }))
    driver.receive(response({ index: 1 }))
    driver.receive(response({ index: 99 }))
    expect(driver.core.progress(nodeId(2))).toMatchObject({ match: 3, next: 4, state: 'replicate' })
  })

  test('a refusal never takes back what is known to be there', () => {
    const driver = leader()
    driver.propose('a', 'b')
    driver.receive(response({ index: 3 }))
    driver.core.unreachable(nodeId(2))
    driver.receive(response({ reject: true, index: 3, hint: 1, hintTerm: 1 }))
    expect(driver.core.progress(nodeId(2))).toMatchObject({ match: 3, next: 4, state: 'probe' })
  })

  test('a peer that needs what is compacted is marked, kept alive and not sent anything else', () => {
    const log = MemoryLog.of(entriesOfTerms([1, 1, 1, 1]))
    log.compact(4)
    const driver = leader({ log, applied: 4, hardState: { term: 1, vote: 0, commit: 4 } })
    driver.receive(response({ term: 2, reject: true, index: 4, hint: 1, hintTerm: 1 }))
    driver.turn()
    expect(driver.core.progress(nodeId(2))?.state).toBe('snapshot')
    driver.propose('a')
    driver.tick()
    driver.turn()
    const sent = driver.takeSent().filter((message) => message.to === 2)
    expect(sent.map((message) => message.kind)).toEqual([MessageKind.HEARTBEAT])
    expect(driver.core.transferLeadership(nodeId(2))).toBe(false)
  })

  test('nobody may compact what a member still needs', () => {
    const cluster = new ScriptCluster(3)
    const driver = cluster.elect(1)
    cluster.tick()
    cluster.isolate(3)
    driver.propose('a', 'b')
    cluster.tick(3)
    expect(cluster.node(2).core.applied).toBe(3)
    expect([1, 2].map((id) => cluster.node(id).core.compactionLimit())).toEqual([1, 1])
    cluster.heal()
    cluster.tick(5)
    expect([1, 2, 3].map((id) => cluster.node(id).core.compactionLimit())).toEqual([3, 3, 3])
  })

  test('a learner gets the log and does not count', () => {
    const driver = leader({ voters: [1, 2].map(nodeId), learners: [nodeId(3)] })
    driver.propose('a')
    driver.receive(response({ from: nodeId(3), index: 1 }))
    driver.settle()
    expect(spans(driver.takeSent(), 3)).toEqual(['1+1'])
    driver.receive(response({ from: nodeId(3), index: 2 }))
    expect(driver.core.commit).toBe(0)
    driver.receive(response({ from: nodeId(2), index: 2 }))
    expect(driver.core.commit).toBe(2)
  })
})

describe('proposals', () => {
  test('are refused by everyone but the leader, with its name', () => {
    const cluster = new ScriptCluster(3)
    expect(cluster.node(2).propose('a')).toEqual({ kind: 'not-leader', leader: 0 })
    cluster.elect(1)
    expect(cluster.node(2).propose('a')).toEqual({ kind: 'not-leader', leader: 1 })
    expect(cluster.node(1).propose('a', 'b')).toEqual({ kind: 'accepted', firstIndex: 2, term: 1 })
    expect(cluster.node(1).propose('c')).toEqual({ kind: 'accepted', firstIndex: 4, term: 1 })
  })

  test('are refused while too much is not committed, and taken again afterwards', () => {
    const driver = leader({ uncommittedBytesMax: 300 })
    driver.receive(response({ index: 1 }))
    expect(driver.propose('x'.repeat(1000)).kind).toBe('accepted')
    expect(driver.propose('y')).toEqual({ kind: 'overloaded' })
    driver.settle()
    driver.receive(response({ index: 2 }))
    expect(driver.core.commit).toBe(2)
    expect(driver.propose('y').kind).toBe('accepted')
  })

  test('a new leader counts what earlier terms left uncommitted', () => {
    const driver = leader({
      log: MemoryLog.of(entriesOfTerms([1, 1, 1, 1])),
      hardState: { term: 1, vote: 0, commit: 1 },
      uncommittedBytesMax: 100,
    })
    expect(driver.propose('y')).toEqual({ kind: 'overloaded' })
  })
})
