import { describe, expect, test } from '@jest/globals'
import { MessageKind, Role } from '../src/core/types.js'
import { MemoryLog } from '../src/storage/memory-log.js'
import { CoreDriver, entriesOfTerms, nodeId } from '../src/testing/core-driver.js'
import { ScriptCluster } from '../src/testing/script-cluster.js'
import { elect, ids, leaderWith, messageFrom, nodeWith } from './paper-messages.js'

/** Node 1 in a role, in term 3. */
const ROLES = {
  follower: (): CoreDriver => new CoreDriver({ hardState: { term: 3, vote: 0, commit: 0 } }),
  'pre-candidate': (): CoreDriver => {
    const driver = new CoreDriver({ hardState: { term: 3, vote: 0, commit: 0 } })
    driver.core.campaign()
    return driver
  },
  candidate: (): CoreDriver => {
    const driver = new CoreDriver({ hardState: { term: 2, vote: 0, commit: 0 } })
    driver.core.campaign()
    driver.receive(messageFrom(2, MessageKind.PRE_VOTE_RESPONSE, { term: 3 }))
    driver.settle()
    return driver
  },
  leader: (): CoreDriver => leaderWith([], { hardState: { term: 2, vote: 0, commit: 0 } }),
} as const

const roles = Object.entries(ROLES).map(([name, make]) => ({ name, make }))

// The Raft paper, §5.1.
describe('terms', () => {
  const kinds = [
    { name: 'a refused pre-vote', kind: MessageKind.PRE_VOTE_RESPONSE, reject: true },
    { name: 'a refused vote', kind: MessageKind.VOTE_RESPONSE, reject: true },
    { name: 'an append', kind: MessageKind.APPEND },
    { name: 'a refused append', kind: MessageKind.APPEND_RESPONSE, reject: true },
    { name: 'an acknowledgement', kind: MessageKind.APPEND_RESPONSE },
    { name: 'a heartbeat', kind: MessageKind.HEARTBEAT },
    { name: 'the answer to a heartbeat', kind: MessageKind.HEARTBEAT_RESPONSE },
  ]
  const cases = roles.flatMap((role) => kinds.map((kind) => ({ role, kind })))

  test.each(cases)(
    '§5.1 "If a candidate or leader discovers that its term is out of date, it immediately reverts to follower state": $role.name, $kind.name',
    ({ role, kind: { kind, reject = false } }) => {
      const driver = role.make()
      driver.receive(messageFrom(3, kind, { term: 9, reject }))
      expect([driver.core.role, driver.core.term, driver.core.vote]).toEqual([Role.FOLLOWER, 9, 0])
      driver.turn()
      expect(driver.hardState).toMatchObject({ term: 9, vote: 0 })
    },
  )

  test.each(
    roles.flatMap((role) =>
      [MessageKind.APPEND, MessageKind.HEARTBEAT, MessageKind.VOTE].map((kind) => ({ role, kind })),
    ),
  )(
    '§5.1 "If a server receives a request with a stale term number, it rejects the request": $role.name, kind $kind',
    ({ role, kind }) => {
      const driver = role.make()
      driver.settle()
      driver.takeSent()
      const before = [driver.core.role, driver.core.term, driver.core.vote, driver.log.lastIndex]
      driver.receive(messageFrom(3, kind, { term: 2, index: 9, logTerm: 2, commit: 9 }))
      driver.settle()
      expect(driver.takeSent().filter(({ to }) => to === 3)).toMatchObject([{ term: 3, reject: true }])
      expect([driver.core.role, driver.core.term, driver.core.vote, driver.log.lastIndex]).toEqual(before)
    },
  )

  test('§5.1 a refusal, too, leaves only once the term that it tells of is durable', () => {
    const driver = nodeWith([1, 2])
    driver.receive(messageFrom(2, MessageKind.VOTE, { term: 7, index: 1, logTerm: 1 }))
    driver.turn()
    expect(driver.takeSent()).toEqual([])
    driver.persist()
    expect(driver.takeSent()).toMatchObject([{ kind: MessageKind.VOTE_RESPONSE, term: 7, reject: true }])
  })
})

