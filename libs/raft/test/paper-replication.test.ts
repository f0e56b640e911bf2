import { describe, expect, test } from '@jest/globals'
import { SeededRandom } from '@sluice/foundation'
import { type Entry, EntryKind, MessageKind, Role } from '../src/core/types.js'
import { MemoryLog } from '../src/storage/memory-log.js'
import { entriesOfTerms, type Envelope, nodeId } from '../src/testing/core-driver.js'
import { ScriptCluster } from '../src/testing/script-cluster.js'
import { acknowledge, elect, ids, leaderWith, messageFrom, nodeWith } from './paper-messages.js'

function textsOf(entries: readonly Entry[]): readonly string[] {
  const commands = entries.filter(({ kind }) => kind === EntryKind.COMMAND)
  return commands.map(({ data }) => new TextDecoder().decode(data))
}

/** Runs a cluster whose links lose, repeat and reorder, until nothing is on its way. */
function runUnreliably(cluster: ScriptCluster, random: SeededRandom, stepCount: number): void {
  const inFlight: Envelope[] = []
  for (let step = 0; step < stepCount; step++) {
    for (const driver of cluster.drivers.values()) {
      if (random.below(3) === 0) driver.turn()
      if (random.below(3) === 0) driver.persist(1)
      if (random.below(20) === 0) driver.tick()
      inFlight.push(...driver.sent.splice(0))
    }
    for (let i = 0; i < 3 && inFlight.length > 0; i++) {
      const at = random.below(inFlight.length)
      const { message, entries } = inFlight[at]!
      if (random.below(4) > 0) inFlight.splice(at, 1)
      if (random.below(4) > 0) cluster.node(message.to).receive(message, entries)
    }
  }
}

// The Raft paper, §5.3 and figure 2.
describe('log replication', () => {
  test('§5.3 "The leader appends the command to its log as a new entry, then issues AppendEntries RPCs in parallel to each of the other servers", not waiting for its own disk', () => {
    const driver = leaderWith([])
    for (const id of [2, 3]) acknowledge(driver, id, 1)
    driver.takeSent()
    driver.propose('x')
    driver.turn()
    expect(driver.unsynced).toBe(1)
    expect(driver.takeSent(MessageKind.APPEND).map(({ to, index, count }) => [to, index, count])).toEqual([
      [2, 1, 1],
      [3, 1, 1],
    ])
  })

  test('§5.3 "When a leader first comes to power, it initializes all nextIndex values to the index just after the last one in its log"', () => {
    const driver = elect(nodeWith([1, 1, 2]))
    for (const id of ids(2, 3)) expect(driver.core.progress(id)).toMatchObject({ match: 0, next: 4 })
  })

  test('§5.3 "the leader retries AppendEntries RPCs indefinitely … until all followers eventually store all log entries"', () => {
    const cluster = new ScriptCluster(3)
    const leader = cluster.elect(1)
    cluster.isolate(3)
    for (let i = 0; i < 20; i++) {
      leader.propose(`${i}`)
      cluster.tick(20)
    }
    expect(leader.core.commit).toBe(21)
    cluster.heal()
    cluster.tick(10)
    expect(textsOf(cluster.node(3).applied)).toEqual(Array.from({ length: 20 }, (_, i) => `${i}`))
  })

  test('§5.3 "it includes that index in future AppendEntries RPCs (including heartbeats) so that the other servers eventually find out"', () => {
    const driver = leaderWith([])
    for (const id of [2, 3]) acknowledge(driver, id, 1)
    driver.propose('x')
    driver.settle()
    acknowledge(driver, 2, 2)
    driver.takeSent()
    driver.propose('y')
    driver.tick()
    driver.turn()
    expect(driver.takeSent().filter(({ to }) => to === 2)).toMatchObject([
      { kind: MessageKind.HEARTBEAT, commit: 2 },
      { kind: MessageKind.APPEND, commit: 2 },
    ])
  })

  test('figure 3, leader append-only: "a leader never overwrites or deletes entries in its log"', () => {
    const driver = leaderWith([1, 1, 1])
    const before = driver.log.slice(1, 4)
    for (const term of [1, 2]) {
      for (const kind of [MessageKind.APPEND, MessageKind.HEARTBEAT])
        driver.receive(messageFrom(2, kind, { term, index: 0, count: 1, commit: 4 }), [
          { index: 1, term, kind: EntryKind.COMMAND, data: new Uint8Array([9]) },
        ])
      driver.core.restoreSnapshot({ index: 9, term, configuration: new Uint8Array(0) })
    }
    driver.settle()
    expect(driver.core.role).toBe(Role.LEADER)
    expect(driver.log.slice(1, driver.log.lastIndex)).toEqual(before)
    expect(driver.core.commit).toBe(0)
  })

  test('§5.3 "A leader never … create[s] more than one entry with a given log index" in a term, whatever it is told', () => {
    const driver = leaderWith([])
    const accepted = Array.from({ length: 5 }, (_, i) => driver.propose(`${i}`, 'x'))
    driver.settle()
    expect(accepted).toEqual(
      [2, 4, 6, 8, 10].map((firstIndex) => ({ kind: 'accepted', firstIndex, term: 1 })),
    )
    expect(driver.log.slice(1, 11).map(({ index, term }) => [index, term])).toEqual(
      Array.from({ length: 11 }, (_, i) => [i + 1, 1]),
    )
  })

  test('§5.3 the state machine applies "in log order", each entry once, and nothing that is not committed', () => {
    for (let seed = 1; seed <= 20; seed++) {
      const cluster = new ScriptCluster(3, (id) => ({ seed: seed * 10 + id, appendBytesMax: 50 }))
      const leader = cluster.elect(1)
      const random = new SeededRandom(seed)
      for (let i = 0; i < 10; i++) {
        leader.propose(`${i}`)
        runUnreliably(cluster, random, 30)
      }
      for (const { applied, core } of cluster.drivers.values()) {
        expect(applied.map(({ index }) => index)).toEqual(applied.map((_, i) => i + 1))
        expect(applied.length).toBeLessThanOrEqual(core.commit)
      }
    }
  })

  test('§5.5 "Raft RPCs are idempotent, so this causes no harm": messages that are lost, repeated and reordered leave equal logs', () => {
    for (let seed = 1; seed <= 20; seed++) {
      const cluster = new ScriptCluster(5, (id) => ({ seed: seed * 10 + id, inflightMessagesMax: 2 }))
      const random = new SeededRandom(seed)
      cluster.node(1).core.campaign()
      for (let i = 0; i < 10; i++) {
        for (const driver of cluster.drivers.values()) driver.propose(`${seed}-${i}`)
        runUnreliably(cluster, random, 60)
      }
      cluster.settle()
      cluster.tick(60)
      const [leader] = cluster.leaders
      for (const { applied } of cluster.drivers.values())
        expect(applied.map(({ index, term }) => [index, term])).toEqual(
          leader?.applied.map(({ index, term }) => [index, term]),
        )
    }
  })
})

