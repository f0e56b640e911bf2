import { describe, expect, test } from '@jest/globals'
import { encodeConfiguration, nextConfiguration, simpleConfiguration } from '../src/core/configuration.js'
import {
  type Configuration,
  type Entry,
  EntryKind,
  MessageKind,
  type NodeId,
  Role,
} from '../src/core/types.js'
import { MemoryLog } from '../src/storage/memory-log.js'
import { CoreDriver, entriesOfTerms, nodeId } from '../src/testing/core-driver.js'
import { ScriptCluster } from '../src/testing/script-cluster.js'
import { acknowledge, elect, ids, leaderWith, messageFrom, nodeWith, subsets } from './paper-messages.js'

/** The change of figure 11: three servers are replaced by three others, one of which stays. */
const JOINT: Configuration = {
  ...simpleConfiguration(ids(3, 4, 5)),
  votersOutgoing: ids(1, 2, 3),
}

function configurationEntry(index: number, term: number, configuration: Configuration): Entry {
  return { index, term, kind: EntryKind.CONFIGURATION, data: encodeConfiguration(configuration) }
}

/** Node 1 of term 1 with the joint configuration as its only entry. */
function jointNode(): CoreDriver {
  return new CoreDriver({
    log: MemoryLog.of([configurationEntry(1, 1, JOINT)]),
    hardState: { term: 1, vote: 0, commit: 0 },
  })
}

function hasMajority(of: readonly NodeId[], among: readonly number[]): boolean {
  return 2 * of.filter((id) => among.includes(id)).length > of.length
}

function hasBoth(among: readonly number[]): boolean {
  return hasMajority(JOINT.voters, among) && hasMajority(JOINT.votersOutgoing, among)
}

function append(
  driver: CoreDriver,
  term: number,
  index: number,
  logTerm: number,
  entries: readonly Entry[],
): void {
  const message = messageFrom(2, MessageKind.APPEND, { term, index, logTerm, count: entries.length })
  driver.receive(message, entries)
  driver.settle()
}

// The Raft paper, §6.
describe('the configuration in force', () => {
  test('§6 "a server always uses the latest configuration in its log, regardless of whether the entry is committed"', () => {
    const driver = new CoreDriver()
    append(driver, 1, 0, 0, [configurationEntry(1, 1, simpleConfiguration(ids(1, 2, 3, 4)))])
    expect([driver.core.configuration.voters, driver.core.commit]).toEqual([[1, 2, 3, 4], 0])
    append(driver, 1, 1, 1, [configurationEntry(2, 1, simpleConfiguration(ids(2, 3)))])
    expect([driver.core.configuration.voters, driver.core.configurationIndex]).toEqual([[2, 3], 2])
    expect(driver.core.role).toBe(Role.LEARNER)
  })

  test('… and after a restart, and when the entry is overwritten', () => {
    const driver = new CoreDriver()
    append(driver, 1, 0, 0, [
      configurationEntry(1, 1, simpleConfiguration(ids(1, 2, 3, 4))),
      configurationEntry(2, 1, JOINT),
    ])
    const restarted = new CoreDriver({ log: driver.log, hardState: driver.hardState })
    expect(restarted.core.configuration).toEqual(JOINT)
    append(restarted, 2, 1, 1, [{ ...entriesOfTerms([2])[0]!, index: 2 }])
    expect(restarted.core.configuration.voters).toEqual([1, 2, 3, 4])
    append(restarted, 3, 0, 0, [{ ...entriesOfTerms([3])[0]!, index: 1 }])
    expect([restarted.core.configuration.voters, restarted.core.configurationIndex]).toEqual([[1, 2, 3], 0])
  })

  test('bytes that are no configuration make an append that is dropped, and change nothing', () => {
    const driver = new CoreDriver()
    const good = encodeConfiguration(JOINT)
    const bad = [
      new Uint8Array(0),
      good.slice(0, -1),
      Uint8Array.from([...good, 0]),
      good.map((byte) => byte ^ 0xff),
    ]
    for (const data of bad)
      append(driver, 1, 0, 0, [{ index: 1, term: 1, kind: EntryKind.CONFIGURATION, data }])
    expect([driver.takeSent(), driver.log.lastIndex]).toEqual([[], 0])
  })
})

