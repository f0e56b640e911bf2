import { isClosing, openPartitions, type TopicInfo, type TopicSettings } from '@sluice/metadata'

/** The answers about topics and brokers, as clients see them. */

export interface TopicView {
  readonly name: string
  /** Names of those that take messages, in order. */
  readonly partitions: readonly string[]
  /** Names of those that take none any more, and go once they are read or expired. */
  readonly closing: readonly string[]
  /** Messages with a key go to so many partitions, the first ones. */
  readonly key_partitions: number
  /** Absent: what the cluster does. */
  readonly growth?: string
  readonly growth_limit?: number
  readonly partitions_max?: number
  readonly replication_factor: number
  /** Absent: no limit. */
  readonly retention_ms?: number
  readonly retention_bytes?: number
  readonly retention_messages?: number
  readonly created_at: string
}

export function topicView(topic: TopicInfo): TopicView {
  return {
    name: topic.name,
    partitions: openPartitions(topic).map(({ name }) => name),
    closing: topic.partitions.filter(({ number }) => isClosing(topic, number)).map(({ name }) => name),
    key_partitions: topic.keyPartitions,
    ...(topic.growth === undefined ? {} : { growth: topic.growth.by }),
    ...(topic.growth === undefined || topic.growth.by === 'off' ? {} : { growth_limit: topic.growth.limit }),
    ...(topic.growthMax === undefined ? {} : { partitions_max: topic.growthMax }),
    replication_factor: topic.replicationFactor,
    ...settingsView(topic.settings),
    created_at: new Date(topic.createdAt).toISOString(),
  }
}

function settingsView({ retentionMs, retentionBytes, retentionMessages }: TopicSettings): Partial<TopicView> {
  return {
    ...(retentionMs === undefined ? {} : { retention_ms: retentionMs }),
    ...(retentionBytes === undefined ? {} : { retention_bytes: retentionBytes }),
    ...(retentionMessages === undefined ? {} : { retention_messages: retentionMessages }),
  }
}
