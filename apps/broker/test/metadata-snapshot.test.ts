import { expect, test } from '@jest/globals'
import { encodeJson } from '@sluice/contracts'
import { DEFAULT_SETTINGS, type MetadataCommand } from '@sluice/metadata'
import { EntryKind, type RaftGroup, Role } from '@sluice/raft'
import { type MetadataCopy, MetadataReplica } from '../src/metadata-replica.js'

const CONFIGURATION = Uint8Array.of(1, 2, 3)
const AT_ONCE = { waitMs: 0, gatherMs: 0 }

function replica(persist: (copy: MetadataCopy) => Promise<unknown>): MetadataReplica {
  const made = new MetadataReplica(undefined, persist)
  made.attach({ configurationAt: () => CONFIGURATION } as unknown as RaftGroup)
  made.stateChanged({ role: Role.FOLLOWER, term: 1, leader: 1 as never })
  return made
}

function apply(to: MetadataReplica, ...commands: MetadataCommand[]): void {
  const first = to.appliedIndex + 1
  to.apply(
    commands.map((command, i) => ({
      index: first + i,
      term: 1,
      kind: EntryKind.COMMAND,
      data: encodeJson(command),
    })),
  )
}

const brokers = [1, 2, 3].map((id) => ({ id, host: 'h', port: 7000 + id, uuid: '' }))
const found: MetadataCommand = {
  kind: 'bootstrap',
  at: 1,
  clusterId: 'c',
  brokers,
  settings: DEFAULT_SETTINGS,
}
const topic = (name: string): MetadataCommand => ({ kind: 'create-topic', at: 2, topic: name, partitions: 1 })

test('a broker that comes late takes the metadata as a whole, durably first, and goes on from there', async () => {
  const sender = replica(() => Promise.resolve())
  apply(sender, found, topic('a'), topic('b'))
  const persisted: MetadataCopy[] = []
  const receiver: MetadataReplica = replica((copy) => {
    expect(receiver.appliedIndex).toBe(0)
    persisted.push(copy)
    return Promise.resolve()
  })
  const told: number[] = []
  receiver.onChange(() => told.push(receiver.state.version))
  await receiver.restore(await sender.openSnapshot())
  expect(persisted).toEqual([sender.copy()])
  expect(receiver.copy()).toEqual(sender.copy())
  expect(told).toEqual([3])
  apply(sender, topic('c'))
  apply(receiver, topic('c'))
  expect(receiver.state.toJSON()).toEqual(sender.state.toJSON())
  // A follower that has less than the snapshot gets the whole, one that has it what came after.
  expect(await receiver.follow(1, AT_ONCE)).toMatchObject({
    version: 4,
    entries: [],
    snapshot: { clusterId: 'c' },
  })
  expect((await receiver.follow(3, AT_ONCE)).entries.map(([index]) => index)).toEqual([4])
})

test('a snapshot that cannot be kept is not taken', async () => {
  const sender = replica(() => Promise.resolve())
  apply(sender, found)
  const receiver = replica(() => Promise.reject(new Error('the disk is full')))
  await expect(receiver.restore(await sender.openSnapshot())).rejects.toThrow('the disk is full')
  expect([receiver.appliedIndex, receiver.state.clusterId]).toEqual([0, ''])
})

test('nobody follows a broker that knows no leader', async () => {
  const late = replica(() => Promise.resolve())
  late.stateChanged({ role: Role.FOLLOWER, term: 2, leader: 0 })
  await expect(late.follow(0, AT_ONCE)).rejects.toMatchObject({ code: 'NOT_LEADER' })
  await expect(late.currentVersion()).rejects.toMatchObject({ code: 'NOT_LEADER' })
})

test('news goes at once to a follower in a hurry, and together to one that has time', async () => {
  const sender = replica(() => Promise.resolve())
  apply(sender, found)
  const hasty = sender.follow(1, { waitMs: 10_000, gatherMs: 0 })
  const patient = sender.follow(1, { waitMs: 10_000, gatherMs: 50 })
  apply(sender, topic('a'))
  expect(await hasty).toMatchObject({ version: 2, entries: [[2, { topic: 'a' }]] })
  apply(sender, topic('b'))
  expect(await patient).toMatchObject({
    version: 3,
    entries: [
      [2, { topic: 'a' }],
      [3, { topic: 'b' }],
    ],
  })
})
