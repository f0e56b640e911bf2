import type { BrokerId, ConsumerId, GroupId, ProducerId, TopicName } from '@sluice/domain'
import type { AuditEvent } from './audit-trail.js'
import type { FeatureRange } from './feature-level.js'
import type { TopicGrowth } from './topic-growth.js'

/** Where a new consumer begins. */
export type ConsumerStart = 'earliest' | 'latest' | { readonly time: number }

export type AutoOffsetReset = 'earliest' | 'none'

export type ActorType = 'producer' | 'consumer' | 'broker'

/** All times are milliseconds since 1970. */
export interface BrokerInfo {
  readonly id: BrokerId
  readonly host: string
  readonly port: number
  /** 32 hex digits of its data directory; empty until it is known. */
  readonly uuid: string
  /** Empty: none was named. */
  readonly rack: string
  readonly state: BrokerState
  /** Feature levels that it can run in; absent until it says so, which the first version never does. */
  readonly features?: FeatureRange
  readonly createdAt: number
}

/**
 * `joining`: was added, and has no share yet. `maintenance`: keeps its replicas, leads nothing and gets nothing new. `removing`: gives everything away and
 * is removed then; `evicted`: the same, also where nobody can take the place of its replicas.
 */
export type BrokerState = 'joining' | 'active' | 'maintenance' | 'removing' | 'evicted'

export interface PartitionInfo {
  readonly groupId: GroupId
  readonly topic: TopicName
  /** From 1. */
  readonly number: number
  /** `orders.1` */
  readonly name: string
  /** The first is the preferred leader. */
  readonly replicas: readonly BrokerId[]
  /** The first voters of its Raft group: what a group without a log begins with. */
  readonly founders: readonly BrokerId[]
  /** Of the last change of its replicas that was asked for; 0 when they never changed. */
  readonly moveId: number
  /** The change that is under way. */
  readonly move?: ReplicaMove
  /** Were replicas, and have not said yet that nothing is left there. */
  readonly departing: readonly BrokerId[]
  /** Dropped what they had, while others may still count on it: no candidates for the time being. */
  readonly departed: readonly BrokerId[]
  readonly createdAt: number
}

/** A recovery by force: what was given up, on whose word. Kept for good: who was lost must not come back. */
export interface RecoveryInfo {
  /** Of the operator's plan. */
  readonly planId: string
  readonly operator: string
  readonly at: number
  /** Brokers that were given up. */
  readonly lost: readonly BrokerId[]
  /** Absent while it is under way. */
  readonly endedAt?: number
}

/** A change of a partition's replicas. */
export interface ReplicaMove {
  /** The replicas in the end; the first is the preferred leader. */
  readonly target: readonly BrokerId[]
  /** Hold a part of the log by now, or are about to, and are no replicas yet. */
  readonly joining: readonly BrokerId[]
  readonly since: number
}

/**
 * What an operator says of a topic and may change later. Retention holds for each partition by itself, by
 * whole record batches: a batch goes once what is left satisfies every limit that is set. Absent: no limit.
 */
export interface TopicSettings {
  /** Messages older than this are deleted, by their timestamps. Milliseconds. */
  readonly retentionMs?: number
  /** A partition keeps at least its newest messages of this size. Bytes of record batches. */
  readonly retentionBytes?: number
  /** A partition keeps at least so many of its newest messages. */
  readonly retentionMessages?: number
}

export interface TopicInfo {
  readonly name: TopicName
  readonly replicationFactor: number
  readonly settings: TopicSettings
  /** True once retention was set, for good: partitions may not start at offset 0. */
  readonly trimmed: boolean
  readonly createdAt: number
  /** In the order of their numbers. */
  readonly partitions: readonly PartitionInfo[]
  /** Messages with a key go to the partitions up to this number, which is the count it was made with. */
  readonly keyPartitions: number
  /** Of the partition that is added next; none is used again. */
  readonly nextNumber: number
  /** Numbers of partitions that take no messages any more. */
  readonly closing: readonly number[]
  /** Absent: what the cluster does. */
  readonly growth?: TopicGrowth
  /** Partitions that it may grow to by itself; absent: what the cluster allows. */
  readonly growthMax?: number
}

export interface ProducerInfo {
  readonly id: ProducerId
  readonly topic: TopicName
  readonly createdAt: number
}

export interface ConsumerInfo {
  readonly id: ConsumerId
  readonly topic: TopicName
  readonly start: ConsumerStart
  readonly ack: 'auto' | 'manual'
  /** What happens when messages were deleted before it read them: goes on behind them, or gets an error. */
  readonly autoOffsetReset: AutoOffsetReset
  readonly createdAt: number
}

/** One row of the health-check table. */
export interface HealthCheck {
  readonly type: ActorType
  readonly id: number
  readonly lastSeenAt: number
  readonly status: 'alive' | 'dead'
  /** When the status became what it is. */
  readonly since: number
  readonly reason: string
}

export interface ClusterSettings {
  /** Silence of a broker after which what it held is rebuilt on others. Absent: as soon as it is dead. Milliseconds. */
  readonly rebuildAfterMs?: number
  readonly replicationFactor: number
  /** Silence after which an actor of the type is dead. Milliseconds. */
  readonly deadAfterMs: Readonly<Record<ActorType, number>>
  readonly partitionsPerTopicMax: number
  /** What the cluster may do; raised only when every broker can. */
  readonly featureLevel: number
}

/** Something that is gone for good, with what was known of it by its id alone: its health, its replicas. */
export type Removal =
  | { readonly kind: 'topic'; readonly name: TopicName }
  /** `partition` as it was last. */
  | { readonly kind: 'partition'; readonly groupId: GroupId; readonly partition: PartitionInfo }
  | { readonly kind: ActorType; readonly id: number }

/** What a command touched, as whole rows, to be materialised. Removals come first. */
export interface MetadataChanges {
  readonly brokers: readonly BrokerInfo[]
  readonly topics: readonly TopicInfo[]
  readonly partitions: readonly PartitionInfo[]
  readonly producers: readonly ProducerInfo[]
  readonly consumers: readonly ConsumerInfo[]
  readonly healthChecks: readonly HealthCheck[]
  /** Gone for good, with their rows in the health table. */
  readonly removedBrokers: readonly BrokerId[]
  readonly auditEvents: readonly AuditEvent[]
  readonly removed: readonly Removal[]
}

/** True when there are other brokers now, or others than they were. */
export function changesBrokers({ brokers, removedBrokers }: MetadataChanges): boolean {
  return brokers.length + removedBrokers.length > 0
}
