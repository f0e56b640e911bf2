import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import { eventually } from '@sluice/foundation/testing'
import { SYNC_GROUP_ID } from '../src/node/data-directory.js'
import { CommandFailedError, CommandTooLargeError } from '../src/node/errors.js'
import type { HostedGroup } from '../src/node/hosted-group.js'
import { RaftNode } from '../src/node/raft-node.js'
import { type SyncObjectConfig, validateConfig } from '../src/node/sync-object-config.js'
import { ListMachine } from './node-list-machine.js'
import { MemoryNetwork } from './node-memory-network.js'

interface Member {
  readonly node: RaftNode
  readonly group: HostedGroup
  readonly machine: ListMachine
}

const FAST: Partial<SyncObjectConfig> = {
  tickMs: 10,
  heartbeatMs: 20,
  electionMinMs: 100,
  electionMaxMs: 200,
  connectionTimeoutMs: 300,
  quorumTimeoutMs: 3000,
  dynamicMembership: true,
}

let network: MemoryNetwork
let members: Member[]
beforeEach(() => {
  network = new MemoryNetwork()
  members = []
})
afterEach(async () => {
  await Promise.all(members.map(({ node }) => node.destroy()))
})

async function start(
  self: string | undefined,
  others: readonly string[],
  settings: { readonly join?: boolean; readonly config?: Partial<SyncObjectConfig> } = {},
): Promise<Member> {
  const machine = new ListMachine()
  const node = await RaftNode.open({
    self,
    others,
    join: settings.join ?? false,
    config: validateConfig({ ...FAST, ...settings.config }),
    openTransport: network.open,
    onFatal: (error) => {
      throw error
    },
  })
  const group = await node.openGroup({
    id: SYNC_GROUP_ID,
    name: 'list',
    machine,
    setVersion: () => Promise.resolve(),
    versions: () => ({ self: 0, enabled: 0 }),
  })
  const member = { node, group, machine }
  members.push(member)
  await node.start()
  return member
}

async function startAll(names: readonly string[], config: Partial<SyncObjectConfig> = {}): Promise<Member[]> {
  const started = await Promise.all(names.map((name) => start(name, names, { config })))
  await Promise.all(started.map(({ group }) => group.ready))
  return started
}

const submit = (member: Member, text: string, signal?: AbortSignal): Promise<unknown> =>
  member.group.node.submit(new TextEncoder().encode(text), signal)

const leaderOf = (all: readonly Member[]): Member => {
  const leaders = all.filter(({ group }) => group.node.group.isLeader)
  expect(leaders).toHaveLength(1)
  return leaders[0]!
}

const followersOf = (all: readonly Member[]): Member[] =>
  all.filter(({ group }) => !group.node.group.isLeader)

async function failureOf(promise: Promise<unknown>): Promise<CommandFailedError> {
  const error: unknown = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  )
  expect(error).toBeInstanceOf(CommandFailedError)
  return error as CommandFailedError
}

