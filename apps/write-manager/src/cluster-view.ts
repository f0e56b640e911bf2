import type { ActivityReporter } from '@sluice/client'
import type { MetadataState, TopicInfo, TopicSettings } from '@sluice/metadata'

/** The answers about topics, brokers and actors, as clients see them. */

export interface TopicView {
  readonly name: string
  /** Names, in order. */
  readonly partitions: readonly string[]
  readonly replication_factor: number
  /** Absent: no limit. */
  readonly retention_ms?: number
  readonly retention_bytes?: number
  readonly retention_messages?: number
  readonly created_at: string
}

export interface ActorView {
  readonly type: 'producer' | 'consumer' | 'broker'
  readonly id: number
  readonly last_seen: string
  /** Milliseconds since it was seen. */
  readonly silent_ms: number
  readonly status: 'alive' | 'dead'
}

export function topicView(topic: TopicInfo): TopicView {
  return {
    name: topic.name,
    partitions: topic.partitions.map(({ name }) => name),
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

/** Every actor, with what this process knows beside the metadata, which hears of activity a little later. */
export function actorViews(
  state: MetadataState,
  activity: Pick<ActivityReporter, 'lastSeen'>,
  now: number,
): readonly ActorView[] {
  return Array.from(state.healthChecks(), ({ type, id, lastSeenAt }) => {
    const own = type === 'broker' ? undefined : activity.lastSeen(type, id)
    const seenAt = Math.max(lastSeenAt, own ?? 0)
    const silentMs = Math.max(now - seenAt, 0)
    return {
      type,
      id,
      last_seen: new Date(seenAt).toISOString(),
      silent_ms: silentMs,
      status: silentMs < state.settings.deadAfterMs ? 'alive' : 'dead',
    }
  })
}
