import { describe, expect, test } from '@jest/globals'
import {
  DEFAULT_SETTINGS,
  isHolder,
  type MetadataCommand,
  MetadataState,
  type PartitionInfo,
} from '@sluice/metadata'
import fc from 'fast-check'

const AT = 1_700_000_000_000

/** Five brokers, one partition on the brokers 1, 2 and 3. */
class Cluster {
  readonly state = new MetadataState()

  constructor() {
    const brokers = [1, 2, 3, 4, 5].map((id) => ({ id, host: 'h', port: 7000 + id, uuid: '' }))
    this.do({ kind: 'bootstrap', at: AT, clusterId: 'c', brokers, settings: DEFAULT_SETTINGS })
    this.do({ kind: 'create-topic', at: AT, topic: 'orders', partitions: 1 })
  }

  get partition(): PartitionInfo {
    return this.state.partitionsOf('orders')[0]!
  }

  do(command: MetadataCommand): Record<string, unknown> {
    return this.state.apply(this.state.version + 1, command).result
  }

  move(...target: number[]): Record<string, unknown> {
    return this.do({ kind: 'move-replicas', at: AT, groupId: this.partition.groupId, target })
  }

  done(moveId = this.partition.moveId): Record<string, unknown> {
    return this.do({ kind: 'move-done', at: AT, groupId: this.partition.groupId, moveId })
  }

  settled(moveId = this.partition.moveId): void {
    this.do({ kind: 'move-settled', at: AT, groupId: this.partition.groupId, moveId })
  }

  cancel(moveId = this.partition.moveId): Record<string, unknown> {
    return this.do({ kind: 'cancel-move', at: AT, groupId: this.partition.groupId, moveId })
  }

  dropped(brokerId: number): void {
    this.do({ kind: 'replica-dropped', at: AT, groupId: this.partition.groupId, brokerId })
  }
}

const errorOf = (result: Record<string, unknown>): unknown =>
  (result['error'] as { code?: string } | undefined)?.code