describe('commands of a group', () => {
  test('of a single node are carried out without anybody else', async () => {
    const [only] = await startAll(['a:1'])
    expect(await submit(only!, 'x')).toBe(1)
    expect(await submit(only!, 'y')).toBe(2)
  })

  test('submitted on any node give the result of that node, once it has them itself', async () => {
    const all = await startAll(['a:1', 'b:1', 'c:1'])
    for (const [i, member] of all.entries()) {
      expect(await submit(member, `from ${i}`)).toBe(i + 1)
      expect(member.machine.texts).toHaveLength(i + 1)
    }
    await eventually(() => {
      for (const { machine } of all) expect(machine.texts).toEqual(['from 0', 'from 1', 'from 2'])
    })
  })

  test('that are many at once are each carried out once, in the same order everywhere', async () => {
    const all = await startAll(['a:1', 'b:1', 'c:1'])
    const wanted = Array.from({ length: 600 }, (_, i) => `c${i}`)
    const results = await Promise.all(wanted.map((text, i) => submit(all[i % 3]!, text)))
    expect(new Set(results).size).toBe(600)
    await eventually(() => {
      for (const { machine } of all) expect(machine.texts).toEqual(all[0]!.machine.texts)
      expect([...all[0]!.machine.texts].sort()).toEqual([...wanted].sort())
    })
  })

  test('wait for a leader, and are carried out when there is one', async () => {
    const names = ['a:1', 'b:1', 'c:1']
    const first = await start('a:1', names)
    const waiting = submit(first, 'early')
    await Promise.all(['b:1', 'c:1'].map((name) => start(name, names)))
    expect(await waiting).toBe(1)
  })

  test('wait for no leader when they shall not', async () => {
    const alone = await start('a:1', ['b:1', 'c:1'], { config: { commandsWaitLeader: false } })
    expect(await failureOf(submit(alone, 'x'))).toMatchObject({ reason: 'MISSING_LEADER', outcome: 'no' })
  })

  test('wait for a leader no longer than quorumTimeoutMs', async () => {
    const alone = await start('a:1', ['b:1', 'c:1'], { config: { quorumTimeoutMs: 100 } })
    expect(await failureOf(submit(alone, 'x'))).toMatchObject({ reason: 'MISSING_LEADER', outcome: 'no' })
  })

  test('beyond the bound of the queue are refused at once, and cost the others nothing', async () => {
    const names = ['a:1', 'b:1', 'c:1']
    const first = await start('a:1', names, { config: { commandsQueueCountMax: 2 } })
    const kept = [submit(first, 'x'), submit(first, 'y')]
    expect(await failureOf(submit(first, 'z'))).toMatchObject({ reason: 'QUEUE_FULL', outcome: 'no' })
    await Promise.all(['b:1', 'c:1'].map((name) => start(name, names)))
    expect(await Promise.all(kept)).toEqual([1, 2])
  })

  test('that are too large are refused by size', async () => {
    const [only] = await startAll(['a:1'], { commandBytesMax: 100 })
    await expect(submit(only!, 'x'.repeat(100))).rejects.toThrow(CommandTooLargeError)
    expect(await submit(only!, 'x'.repeat(80))).toBe(1)
  })

  test('can be given up by their caller', async () => {
    const alone = await start('a:1', ['b:1', 'c:1'])
    const controller = new AbortController()
    const waiting = submit(alone, 'x', controller.signal)
    controller.abort()
    expect(await failureOf(waiting)).toMatchObject({ reason: 'ABORTED', outcome: 'no' })
    expect(await failureOf(submit(alone, 'x', controller.signal))).toMatchObject({ reason: 'ABORTED' })
  })

  test('have a time that never goes back, the same on every node', async () => {
    const all = await startAll(['a:1', 'b:1', 'c:1'])
    for (const member of all) await submit(member, 'x')
    await eventually(() => {
      for (const { machine } of all) expect(machine.times).toEqual(all[0]!.machine.times)
      expect(all[0]!.machine.times).toHaveLength(3)
    })
    const { times } = all[0]!.machine
    expect([...times].sort((a, b) => a - b)).toEqual(times)
  })

  test('are settled when their node is destroyed', async () => {
    const alone = await start('a:1', ['b:1', 'c:1'])
    const waiting = failureOf(submit(alone, 'x'))
    await alone.node.destroy()
    expect(await waiting).toMatchObject({ reason: 'DESTROYED', outcome: 'no' })
    expect(await failureOf(submit(alone, 'y'))).toMatchObject({ reason: 'DESTROYED', outcome: 'no' })
    expect(await failureOf(alone.group.node.barrier())).toMatchObject({ reason: 'DESTROYED' })
  })
})

