import { describe, expect, test } from '@jest/globals'
import {
  DEFAULT_SETTINGS,
  type MetadataCommand,
  MetadataState,
  nextAction,
  ordersFor,
  parseMetadataCommand,
} from '@sluice/metadata'

const AT = 1_700_000_000_000
const PLAN = 'a1b2c3'

/** Three brokers with a topic of two partitions on all of them. */
class Cluster {
  readonly state = new MetadataState()

  constructor() {
    const brokers = [1, 2, 3].map((id) => ({ id, host: 'h', port: 7000 + id, uuid: `u${id}` }))
    this.do({ kind: 'bootstrap', at: AT, clusterId: 'c', brokers, settings: DEFAULT_SETTINGS })
    this.do({ kind: 'create-topic', at: AT, topic: 'orders', partitions: 2 })
  }

  do(command: MetadataCommand): Record<string, unknown> {
    return this.state.apply(this.state.version + 1, parseMetadataCommand({ ...command })).result
  }

  begin(lost: readonly number[] = [2, 3]): Record<string, unknown> {
    const words = { operator: 'ann', skipsIds: true, summary: '2 brokers are given up' }
    return this.do({ kind: 'begin-recovery', at: AT, planId: PLAN, lost, ...words })
  }

  recover(replicas: readonly number[] = [1], moveId = 5): Record<string, unknown> {
    const partitions = this.state
      .partitionsOf('orders')
      .map(({ groupId }) => ({ groupId, moveId, replicas, loss: 'what only 2 and 3 had' }))
    return this.do({ kind: 'recover-partitions', at: AT, planId: PLAN, partitions })
  }

  end(): Record<string, unknown> {
    return this.do({ kind: 'end-recovery', at: AT + 9, planId: PLAN, summary: '2 partitions' })
  }

  events(): readonly string[] {
    return Array.from(this.state.auditEvents(), ({ kind, subject }) => `${kind} ${subject}`)
  }
}

const codeOf = (result: Record<string, unknown>): unknown =>
  (result['error'] as { code?: string } | undefined)?.code

