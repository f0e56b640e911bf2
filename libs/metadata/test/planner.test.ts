import { describe, expect, test } from '@jest/globals'
import type { BrokerId } from '@sluice/domain'
import { planChanges, type PlanBroker, type PlannedChange, type PlanPartition } from '@sluice/metadata'
import fc from 'fast-check'

type BrokerFields = Partial<Omit<PlanBroker, 'id'>>
const broker = (id: number, fields: BrokerFields = {}): PlanBroker => ({
  id: id as BrokerId,
  host: `host-${id}`,
  rack: '',
  takes: true,
  keeps: true,
  isEvicted: false,
  ...fields,
})

const partition = (
  groupId: number,
  replicas: number[],
  fields: Partial<PlanPartition> = {},
): PlanPartition => ({
  groupId,
  replicas: replicas as BrokerId[],
  replicationFactor: replicas.length,
  barred: [],
  fixed: false,
  bytes: 100,
  ...fields,
})

/** `count` partitions of three replicas on three brokers, leaders in turn. */
const onThree = (count: number): PlanPartition[] =>
  Array.from({ length: count }, (_, i) =>
    partition(i + 1, [(i % 3) + 1, ((i + 1) % 3) + 1, ((i + 2) % 3) + 1]),
  )

function after(partitions: readonly PlanPartition[], changes: readonly PlannedChange[]): PlanPartition[] {
  const to = new Map(changes.map((change) => [change.groupId, change.to]))
  return partitions.map((it) => ({ ...it, replicas: to.get(it.groupId) ?? it.replicas }))
}

function loads(
  partitions: readonly PlanPartition[],
  brokers: readonly PlanBroker[],
): { held: number[]; led: number[] } {
  const active = brokers.filter((it) => it.takes).map((it) => it.id)
  return {
    held: active.map((id) => partitions.filter((it) => it.replicas.includes(id)).length),
    led: active.map((id) => partitions.filter((it) => it.replicas[0] === id).length),
  }
}

const width = (counts: readonly number[]): number => Math.max(...counts) - Math.min(...counts)
const movedReplicas = (changes: readonly PlannedChange[]): number =>
  changes.reduce((sum, { from, to }) => sum + to.filter((id) => !from.includes(id)).length, 0)