describe('when leaders change', () => {
  test('the others elect one and go on, and the one that was cut off follows', async () => {
    const all = await startAll(['a:1', 'b:1', 'c:1'])
    const old = leaderOf(all)
    await submit(old, 'one')
    network.cut(old.node.names.id)
    const rest = all.filter((member) => member !== old)
    await eventually(() => leaderOf(rest))
    expect(await submit(rest[0]!, 'two')).toBe(2)
    network.heal()
    await eventually(() => expect(old.machine.texts).toEqual(['one', 'two']))
  })

  test('a command of a leader that was cut off is certainly without effect when another took its place', async () => {
    const all = await startAll(['a:1', 'b:1', 'c:1'])
    const old = leaderOf(all)
    network.cut(old.node.names.id)
    const lost = failureOf(submit(old, 'lost'))
    const rest = all.filter((member) => member !== old)
    await eventually(() => leaderOf(rest))
    await submit(rest[0]!, 'kept')
    network.heal()
    expect(await lost).toMatchObject({ reason: 'DISCARDED', outcome: 'no' })
    expect(old.machine.texts).toEqual(['kept'])
  })

  test('a command whose acceptance was not heard of is still told its result', async () => {
    const all = await startAll(['a:1', 'b:1', 'c:1'])
    network.losesAnswers = true
    const follower = followersOf(all)[0]!
    expect(await submit(follower, 'x')).toBe(1)
    await eventually(() => {
      for (const { machine } of all) expect(machine.texts).toEqual(['x'])
    })
  })

  test('a leader without a majority steps down, and has no quorum', async () => {
    const all = await startAll(['a:1', 'b:1', 'c:1'])
    const old = leaderOf(all)
    expect(old.group.hasQuorum).toBe(true)
    network.cut(old.node.names.id)
    await eventually(() => expect(old.group.node.group.isLeader).toBe(false))
    expect(old.group.hasQuorum).toBe(false)
  })
})

describe('a barrier', () => {
  test('on any node shows what was carried out before it was asked for', async () => {
    const all = await startAll(['a:1', 'b:1', 'c:1'])
    for (let i = 1; i <= 20; i++) {
      await submit(all[i % 3]!, `x${i}`)
      const reader = all[(i + 1) % 3]!
      await reader.group.node.barrier()
      expect(reader.machine.texts).toHaveLength(i)
    }
  })

  test('is not passed by a node that was cut off', async () => {
    const all = await startAll(['a:1', 'b:1', 'c:1'], { quorumTimeoutMs: 300 })
    const old = leaderOf(all)
    network.cut(old.node.names.id)
    expect(await failureOf(old.group.node.barrier())).toMatchObject({
      reason: 'MISSING_LEADER',
      outcome: 'no',
    })
  })

  test('can be given up', async () => {
    const alone = await start('a:1', ['b:1'])
    const controller = new AbortController()
    const waiting = failureOf(alone.group.node.barrier(controller.signal))
    controller.abort()
    expect(await waiting).toMatchObject({ reason: 'ABORTED' })
  })
})

describe('compaction', () => {
  test('keeps the log short once everybody has it', async () => {
    const all = await startAll(['a:1', 'b:1', 'c:1'], { logCompactionMinEntries: 50 })
    for (let i = 0; i < 10; i++)
      await Promise.all(Array.from({ length: 50 }, (_, j) => submit(all[j % 3]!, `${i}/${j}`)))
    await eventually(() => {
      for (const { group } of all) expect(group.status().logSize).toBeLessThan(60)
    })
    expect(all[0]!.machine.texts).toHaveLength(500)
  })

  test('can be forced, and the state stays', async () => {
    const [only] = await startAll(['a:1'])
    for (let i = 0; i < 5; i++) await submit(only!, `x${i}`)
    const index = await only!.group.node.forceCompaction()
    expect(index).toBeGreaterThanOrEqual(5)
    expect(only!.group.status().logSize).toBe(0)
    expect(await submit(only!, 'more')).toBe(6)
  })
})