// §5.2 and figure 2, “Rules for Servers”.
describe('leader election', () => {
  test('§5.2 "When servers start up, they begin as followers", even one that led', () => {
    const old = leaderWith([1])
    const restarted = new CoreDriver({ log: old.log, hardState: old.hardState })
    expect([restarted.core.role, restarted.core.leader]).toEqual([Role.FOLLOWER, 0])
    expect([restarted.core.term, restarted.core.vote]).toEqual([2, 1])
  })

  test('§5.2 "A server remains in follower state as long as it receives valid RPCs from a leader or candidate"', () => {
    for (const kind of [MessageKind.HEARTBEAT, MessageKind.APPEND]) {
      const driver = new CoreDriver()
      for (let i = 0; i < 30; i++) {
        driver.receive(messageFrom(2, kind, { term: 1 }))
        driver.tick(9)
      }
      expect(driver.core.role).toBe(Role.FOLLOWER)
    }
    const voter = new CoreDriver()
    for (let term = 1; term <= 30; term++) {
      voter.receive(messageFrom(2, MessageKind.VOTE, { term }))
      voter.tick(9)
    }
    expect(voter.core.role).toBe(Role.FOLLOWER)
  })

  test('figure 2 "… or granting vote to candidate": a refused vote does not keep a follower from campaigning', () => {
    const driver = nodeWith([1, 1])
    for (let term = 2; driver.core.role === Role.FOLLOWER && term < 30; term++) {
      driver.receive(messageFrom(2, MessageKind.VOTE, { term, index: 1, logTerm: 1 }))
      driver.tick()
    }
    expect(driver.core.role).toBe(Role.PRE_CANDIDATE)
  })

  test('§5.2 "a follower increments its current term … votes for itself and issues RequestVote RPCs in parallel to each of the other servers"', () => {
    const driver = nodeWith([1, 4], { voters: ids(1, 2, 3, 4, 5) })
    driver.core.campaign()
    for (const id of [2, 3]) driver.receive(messageFrom(id, MessageKind.PRE_VOTE_RESPONSE, { term: 5 }))
    expect([driver.core.role, driver.core.term, driver.core.vote]).toEqual([Role.CANDIDATE, 5, 1])
    driver.settle()
    const requests = driver.takeSent(MessageKind.VOTE)
    expect(requests.map(({ to }) => to)).toEqual([2, 3, 4, 5])
    for (const request of requests) expect(request).toMatchObject({ term: 5, index: 2, logTerm: 4 })
  })

  test('§5.2 "each candidate will time out and start a new election": with a pre-vote for the term after its own', () => {
    const driver = ROLES.candidate()
    driver.takeSent()
    for (let i = 0; i < 20 && driver.core.role === Role.CANDIDATE; i++) driver.tick()
    driver.settle()
    expect(driver.core.role).toBe(Role.PRE_CANDIDATE)
    expect(driver.takeSent(MessageKind.PRE_VOTE).map(({ term }) => term)).toEqual([4, 4])
    expect(driver.core.vote).toBe(1)
  })

  test('§5.2 "It then sends heartbeat messages to all of the other servers to establish its authority"', () => {
    const driver = elect(new CoreDriver())
    driver.takeSent()
    driver.turn()
    const sent = driver.takeSent()
    expect(sent.map(({ kind, to }) => [kind, to])).toEqual([
      [MessageKind.APPEND, 2],
      [MessageKind.APPEND, 3],
    ])
  })

  test('figure 2 "repeat during idle periods to prevent election timeouts"', () => {
    const cluster = new ScriptCluster(5)
    cluster.elect(3)
    cluster.tick(500)
    expect(cluster.leaders.map(({ core }) => [core.id, core.term])).toEqual([[3, 1]])
  })

  test('§5.2 "it is possible for … votes [to] be split": a later election decides', () => {
    const cluster = new ScriptCluster(4)
    for (const id of [1, 2]) cluster.node(id).core.campaign()
    cluster.settle()
    cluster.tick(100)
    expect(cluster.leaders).toHaveLength(1)
  })

  test('one that answers twice, or is no voter, counts once, or not at all', () => {
    const driver = new CoreDriver({ voters: ids(1, 2, 3, 4, 5), learners: ids(6) })
    driver.core.campaign()
    for (const id of [2, 2, 6, 7]) driver.receive(messageFrom(id, MessageKind.PRE_VOTE_RESPONSE, { term: 1 }))
    expect(driver.core.role).toBe(Role.PRE_CANDIDATE)
    driver.receive(messageFrom(3, MessageKind.PRE_VOTE_RESPONSE, { term: 1 }))
    driver.settle()
    for (const id of [2, 2, 6, 7]) driver.receive(messageFrom(id, MessageKind.VOTE_RESPONSE, { term: 1 }))
    expect(driver.core.role).toBe(Role.CANDIDATE)
    driver.receive(messageFrom(4, MessageKind.VOTE_RESPONSE, { term: 1 }))
    expect(driver.core.role).toBe(Role.LEADER)
  })
})