describe('joint consensus', () => {
  test('§6 "Agreement (for elections and entry commitment) requires separate majorities from both the old and new configurations": elections', () => {
    for (const supporters of subsets([2, 3, 4, 5])) {
      const driver = jointNode()
      driver.core.campaign()
      for (const id of supporters) driver.receive(messageFrom(id, MessageKind.PRE_VOTE_RESPONSE, { term: 2 }))
      expect(driver.core.role).toBe(hasBoth([1, ...supporters]) ? Role.CANDIDATE : Role.PRE_CANDIDATE)
      if (driver.core.role !== Role.CANDIDATE) continue
      driver.settle()
      for (const id of supporters) driver.receive(messageFrom(id, MessageKind.VOTE_RESPONSE, { term: 2 }))
      expect(driver.core.role).toBe(Role.LEADER)
    }
  })

  test('… an election is lost as soon as one of the two majorities is out of reach', () => {
    for (const opponents of [
      [2, 3],
      [4, 5],
      [3, 4],
      [3, 5],
    ]) {
      const driver = jointNode()
      driver.core.campaign()
      for (const id of opponents)
        driver.receive(messageFrom(id, MessageKind.PRE_VOTE_RESPONSE, { term: 1, reject: true }))
      const lost = [JOINT.voters, JOINT.votersOutgoing].some(
        (voters) =>
          !hasMajority(
            voters,
            [1, 2, 3, 4, 5].filter((id) => !opponents.includes(id)),
          ),
      )
      expect(driver.core.role === Role.FOLLOWER).toBe(lost)
    }
  })

  test('… and entry commitment', () => {
    for (const holders of subsets([2, 3, 4, 5])) {
      const driver = elect(jointNode())
      driver.settle()
      for (const id of holders) acknowledge(driver, id, 2)
      expect(driver.core.commit >= 2).toBe(hasBoth([1, ...holders]))
    }
  })

  test('… and reads, which ask who leads', () => {
    for (const holders of subsets([2, 3, 4, 5])) {
      const driver = elect(jointNode())
      driver.settle()
      driver.core.readIndex(1)
      // Its first entry is committed, and the group still joint: the end of it is on nobody else.
      for (const id of [2, 3, 4, 5]) acknowledge(driver, id, 2)
      if (driver.core.configurationIndex !== 3) throw new Error('the leader leaves the joint configuration')
      const context = driver.takeSent(MessageKind.HEARTBEAT).at(-1)?.context ?? 0
      for (const id of holders)
        driver.receive(messageFrom(id, MessageKind.HEARTBEAT_RESPONSE, { term: 2, context }))
      driver.settle()
      // The configuration in force is that of its end, in which the leader does not count.
      expect(driver.reads.length > 0).toBe(hasMajority(JOINT.voters, holders))
    }
  })

  test('§6 "Log entries are replicated to all servers in both configurations"', () => {
    const driver = elect(jointNode())
    driver.takeSent()
    driver.turn()
    const receivers = driver.takeSent(MessageKind.APPEND).map(({ to }) => to)
    expect([...receivers].sort()).toEqual([2, 3, 4, 5])
  })

  test('§6 "Any server from either configuration may serve as leader"', () => {
    for (const id of [1, 3, 5]) {
      const cluster = new ScriptCluster(5, () => ({
        log: MemoryLog.of([configurationEntry(1, 1, JOINT)]),
        hardState: { term: 1, vote: 0, commit: 0 },
      }))
      cluster.elect(id)
      // Who leads and is not in the new configuration hands over when that is committed.
      expect(cluster.leaders.length).toBe(1)
      expect(cluster.leaders[0]?.core.configuration.votersOutgoing).toEqual([])
      if (id !== 1) expect(cluster.leaders[0]?.core.id).toBe(id)
      else expect(JOINT.voters).toContain(cluster.leaders[0]?.core.id)
    }
  })

  test('§6 the leader creates the C_new entry once C_old,new is committed, once, and not before', () => {
    const driver = elect(jointNode())
    driver.settle()
    acknowledge(driver, 2, 2)
    acknowledge(driver, 4, 2)
    expect([driver.core.commit, driver.log.lastIndex]).toEqual([0, 2])
    acknowledge(driver, 5, 2)
    expect([driver.core.commit, driver.log.lastIndex]).toEqual([2, 3])
    expect(driver.core.configuration).toEqual(simpleConfiguration(ids(3, 4, 5)))
    acknowledge(driver, 3, 2)
    driver.tick(5)
    driver.settle()
    expect(driver.log.lastIndex).toBe(3)
  })

  test('§6 "there is no time when C_old and C_new can both make unilateral decisions": every two quorums of a change and what comes before or after it share a server', () => {
    const all = ids(1, 2, 3, 4, 5)
    const quorums = ({ voters, votersOutgoing }: Configuration): readonly (readonly NodeId[])[] =>
      subsets(all).filter(
        (set) =>
          hasMajority(voters, set) && (votersOutgoing.length === 0 || hasMajority(votersOutgoing, set)),
      )
    const overlap = (a: Configuration, b: Configuration): boolean =>
      quorums(a).every((one) => quorums(b).every((other) => one.some((id) => other.includes(id))))
    for (const before of subsets(all)) {
      for (const after of subsets(all)) {
        if (before.length === 0 || after.length === 0) continue
        const present = simpleConfiguration(before)
        const next = nextConfiguration(present, { voters: after })
        expect(overlap(present, next)).toBe(true)
        expect(overlap(next, simpleConfiguration(after))).toBe(true)
      }
    }
  })
})

