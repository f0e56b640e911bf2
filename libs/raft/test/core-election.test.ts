import { describe, expect, test } from '@jest/globals'
import { BLANK, BY_TRANSFER } from '../src/core/message.js'
import { MessageKind, type RaftMessage, Role } from '../src/core/types.js'
import { CoreDriver, entriesOfTerms, MemoryLog, nodeId, ScriptCluster } from '../src/testing/index.js'

function request(fields: Partial<RaftMessage>): RaftMessage {
  return { ...BLANK, kind: MessageKind.VOTE, from: nodeId(2), to: nodeId(1), ...fields }
}

/** Hands in a request and returns the answer, once durable. */
function answer(driver: CoreDriver, fields: Partial<RaftMessage>): RaftMessage | undefined {
  driver.takeSent()
  driver.receive(request(fields))
  driver.settle()
  const answers: readonly MessageKind[] = [MessageKind.VOTE_RESPONSE, MessageKind.PRE_VOTE_RESPONSE]
  return driver.takeSent().find((sent) => answers.includes(sent.kind))
}

describe('votes', () => {
  test('"Each server will vote for at most one candidate in a given term, on a first-come-first-served basis"', () => {
    const driver = new CoreDriver()
    expect(answer(driver, { from: nodeId(2), term: 1 })?.reject).toBe(false)
    expect(answer(driver, { from: nodeId(3), term: 1 })?.reject).toBe(true)
  })

  test('the same candidate is granted its vote again, since the first answer may be lost', () => {
    const driver = new CoreDriver()
    expect(answer(driver, { term: 1 })?.reject).toBe(false)
    expect(answer(driver, { term: 1 })?.reject).toBe(false)
  })

  test('a restarted server votes for nobody else in the same term', () => {
    const driver = new CoreDriver()
    answer(driver, { from: nodeId(2), term: 4 })
    const restarted = new CoreDriver({ hardState: driver.hardState })
    expect(restarted.core.vote).toBe(2)
    expect(answer(restarted, { from: nodeId(3), term: 4 })?.reject).toBe(true)
  })

  test('a candidate votes for nobody else in its term', () => {
    const driver = new CoreDriver()
    driver.timeOut()
    driver.receive(request({ kind: MessageKind.PRE_VOTE_RESPONSE, term: 1 }))
    expect(driver.core.role).toBe(Role.CANDIDATE)
    expect(answer(driver, { from: nodeId(3), term: 1 })?.reject).toBe(true)
  })

  test('"Updated on stable storage before responding": a vote leaves only after it is durable', () => {
    const driver = new CoreDriver()
    driver.receive(request({ term: 1 }))
    driver.turn()
    expect(driver.takeSent()).toEqual([])
    expect(driver.hardState).toEqual({ term: 1, vote: 2, commit: 0 })
    driver.persist()
    expect(driver.takeSent()).toMatchObject([{ kind: MessageKind.VOTE_RESPONSE, reject: false, term: 1 }])
  })

  test('a candidate of an earlier term is refused and learns the term', () => {
    const driver = new CoreDriver({ hardState: { term: 5, vote: 0, commit: 0 } })
    expect(answer(driver, { term: 4 })).toMatchObject({ reject: true, term: 5 })
  })

  test.each([
    { name: 'a longer log of an earlier term is refused', index: 9, logTerm: 2, granted: false },
    { name: 'a shorter log of a later term is granted', index: 1, logTerm: 4, granted: true },
    { name: 'a shorter log of the same term is refused', index: 2, logTerm: 3, granted: false },
    { name: 'an equal log is granted', index: 3, logTerm: 3, granted: true },
    { name: 'a longer log of the same term is granted', index: 4, logTerm: 3, granted: true },
  ])(
    '"the voter denies its vote if its own log is more up-to-date": $name',
    ({ index, logTerm, granted }) => {
      for (const kind of [MessageKind.VOTE, MessageKind.PRE_VOTE]) {
        const driver = new CoreDriver({ log: MemoryLog.of(entriesOfTerms([1, 2, 3])) })
        expect(answer(driver, { kind, term: 9, index, logTerm })?.reject).toBe(!granted)
      }
    },
  )

  // Thesis §4.1: "servers process incoming RPC requests without consulting their current configurations".
  test('a server that is not known to be a member gets a vote like any other', () => {
    const driver = new CoreDriver()
    expect(answer(driver, { from: nodeId(9), term: 7 })?.reject).toBe(false)
    expect([driver.core.term, driver.core.vote]).toEqual([7, 9])
  })
})

