import type { AuditQuery, HealthQuery } from '@sluice/contracts'
import type { ActorType, AuditEvent, HealthCheck, MetadataState } from '@sluice/metadata'

/** The health table and the audit trail, as clients see them: what the tables in PostgreSQL say. */

export interface HealthCheckView {
  readonly type: ActorType
  readonly id: number
  readonly last_seen_at: string
  readonly status: 'alive' | 'dead'
  /** When the status became what it is. */
  readonly since: string
  readonly reason: string
}

export interface AuditEventView {
  readonly id: number
  readonly time: string
  readonly kind: string
  readonly subject: string
  readonly reason: string
  /** Who asked for it; null where nobody did. */
  readonly by: string | null
}

/** One page of a list; `next` is where the one after it begins, null at the end. */
export interface Page<T, Next> {
  readonly rows: readonly T[]
  readonly next: Next | null
}

export function healthPage(state: MetadataState, query: HealthQuery): Page<HealthCheckView, string> {
  const rows: HealthCheckView[] = []
  let last = ''
  for (const check of state.healthChecks(query.type, query.after)) {
    if (query.status !== undefined && check.status !== query.status) continue
    if (rows.length === query.limit) return { rows, next: last }
    rows.push(healthView(check))
    last = `${check.type}/${check.id}`
  }
  return { rows, next: null }
}

export function auditPage(state: MetadataState, query: AuditQuery): Page<AuditEventView, number> {
  const events = [...state.auditEvents()]
  if (query.newestFirst) events.reverse()
  const rows: AuditEventView[] = []
  for (const event of events) {
    if (!isAsked(event, query)) continue
    if (rows.length === query.limit) return { rows, next: rows.at(-1)!.id }
    rows.push(eventView(event))
  }
  return { rows, next: null }
}

function isAsked({ id, at, kind, subject }: AuditEvent, query: AuditQuery): boolean {
  if (query.after !== undefined && (query.newestFirst ? id >= query.after : id <= query.after)) return false
  if (at < query.since || at >= query.until) return false
  if (query.kind !== undefined && kind !== query.kind) return false
  return query.subject === undefined || subject === query.subject
}

function healthView({ type, id, lastSeenAt, status, since, reason }: HealthCheck): HealthCheckView {
  return {
    type,
    id,
    last_seen_at: new Date(lastSeenAt).toISOString(),
    status,
    since: new Date(since).toISOString(),
    reason,
  }
}

function eventView({ id, at, kind, subject, reason, by }: AuditEvent): AuditEventView {
  return { id, time: new Date(at).toISOString(), kind, subject, reason, by: by ?? null }
}