// §6, the three issues; the thesis, §4.2.
describe('servers that come and go', () => {
  test('§6 "the new servers join the cluster as non-voting members (the leader replicates log entries to them, but they are not considered for majorities)"', () => {
    const driver = leaderWith([], { learners: ids(4, 5) })
    for (const id of [4, 5]) acknowledge(driver, id, 1)
    expect(driver.core.commit).toBe(0)
    driver.propose('x')
    driver.settle()
    expect(driver.takeSent(MessageKind.APPEND).filter(({ to, count }) => to >= 4 && count > 0)).toHaveLength(
      2,
    )
  })

  test('thesis §4.2.1 "If the last round lasts less than an election timeout, then the leader adds the server to the cluster": a learner is promoted when it is, and not before', () => {
    const driver = leaderWith([], { voters: ids(1) })
    driver.core.changeConfiguration({ voters: ids(1), learners: ids(2), promotable: ids(2) })
    driver.settle()
    // Each round takes it longer than an election timeout.
    for (let round = 0; round < 5; round++) {
      driver.propose('more')
      driver.tick(11)
      driver.settle()
      acknowledge(driver, 2, driver.log.lastIndex)
      driver.propose('still more')
      driver.settle()
      driver.tick()
      driver.settle()
      expect(driver.core.configuration.voters).toEqual([1])
    }
    acknowledge(driver, 2, driver.log.lastIndex)
    driver.tick()
    driver.settle()
    expect(driver.core.configuration).toMatchObject({ voters: [1, 2], learners: [], promotable: [] })
  })

  test('… two learners become voters one after the other, each change committed before the next', () => {
    const cluster = new ScriptCluster(5, () => ({ voters: ids(1, 2, 3), learners: ids(4, 5) }))
    const leader = cluster.elect(1)
    leader.core.changeConfiguration({ voters: ids(1, 2, 3), learners: ids(4, 5), promotable: ids(4, 5) })
    cluster.settle()
    cluster.tick(5)
    for (const { core } of cluster.drivers.values())
      expect(core.configuration).toEqual(simpleConfiguration(ids(1, 2, 3, 4, 5)))
    const changes = leader.applied.filter(({ kind, index }) => kind === EntryKind.CONFIGURATION && index > 1)
    expect(changes).toHaveLength(3)
  })

  test('… a learner whose link is broken is not promoted, however little it lacks', () => {
    const driver = leaderWith([], { voters: ids(1) })
    driver.core.changeConfiguration({ voters: ids(1), learners: ids(2), promotable: ids(2) })
    driver.settle()
    acknowledge(driver, 2, driver.log.lastIndex)
    driver.core.unreachable(nodeId(2))
    driver.tick(30)
    expect(driver.core.configuration.voters).toEqual([1])
  })

  test('§6 "it replicates log entries but does not count itself in majorities" while a leader manages a cluster without itself', () => {
    for (const holders of subsets([2, 3, 4])) {
      const driver = leaderWith([], { voters: ids(1, 2, 3, 4) })
      for (const id of [2, 3, 4]) acknowledge(driver, id, 1)
      expect(driver.core.changeConfiguration({ voters: ids(2, 3, 4) }).kind).toBe('accepted')
      driver.settle()
      expect(driver.core.role).toBe(Role.LEADER)
      for (const id of holders) acknowledge(driver, id, 2)
      const committed = hasMajority(ids(2, 3, 4), holders)
      expect(driver.core.commit).toBe(committed ? 2 : 1)
      // "the leader steps down (returns to follower state) once it has committed the C_new log entry"
      expect(driver.core.role).toBe(committed ? Role.LEARNER : Role.LEADER)
    }
  })

  test('§6 "Removed servers … can disrupt the cluster": they ask for ever, and no term is raised', () => {
    const cluster = new ScriptCluster(4)
    const leader = cluster.elect(1)
    cluster.isolate(4)
    leader.core.changeConfiguration({ voters: ids(1, 2, 3) })
    cluster.settle()
    cluster.heal()
    cluster.tick(200)
    expect([leader.core.role, leader.core.term]).toEqual([Role.LEADER, 1])
    expect(cluster.node(4).core.role).toBe(Role.PRE_CANDIDATE)
  })

  test('answers of a server that was removed count for nothing', () => {
    const driver = leaderWith([], { voters: ids(1, 2, 3) })
    for (const id of [2, 3]) acknowledge(driver, id, 1)
    driver.core.changeConfiguration({ voters: ids(1, 2) })
    driver.settle()
    acknowledge(driver, 3, 2)
    expect([driver.core.commit, driver.core.progress(nodeId(3))]).toEqual([1, undefined])
    acknowledge(driver, 2, 2)
    expect(driver.core.commit).toBe(2)
  })

  test('a server that leaves and comes back is not credited with what it had', () => {
    const driver = leaderWith([], { voters: ids(1, 2) })
    acknowledge(driver, 2, 1)
    driver.core.changeConfiguration({ voters: ids(1) })
    driver.settle()
    acknowledge(driver, 2, 2)
    driver.tick()
    driver.settle()
    driver.core.changeConfiguration({ voters: ids(1), learners: ids(2) })
    driver.settle()
    expect(driver.core.progress(nodeId(2))).toMatchObject({ match: 0, state: 'probe' })
  })
})

