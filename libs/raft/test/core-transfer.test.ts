import { describe, expect, test } from '@jest/globals'
import { BLANK } from '../src/core/message.js'
import { MessageKind, Role } from '../src/core/types.js'
import { nodeId, ScriptCluster } from '../src/testing/index.js'

describe('leadership transfer', () => {
  test('a follower with the whole log takes over although the others hear the leader', () => {
    const cluster = new ScriptCluster(3)
    const old = cluster.elect(1)
    expect(old.core.transferLeadership(nodeId(2))).toBe(true)
    cluster.settle()
    expect([cluster.node(2).core.role, cluster.node(2).core.term]).toEqual([Role.LEADER, 2])
    expect([old.core.role, old.core.leader]).toEqual([Role.FOLLOWER, 2])
  })

  test('"The prior leader fully updates the target server’s log to match its own log"', () => {
    const cluster = new ScriptCluster(3)
    const old = cluster.elect(1)
    cluster.isolate(2)
    old.propose('a', 'b')
    cluster.tick(2)
    cluster.heal()
    expect(old.core.transferLeadership(nodeId(2))).toBe(true)
    cluster.tick(5)
    expect(cluster.node(2).core.role).toBe(Role.LEADER)
    expect(cluster.node(2).log.lastIndex).toBe(4)
    expect(cluster.node(2).core.term).toBe(2)
  })

  test('proposals are refused meanwhile, and taken again when the target does not take over in time', () => {
    const cluster = new ScriptCluster(3)
    const leader = cluster.elect(1)
    cluster.isolate(2)
    leader.core.transferLeadership(nodeId(2))
    expect(leader.propose('a')).toEqual({ kind: 'transferring' })
    cluster.tick(9)
    expect(leader.propose('a')).toEqual({ kind: 'transferring' })
    cluster.tick(1)
    expect(leader.propose('a').kind).toBe('accepted')
    expect(leader.core.role).toBe(Role.LEADER)
  })

  test('only a leader transfers, only to another voter', () => {
    const cluster = new ScriptCluster(3)
    expect(cluster.node(1).core.transferLeadership(nodeId(2))).toBe(false)
    const leader = cluster.elect(1)
    for (const target of [1, 9].map(nodeId)) expect(leader.core.transferLeadership(target)).toBe(false)
    expect(leader.propose('a').kind).toBe('accepted')
  })

  test('a target that votes by transfer votes for nobody else in that term', () => {
    const cluster = new ScriptCluster(3)
    const leader = cluster.elect(1)
    leader.core.transferLeadership(nodeId(2))
    leader.turn()
    const target = cluster.node(2)
    for (const { message } of leader.sent) if (message.to === 2) target.receive(message)
    expect([target.core.role, target.core.vote, target.core.term]).toEqual([Role.CANDIDATE, 2, 2])
    target.receive({
      ...BLANK,
      kind: MessageKind.VOTE,
      from: nodeId(3),
      to: nodeId(2),
      term: 2,
      index: 9,
      logTerm: 1,
    })
    target.settle()
    const answers = target.takeSent(MessageKind.VOTE_RESPONSE)
    expect(answers.map(({ reject }) => reject)).toEqual([true])
  })

  test('a command to take over from someone who does not lead is ignored', () => {
    const cluster = new ScriptCluster(3)
    cluster.elect(1)
    const target = cluster.node(2)
    target.receive({ ...BLANK, kind: MessageKind.TIMEOUT_NOW, from: nodeId(3), to: nodeId(2), term: 1 })
    expect([target.core.role, target.core.term]).toEqual([Role.FOLLOWER, 1])
  })
})