// The Raft thesis.
describe('pre-vote and check quorum', () => {
  test('thesis §9.6 "a candidate only increments its term if it first learns from a majority of the cluster that they would be willing to grant the candidate their votes"', () => {
    const driver = new CoreDriver({ voters: ids(1, 2, 3, 4, 5) })
    driver.core.campaign()
    driver.receive(messageFrom(2, MessageKind.PRE_VOTE_RESPONSE, { term: 1 }))
    driver.receive(messageFrom(3, MessageKind.PRE_VOTE_RESPONSE, { term: 0, reject: true }))
    expect([driver.core.role, driver.core.term]).toEqual([Role.PRE_CANDIDATE, 0])
    driver.receive(messageFrom(4, MessageKind.PRE_VOTE_RESPONSE, { term: 1 }))
    expect([driver.core.role, driver.core.term]).toEqual([Role.CANDIDATE, 1])
  })

  test('thesis §9.6 a pre-vote is no vote: two may be granted, and a real one goes to either', () => {
    const driver = new CoreDriver()
    for (const id of [2, 3]) driver.receive(messageFrom(id, MessageKind.PRE_VOTE, { term: 1 }))
    driver.receive(messageFrom(3, MessageKind.VOTE, { term: 1 }))
    driver.receive(messageFrom(2, MessageKind.VOTE, { term: 1 }))
    driver.settle()
    const answers = driver.takeSent()
    expect(answers.map(({ to, kind, reject }) => [to, kind, reject])).toEqual([
      [2, MessageKind.PRE_VOTE_RESPONSE, false],
      [3, MessageKind.PRE_VOTE_RESPONSE, false],
      [3, MessageKind.VOTE_RESPONSE, false],
      [2, MessageKind.VOTE_RESPONSE, true],
    ])
  })

  test('a server of a later term than its leader is not shut out: the leader gives way to a later one', () => {
    const cluster = new ScriptCluster(3, (id) => ({
      log: MemoryLog.of(entriesOfTerms([1])),
      hardState: { term: id === 3 ? 5 : 1, vote: 0, commit: 0 },
    }))
    cluster.isolate(3)
    cluster.elect(1)
    cluster.heal()
    cluster.tick(60)
    const [leader] = cluster.leaders
    expect(leader?.core.term).toBeGreaterThan(5)
    for (const id of [1, 2, 3]) expect(cluster.node(id).core.leader).toBe(leader?.core.id)
  })

  test('thesis §4.2.3 a server that some cannot hear does not disturb those who can: no term is raised', () => {
    // 1 and 3 do not hear each other; 2 hears both.
    const cluster = new ScriptCluster(3)
    const leader = cluster.elect(1)
    cluster.cut(1, 3)
    cluster.cut(3, 1)
    cluster.tick(300)
    expect([leader.core.role, leader.core.term]).toEqual([Role.LEADER, 1])
    expect([cluster.node(2).core.term, cluster.node(3).core.term]).toEqual([1, 1])
    leader.propose('a')
    cluster.settle()
    expect(leader.core.commit).toBe(2)
  })

  test('thesis §6.2 "a leader … steps down if an election timeout elapses without a successful round of heartbeats to a majority": a leader that is heard but hears nobody', () => {
    const cluster = new ScriptCluster(3)
    cluster.elect(1)
    for (const id of [2, 3]) cluster.cut(id, 1)
    cluster.tick(60)
    expect(cluster.leaders.map(({ core }) => core.id)).not.toContain(1)
    expect(cluster.leaders).toHaveLength(1)
  })

  test('a leader that hears a majority goes on leading, whoever else is gone', () => {
    const cluster = new ScriptCluster(5)
    const leader = cluster.elect(1)
    for (const id of [4, 5]) cluster.isolate(id)
    cluster.tick(200)
    expect([leader.core.role, leader.core.term]).toEqual([Role.LEADER, 1])
  })

  test('thesis §3.10 "If leadership transfer does not complete after about an election timeout, the prior leader aborts the transfer and resumes accepting client requests", and its target may not lead in the old leader’s term', () => {
    const cluster = new ScriptCluster(3)
    const leader = cluster.elect(1)
    cluster.cut(2, 3)
    cluster.cut(2, 1)
    leader.core.transferLeadership(nodeId(2))
    cluster.tick(10)
    expect(cluster.node(2).core.term).toBe(2)
    expect(cluster.node(2).core.role).not.toBe(Role.LEADER)
    expect(leader.propose('a').kind).toBe('accepted')
    cluster.settle()
    expect(leader.core.commit).toBe(2)
  })
})
