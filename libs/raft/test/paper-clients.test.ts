import { describe, expect, test } from '@jest/globals'
import { SeededRandom } from '@sluice/foundation'
import { EntryKind, MessageKind, Role } from '../src/core/types.js'
import { CoreDriver, nodeId } from '../src/testing/core-driver.js'
import { ScriptCluster } from '../src/testing/script-cluster.js'
import { acknowledge, ids, leaderWith, messageFrom, subsets } from './paper-messages.js'

/** Node 1 of five leads and has a commit of its term. */
function establishedLeader(): CoreDriver {
  const driver = leaderWith([], { voters: ids(1, 2, 3, 4, 5) })
  for (const id of [2, 3, 4, 5]) acknowledge(driver, id, 1)
  driver.takeSent()
  return driver
}

function echo(driver: CoreDriver, sender: number, context: number): void {
  driver.receive(messageFrom(sender, MessageKind.HEARTBEAT_RESPONSE, { term: driver.core.term, context }))
  driver.settle()
}

// The Raft paper, §8.
describe('requests to a server', () => {
  test('§8 "that server will reject the client’s request and supply information about the most recent leader it has heard from"', () => {
    const driver = new CoreDriver()
    expect(driver.propose('x')).toEqual({ kind: 'not-leader', leader: 0 })
    driver.receive(messageFrom(2, MessageKind.HEARTBEAT, { term: 1 }))
    expect(driver.propose('x')).toEqual({ kind: 'not-leader', leader: 2 })
    driver.receive(messageFrom(3, MessageKind.APPEND, { term: 2 }))
    expect(driver.propose('x')).toEqual({ kind: 'not-leader', leader: 3 })
    driver.core.unreachable(nodeId(3))
    expect(driver.propose('x')).toEqual({ kind: 'not-leader', leader: 0 })
  })

  test('a leader that steps down takes nothing any more, and what it took may still be committed', () => {
    const cluster = new ScriptCluster(3)
    const old = cluster.elect(1)
    cluster.cut(2, 1)
    cluster.cut(3, 1)
    expect(old.propose('x').kind).toBe('accepted')
    cluster.settle()
    old.tick(20)
    expect(old.core.role).toBe(Role.FOLLOWER)
    expect(old.propose('y').kind).toBe('not-leader')
    cluster.heal()
    cluster.tick(60)
    const commands = cluster.node(2).applied.filter(({ kind }) => kind === EntryKind.COMMAND)
    expect(commands.map(({ data }) => new TextDecoder().decode(data))).toEqual(['x'])
  })

  test('§8 "having the leader exchange heartbeat messages with a majority of the cluster before responding to read-only requests": a majority, whichever', () => {
    for (const answering of subsets([2, 3, 4, 5])) {
      const driver = establishedLeader()
      driver.core.readIndex(1)
      driver.settle()
      const context = driver.takeSent(MessageKind.HEARTBEAT)[0]?.context ?? 0
      for (const id of answering) echo(driver, id, context)
      expect(driver.reads).toHaveLength(answering.length >= 2 ? 1 : 0)
    }
  })

  test('§8 "If the leader … commit[s] a blank no-op entry at the start of its term": without it no read is answered, whatever is committed of earlier terms', () => {
    const driver = leaderWith([1, 1], { hardState: { term: 1, vote: 0, commit: 2 } })
    driver.core.readIndex(1)
    driver.settle()
    driver.tick()
    driver.settle()
    for (const id of [2, 3]) echo(driver, id, 0)
    expect(driver.reads).toEqual([])
    acknowledge(driver, 2, 3)
    const context = driver.takeSent(MessageKind.HEARTBEAT).at(-1)?.context ?? 0
    echo(driver, 2, context)
    expect(driver.reads).toEqual([{ token: 1, index: 3 }])
  })
})