describe('a plan', () => {
  test('of an even cluster is empty', () => {
    expect(
      planChanges({ brokers: [1, 2, 3].map((id) => broker(id)), partitions: onThree(30) }, 'even'),
    ).toEqual([])
  })

  test('for two more brokers makes replicas and leaders even, and moves only what they are to hold', () => {
    const brokers = [1, 2, 3, 4, 5].map((id) => broker(id))
    const partitions = onThree(30)
    const changes = planChanges({ brokers, partitions }, 'even')
    const { held, led } = loads(after(partitions, changes), brokers)
    expect(held).toEqual([18, 18, 18, 18, 18])
    expect(led).toEqual([6, 6, 6, 6, 6])
    expect(movedReplicas(changes)).toBe(36)
    for (const { from, to } of changes)
      for (const id of to) if (!from.includes(id)) expect([4, 5]).toContain(id)
  })

  test('takes everything off a broker that is to keep nothing, and nothing else', () => {
    const brokers = [1, 2, 3, 4].map((id) => broker(id, { takes: id !== 1, keeps: id !== 1 }))
    const partitions = [partition(1, [1, 2, 3]), partition(2, [2, 3, 4]), partition(3, [4, 1, 2])]
    const changes = planChanges({ brokers, partitions }, 'repair')
    expect(changes.map(({ groupId, to }) => [groupId, to])).toEqual([
      [1, [4, 2, 3]],
      [3, [4, 3, 2]],
    ])
  })

  test('leaves replicas where they are when nobody else could take them', () => {
    const brokers = [1, 2, 3].map((id) => broker(id, { takes: id !== 1, keeps: id !== 1 }))
    expect(planChanges({ brokers, partitions: [partition(1, [1, 2, 3])] }, 'repair')).toEqual([])
  })

  test('takes a replica off a broker that is evicted even when nobody takes its place', () => {
    const brokers = [1, 2, 3].map((id) =>
      broker(id, id === 1 ? { takes: false, keeps: false, isEvicted: true } : {}),
    )
    const partitions = [
      partition(1, [1, 2, 3]),
      partition(2, [1], { replicationFactor: 3, barred: [2, 3] as BrokerId[] }),
    ]
    expect(planChanges({ brokers, partitions }, 'repair').map(({ groupId, to }) => [groupId, to])).toEqual([
      [1, [2, 3]],
    ])
  })

  test('gives a partition the replicas that it lacks, and takes away those it has too many of', () => {
    const brokers = [1, 2, 3].map((id) => broker(id))
    const partitions = [
      partition(1, [2], { replicationFactor: 3 }),
      partition(2, [1, 2, 3], { replicationFactor: 2 }),
    ]
    const [grown, shrunk] = after(partitions, planChanges({ brokers, partitions }, 'repair'))
    expect(grown!.replicas).toEqual([2, 1, 3])
    expect(shrunk!.replicas).toHaveLength(2)
    expect(shrunk!.replicas[0]).toBe(1)
  })

  test('never names a broker that is barred, and leaves alone what is being changed', () => {
    const brokers = [1, 2, 3, 4].map((id) => broker(id))
    const partitions = onThree(12).map((it) =>
      it.groupId % 2 === 0 ? { ...it, barred: [4 as BrokerId] } : { ...it, fixed: true },
    )
    expect(planChanges({ brokers, partitions }, 'even')).toEqual([])
  })

  test('puts the replicas of a partition on different racks, and on different hosts', () => {
    const racked = [1, 2, 3, 4].map((id) => broker(id, { rack: id <= 2 ? 'a' : 'b' }))
    const [{ to }] = planChanges({ brokers: racked, partitions: [partition(1, [1, 2])] }, 'even') as [
      PlannedChange,
    ]
    expect(new Set(to.map((id) => (id <= 2 ? 'a' : 'b')))).toEqual(new Set(['a', 'b']))
    const hosted = [1, 2, 3, 4].map((id) => broker(id, { host: id <= 2 ? 'x' : 'y' }))
    const [{ to: hosts }] = planChanges({ brokers: hosted, partitions: [partition(1, [3, 4])] }, 'even') as [
      PlannedChange,
    ]
    expect(new Set(hosts.map((id) => (id <= 2 ? 'x' : 'y')))).toEqual(new Set(['x', 'y']))
  })

  test('moves small partitions rather than large ones', () => {
    const brokers = [1, 2].map((id) => broker(id))
    const partitions = [
      partition(1, [1], { bytes: 900 }),
      partition(2, [1], { bytes: 5 }),
      partition(3, [1], { bytes: 700 }),
    ]
    expect(planChanges({ brokers, partitions }, 'even').map(({ groupId }) => groupId)).toEqual([2])
  })

  test('makes leaders even through brokers in between', () => {
    const brokers = [1, 2, 3].map((id) => broker(id))
    const partitions = [
      partition(1, [1, 2]),
      partition(2, [1, 2]),
      partition(3, [2, 3]),
      partition(4, [1, 2]),
      partition(5, [3, 2]),
      partition(6, [3, 1]),
    ]
    const changes = planChanges({ brokers, partitions }, 'even')
    expect(width(loads(after(partitions, changes), brokers).led)).toBeLessThanOrEqual(1)
  })
})

test('any cluster: replicas and leaders end within one of even, in full number, each broker once', () => {
  const cluster = fc.record({
    brokerCount: fc.integer({ min: 3, max: 8 }),
    layout: fc.array(fc.uniqueArray(fc.integer({ min: 1, max: 8 }), { minLength: 1, maxLength: 3 }), {
      minLength: 1,
      maxLength: 60,
    }),
  })
  fc.assert(
    fc.property(cluster, ({ brokerCount, layout }) => {
      // The last ones hold something still and are to be emptied.
      const brokers = Array.from({ length: 8 }, (_, i) =>
        broker(i + 1, { takes: i < brokerCount, keeps: i < brokerCount }),
      )
      const partitions = layout.map((replicas, i) => partition(i + 1, replicas, { replicationFactor: 3 }))
      const changes = planChanges({ brokers, partitions }, 'even')
      const result = after(partitions, changes)
      for (const { replicas } of result) {
        expect(replicas).toHaveLength(3)
        expect(new Set(replicas).size).toBe(3)
        for (const id of replicas) expect(id).toBeLessThanOrEqual(brokerCount)
      }
      const { held, led } = loads(result, brokers)
      expect(width(held)).toBeLessThanOrEqual(1)
      expect(width(led)).toBeLessThanOrEqual(1)
      expect(planChanges({ brokers, partitions: result }, 'even')).toEqual([])
    }),
  )
})
