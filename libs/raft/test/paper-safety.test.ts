import { describe, expect, test } from '@jest/globals'
import { SeededRandom } from '@sluice/foundation'
import { membersOf } from '../src/core/configuration.js'
import { MessageKind, Role } from '../src/core/types.js'
import { MemoryLog } from '../src/storage/memory-log.js'
import { CoreDriver, entriesOfTerms } from '../src/testing/core-driver.js'
import { ScriptCluster } from '../src/testing/script-cluster.js'
import { CommandLine } from '../src/testing/script/command-line.js'
import { ScenarioError } from '../src/testing/script/scenario-error.js'
import { ScriptWorld } from '../src/testing/script/script-world.js'
import { WORLD_COMMANDS } from '../src/testing/script/world-commands.js'
import { acknowledge, elect, ids, leaderWith, messageFrom, nodeWith, subsets } from './paper-messages.js'

const others = [2, 3, 4, 5]

// The Raft paper, figure 3 and §5.4.
describe('safety', () => {
  test('figure 3, election safety: "at most one leader can be elected in a given term": of two candidates of a term, no division of the votes elects both', () => {
    for (const forFirst of subsets([3, 4, 5])) {
      const granted = [1, 2].map((candidate) => {
        const driver = new CoreDriver({ voters: ids(1, 2, 3, 4, 5) })
        driver.core.campaign()
        for (const id of others) driver.receive(messageFrom(id, MessageKind.PRE_VOTE_RESPONSE, { term: 1 }))
        driver.settle()
        // The rival, which is node 2 for both, has voted for itself.
        driver.receive(messageFrom(2, MessageKind.VOTE_RESPONSE, { term: 1, reject: true }))
        for (const id of [3, 4, 5]) {
          const reject = forFirst.includes(id) !== (candidate === 1)
          driver.receive(messageFrom(id, MessageKind.VOTE_RESPONSE, { term: 1, reject }))
        }
        return driver.core.role === Role.LEADER
      })
      expect(granted.filter((isLeader) => isLeader)).toHaveLength(1)
    }
  })

  test('figure 3, leader completeness: "If a log entry is committed in a given term, then that entry will be present in the logs of the leaders for all higher-numbered terms"', () => {
    for (const holders of subsets(others)) {
      if (holders.length < 2) continue
      // 1 has committed the entry with `holders`, and is gone.
      for (const candidate of others) {
        const cluster = new ScriptCluster(5, (id) => ({
          log: MemoryLog.of(entriesOfTerms(id === 1 || holders.includes(id) ? [1, 1] : [1])),
          hardState: { term: 1, vote: 0, commit: 1 },
        }))
        cluster.isolate(1)
        const driver = cluster.elect(candidate)
        if (driver.core.role === Role.LEADER) expect(holders).toContain(candidate)
      }
    }
  })

  test('§5.4.1 "a candidate … must contact a majority of the cluster in order to be elected, which means that every committed entry must be present in at least one of those servers"', () => {
    const cluster = new ScriptCluster(5)
    const leader = cluster.elect(1)
    cluster.isolate(4)
    cluster.isolate(5)
    leader.propose('x')
    cluster.settle()
    cluster.heal()
    cluster.isolate(1)
    cluster.isolate(2)
    for (const id of [4, 5, 4, 5]) {
      for (const other of [3, 4, 5]) cluster.node(other).tick(12)
      expect(cluster.elect(id).core.role).not.toBe(Role.LEADER)
    }
    cluster.tick(60)
    expect(cluster.leaders.filter(({ core }) => core.term > 1).map(({ core }) => core.id)).toEqual([3])
  })

  test('§5.4.2 "Raft never commits log entries from previous terms by counting replicas": not of any earlier term, with any number of replicas', () => {
    for (const holders of subsets(others)) {
      const driver = leaderWith([1, 2, 2], { voters: ids(1, 2, 3, 4, 5) })
      for (const id of holders) acknowledge(driver, id, 3)
      expect(driver.core.commit).toBe(0)
      for (const id of holders) acknowledge(driver, id, 4)
      expect(driver.core.commit).toBe(holders.length >= 2 ? 4 : 0)
    }
  })

  test('figure 2 "a majority of matchIndex[i] ≥ N": exactly a majority, for every size of cluster', () => {
    for (let size = 1; size <= 7; size++) {
      const voters = Array.from({ length: size }, (_, i) => i + 1)
      for (const holders of subsets(voters.slice(1))) {
        const driver = leaderWith([], { voters: ids(...voters) })
        for (const id of holders) acknowledge(driver, id, 1)
        expect(driver.core.commit).toBe(2 * (holders.length + 1) > size ? 1 : 0)
      }
    }
  })

  test('figure 2, persistent state: "Updated on stable storage before responding": a leader that crashes before its own entry is durable was no part of the majority', () => {
    const driver = elect(nodeWith([]))
    driver.turn()
    acknowledgeUnsynced(driver, 2)
    expect(driver.core.commit).toBe(0)
    driver.persist()
    expect(driver.core.commit).toBe(1)
  })

  test('figure 3, state machine safety: "If a server has applied a log entry at a given index … no other server will ever apply a different log entry for the same index", with losses, repetitions, crashes and changes of the configuration', () => {
    const done = new Map<string, number>()
    for (let seed = 1; seed <= 60; seed++) {
      const world = runRandomly(seed, 800)
      const applied = Math.max(...world.nodes.map((node) => (node.isUp ? node.core.applied : 0)))
      done.set('applied', (done.get('applied') ?? 0) + applied)
    }
    // It went somewhere: otherwise nothing was shown.
    expect(done.get('applied')).toBeGreaterThan(60 * 5)
  })

  test('§5.4 and §9.3: whatever happened, a group whose faults end has a leader again, and all its members the same log', () => {
    for (let seed = 1; seed <= 20; seed++) {
      const world = runRandomly(seed, 400)
      for (const node of world.nodes) if (!node.isUp) node.restart()
      world.stabilize(world.nodes)
      // Snapshots that got lost: their hosts notice.
      for (const { id } of world.nodes)
        for (const peer of world.nodes) play(world, `snapshot-failed ${id} ${peer.id}`)
      play(world, 'pass 300')
      // One that was removed may be of a later term, for ever.
      const leaders = world.nodes.map(({ core }) => core).filter(({ role }) => role === Role.LEADER)
      const leader = leaders.sort((a, b) => b.term - a.term)[0]
      if (leader === undefined) throw new Error(`seed ${seed}: nobody leads`)
      for (const member of membersOf(leader.configuration)) {
        const { core, log } = world.node(member)
        expect([seed, core.applied, core.leader]).toEqual([seed, leader.commit, leader.id])
        expect(log.lastIndex).toBe(leader.commit)
      }
    }
  })
})