describe('a move of replicas', () => {
  test('keeps the old replicas until it is done, and lets the new ones join meanwhile', () => {
    const cluster = new Cluster()
    expect(cluster.move(4, 1, 2)).toEqual({ moveId: 1 })
    expect(cluster.partition).toMatchObject({
      replicas: [1, 2, 3],
      move: { target: [4, 1, 2], joining: [4] },
    })
    expect([1, 2, 3, 4, 5].filter((id) => isHolder(cluster.partition, id))).toEqual([1, 2, 3, 4])
    cluster.done()
    expect(cluster.partition).toMatchObject({ replicas: [4, 1, 2], founders: [1, 2, 3], departing: [3] })
    expect(cluster.partition).not.toHaveProperty('move')
  })

  test('is done once, and only the one that is under way', () => {
    const cluster = new Cluster()
    expect(errorOf(cluster.done(0))).toBe('MOVE_CONFLICT')
    cluster.move(4, 1, 2)
    cluster.move(5, 1, 2)
    expect(errorOf(cluster.done(1))).toBe('MOVE_CONFLICT')
    expect(cluster.partition.replicas).toEqual([1, 2, 3])
    cluster.done(2)
    expect(errorOf(cluster.done(2))).toBe('MOVE_CONFLICT')
    expect(cluster.partition).toMatchObject({ replicas: [5, 1, 2], departing: [3, 4] })
  })

  test('that is called off brings the old replicas back, and whoever had joined departs', () => {
    const cluster = new Cluster()
    cluster.move(4, 5, 1)
    cluster.cancel()
    expect(cluster.partition).toMatchObject({ moveId: 2, move: { target: [1, 2, 3], joining: [4, 5] } })
    expect(errorOf(cluster.cancel(1))).toBe('MOVE_CONFLICT')
    cluster.done()
    expect(cluster.partition).toMatchObject({ replicas: [1, 2, 3], departing: [4, 5] })
  })

  test('brings nobody back who forgot what it had, before all who may count on that know', () => {
    const cluster = new Cluster()
    cluster.move(4, 5, 1)
    cluster.done()
    expect(errorOf(cluster.move(2, 4, 5))).toBe('MOVE_CONFLICT')
    cluster.dropped(2)
    expect(cluster.partition).toMatchObject({ departing: [3], departed: [2] })
    cluster.settled()
    expect(errorOf(cluster.move(2, 4, 5))).toBe('MOVE_CONFLICT')
    cluster.dropped(3)
    expect(errorOf(cluster.move(2, 4, 5))).toBe('MOVE_CONFLICT')
    cluster.settled(0)
    expect(cluster.partition.departed).toEqual([2, 3])
    cluster.settled()
    expect(cluster.partition.departed).toEqual([])
    expect(errorOf(cluster.move(2, 4, 5))).toBeUndefined()
  })

  test('to the same brokers changes the preferred leader at once', () => {
    const cluster = new Cluster()
    expect(cluster.move(3, 1, 2)).toEqual({ moveId: 0 })
    expect(cluster.partition.replicas).toEqual([3, 1, 2])
    expect(cluster.partition).not.toHaveProperty('move')
  })

  test.each([
    ['nobody', [], 'INVALID_REQUEST'],
    ['a broker twice', [1, 1, 2], 'INVALID_REQUEST'],
    ['a broker that does not exist', [1, 2, 9], 'BROKER_NOT_FOUND'],
  ])('to %s is refused and changes nothing', (_, target, code) => {
    const cluster = new Cluster()
    const before = cluster.partition
    expect(errorOf(cluster.move(...target))).toBe(code)
    expect(cluster.partition).toBe(before)
  })

  test('counts for placement from the moment that it is decided', () => {
    const cluster = new Cluster()
    cluster.move(4, 5, 1)
    cluster.do({ kind: 'create-topic', at: AT, topic: 'next', partitions: 1, replicationFactor: 2 })
    expect([...cluster.state.partitionsOf('next')[0]!.replicas].sort()).toEqual([2, 3])
  })

  test('survives a snapshot, also one of a version that knew no moves', () => {
    const cluster = new Cluster()
    const { founders, moveId, departing, departed, ...earlier } = cluster.partition
    expect([founders, moveId, departing, departed]).toEqual([[1, 2, 3], 0, [], []])
    const snapshot = cluster.state.toJSON()
    const topics = [{ ...snapshot.topics[0]!, partitions: [earlier] }]
    const json: unknown = JSON.parse(JSON.stringify({ ...snapshot, topics }))
    expect(MetadataState.fromJSON(json).partitionsOf('orders')[0]).toEqual(cluster.partition)
    cluster.move(4, 5, 1)
    const again = MetadataState.fromJSON(JSON.parse(JSON.stringify(cluster.state)))
    expect(again.partitionsOf('orders')[0]).toEqual(cluster.partition)
    expect(again.toJSON()).toEqual(cluster.state.toJSON())
  })
})

test('whatever is asked for in whatever order: a broker with a part of the log is a holder or departing', () => {
  const step = fc.oneof(
    fc.record({
      kind: fc.constant('move' as const),
      target: fc.uniqueArray(fc.integer({ min: 1, max: 5 }), { minLength: 1 }),
    }),
    fc.record({ kind: fc.constant('done' as const) }),
    fc.record({ kind: fc.constant('cancel' as const) }),
    fc.record({ kind: fc.constant('settled' as const) }),
    fc.record({ kind: fc.constant('dropped' as const), broker: fc.integer({ min: 1, max: 5 }) }),
  )
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
      const cluster = new Cluster()
      const withLog = new Set([1, 2, 3])
      for (const it of steps) {
        if (it.kind === 'move') cluster.move(...it.target)
        else if (it.kind === 'done') cluster.done()
        else if (it.kind === 'cancel') cluster.cancel()
        else if (it.kind === 'settled') cluster.settled()
        else if (cluster.partition.departing.includes(it.broker as never)) {
          withLog.delete(it.broker)
          cluster.dropped(it.broker)
        }
        const { partition } = cluster
        for (const id of [1, 2, 3, 4, 5]) if (isHolder(partition, id)) withLog.add(id)
        for (const id of withLog)
          expect(isHolder(partition, id) || (partition.departing as readonly number[]).includes(id)).toBe(
            true,
          )
        for (const id of partition.departing) expect(isHolder(partition, id)).toBe(false)
      }
    }),
  )
})
