import { type BrokerId, type GroupId, METADATA_GROUP, partitionName, type TopicName } from '@sluice/domain'
import { type AuditEvent, type AuditKind, AuditTrail } from '../audit-trail.js'
import { PlanDesk } from '../balance/plan-desk.js'
import type { MetadataCommand, TopicChange } from '../command.js'
import type {
  BrokerInfo,
  ClusterSettings,
  ConsumerInfo,
  PartitionInfo,
  ProducerInfo,
  RecoveryInfo,
  TopicInfo,
} from '../entities.js'
import { DETAILED_AUDIT_LEVEL, FEATURES } from '../feature-level.js'
import { HealthTable } from '../health-table.js'
import { type BrokerLoad, placeReplicas } from '../placement.js'
import { wantedReplicas } from '../replica-move.js'
import { TopicActors } from '../topic-actors.js'
import { withTopicChange } from '../topic-change.js'

export const DEFAULT_SETTINGS: ClusterSettings = {
  replicationFactor: 3,
  deadAfterMs: { broker: 300_000, producer: 300_000, consumer: 300_000 },
  partitionsPerTopicMax: 1000,
  featureLevel: FEATURES.max,
}

/** What commands work on: the rows of the cluster, with what must change together changed in one place. */
export class ClusterTables {
  /** Empty before the first command. */
  clusterId = ''
  settings = DEFAULT_SETTINGS
  nextIds = { broker: 1, producer: 1, consumer: 1, group: METADATA_GROUP + 1 }
  readonly plans = new PlanDesk()
  readonly brokers = new Map<number, BrokerInfo>()
  readonly topics = new Map<string, TopicInfo>()
  readonly partitions = new Map<number, PartitionInfo>()
  readonly producers = new TopicActors<ProducerInfo>()
  readonly consumers = new TopicActors<ConsumerInfo>()
  /** Topics with partitions that are closing. */
  readonly closing = new Set<string>()
  readonly health = new HealthTable()
  readonly audit = new AuditTrail()
  /** By the id of the plan, in the order they began. */
  readonly recoveries = new Map<string, RecoveryInfo>()
  /** Brokers that were given up, each with the recovery that did so. */
  readonly lost = new Map<number, string>()
  /** Per broker: how many replicas it holds and how many partitions prefer it. */
  readonly #loads = new Map<number, { replicas: number; preferred: number }>()

  /** `by`: who asked for it, where the command says so. */
  record(
    { at, by }: { readonly at: number; readonly by?: string },
    kind: AuditKind,
    subject: string,
    reason: string,
  ): AuditEvent {
    const isNamed = by !== undefined && this.settings.featureLevel >= DETAILED_AUDIT_LEVEL
    return this.audit.record({ at, kind, subject, reason, ...(isNamed ? { by } : {}) })
  }

  topicCreated(command: MetadataCommand, topic: TopicInfo, why: string): AuditEvent {
    const reason = `${why}: ${topic.partitions.length} partitions, ${topic.replicationFactor} replicas`
    return this.record(command, 'topic-created', `topic/${topic.name}`, reason)
  }

  replacePartition(known: PartitionInfo, changed: PartitionInfo): void {
    this.#count(known, -1)
    this.countPartition(changed)
    const topic = this.topics.get(known.topic)!
    const partitions = topic.partitions.map((one) => (one === known ? changed : one))
    this.topics.set(topic.name, { ...topic, partitions })
  }

  /** Brokers that may get replicas. */
  placeable(): readonly BrokerLoad[] {
    const loads: BrokerLoad[] = []
    for (const { id, state } of this.brokers.values())
      if ((state === 'active' || state === 'joining') && this.health.get('broker', id)?.status === 'alive')
        loads.push({ id, ...this.#loads.get(id)! })
    return loads
  }

  newTopic(
    name: TopicName,
    partitionCount: number,
    replicationFactor: number,
    at: number,
    change: TopicChange = {},
  ): TopicInfo | undefined {
    if (this.placeable().length === 0) return undefined
    const partitions: PartitionInfo[] = []
    for (let number = 1; number <= partitionCount; number++)
      partitions.push(this.newPartition(name, number, replicationFactor, at)!)
    const fields = { keyPartitions: partitionCount, nextNumber: partitionCount + 1, closing: [] }
    const made = {
      name,
      replicationFactor,
      settings: {},
      trimmed: false,
      createdAt: at,
      partitions,
      ...fields,
    }
    const topic = withTopicChange(made, change)
    this.topics.set(name, topic)
    return topic
  }

  newPartition(
    topic: TopicName,
    number: number,
    replicationFactor: number,
    at: number,
  ): PartitionInfo | undefined {
    const replicas = placeReplicas(this.placeable(), replicationFactor)
    if (replicas.length === 0) return undefined
    const groupId = this.nextIds.group++ as GroupId
    const partition: PartitionInfo = {
      groupId,
      topic,
      number,
      name: partitionName(topic, number),
      replicas,
      founders: replicas,
      moveId: 0,
      departing: [],
      departed: [],
      createdAt: at,
    }
    this.countPartition(partition)
    return partition
  }

  putBroker(broker: BrokerInfo): void {
    this.brokers.set(broker.id, broker)
    this.#loads.set(broker.id, { replicas: 0, preferred: 0 })
  }

  putRecovery(recovery: RecoveryInfo): void {
    this.recoveries.set(recovery.planId, recovery)
    for (const id of recovery.lost) this.lost.set(id, recovery.planId)
  }

  removeBroker(id: BrokerId): void {
    this.brokers.delete(id)
    this.#loads.delete(id)
    this.health.remove('broker', id)
  }

  forgetPartition(partition: PartitionInfo): void {
    this.partitions.delete(partition.groupId)
    this.#count(partition, -1)
  }

  countPartition(partition: PartitionInfo): void {
    this.partitions.set(partition.groupId, partition)
    this.#count(partition, 1)
  }

  /** What a partition is to have counts, from the moment that it is decided. */
  #count(partition: PartitionInfo, sign: 1 | -1): void {
    for (const [position, id] of wantedReplicas(partition).entries()) {
      const load = this.#loads.get(id)
      if (load === undefined) continue
      load.replicas += sign
      if (position === 0) load.preferred += sign
    }
  }
}