function acknowledgeUnsynced(driver: CoreDriver, sender: number): void {
  driver.receive(messageFrom(sender, MessageKind.APPEND_RESPONSE, { term: driver.core.term, index: 1 }))
  driver.turn()
}

/** A world of five that does whatever comes to mind. Its laws throw when one is broken. */
function runRandomly(seed: number, stepCount: number): ScriptWorld {
  const random = new SeededRandom(seed)
  const world = new ScriptWorld()
  play(world, 'add-nodes 5 voters=1,2,3 inflight=4 append-bytes=100 election=5')
  const id = (): number => 1 + random.below(5)
  const members = (): string => {
    const chosen = [1, 2, 3, 4, 5].filter(() => random.below(2) === 0)
    return chosen.length === 0 ? '1' : chosen.join(',')
  }
  const commands: readonly (() => string)[] = [
    ...Array.from({ length: 6 }, () => () => `turn ${id()}`),
    ...Array.from({ length: 6 }, () => () => `persist ${id()} count=${1 + random.below(2)}`),
    ...Array.from({ length: 3 }, () => () => `apply ${id()}`),
    ...Array.from({ length: 12 }, () => () => `deliver count=${1 + random.below(6)}`),
    ...Array.from({ length: 5 }, () => () => `tick ${id()} count=${1 + random.below(3)}`),
    ...Array.from({ length: 2 }, () => () => 'pass 1'),
    () => `deliver count=3 latest`,
    () => `deliver count=3 keep`,
    () => `deliver to=${id()} count=4 drop=1,2,3,4,5`,
    () => `propose ${id()} ${random.below(1000)}`,
    () => `propose ${id()} ${random.below(1000)}`,
    () => `propose-configuration ${id()} voters=${members()}`,
    () => `transfer-leadership ${id()} to=${id()}`,
    () => `read-index ${id()} ${random.below(1000)}`,
    () => `unreachable ${id()} ${id()}`,
    () => `crash ${id()} kept=${random.below(2)}`,
    () => `restart ${id()}`,
    () => `restart ${id()}`,
    () => `snapshot ${id()} ${id()}`,
    () => `compact ${id()} ${1 + random.below(20)}`,
  ]
  for (let step = 0; step < stepCount; step++) play(world, commands[random.below(commands.length)]!())
  return world
}

/** What cannot be done where it stands is left out. */
function play(world: ScriptWorld, text: string): void {
  const line = new CommandLine(text)
  try {
    WORLD_COMMANDS.get(line.name)!(world, line)
  } catch (error) {
    if (!(error instanceof ScenarioError)) throw new Error(`${text}: ${String(error)}`, { cause: error })
  }
  world.takeLines()
}
