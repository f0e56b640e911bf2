import { describe, expect, test } from '@jest/globals'
import {
  DEFAULT_SETTINGS,
  type MetadataCommand,
  MetadataState,
  nextAction,
  parseMetadataCommand,
} from '@sluice/metadata'
import { obstacleInMetadata } from '../src/forced-recovery.js'

const AT = 1_700_000_000_000
const PLAN = 'a1b2c3'
const MOVE = 1000

/** Five brokers, of which 3, 4 and 5 are lost, with a topic of one partition on 1, 3 and 4. */
class Cluster {
  readonly state = new MetadataState()
  readonly groupId: number

  constructor() {
    const brokers = [1, 2, 3, 4, 5].map((id) => ({ id, host: 'h', port: 7000 + id, uuid: `u${id}` }))
    this.do({ kind: 'bootstrap', at: AT, clusterId: 'c', brokers, settings: DEFAULT_SETTINGS })
    this.do({ kind: 'create-topic', at: AT, topic: 'wide', partitions: 10 })
    const alone = Array.from(this.state.partitions()).find(
      ({ replicas }) =>
        (replicas as readonly number[]).includes(1) && !(replicas as readonly number[]).includes(2),
    )
    this.groupId = alone!.groupId
  }

  do(command: MetadataCommand): void {
    const { result } = this.state.apply(this.state.version + 1, parseMetadataCommand({ ...command }))
    expect(result).not.toHaveProperty('error')
  }

  begin(planId = PLAN): void {
    const words = { operator: 'ann', skipsIds: true, summary: '3 brokers are given up' }
    this.do({ kind: 'begin-recovery', at: AT, planId, lost: [3, 4, 5], ...words })
  }

  recover(planId = PLAN, moveId = MOVE): void {
    const { groupId } = this
    const partitions = [{ groupId, moveId, replicas: [1], loss: 'what only the lost had' }]
    this.do({ kind: 'recover-partitions', at: AT, planId, partitions })
  }

  obstacle(planId = PLAN): string | undefined {
    const order = { group_id: this.groupId, move_id: MOVE, voters: [1] }
    return obstacleInMetadata(this.state, planId, order)?.outcome
  }
}

describe('a group is forced once the metadata names the same replicas', () => {
  test('and not before', () => {
    const cluster = new Cluster()
    expect(cluster.obstacle()).toBe('wait')
    cluster.begin()
    expect(cluster.obstacle()).toBe('wait')
    cluster.recover()
    expect(cluster.obstacle()).toBeUndefined()
  })

  test('also when the cluster has ordered more replicas for it in between', () => {
    const cluster = new Cluster()
    cluster.begin()
    cluster.recover()
    const view = { now: AT, knowsTheDead: false, metadataMembers: [1, 2], by: 'broker 1' }
    const partition = () => cluster.state.partitionByGroup(cluster.groupId)
    for (let i = 0; i < 20 && partition()?.move === undefined; i++)
      cluster.do(nextAction(cluster.state, view)!)
    expect(partition()).toMatchObject({ replicas: [1], moveId: MOVE + 1, move: { target: [1, 2] } })
    expect(cluster.obstacle()).toBeUndefined()
  })

  test('not for a plan that another one has overtaken', () => {
    const cluster = new Cluster()
    cluster.begin()
    cluster.recover()
    cluster.begin('later')
    expect(cluster.obstacle()).toBe('refused')
    cluster.recover('later', MOVE * 2)
    expect(cluster.obstacle()).toBe('refused')
    expect(cluster.obstacle('later')).toBeUndefined()
  })

  test('not when its replicas are others by now, or it is deleted', () => {
    const cluster = new Cluster()
    cluster.begin()
    cluster.recover()
    const { groupId } = cluster
    cluster.do({ kind: 'move-replicas', at: AT, groupId, target: [1, 2] })
    cluster.do({ kind: 'move-done', at: AT, groupId, moveId: MOVE + 1 })
    expect(cluster.obstacle()).toBe('refused')
    cluster.do({ kind: 'delete-topic', at: AT, topic: 'wide' })
    expect(cluster.obstacle()).toBe('refused')
  })
})