describe('pre-vote', () => {
  test('answering one changes neither term nor vote nor timer', () => {
    const driver = new CoreDriver()
    driver.tick(9)
    const before = driver.hardState
    expect(answer(driver, { kind: MessageKind.PRE_VOTE, term: 5 })).toMatchObject({ reject: false, term: 5 })
    expect(answer(driver, { kind: MessageKind.PRE_VOTE, from: nodeId(3), term: 5 })?.reject).toBe(false)
    expect([driver.core.term, driver.core.vote, driver.hardState]).toEqual([0, 0, before])
    driver.tick(10)
    expect(driver.core.role).toBe(Role.PRE_CANDIDATE)
  })

  test('asking for one raises no term, however often', () => {
    const driver = new CoreDriver()
    driver.tick(500)
    driver.settle()
    expect([driver.core.role, driver.core.term]).toEqual([Role.PRE_CANDIDATE, 0])
  })

  test('a node that was cut off does not disturb the leader when it returns', () => {
    const cluster = new ScriptCluster(3)
    const leader = cluster.elect(1)
    cluster.isolate(3)
    cluster.tick(100)
    expect(cluster.node(3).core.role).toBe(Role.PRE_CANDIDATE)
    cluster.heal()
    cluster.tick(30)
    expect([leader.core.role, leader.core.term]).toEqual([Role.LEADER, 1])
    expect(cluster.node(3).core.leader).toBe(1)
  })

  test('"a server does not grant its vote within the minimum election timeout of hearing from a current leader"', () => {
    for (const kind of [MessageKind.VOTE, MessageKind.PRE_VOTE]) {
      const driver = new CoreDriver()
      driver.receive(request({ kind: MessageKind.HEARTBEAT, from: nodeId(3), term: 2 }))
      driver.tick(9)
      expect(answer(driver, { kind, term: 3 })).toBeUndefined()
      expect(driver.core.term).toBe(2)
      driver.tick()
      expect(answer(driver, { kind, term: 3 })?.reject).toBe(false)
    }
  })

  test('a vote that the leader asked for is given although the leader is heard', () => {
    const driver = new CoreDriver()
    driver.receive(request({ kind: MessageKind.HEARTBEAT, from: nodeId(3), term: 2 }))
    expect(answer(driver, { term: 3, hint: BY_TRANSFER })?.reject).toBe(false)
  })

  test('a long log of an early term and a short log of a late term elect a leader', () => {
    const cluster = new ScriptCluster(3, (id) => ({
      log: MemoryLog.of(entriesOfTerms(id === 1 ? [1, 1, 1] : [1])),
      hardState: { term: id === 1 ? 3 : 7, vote: 0, commit: 0 },
    }))
    cluster.isolate(3)
    cluster.tick(100)
    expect(cluster.leaders.map((leader) => leader.core.id)).toEqual([1])
    expect(cluster.node(1).core.term).toBe(8)
  })
})

