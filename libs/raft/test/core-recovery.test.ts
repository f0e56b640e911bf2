import { describe, expect, test } from '@jest/globals'
import { encodeConfiguration, simpleConfiguration } from '../src/core/configuration.js'
import { BLANK } from '../src/core/message.js'
import { EntryKind, MessageKind, type NodeId, type RaftMessage, Role } from '../src/core/types.js'
import { CoreDriver, entriesOfTerms, MemoryLog, nodeId, ScriptCluster } from '../src/testing/index.js'

const ASKED: readonly MessageKind[] = [MessageKind.RECOVERY]

function from(sender: number, kind: MessageKind, fields: Partial<RaftMessage> = {}): RaftMessage {
  return { ...BLANK, kind, from: nodeId(sender), to: nodeId(1), ...fields }
}

/** Node 1 of so many has lost its log, and has asked the others what it may have forgotten. */
function asking(voterCount = 3): { driver: CoreDriver; number: number } {
  const voters = Array.from({ length: voterCount }, (_, i) => nodeId(i + 1))
  const driver = new CoreDriver({ voters, isRecovering: true })
  driver.tick()
  driver.settle()
  const question = driver.takeSent(MessageKind.RECOVERY)[0]
  return { driver, number: question?.context ?? 0 }
}

interface Answer {
  readonly term: number
  readonly number: number
  /** What the answering leader had committed. */
  readonly leads?: number
  readonly voters?: readonly NodeId[]
  readonly configurationIndex?: number
}

function answer(driver: CoreDriver, sender: number, given: Answer): void {
  const { term, number: context, leads = 0, voters = [1, 2, 3].map(nodeId), configurationIndex = 1 } = given
  const data = encodeConfiguration(simpleConfiguration(voters))
  driver.receive(
    from(sender, MessageKind.RECOVERY_RESPONSE, {
      term,
      context,
      index: configurationIndex,
      commit: leads,
      hint: leads > 0 ? 1 : 0,
      count: 1,
    }),
    [{ index: configurationIndex + 1, term, kind: EntryKind.CONFIGURATION, data }],
  )
  driver.settle()
}

describe('a node whose disk has lost its log', () => {
  test('says nothing but its question, and hears nothing but the answers', () => {
    const { driver } = asking()
    for (const kind of [
      MessageKind.VOTE,
      MessageKind.PRE_VOTE,
      MessageKind.HEARTBEAT,
      MessageKind.TIMEOUT_NOW,
    ])
      driver.receive(from(2, kind, { term: 7, index: 9, logTerm: 7 }))
    driver.receive(from(2, MessageKind.APPEND, { term: 7, count: 1 }), entriesOfTerms([7]))
    driver.core.campaign()
    driver.tick(50)
    driver.settle()
    expect(driver.takeSent().filter(({ kind }) => !ASKED.includes(kind))).toEqual([])
    expect([driver.core.term, driver.log.lastIndex, driver.core.isSilent]).toEqual([0, 0, true])
  })

  test('asks again until enough have answered', () => {
    const { driver } = asking()
    driver.tick(3)
    driver.settle()
    const asked = driver.takeSent(MessageKind.RECOVERY)
    expect(asked.map(({ to }) => to)).toEqual([2, 3, 2, 3, 2, 3])
  })

  // Of every majority that it was part of, one must have answered.
  test.each([
    { voterCount: 2, enough: 1 },
    { voterCount: 3, enough: 2 },
    { voterCount: 4, enough: 2 },
    { voterCount: 5, enough: 3 },
  ])('of $voterCount voters waits for $enough others', ({ voterCount, enough }) => {
    const { driver, number } = asking(voterCount)
    const voters = Array.from({ length: voterCount }, (_, i) => nodeId(i + 1))
    for (let i = 1; i <= enough; i++) {
      expect(driver.core.isSilent).toBe(true)
      answer(driver, 1 + i, { term: 3, number, voters })
    }
    expect(driver.core.isSilent).toBe(false)
  })

  test('alone it never takes part again', () => {
    const driver = new CoreDriver({ voters: [nodeId(1)], isRecovering: true })
    driver.core.campaign()
    driver.tick(100)
    driver.settle()
    expect([driver.core.role, driver.core.isSilent]).toEqual([Role.FOLLOWER, true])
  })

  test('answers to another question, and answers without members, count for nothing', () => {
    const { driver, number } = asking()
    for (const sender of [2, 3]) answer(driver, sender, { term: 3, number: number + 1 })
    for (const sender of [2, 3])
      driver.receive(from(sender, MessageKind.RECOVERY_RESPONSE, { term: 3, context: number }))
    driver.settle()
    expect(driver.core.isSilent).toBe(true)
  })

  test('the newest members that anybody knows of are the ones that count', () => {
    const { driver, number } = asking(3)
    const voters = [1, 4, 5, 6, 7].map(nodeId)
    answer(driver, 2, { term: 3, number })
    answer(driver, 4, { term: 3, number, voters, configurationIndex: 9 })
    answer(driver, 3, { term: 3, number })
    expect(driver.core.isSilent).toBe(true)
    answer(driver, 5, { term: 3, number, voters, configurationIndex: 9 })
    answer(driver, 6, { term: 3, number, voters, configurationIndex: 9 })
    expect(driver.core.isSilent).toBe(false)
  })

  test('one that knows no members asks whoever speaks to it', () => {
    const driver = new CoreDriver({ voters: [], isRecovering: true })
    driver.tick(5)
    driver.receive(from(3, MessageKind.HEARTBEAT, { term: 2 }))
    driver.tick()
    driver.settle()
    expect(driver.takeSent().map(({ kind, to }) => [kind, to])).toEqual([[MessageKind.RECOVERY, 3]])
  })

  test('enters the latest term of those who answered, and votes for nobody there', () => {
    const { driver, number } = asking()
    answer(driver, 2, { term: 4, number })
    answer(driver, 3, { term: 6, number })
    expect(driver.hardState).toMatchObject({ term: 6, vote: 1 })
    driver.takeSent()
    driver.receive(from(3, MessageKind.VOTE, { term: 6, index: 9, logTerm: 6 }))
    driver.receive(from(3, MessageKind.VOTE, { term: 8, index: 9, logTerm: 6 }))
    driver.settle()
    expect(driver.takeSent(MessageKind.VOTE_RESPONSE).map(({ term, reject }) => [term, reject])).toEqual([
      [6, true],
      [8, true],
    ])
  })

  test('acknowledges what comes, but votes only once it has what the leader had committed', () => {
    const { driver, number } = asking()
    answer(driver, 2, { term: 4, number, leads: 3 })
    answer(driver, 3, { term: 4, number })
    expect(driver.core.isRecovering).toBe(true)
    driver.takeSent()
    driver.receive(from(2, MessageKind.APPEND, { term: 4, count: 2, commit: 2 }), entriesOfTerms([1, 4]))
    driver.settle()
    expect(driver.takeSent(MessageKind.APPEND_RESPONSE)).toMatchObject([{ index: 2, reject: false }])
    driver.tick(40)
    expect([driver.core.role, driver.core.isRecovering]).toEqual([Role.FOLLOWER, true])
    const more = { index: 3, term: 4, kind: EntryKind.COMMAND, data: new Uint8Array(1) }
    driver.receive(from(2, MessageKind.APPEND, { term: 4, index: 2, logTerm: 4, count: 1, commit: 3 }), [
      more,
    ])
    driver.turn()
    expect(driver.core.isRecovering).toBe(true) // not on disk yet
    driver.settle()
    expect(driver.core.isRecovering).toBe(false)
    driver.timeOut()
  })

  test('believes no heartbeat of a leader that does not know', () => {
    const log = MemoryLog.of(entriesOfTerms([1, 1, 1]))
    const driver = new CoreDriver({ log, isRecovering: true, hardState: { term: 1, vote: 0, commit: 0 } })
    driver.tick()
    driver.settle()
    const number = driver.takeSent(MessageKind.RECOVERY)[0]!.context
    for (const sender of [2, 3]) answer(driver, sender, { term: 2, number })
    driver.receive(from(2, MessageKind.HEARTBEAT, { term: 2, commit: 3, index: 3 }))
    driver.settle()
    expect(driver.core.commit).toBe(0)
  })
})