// The thesis, §4.1, and the flaw in it that was found in 2015.
describe('one change at a time', () => {
  test('a leader that has committed nothing in its term takes no change, so that two leaders cannot add and remove past each other', () => {
    // S1 has added 5 and told nobody; S2 is elected by 3 and 4, who know nothing of it.
    const s1 = leaderWith([], { voters: ids(1, 2, 3, 4) })
    for (const id of [2, 3, 4]) acknowledge(s1, id, 1)
    expect(s1.core.changeConfiguration({ voters: ids(1, 2, 3, 4, 5) }).kind).toBe('accepted')
    s1.settle()

    const s2 = elect(nodeWith([1], { voters: ids(1, 2, 3, 4) }))
    s2.settle()
    expect(s2.core.changeConfiguration({ voters: ids(2, 3, 4) })).toEqual({ kind: 'change-pending' })
    for (const id of [2, 3]) acknowledge(s2, id, 2)
    expect(s2.core.changeConfiguration({ voters: ids(2, 3, 4) }).kind).toBe('accepted')
  })

  test('a second change is refused until the first is committed, and while a leader hands over', () => {
    const driver = leaderWith([], { voters: ids(1, 2, 3) })
    for (const id of [2, 3]) acknowledge(driver, id, 1)
    expect(driver.core.changeConfiguration({ voters: ids(1, 2) }).kind).toBe('accepted')
    driver.settle()
    expect(driver.core.changeConfiguration({ voters: ids(1) })).toEqual({ kind: 'change-pending' })
    acknowledge(driver, 2, 2)
    driver.core.transferLeadership(nodeId(2))
    expect(driver.core.changeConfiguration({ voters: ids(1) })).toEqual({ kind: 'transferring' })
  })

  test('nobody but a leader changes anything', () => {
    const driver = new CoreDriver()
    expect(driver.core.changeConfiguration({ voters: ids(1) })).toEqual({ kind: 'not-leader', leader: 0 })
    driver.receive(messageFrom(3, MessageKind.HEARTBEAT, { term: 1 }))
    expect(driver.core.changeConfiguration({ voters: ids(1) })).toEqual({ kind: 'not-leader', leader: 3 })
    expect(driver.core.configuration.voters).toEqual([1, 2, 3])
  })

  test('thesis §4.1 "servers process incoming RPC requests without consulting their current configurations": an append of a leader that is no member here is taken', () => {
    const driver = new CoreDriver()
    const message = messageFrom(9, MessageKind.APPEND, { term: 4, count: 1 })
    driver.receive(message, [configurationEntry(1, 4, simpleConfiguration(ids(1, 2, 3, 9)))])
    driver.settle()
    expect([driver.core.leader, driver.core.configuration.voters]).toEqual([9, [1, 2, 3, 9]])
  })
})
