import { describe, expect, test } from '@jest/globals'
import { BLANK } from '../src/core/message.js'
import { MessageKind, type RaftMessage, Role } from '../src/core/types.js'
import { CoreDriver, nodeId, ScriptCluster } from '../src/testing/index.js'

function response(kind: MessageKind, fields: Partial<RaftMessage> = {}): RaftMessage {
  return { ...BLANK, kind, from: nodeId(2), to: nodeId(1), term: 1, ...fields }
}

/** Node 1 of three leads term 1; its no-op is durable here only. */
function freshLeader(): CoreDriver {
  const driver = new CoreDriver()
  driver.core.campaign()
  driver.receive(response(MessageKind.PRE_VOTE_RESPONSE))
  driver.settle()
  driver.receive(response(MessageKind.VOTE_RESPONSE))
  driver.settle()
  driver.takeSent()
  return driver
}

describe('read index', () => {
  test('"the leader … has committed an entry in its term" before it answers the first read', () => {
    const driver = freshLeader()
    driver.core.readIndex(7)
    driver.tick()
    driver.settle()
    driver.receive(response(MessageKind.HEARTBEAT_RESPONSE))
    driver.settle()
    expect(driver.reads).toEqual([])
    driver.receive(response(MessageKind.APPEND_RESPONSE, { index: 1 }))
    driver.settle()
    expect(driver.reads).toEqual([])
    const context = driver.takeSent(MessageKind.HEARTBEAT).at(-1)!.context
    driver.receive(response(MessageKind.HEARTBEAT_RESPONSE, { context }))
    driver.settle()
    expect(driver.reads).toEqual([{ token: 7, index: 1 }])
  })

  test('reads of one turn share a round, and each is answered once', () => {
    const cluster = new ScriptCluster(3)
    const leader = cluster.elect(1)
    leader.takeSent()
    for (const token of [1, 2, 3]) leader.core.readIndex(token)
    leader.turn()
    expect(leader.sent.map(({ message }) => [message.kind, message.to])).toEqual([
      [MessageKind.HEARTBEAT, 2],
      [MessageKind.HEARTBEAT, 3],
    ])
    cluster.settle()
    cluster.tick()
    expect(leader.reads.map(({ token }) => token)).toEqual([1, 2, 3])
  })

  test('an echo of an earlier round does not answer a later read', () => {
    const cluster = new ScriptCluster(3)
    const leader = cluster.elect(1)
    leader.core.readIndex(1)
    cluster.settle()
    cluster.isolate(1)
    leader.core.readIndex(2)
    leader.settle()
    leader.receive(response(MessageKind.HEARTBEAT_RESPONSE, { context: 1 }))
    leader.receive(response(MessageKind.HEARTBEAT_RESPONSE, { context: 99, from: nodeId(3) }))
    leader.settle()
    expect(leader.reads.map(({ token }) => token)).toEqual([1])
  })

  test('a round that waits for one who leaves the group is over without it', () => {
    const cluster = new ScriptCluster(2)
    const leader = cluster.elect(1)
    cluster.isolate(2)
    leader.core.readIndex(7)
    cluster.settle()
    expect(leader.reads).toEqual([])
    expect(leader.core.changeConfiguration({ voters: [nodeId(1)] }).kind).toBe('accepted')
    cluster.settle()
    expect(leader.reads.map(({ token }) => token)).toEqual([7])
  })

  test('a round whose heartbeats were lost goes out again with the next tick', () => {
    const cluster = new ScriptCluster(3)
    const leader = cluster.elect(1)
    cluster.isolate(1)
    leader.core.readIndex(5)
    cluster.settle()
    cluster.heal()
    cluster.tick()
    expect(leader.reads).toEqual([{ token: 5, index: 1 }])
  })

  test('a leader that was replaced without knowing answers nothing, and refuses once it knows', () => {
    const cluster = new ScriptCluster(3)
    const old = cluster.elect(1)
    cluster.isolate(1)
    old.core.readIndex(5)
    cluster.tick(40)
    expect(cluster.leaders.some((leader) => leader.core.id !== 1)).toBe(true)
    expect([old.reads, old.readsRefused]).toEqual([[], [5]])
    expect(old.core.role).not.toBe(Role.LEADER)
    expect(old.core.readIndex(6).kind).toBe('not-leader')
  })

  test('a follower asks the leader and answers with its index', () => {
    const cluster = new ScriptCluster(3)
    const leader = cluster.elect(1)
    leader.propose('a')
    cluster.settle()
    const follower = cluster.node(2)
    expect(follower.core.readIndex(7)).toEqual({ kind: 'accepted' })
    cluster.settle()
    expect(follower.reads).toEqual([{ token: 7, index: leader.core.commit }])
  })

  test('a follower that knows no leader refuses', () => {
    expect(new ScriptCluster(3).node(2).core.readIndex(1)).toEqual({ kind: 'not-leader', leader: 0 })
  })

  test('a follower whose question is lost gives up after an election timeout', () => {
    const cluster = new ScriptCluster(3)
    cluster.elect(1)
    const follower = cluster.node(2)
    follower.core.readIndex(7)
    cluster.cut(2, 1)
    cluster.tick(11)
    expect(follower.reads).toEqual([])
    expect(follower.readsRefused).toEqual([7])
  })

  test('as many reads wait as may, on the leader and on a follower', () => {
    const cluster = new ScriptCluster(3, () => ({ readsMax: 2 }))
    cluster.elect(1)
    for (const id of [1, 2]) {
      const { core } = cluster.node(id)
      expect([1, 2, 3].map((token) => core.readIndex(token).kind)).toEqual([
        'accepted',
        'accepted',
        'overloaded',
      ])
    }
    cluster.settle()
    expect(cluster.node(1).reads).toHaveLength(2)
    expect(cluster.node(2).reads).toHaveLength(2)
  })

  test('a node alone answers as soon as its term has a commit', () => {
    const driver = new CoreDriver({ voters: [nodeId(1)] })
    driver.core.campaign()
    driver.core.readIndex(1)
    driver.turn()
    expect(driver.reads).toEqual([])
    driver.persist()
    expect(driver.reads).toEqual([{ token: 1, index: 1 }])
  })

  test('a learner’s echo does not count', () => {
    const driver = new CoreDriver({ voters: [1, 2, 3].map(nodeId), learners: [nodeId(4)] })
    driver.core.campaign()
    driver.receive(response(MessageKind.PRE_VOTE_RESPONSE))
    driver.settle()
    driver.receive(response(MessageKind.VOTE_RESPONSE))
    driver.settle()
    driver.receive(response(MessageKind.APPEND_RESPONSE, { index: 1 }))
    driver.core.readIndex(1)
    driver.settle()
    driver.receive(response(MessageKind.HEARTBEAT_RESPONSE, { from: nodeId(4), context: 1 }))
    driver.settle()
    expect(driver.reads).toEqual([])
  })
})