describe('a recovery by force', () => {
  test('makes the survivors the replicas, gives the lost up, and is told by the audit trail', () => {
    const cluster = new Cluster()
    expect(cluster.begin()).toEqual({ planId: PLAN })
    expect(cluster.recover()).toEqual({ planId: PLAN, recovered: 2 })
    cluster.end()
    const { state } = cluster
    for (const partition of state.partitionsOf('orders'))
      expect(partition).toMatchObject({ replicas: [1], moveId: 5, departing: [], departed: [] })
    expect(state.brokers().map((broker) => [broker.id, broker.state])).toEqual([
      [1, 'active'],
      [2, 'evicted'],
      [3, 'evicted'],
    ])
    expect(state.lostBy(2)).toMatchObject({ planId: PLAN, operator: 'ann', endedAt: AT + 9 })
    expect(state.lostBy(1)).toBeUndefined()
    for (const event of [...state.auditEvents()].slice(-6)) expect(event.by).toBe('ann')
    expect(cluster.events().slice(-6)).toEqual([
      `recovery-begun recovery/${PLAN}`,
      'broker-lost broker/2',
      'broker-lost broker/3',
      'partition-recovered partition/orders.1',
      'partition-recovered partition/orders.2',
      `recovery-ended recovery/${PLAN}`,
    ])
  })

  test('said again, as after an interruption, changes nothing more', () => {
    const cluster = new Cluster()
    const once = [cluster.begin(), cluster.recover(), cluster.end()]
    const { version, ...before } = cluster.state.toJSON()
    expect([cluster.begin(), cluster.recover(), cluster.end()]).toEqual([
      once[0],
      { planId: PLAN, recovered: 0 },
      once[2],
    ])
    expect(cluster.state.toJSON()).toEqual({ ...before, version: version + 3 })
  })

  test('survives a snapshot', () => {
    const cluster = new Cluster()
    cluster.begin()
    cluster.recover()
    const copy = MetadataState.fromJSON(JSON.parse(JSON.stringify(cluster.state)))
    expect(copy.lostBy(3)).toEqual(cluster.state.lostBy(3))
    expect(copy.toJSON()).toEqual(cluster.state.toJSON())
  })

  test('gives out none of the ids that a lost decision may have given out', () => {
    const cluster = new Cluster()
    const before = cluster.state.toJSON().nextIds
    cluster.begin()
    const { nextIds } = cluster.state.toJSON()
    expect(nextIds.group).toBeGreaterThanOrEqual(before.group + 1000)
    expect(nextIds.producer).toBeGreaterThanOrEqual(before.producer + 1000)
    expect(nextIds.consumer).toBeGreaterThanOrEqual(before.consumer + 1000)
    expect(nextIds.broker).toBeGreaterThan(before.broker)
    // What a survivor may have of a partition that nobody knows any more is dropped.
    expect(cluster.state.wasRemoved(before.group)).toBe(true)
  })

  test('takes moves that were under way out of the way, and waits for nobody who is lost', () => {
    const cluster = new Cluster()
    cluster.do({ kind: 'add-broker', at: AT, host: 'h', port: 7004, uuid: 'u4' })
    const [{ groupId } = { groupId: 0 }] = cluster.state.partitionsOf('orders')
    cluster.do({ kind: 'move-replicas', at: AT, groupId, target: [1, 2, 4] })
    cluster.begin()
    cluster.recover([1])
    const [first] = cluster.state.partitionsOf('orders')
    expect(first).toMatchObject({ replicas: [1], moveId: 5, departing: [4], departed: [] })
    expect(first?.move).toBeUndefined()
  })

  test('a lost broker is removed once it holds nothing, stays fenced, and its address may be used again', () => {
    const cluster = new Cluster()
    cluster.begin()
    cluster.recover()
    const view = { now: AT, knowsTheDead: false, metadataMembers: [1], by: 'broker 1' }
    for (let i = 0; i < 2; i++) {
      const action = nextAction(cluster.state, view)
      expect(action?.kind).toBe('remove-broker')
      cluster.do(action!)
    }
    expect(cluster.state.brokers().map(({ id }) => id)).toEqual([1])
    expect(cluster.state.lostBy(2)).toMatchObject({ planId: PLAN })
    const back = { kind: 'update-broker', at: AT, id: 2, host: 'h', port: 7002, uuid: 'u2' } as const
    expect(codeOf(cluster.do(back))).toBe('BROKER_FENCED')
    const added = cluster.do({ kind: 'add-broker', at: AT, host: 'h', port: 7002, uuid: 'fresh' })
    expect(added['brokerId']).toBeGreaterThan(3)
  })

  test('a partition of which nothing is left is planned for no more than the lost brokers return', () => {
    const cluster = new Cluster()
    cluster.do({ kind: 'create-topic', at: AT, topic: 'small', partitions: 1, replicationFactor: 1 })
    const [gone] = cluster.state.partitionsOf('small')
    cluster.begin(gone!.replicas)
    const orders = ordersFor(cluster.state, 'repair')
    expect(orders.map(({ groupId }) => groupId)).not.toContain(gone!.groupId)
  })
})

describe('refused, with nothing changed:', () => {
  test('to give every broker up', () => {
    const cluster = new Cluster()
    const before = cluster.state.toJSON()
    expect(codeOf(cluster.begin([1, 2, 3]))).toBe('LAST_BROKER')
    expect(cluster.state.toJSON()).toEqual({ ...before, version: before.version + 1 })
  })

  test('partitions of a plan that has not begun, or with replicas that are lost or unknown', () => {
    const cluster = new Cluster()
    expect(codeOf(cluster.recover())).toBe('RECOVERY_REFUSED')
    expect(codeOf(cluster.end())).toBe('RECOVERY_REFUSED')
    cluster.begin()
    expect(codeOf(cluster.recover([1, 2]))).toBe('RECOVERY_REFUSED')
    expect(codeOf(cluster.recover([1, 7]))).toBe('RECOVERY_REFUSED')
    for (const partition of cluster.state.partitionsOf('orders')) expect(partition.replicas).toHaveLength(3)
  })

  test('to make a lost broker active again', () => {
    const cluster = new Cluster()
    cluster.begin()
    const back = { kind: 'set-broker-state', at: AT, brokerId: 2, state: 'active' } as const
    expect(codeOf(cluster.do(back))).toBe('BROKER_FENCED')
    expect(cluster.state.broker(2)?.state).toBe('evicted')
  })

  test.each([[[]], [[1, 1]], [[0]]])('replicas %j', (replicas) => {
    const partitions = [{ groupId: 2, moveId: 1, replicas, loss: '' }]
    expect(() =>
      parseMetadataCommand({ kind: 'recover-partitions', at: AT, planId: PLAN, partitions }),
    ).toThrow('replicas')
  })
})