// The thesis, §6.4.
describe('read index', () => {
  test('thesis §6.4 "The leader saves its current commit index in a local variable readIndex": never below what was committed when the read was asked', () => {
    const driver = establishedLeader()
    for (let token = 1; token <= 10; token++) {
      driver.propose(`${token}`)
      driver.settle()
      for (const id of [2, 3]) acknowledge(driver, id, driver.log.lastIndex)
      const asked = driver.core.commit
      driver.core.readIndex(token)
      driver.settle()
      const context = driver.takeSent(MessageKind.HEARTBEAT).at(-1)?.context ?? 0
      for (const id of [2, 3]) echo(driver, id, context)
      expect(driver.reads.at(-1)).toEqual({ token, index: asked })
    }
  })

  test('one that echoes a later round has echoed the earlier ones, too; one that echoes twice counts once', () => {
    const driver = establishedLeader()
    for (const token of [1, 2]) {
      driver.core.readIndex(token)
      driver.settle()
    }
    const context = driver.takeSent(MessageKind.HEARTBEAT).at(-1)?.context ?? 0
    for (let i = 0; i < 3; i++) echo(driver, 2, context)
    expect(driver.reads).toEqual([])
    echo(driver, 3, context)
    expect(driver.reads.map(({ token }) => token)).toEqual([1, 2])
  })

  test('an echo of an earlier term’s round, or from outside the group, confirms nothing', () => {
    const driver = establishedLeader()
    driver.core.readIndex(1)
    driver.settle()
    for (const id of [2, 3, 4, 5])
      driver.receive(messageFrom(id, MessageKind.HEARTBEAT_RESPONSE, { term: 0, context: 1 }))
    for (const id of [6, 7, 8, 9]) echo(driver, id, 1)
    expect(driver.reads).toEqual([])
  })

  test('thesis §6.4 "followers can … issue a request to the leader that just asks for a current readIndex": not below what any leader had committed before', () => {
    const cluster = new ScriptCluster(3)
    const leader = cluster.elect(1)
    for (let token = 1; token <= 5; token++) {
      leader.propose(`${token}`)
      leader.settle()
      cluster.settle()
      const follower = cluster.node(2 + (token % 2))
      follower.core.readIndex(token)
      cluster.settle()
      expect(follower.reads.at(-1)).toEqual({ token, index: leader.core.commit })
    }
  })

  test('a follower’s read is refused when the leader changes: the next one has not been asked', () => {
    const cluster = new ScriptCluster(3)
    cluster.elect(1)
    const follower = cluster.node(3)
    cluster.cut(3, 1)
    follower.core.readIndex(7)
    follower.turn()
    cluster.elect(2)
    cluster.node(1).core.transferLeadership(nodeId(2))
    cluster.settle()
    expect(cluster.node(3).core.leader).toBe(2)
    expect([follower.reads, follower.readsRefused]).toEqual([[], [7]])
  })

  test('an answer from somebody who does not lead, or to a question never asked, is no answer', () => {
    const driver = new CoreDriver()
    driver.receive(messageFrom(2, MessageKind.HEARTBEAT, { term: 1 }))
    driver.core.readIndex(7)
    driver.settle()
    const context = driver.takeSent(MessageKind.READ_INDEX)[0]?.context ?? 0
    driver.receive(messageFrom(3, MessageKind.READ_INDEX_RESPONSE, { term: 1, index: 1, context }))
    driver.receive(
      messageFrom(2, MessageKind.READ_INDEX_RESPONSE, { term: 1, index: 1, context: context + 1 }),
    )
    driver.settle()
    expect(driver.reads).toEqual([])
    driver.receive(messageFrom(2, MessageKind.READ_INDEX_RESPONSE, { term: 1, index: 4, context }))
    driver.receive(messageFrom(2, MessageKind.READ_INDEX_RESPONSE, { term: 1, index: 5, context }))
    driver.settle()
    expect(driver.reads).toEqual([{ token: 7, index: 4 }])
  })

  test('the answer to a question from before a restart is not taken for one to a question asked after it', () => {
    const start = (seed: number): CoreDriver => {
      const driver = new CoreDriver({ random: new SeededRandom(seed) })
      driver.receive(messageFrom(2, MessageKind.HEARTBEAT, { term: 1 }))
      driver.core.readIndex(seed)
      driver.settle()
      return driver
    }
    const asked = start(1).takeSent(MessageKind.READ_INDEX)[0]
    // The leader answers late, with the index of that time; more has been committed, and acknowledged, since.
    const restarted = start(2)
    restarted.receive(
      messageFrom(2, MessageKind.READ_INDEX_RESPONSE, { term: 1, index: 3, context: asked?.context ?? 0 }),
    )
    restarted.settle()
    expect(restarted.reads).toEqual([])
  })

  test('reads wait for no entry, and entries for no read, while leadership is handed over', () => {
    const driver = establishedLeader()
    driver.core.transferLeadership(nodeId(2))
    expect(driver.core.readIndex(1)).toEqual({ kind: 'accepted' })
    driver.settle()
    const context = driver.takeSent(MessageKind.HEARTBEAT)[0]?.context ?? 0
    for (const id of [2, 3]) echo(driver, id, context)
    expect(driver.reads).toEqual([{ token: 1, index: 1 }])
  })
})
