import { afterEach, describe, expect, test } from '@jest/globals'
import { eventually } from '@sluice/foundation/testing'
import { CommandFailedError } from '../src/node/errors.js'
import type { RoleName } from '../src/node/node-status.js'
import { SyncObject, type SyncObjectOptions } from '../src/node/sync-object.js'
import { MemoryNetwork } from './node-memory-network.js'
import { SyncList } from './node-sync-list.js'
import { FAST } from './node-tcp-cluster.js'

interface Opened {
  readonly sync: SyncObject
  readonly list: SyncList
}

let opened: Opened[] = []
let network = new MemoryNetwork()
afterEach(async () => {
  await Promise.all(opened.map(({ sync }) => sync.destroy({ handOver: false })))
  opened = []
  network = new MemoryNetwork()
})

async function open(
  self: string | undefined,
  others: readonly string[],
  options: Partial<SyncObjectOptions> = {},
): Promise<Opened> {
  const list = new SyncList()
  const sync = await SyncObject.open({
    self,
    others,
    machine: list,
    openTransport: network.open,
    onFatal: (error) => {
      throw error
    },
    ...options,
    config: { ...FAST, ...options.config },
  })
  const made = { sync, list }
  opened.push(made)
  return made
}

async function openAll(
  names: readonly string[],
  options: Partial<SyncObjectOptions> = {},
): Promise<Opened[]> {
  const all = await Promise.all(names.map((name) => open(name, names, options)))
  await Promise.all(all.map(({ sync }) => sync.waitReady()))
  return all
}

const leaderOf = (all: readonly Opened[]): Opened => all.find(({ sync }) => sync.isLeader)!