describe('elections', () => {
  test('"A candidate wins an election if it receives votes from a majority of the servers in the full cluster"', () => {
    const cluster = new ScriptCluster(5)
    cluster.isolate(4)
    cluster.isolate(5)
    expect(cluster.elect(1).core.role).toBe(Role.LEADER)
    const minority = new ScriptCluster(5)
    for (const id of [3, 4, 5]) minority.isolate(id)
    expect(minority.elect(1).core.role).toBe(Role.PRE_CANDIDATE)
  })

  test('requests go again every tick to those who have not answered, and to nobody else', () => {
    const driver = new CoreDriver()
    driver.core.campaign()
    driver.settle()
    expect(driver.takeSent(MessageKind.PRE_VOTE).map((sent) => sent.to)).toEqual([2, 3])
    driver.receive(request({ kind: MessageKind.PRE_VOTE_RESPONSE, from: nodeId(2), reject: true, term: 0 }))
    driver.tick()
    driver.settle()
    expect(driver.takeSent(MessageKind.PRE_VOTE).map((sent) => sent.to)).toEqual([3])
    driver.receive(request({ kind: MessageKind.PRE_VOTE_RESPONSE, from: nodeId(3), term: 1 }))
    driver.settle()
    driver.takeSent()
    driver.tick()
    driver.settle()
    expect(driver.takeSent(MessageKind.VOTE).map((sent) => sent.to)).toEqual([2, 3])
  })

  test('a candidate asks for votes only once its own is durable, and does not win before', () => {
    const driver = new CoreDriver()
    driver.core.campaign()
    driver.receive(request({ kind: MessageKind.PRE_VOTE_RESPONSE, term: 1 }))
    driver.turn()
    expect(driver.takeSent(MessageKind.VOTE)).toEqual([])
    driver.receive(request({ kind: MessageKind.VOTE_RESPONSE, from: nodeId(2), term: 1 }))
    driver.receive(request({ kind: MessageKind.VOTE_RESPONSE, from: nodeId(3), term: 1 }))
    expect(driver.core.role).toBe(Role.CANDIDATE)
    driver.persist()
    expect(driver.core.role).toBe(Role.LEADER)
  })

  test('a majority of refusals ends the campaign', () => {
    const driver = new CoreDriver()
    driver.core.campaign()
    for (const from of [2, 3].map(nodeId))
      driver.receive(request({ kind: MessageKind.PRE_VOTE_RESPONSE, from, reject: true, term: 0 }))
    expect(driver.core.role).toBe(Role.FOLLOWER)
  })

  test('answers of an earlier campaign count for nothing', () => {
    const driver = new CoreDriver({ hardState: { term: 5, vote: 0, commit: 0 } })
    driver.core.campaign()
    driver.receive(request({ kind: MessageKind.PRE_VOTE_RESPONSE, term: 5 }))
    driver.receive(request({ kind: MessageKind.VOTE_RESPONSE, term: 5 }))
    expect(driver.core.role).toBe(Role.PRE_CANDIDATE)
  })

  test('"If AppendEntries RPC received from new leader: convert to follower"', () => {
    const driver = new CoreDriver()
    driver.core.campaign()
    driver.receive(request({ kind: MessageKind.PRE_VOTE_RESPONSE, term: 1 }))
    driver.receive(request({ kind: MessageKind.APPEND, term: 1, from: nodeId(3) }))
    expect([driver.core.role, driver.core.leader, driver.core.vote]).toEqual([Role.FOLLOWER, 3, 1])
  })

  test('an append of an earlier term does not end a candidacy, and its sender learns the term', () => {
    const driver = new CoreDriver({ hardState: { term: 4, vote: 0, commit: 0 } })
    driver.core.campaign()
    driver.receive(request({ kind: MessageKind.PRE_VOTE_RESPONSE, term: 5 }))
    driver.settle()
    driver.takeSent()
    driver.receive(request({ kind: MessageKind.APPEND, term: 4, from: nodeId(3) }))
    driver.settle()
    expect(driver.core.role).toBe(Role.CANDIDATE)
    expect(driver.takeSent()).toMatchObject([{ kind: MessageKind.APPEND_RESPONSE, to: 3, term: 5 }])
  })

  test('a node alone leads at once, and again after a restart', () => {
    const driver = new CoreDriver({ voters: [nodeId(1)] })
    driver.timeOut()
    expect([driver.core.role, driver.core.term]).toEqual([Role.LEADER, 1])
  })

  test('a single voter with a learner leads once its term is durable, for the learner hears of the term', () => {
    const driver = new CoreDriver({ voters: [nodeId(1)], learners: [nodeId(2)] })
    driver.core.campaign()
    driver.turn()
    expect(driver.core.role).toBe(Role.CANDIDATE)
    driver.persist()
    expect(driver.core.role).toBe(Role.LEADER)
  })

  test('a learner never campaigns, but votes: it may have been made a voter and not know', () => {
    const driver = new CoreDriver({ id: nodeId(4), learners: [nodeId(4)] })
    driver.tick(100)
    driver.core.campaign()
    expect([driver.core.role, driver.core.term]).toEqual([Role.LEARNER, 0])
    expect(answer(driver, { to: nodeId(4), term: 2 })?.reject).toBe(false)
    expect([driver.core.role, driver.core.vote]).toEqual([Role.LEARNER, 2])
  })

  test('timeouts are drawn from [E, 2E)', () => {
    const ticks = Array.from({ length: 200 }, (_, seed) => {
      const driver = new CoreDriver({ seed })
      let count = 0
      for (; driver.core.role === Role.FOLLOWER; count++) driver.tick()
      return count
    })
    expect([Math.min(...ticks), Math.max(...ticks)]).toEqual([10, 19])
  })
})

describe('losing a leader', () => {
  test('a leader that no majority answers steps down within two election timeouts', () => {
    const cluster = new ScriptCluster(3)
    const leader = cluster.elect(1)
    cluster.isolate(1)
    leader.tick(20)
    expect([leader.core.role, leader.core.leader, leader.core.term]).toEqual([Role.FOLLOWER, 0, 1])
  })

  test('a leader that half of an even cluster answers steps down', () => {
    const cluster = new ScriptCluster(4)
    const leader = cluster.elect(1)
    cluster.isolate(3)
    cluster.isolate(4)
    cluster.tick(20)
    expect(leader.core.role).not.toBe(Role.LEADER)
  })

  test('a leader that hears of a later term steps down', () => {
    const cluster = new ScriptCluster(3)
    const leader = cluster.elect(1)
    leader.receive(request({ kind: MessageKind.APPEND_RESPONSE, term: 9, reject: true }))
    expect([leader.core.role, leader.core.term]).toEqual([Role.FOLLOWER, 9])
  })

  test('followers whose link to the leader broke elect another within three ticks and a round', () => {
    const cluster = new ScriptCluster(3)
    cluster.elect(1)
    cluster.isolate(1)
    for (const id of [2, 3]) cluster.node(id).core.unreachable(nodeId(1))
    expect(cluster.node(2).core.leader).toBe(0)
    cluster.tick(4)
    expect(cluster.leaders.map((leader) => leader.core.id).filter((id) => id !== 1)).toHaveLength(1)
  })

  test('a broken link does not end a leadership that the others still see', () => {
    const cluster = new ScriptCluster(3)
    const leader = cluster.elect(1)
    cluster.node(2).core.unreachable(nodeId(1))
    cluster.tick(30)
    expect([leader.core.role, leader.core.term, cluster.node(2).core.leader]).toEqual([Role.LEADER, 1, 1])
  })
})