describe('the others', () => {
  test('a leader forgets what the node had, brings it again, and counts it only then', () => {
    const cluster = new ScriptCluster(3)
    const leader = cluster.elect(1)
    cluster.isolate(3)
    leader.propose('a', 'b')
    cluster.settle()
    expect([leader.core.commit, leader.core.progress(nodeId(2))?.match]).toEqual([3, 3])
    const lost = cluster.restart(2, {
      log: new MemoryLog(),
      hardState: { term: 0, vote: 0, commit: 0 },
      isRecovering: true,
    })
    cluster.cut(2, 1)
    lost.tick()
    cluster.settle()
    // Its question has not arrived: what it acknowledged before is believed of it still.
    expect(leader.core.progress(nodeId(2))?.match).toBe(3)
    cluster.heal()
    cluster.tick(3)
    expect([lost.core.isRecovering, lost.log.lastIndex, lost.core.commit]).toEqual([false, 3, 3])
    expect(leader.core.progress(nodeId(2))?.match).toBe(3)
  })

  test('a leader that is asked counts nothing that was acknowledged before', () => {
    const cluster = new ScriptCluster(3)
    const leader = cluster.elect(1)
    cluster.settle()
    expect(leader.core.progress(nodeId(2))?.match).toBe(1)
    const recovery = from(2, MessageKind.RECOVERY, { context: 77 })
    leader.receive(recovery)
    expect(leader.core.progress(nodeId(2))?.match).toBe(0)
    leader.settle()
    leader.receive(from(2, MessageKind.APPEND_RESPONSE, { term: 1, index: 1 }))
    // The same question again is no other recovery.
    leader.receive(recovery)
    expect(leader.core.progress(nodeId(2))?.match).toBe(1)
  })

  test('one that recovers itself gives no answer', () => {
    const { driver } = asking()
    driver.receive(from(2, MessageKind.RECOVERY, { context: 5 }))
    driver.settle()
    expect(driver.takeSent(MessageKind.RECOVERY_RESPONSE)).toEqual([])
  })

  test('a sleeping group wakes up for the question', () => {
    const cluster = new ScriptCluster(3, () => ({ quiesceTicks: 3 }))
    cluster.elect(1)
    cluster.tick(20)
    expect(cluster.node(1).core.isQuiesced).toBe(true)
    const lost = cluster.restart(2, {
      log: new MemoryLog(),
      hardState: { term: 0, vote: 0, commit: 0 },
      isRecovering: true,
      quiesceTicks: 3,
    })
    cluster.tick(20)
    expect([lost.core.isRecovering, lost.core.leader, lost.core.isQuiesced]).toEqual([false, 1, true])
  })
})