describe('a replicated object', () => {
  test('says who it is, who leads and how far it is', async () => {
    const all = await openAll(['a:1', 'b:1', 'c:1'])
    await all[0]!.list.append('x')
    const leader = leaderOf(all)
    for (const { sync } of all) {
      expect(sync.leader).toBe(leader.sync.selfNode)
      expect(sync.term).toBe(leader.sync.term)
      expect(sync.hasQuorum).toBe(true)
      expect(sync.isReady).toBe(true)
      expect(sync.otherNodes).toHaveLength(2)
      expect(sync.readonlyNodes).toEqual([])
    }
    expect(leader.sync.role).toBe('LEADER')
    expect(all[0]!.sync.appliedIndex).toBeGreaterThanOrEqual(2)
    expect(all[0]!.sync.commitIndex).toBeGreaterThanOrEqual(all[0]!.sync.appliedIndex)
    expect(all[0]!.sync.logSize).toBeGreaterThanOrEqual(2)
    expect(all[0]!.sync.isNodeConnected('b:1')).toBe(true)
    expect(all[0]!.sync.isNodeConnected('z:1')).toBe(false)
    expect(all[0]!.sync.isEncrypted).toBe(false)
  })

  test('has a status with every key of getStatus', async () => {
    const all = await openAll(['a:1', 'b:1'])
    await all[0]!.list.append('x')
    const lines: string[] = []
    leaderOf(all).sync.printStatus((line) => lines.push(line))
    const other = leaderOf(all).sync.otherNodes[0]!
    const keys = lines.map((line) => line.slice(0, line.indexOf(': ')))
    for (const key of [
      'version',
      'revision',
      'self',
      'state',
      'leader',
      'has_quorum',
      'partner_nodes_count',
      `partner_node_status_server_${other}`,
      'readonly_nodes_count',
      'log_len',
      'last_applied',
      'commit_idx',
      'raft_term',
      'next_node_idx_count',
      `next_node_idx_server_${other}`,
      'match_idx_count',
      `match_idx_server_${other}`,
      'leader_commit_idx',
      'uptime',
      'self_code_version',
      'enabled_code_version',
    ])
      expect(keys).toContain(key)
    expect(lines).toContain('state: LEADER')
    expect(lines).toContain('partner_nodes_count: 1')
  })

  test('calls back when it is ready, once, and when its role changes', async () => {
    const told: string[] = []
    const names = ['a:1', 'b:1']
    const all = await openAll(names, {
      onReady: () => told.push('ready'),
      onStateChanged: (role: RoleName, before: RoleName) => told.push(`${before}→${role}`),
    })
    await eventually(() => expect(told.filter((text) => text === 'ready')).toHaveLength(2))
    expect(told.filter((text) => text.endsWith('→LEADER'))).toHaveLength(1)
    expect(all).toHaveLength(2)
  })

  test('waits to be ready no longer than its caller', async () => {
    const { sync } = await open('a:1', ['b:1', 'c:1'])
    await expect(sync.waitReady({ signal: AbortSignal.timeout(20) })).rejects.toThrow(/timeout/)
    await sync.waitBound({ signal: AbortSignal.timeout(1000) })
    const ended = sync.waitReady()
    await sync.destroy()
    await expect(ended).rejects.toThrow(CommandFailedError)
  })

  test('ticks by hand only, where that is wanted', async () => {
    const { sync, list } = await open('a:1', [], { config: { autoTick: false } })
    let ticks = 0
    const count = (): void => void (ticks += 1)
    sync.addOnTickCallback(count)
    await new Promise((resolve) => setTimeout(resolve, 50))
    expect([ticks, sync.isLeader]).toEqual([0, false])
    const appended = list.append('x')
    await eventually(() => {
      sync.tick()
      expect(sync.isLeader).toBe(true)
    })
    expect(await appended).toBe(1)
    const before = ticks
    expect(before).toBeGreaterThan(0)
    sync.removeOnTickCallback(count)
    sync.tick()
    expect(ticks).toBe(before)
  })

  test('reads what was written anywhere before', async () => {
    const all = await openAll(['a:1', 'b:1', 'c:1'])
    await all[0]!.list.append('x')
    expect(await all[2]!.sync.read(() => all[2]!.list.texts.length)).toBe(1)
  })

  test('runs the code version that the group was set to, on all nodes', async () => {
    const told: string[] = []
    const all = await openAll(['a:1', 'b:1'], {
      onCodeVersionChanged: (version: number, before: number) => told.push(`${before}→${version}`),
    })
    expect(all[0]!.sync.codeVersion).toBe(0)
    await all[0]!.sync.setCodeVersion(2)
    await eventually(() => expect(all.map(({ sync }) => sync.codeVersion)).toEqual([2, 2]))
    expect(told).toEqual(['0→2', '0→2'])
    expect(all[1]!.sync.status()).toMatchObject({ selfCodeVersion: 3, enabledCodeVersion: 2 })
    await expect(all[0]!.sync.setCodeVersion(4)).rejects.toThrow('unknown here')
  })

  test('hands leadership over when it is destroyed, so that nobody waits for an election', async () => {
    const all = await openAll(['a:1', 'b:1', 'c:1'])
    const old = leaderOf(all)
    const term = old.sync.term
    await old.sync.destroy()
    const rest = all.filter((one) => one !== old)
    await eventually(() => expect(leaderOf(rest)).toBeDefined())
    expect(leaderOf(rest).sync.term).toBe(term + 1)
    await old.sync.destroy()
  })

  test('adds, transfers and removes nodes from any node', async () => {
    const all = await openAll(['a:1', 'b:1'])
    const third = await open('c:1', ['a:1', 'b:1'], { join: true })
    await all[1]!.sync.addNode('c:1')
    await third.sync.waitReady()
    await eventually(() => expect(third.sync.role).not.toBe('LEARNER'))
    await eventually(async () => {
      await all[0]!.sync.transferLeadership('c:1')
    })
    expect(third.sync.isLeader).toBe(true)
    // Denied until the new leader's first entry is committed.
    await eventually(() => third.sync.removeNode('a:1'))
    expect(third.sync.otherNodes).toEqual(['b:1'])
    await expect(third.sync.removeNode('a:1')).rejects.toMatchObject({
      reason: 'REQUEST_DENIED',
      outcome: 'no',
    })
  })

  test('tells of a wrong configuration before it touches anything', async () => {
    await expect(open('a:1', [], { config: { tickMs: -1 } })).rejects.toThrow(/tickMs/)
    await expect(open('a', [])).rejects.toThrow(/no address/)
    await expect(open(undefined, [])).rejects.toThrow(/others must name a node/)
  })
})
