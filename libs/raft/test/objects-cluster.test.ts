import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import { eventually } from '@sluice/foundation/testing'
import { SyncObject } from '../src/node/sync-object.js'
import { ReplicatedCounter } from '../src/objects/batteries/counter.js'
import { ReplicatedDict } from '../src/objects/batteries/dict.js'
import type { Replicated } from '../src/objects/handle.js'
import { ReplicatedMachine } from '../src/objects/replicated-machine.js'
import { FAST, freePorts } from './node-tcp-cluster.js'

interface Member {
  readonly sync: SyncObject
  readonly machine: ReplicatedMachine
  readonly counter: Replicated<ReplicatedCounter>
  readonly dict: Replicated<ReplicatedDict<string, number>>
}

let root: string
let addresses: string[]
let members = new Map<number, Member>()

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'raft-objects-'))
  addresses = (await freePorts(3)).map((port) => `127.0.0.1:${port}`)
})

afterEach(async () => {
  await Promise.all([...members.values()].map(({ sync }) => sync.destroy({ handOver: false })))
  members = new Map()
  await rm(root, { recursive: true, force: true })
})

async function open(index: number): Promise<Member> {
  const machine = new ReplicatedMachine()
  const counter = machine.add('counter', new ReplicatedCounter())
  const dict = machine.add('dict', new ReplicatedDict<string, number>())
  const sync = await SyncObject.open({
    self: addresses[index]!,
    others: addresses.filter((_, i) => i !== index),
    machine,
    config: { ...FAST, dataDirectory: join(root, `${index}`), logCompactionMinEntries: 50 },
    onFatal: (error) => {
      throw error
    },
  })
  const member = { sync, machine, counter, dict }
  members.set(index, member)
  return member
}

async function openAll(): Promise<Member[]> {
  const all = await Promise.all([0, 1, 2].map(open))
  await Promise.all(all.map(({ sync }) => sync.waitReady()))
  return all
}

function leader(): Member {
  return [...members.values()].find(({ sync }) => sync.isLeader)!
}

describe('replicated objects on three nodes', () => {
  test('take calls on any node, and every node reads what was done before', async () => {
    const all = await openAll()
    for (const { counter } of all) await counter.add(2)
    for (const { counter } of all) expect(await counter.get()).toBe(6)
    await all[0]!.dict.set('a', 1)
    expect(await all[2]!.dict.entries()).toEqual([['a', 1]])
    await expect(all[1]!.dict.pop('nothing')).rejects.toMatchObject({ thrownName: 'MissingError' })
  })

  test('go on when the leader is gone; a session makes sure that a call is carried out once', async () => {
    const all = await openAll()
    await all[0]!.counter.add(1)
    const gone = leader()
    const left = all.filter((member) => member !== gone)
    const session = await left[0]!.machine.openSession()
    const adding = left[0]!.counter.with({ session, timeoutMs: 10_000 })
    const calls = Array.from({ length: 20 }, () => adding.add(1))
    await gone.sync.destroy({ handOver: false })
    members.delete(all.indexOf(gone))
    await Promise.all(calls)
    expect(await left[1]!.counter.get()).toBe(21)
  })

  test('are there again after all nodes restarted, by snapshot and log', async () => {
    const all = await openAll()
    for (let i = 0; i < 120; i++) await all[i % 3]!.dict.set(`key ${i % 40}`, i)
    await eventually(() => expect(leader().sync.logSize).toBeLessThan(120))
    await Promise.all(all.map(({ sync }) => sync.destroy({ handOver: false })))
    members = new Map()
    const again = await openAll()
    expect(await again[1]!.dict.size()).toBe(40)
    expect(await again[2]!.dict.get('key 39')).toBe(119)
  })
})