// §5.5: "Raft handles these failures by retrying indefinitely; if the crashed server restarts, then the RPC will complete successfully".
describe('followers that come back', () => {
  test('§5.5 one that crashed before its disk had the entries gets them again', () => {
    const cluster = new ScriptCluster(3)
    const leader = cluster.elect(1)
    leader.propose('x')
    leader.turn()
    const follower = cluster.node(3)
    for (const { message, entries } of leader.sent) if (message.to === 3) follower.receive(message, entries)
    const durable = MemoryLog.of(follower.log.slice(1, follower.log.lastIndex))
    const { hardState } = follower
    follower.turn()
    expect(follower.log.lastIndex).toBe(2)
    cluster.restart(3, { log: durable, hardState })
    cluster.tick(5)
    expect(textsOf(cluster.node(3).applied)).toEqual(['x'])
  })

  test.each([{ isUp: false }, { isUp: true }])(
    'one whose link broke is sent what it lacks with its first sign of life, the answer to a heartbeat: link known to be up again: $isUp',
    ({ isUp }) => {
      const driver = leaderWith([])
      acknowledge(driver, 2, 1)
      driver.core.unreachable(nodeId(2))
      if (isUp) driver.core.reachable(nodeId(2))
      driver.propose('x')
      driver.tick()
      driver.settle()
      driver.takeSent()
      driver.receive(messageFrom(2, MessageKind.HEARTBEAT_RESPONSE, { term: 1 }))
      driver.settle()
      const appends = driver.takeSent(MessageKind.APPEND)
      expect(appends.map(({ to, index, count }) => [to, index, count])).toEqual([[2, 1, 1]])
    },
  )

  test('figure 2 "If AppendEntries fails because of log inconsistency: decrement nextIndex and retry": never at or below what is known to agree', () => {
    const driver = leaderWith([1, 1, 1, 1])
    driver.receive(
      messageFrom(2, MessageKind.APPEND_RESPONSE, { term: 2, reject: true, index: 4, hint: 2, hintTerm: 1 }),
    )
    driver.settle()
    acknowledge(driver, 2, 3)
    for (const index of [4, 3, 2, 1, 0]) {
      driver.receive(messageFrom(2, MessageKind.APPEND_RESPONSE, { term: 2, reject: true, index, hint: 0 }))
      driver.settle()
      const progress = driver.core.progress(nodeId(2))
      expect(progress?.match).toBe(3)
      expect(progress?.next).toBeGreaterThan(3)
    }
  })

  test('§5.3 "the leader … finds the latest log entry where the two logs agree, deletes any entries in the follower’s log after that point, and sends the follower all of the leader’s entries after that point", whatever the two logs look like', () => {
    const random = new SeededRandom(7)
    const rising = (from: number, step: number): number[] => {
      let term = from
      return Array.from({ length: random.below(8) }, () => (term += random.below(3) === 0 ? step : 0))
    }
    for (let run = 0; run < 100; run++) {
      const common = rising(1, 1)
      const last = common.at(-1) ?? 1
      // Of two logs that differ, neither has an entry of the other's terms.
      const ours = [...common, ...rising(last + 1, 2)]
      const theirs = [...common, ...rising(last + 2, 2)]
      const top = Math.max(...ours, ...theirs, 1)
      const cluster = new ScriptCluster(3, (id) => ({
        log: MemoryLog.of(entriesOfTerms(id === 2 ? theirs : ours)),
        hardState: { term: top, vote: 0, commit: 0 },
      }))
      const leader = cluster.elect(1)
      expect(leader.core.role).toBe(Role.LEADER)
      cluster.tick()
      const { log } = cluster.node(2)
      expect(log.slice(1, log.lastIndex).map(({ term }) => term)).toEqual([...ours, top + 1])
    }
  })
})
