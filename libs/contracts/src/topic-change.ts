import { BrokerError, type TopicName } from '@sluice/domain'
import { RequestFields, TOPIC_SPELLINGS } from './request-fields.js'

/** The fields of a topic that can be given when it is made, and changed later. */
export const TOPIC_CHANGE_FIELDS = [
  'growth',
  'growth_limit',
  'partitions_max',
  'retention_ms',
  'retention_bytes',
  'retention_messages',
] as const
export const GROWTHS = ['off', 'messages', 'bytes', 'rate', 'default'] as const
export const PARTITIONS_PER_TOPIC_MAX = 1000
export const RETENTION_MIN = 1
export const GROWTH_LIMIT_MAX = Number.MAX_SAFE_INTEGER

/** What is absent stays as it is; null is what the cluster does. */
export interface TopicChangeRequest {
  readonly growth?:
    { readonly by: 'off' } | { readonly by: 'messages' | 'bytes' | 'rate'; readonly limit: number } | null
  readonly growthMax?: number
  readonly settings?: RetentionChange
}

/** Null is no limit. */
interface RetentionChange {
  readonly retentionMs?: number | null
  readonly retentionBytes?: number | null
  readonly retentionMessages?: number | null
}

export interface AlterTopicRequest {
  readonly topic: TopicName
  readonly change: TopicChangeRequest
  /** How many partitions are to take messages. */
  readonly partitions: number | undefined
}

const FIELDS: ReadonlySet<string> = new Set([...TOPIC_SPELLINGS, 'partitions', ...TOPIC_CHANGE_FIELDS])

/** Of PATCH /topics/{topic}: the name comes from the path. */
export function parseAlterTopic(topic: string, body: unknown): AlterTopicRequest {
  const named = new RequestFields({ topic }, FIELDS).topic()
  const fields = new RequestFields(body, FIELDS)
  for (const field of TOPIC_SPELLINGS)
    if (fields.value(field) !== undefined)
      throw new BrokerError('INVALID_REQUEST', 'the name of a topic cannot be changed', { field })
  const partitions = fields.integer('partitions', { min: 1, max: PARTITIONS_PER_TOPIC_MAX })
  const change = topicChangeOf(fields)
  if (partitions === undefined && Object.keys(change).length === 0)
    throw new BrokerError(
      'INVALID_REQUEST',
      `nothing to change is given; known are partitions, ${TOPIC_CHANGE_FIELDS.join(', ')}`,
      { field: 'partitions' },
    )
  return { topic: named, change, partitions }
}

/** The fields that say how a topic is to be. */
export function topicChangeOf(fields: RequestFields): TopicChangeRequest {
  const by = fields.optionalChoice('growth', GROWTHS)
  const limit = fields.integer('growth_limit', { min: 1, max: GROWTH_LIMIT_MAX })
  const growthMax = fields.integer('partitions_max', { min: 1, max: PARTITIONS_PER_TOPIC_MAX })
  const hasLimit = by === 'messages' || by === 'bytes' || by === 'rate'
  if (hasLimit && limit === undefined)
    throw new BrokerError('INVALID_REQUEST', `growth by ${by} needs growth_limit`, { field: 'growth_limit' })
  if (!hasLimit && limit !== undefined)
    throw new BrokerError('INVALID_REQUEST', 'growth_limit goes with growth by messages, bytes or rate', {
      field: 'growth_limit',
    })
  return {
    ...(by === undefined
      ? {}
      : { growth: by === 'default' ? null : hasLimit ? { by, limit: limit! } : { by } }),
    ...(growthMax === undefined ? {} : { growthMax }),
    ...retentionOf(fields),
  }
}

const RETENTION = {
  retention_ms: 'retentionMs',
  retention_bytes: 'retentionBytes',
  retention_messages: 'retentionMessages',
} as const

function retentionOf(fields: RequestFields): { readonly settings?: RetentionChange } {
  const settings: { -readonly [K in keyof RetentionChange]: RetentionChange[K] } = {}
  for (const field of ['retention_ms', 'retention_bytes', 'retention_messages'] as const) {
    const isNone = fields.value(field) === null
    const limit = isNone ? null : fields.integer(field, { min: RETENTION_MIN, max: Number.MAX_SAFE_INTEGER })
    if (limit !== undefined) settings[RETENTION[field]] = limit
  }
  return Object.keys(settings).length === 0 ? {} : { settings }
}
