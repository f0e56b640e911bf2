import { BrokerError } from '@sluice/domain'
import { RequestFields, shown, toTimestamp } from './request-fields.js'

export const ACTOR_TYPES = ['broker', 'producer', 'consumer'] as const
export const ACTOR_STATUSES = ['alive', 'dead'] as const
export const LIST_LIMIT_MAX = 10_000
export const LIST_LIMIT_DEFAULT = 1000
export const FEATURE_LEVEL_MAX = 1_000_000
export const DEAD_AFTER_MS = { min: 1000, max: 86_400_000 } as const

type ActorType = (typeof ACTOR_TYPES)[number]

export interface HealthQuery {
  readonly type: ActorType | undefined
  readonly status: (typeof ACTOR_STATUSES)[number] | undefined
  readonly limit: number
  /** The last row of the page before. */
  readonly after: { readonly type: ActorType; readonly id: number } | undefined
}

export interface AuditQuery {
  readonly kind: string | undefined
  readonly subject: string | undefined
  /** Milliseconds since 1970: from `since` on, before `until`. */
  readonly since: number
  readonly until: number
  readonly newestFirst: boolean
  readonly limit: number
  /** Id of the last event of the page before. */
  readonly after: number | undefined
}

export interface SettingsChange {
  readonly featureLevel: number | undefined
  readonly deadAfterMs: Partial<Record<ActorType, number>>
  readonly rebuildAfterMs: number | undefined
}

const HEALTH_FIELDS: ReadonlySet<string> = new Set(['type', 'status', 'limit', 'after'])
const AUDIT_FIELDS: ReadonlySet<string> = new Set([
  'kind',
  'subject',
  'since',
  'until',
  'order',
  'limit',
  'after',
])
const SETTINGS_FIELDS: ReadonlySet<string> = new Set(['dead_after_ms', 'rebuild_after_ms', 'feature_level'])
const THRESHOLD_FIELDS: ReadonlySet<string> = new Set(ACTOR_TYPES)
const TEXT_LENGTH_MAX = 300

export function parseHealthQuery(query: unknown): HealthQuery {
  const fields = new RequestFields(query, HEALTH_FIELDS)
  return {
    type: fields.optionalChoice('type', ACTOR_TYPES),
    status: fields.optionalChoice('status', ACTOR_STATUSES),
    limit: limitOf(fields),
    after: actorOf(fields.value('after')),
  }
}

export function parseAuditQuery(query: unknown): AuditQuery {
  const fields = new RequestFields(query, AUDIT_FIELDS)
  const since = fields.value('since')
  const until = fields.value('until')
  return {
    kind: textOf(fields, 'kind'),
    subject: textOf(fields, 'subject'),
    since: since === undefined ? 0 : toTimestamp(since, 'since'),
    until: until === undefined ? Number.MAX_SAFE_INTEGER : toTimestamp(until, 'until'),
    newestFirst: fields.choice('order', ['oldest', 'newest'], 'oldest') === 'newest',
    limit: limitOf(fields),
    after: fields.integer('after', { min: 0, max: Number.MAX_SAFE_INTEGER }),
  }
}

export function parseSettingsChange(body: unknown): SettingsChange {
  const fields = new RequestFields(body, SETTINGS_FIELDS)
  const thresholds = new RequestFields(fields.value('dead_after_ms') ?? {}, THRESHOLD_FIELDS)
  const deadAfterMs: Partial<Record<ActorType, number>> = {}
  for (const type of ACTOR_TYPES) {
    const ms = thresholds.integer(type, DEAD_AFTER_MS)
    if (ms !== undefined) deadAfterMs[type] = ms
  }
  const featureLevel = fields.integer('feature_level', { min: 1, max: FEATURE_LEVEL_MAX })
  const rebuildAfterMs = fields.integer('rebuild_after_ms', DEAD_AFTER_MS)
  const isEmpty = Object.keys(deadAfterMs).length === 0 && rebuildAfterMs === undefined
  if (isEmpty && featureLevel === undefined)
    throw new BrokerError(
      'INVALID_REQUEST',
      'no setting is given; known are dead_after_ms, rebuild_after_ms and feature_level',
      {
        field: 'dead_after_ms',
      },
    )
  return { deadAfterMs, rebuildAfterMs, featureLevel }
}

function limitOf(fields: RequestFields): number {
  return fields.integer('limit', { min: 1, max: LIST_LIMIT_MAX }) ?? LIST_LIMIT_DEFAULT
}

function textOf(fields: RequestFields, field: string): string | undefined {
  const value = fields.value(field)
  if (value === undefined) return undefined
  if (typeof value !== 'string' || value.length === 0 || value.length > TEXT_LENGTH_MAX)
    throw new BrokerError(
      'INVALID_REQUEST',
      `${field} must be text of 1 to ${TEXT_LENGTH_MAX} characters, not ${shown(value)}`,
      { field },
    )
  return value
}

/** `producer/7` */
function actorOf(value: unknown): HealthQuery['after'] {
  if (value === undefined) return undefined
  const match =
    typeof value === 'string' ? /^(broker|producer|consumer)\/([1-9][0-9]{0,9})$/.exec(value) : null
  if (match === null)
    throw new BrokerError('INVALID_REQUEST', `after must be a row such as producer/7, not ${shown(value)}`, {
      field: 'after',
    })
  return { type: match[1] as ActorType, id: Number(match[2]) }
}