describe('membership', () => {
  test('grows by a node that joins, which becomes a voter and has everything', async () => {
    const all = await startAll(['a:1', 'b:1'])
    await submit(all[0]!, 'before')
    const joining = await start('c:1', ['a:1', 'b:1'], { join: true })
    const answer = await followersOf(all)[0]!.group.operators.perform({ kind: 'add', address: 'c:1' })
    expect(answer).toMatchObject({ kind: 'ok' })
    await joining.group.ready
    await eventually(() => expect(all[0]!.group.node.group.configuration.voters).toHaveLength(3))
    expect(joining.machine.texts).toEqual(['before'])
    expect(await submit(joining, 'after')).toBe(2)
  })

  test('shrinks by a node that is removed, and goes on without it', async () => {
    const all = await startAll(['a:1', 'b:1', 'c:1'])
    const gone = followersOf(all)[0]!
    const rest = all.filter((member) => member !== gone)
    const address = gone.node.names.name
    expect(await rest[0]!.group.operators.perform({ kind: 'remove', address })).toMatchObject({ kind: 'ok' })
    await gone.node.destroy()
    expect(await submit(rest[1]!, 'x')).toBe(1)
    expect(rest[0]!.group.node.group.configuration.voters).toHaveLength(2)
  })

  test('is not changed where that is switched off', async () => {
    const all = await startAll(['a:1', 'b:1'], { dynamicMembership: false })
    const { operators } = leaderOf(all).group
    expect(await failureOf(operators.perform({ kind: 'add', address: 'c:1' }))).toMatchObject({
      reason: 'REQUEST_DENIED',
      outcome: 'no',
    })
  })

  test('does not take in a member twice, nor let go of a stranger', async () => {
    const all = await startAll(['a:1', 'b:1'])
    const { operators } = leaderOf(all).group
    expect(await failureOf(operators.perform({ kind: 'add', address: 'B:1' }))).toMatchObject({
      reason: 'REQUEST_DENIED',
    })
    expect(await failureOf(operators.perform({ kind: 'remove', address: 'z:1' }))).toMatchObject({
      reason: 'REQUEST_DENIED',
    })
  })

  test('one change at a time: the second one at once is denied', async () => {
    const all = await startAll(['a:1', 'b:1'])
    const { operators } = leaderOf(all).group
    const first = operators.perform({ kind: 'add', address: 'c:1' })
    const second = failureOf(operators.perform({ kind: 'add', address: 'd:1' }))
    expect(await second).toMatchObject({ reason: 'REQUEST_DENIED', outcome: 'no' })
    expect(await first).toMatchObject({ kind: 'ok' })
  })

  test('leadership is handed over to the node that is named', async () => {
    const all = await startAll(['a:1', 'b:1', 'c:1'])
    const next = followersOf(all)[0]!
    const asked = followersOf(all)[1]!
    expect(
      await asked.group.operators.perform({ kind: 'transfer', address: next.node.names.name }),
    ).toMatchObject({
      kind: 'ok',
    })
    expect(next.group.node.group.isLeader).toBe(true)
  })
})

describe('an observer', () => {
  test('receives the log, submits commands, and never votes', async () => {
    const all = await startAll(['a:1', 'b:1', 'c:1'])
    await submit(all[0]!, 'one')
    const observer = await start(undefined, ['a:1', 'b:1', 'c:1'])
    await observer.group.ready
    expect(observer.machine.texts).toEqual(['one'])
    expect(await submit(observer, 'two')).toBe(2)
    expect(all[0]!.group.node.group.configuration.voters).toHaveLength(3)
    const old = leaderOf(all)
    await old.node.destroy()
    await eventually(() => leaderOf(all.filter((member) => member !== old)))
    expect(await submit(observer, 'three')).toBe(3)
    expect(observer.group.status().role).toBe(4)
  })

  test('that is gone is taken out of the group', async () => {
    const all = await startAll(['a:1', 'b:1', 'c:1'])
    const observer = await start(undefined, ['a:1', 'b:1', 'c:1'])
    await observer.group.ready
    expect(
      leaderOf(all)
        .group.status()
        .peers.filter((peer) => peer.membership === 'observer'),
    ).toHaveLength(1)
    await observer.node.destroy()
    await eventually(() => expect(leaderOf(all).group.node.group.configuration.learners).toEqual([]))
  })
})
