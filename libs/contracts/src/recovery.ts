import { BrokerError } from '@sluice/domain'

/**
 * What brokers and the operator's command say to each other when a majority is lost for good. Over the brokers'
 * own HTTP, which is not part of the public interface: `GET /recovery`, `POST /recovery/groups`,
 * `POST /recovery/record`.
 */
export const RECOVERY_FORMAT = 1

/** Groups in one call, and partitions in one command of the metadata. */
export const RECOVERY_GROUPS_MAX = 100

/** A replica of a Raft group, as its broker sees it. */
export interface GroupView {
  readonly group_id: number
  /** `metadata`, or the partition's name. */
  readonly name: string
  /** The broker that leads it, as far as this one knows; 0: nobody. */
  readonly leader: number
  /** Since when nobody leads it, milliseconds; 0 while somebody does. */
  readonly leaderless_ms: number
  /** Why it cannot be relied on: what its disk or its database lost is not here again. */
  readonly unfit: string | null
  /** What its broker still does before it can say what it has; null, or absent in versions before 0.2: nothing. */
  readonly unsettled?: string | null
  readonly term: number
  /** Known to be committed here. */
  readonly commit: number
  readonly last_index: number
  /** Terms from `commit` on. */
  readonly tail: readonly (readonly [from: number, term: number])[]
  readonly voters: readonly number[]
  readonly voters_outgoing: readonly number[]
  readonly learners: readonly number[]
  /** Of the change of replicas that the configuration belongs to. */
  readonly move_id: number
  /** Offset behind the last message that is known to be committed here; null for the metadata. */
  readonly end: number | null
  /** Timestamp of the newest message here, milliseconds since 1970; null when there is none. */
  readonly newest_at: number | null
}

export interface PartitionPlace {
  readonly group_id: number
  readonly name: string
  readonly replicas: readonly number[]
  readonly move_id: number
}

/** One broker's view of the cluster: `GET /recovery`. */
export interface RecoveryView {
  readonly format: number
  readonly cluster_id: string
  readonly broker_id: number
  readonly node_uuid: string
  /** How long a group must have been without a leader, and a lost broker silent, milliseconds. */
  readonly quiet_ms: number
  /** As the metadata says; `silent_ms` since it was connected to this one, 0 while it is. */
  readonly brokers: readonly {
    readonly broker_id: number
    readonly host: string
    readonly port: number
    readonly state: string
    readonly silent_ms: number
  }[]
  readonly partitions: readonly PartitionPlace[]
  readonly groups: readonly GroupView[]
  /** Ids of plans that have begun. */
  readonly recoveries: readonly string[]
}

/** What is to become of one group. The broker it is sent to is the one whose log the others take. */
export interface GroupOrder {
  readonly group_id: number
  readonly name: string
  readonly voters: readonly number[]
  readonly move_id: number
  readonly term: number
  readonly last_index: number
  readonly last_term: number
}

/** `POST /recovery/groups` */
export interface ForceRequest {
  readonly format: number
  readonly plan_id: string
  /** The id of the plan once more, as the operator typed it. */
  readonly confirm: string
  readonly cluster_id: string
  readonly lost: readonly number[]
  readonly groups: readonly GroupOrder[]
}

/** `done`: by this call or an earlier one. `wait`: the metadata has not said so here yet. */
export type ForceOutcome = 'done' | 'wait' | 'refused'

export interface ForceAnswer {
  readonly groups: readonly {
    readonly group_id: number
    readonly outcome: ForceOutcome
    readonly reason: string | null
  }[]
}

/** `POST /recovery/record`, at the broker that leads the metadata. */
export interface RecordRequest {
  readonly format: number
  readonly plan_id: string
  readonly cluster_id: string
  readonly step:
    | {
        readonly kind: 'begin'
        readonly operator: string
        readonly lost: readonly number[]
        readonly skips_ids: boolean
        readonly summary: string
      }
    | {
        readonly kind: 'partitions'
        readonly partitions: readonly {
          readonly group_id: number
          readonly move_id: number
          readonly replicas: readonly number[]
          readonly loss: string
        }[]
      }
    | { readonly kind: 'end'; readonly summary: string }
}

/** @throws BrokerError INVALID_REQUEST, UNSUPPORTED_VERSION */
export function parseForceRequest(body: unknown): ForceRequest {
  const fields = requestOf(body)
  return {
    format: RECOVERY_FORMAT,
    plan_id: text(fields['plan_id'], 'plan_id'),
    confirm: text(fields['confirm'], 'confirm'),
    cluster_id: text(fields['cluster_id'], 'cluster_id'),
    lost: ids(fields['lost'], 'lost'),
    groups: few(fields['groups'], 'groups').map((value) => {
      const group = record(value, 'groups')
      return {
        group_id: natural(group['group_id'], 'group_id'),
        name: text(group['name'], 'name'),
        voters: ids(group['voters'], 'voters'),
        move_id: natural(group['move_id'], 'move_id'),
        term: natural(group['term'], 'term'),
        last_index: natural(group['last_index'], 'last_index'),
        last_term: natural(group['last_term'], 'last_term'),
      }
    }),
  }
}

/** @throws BrokerError INVALID_REQUEST, UNSUPPORTED_VERSION */
export function parseRecordRequest(body: unknown): RecordRequest {
  const fields = requestOf(body)
  return {
    format: RECOVERY_FORMAT,
    plan_id: text(fields['plan_id'], 'plan_id'),
    cluster_id: text(fields['cluster_id'], 'cluster_id'),
    step: stepOf(record(fields['step'], 'step')),
  }
}

function stepOf(step: Record<string, unknown>): RecordRequest['step'] {
  const { kind } = step
  switch (kind) {
    case 'begin':
      return {
        kind,
        operator: text(step['operator'], 'operator'),
        lost: ids(step['lost'], 'lost'),
        skips_ids: step['skips_ids'] === true,
        summary: text(step['summary'], 'summary'),
      }
    case 'partitions':
      return {
        kind,
        partitions: few(step['partitions'], 'partitions').map((value) => {
          const partition = record(value, 'partitions')
          return {
            group_id: natural(partition['group_id'], 'group_id'),
            move_id: natural(partition['move_id'], 'move_id'),
            replicas: ids(partition['replicas'], 'replicas'),
            loss: text(partition['loss'], 'loss'),
          }
        }),
      }
    case 'end':
      return { kind, summary: text(step['summary'], 'summary') }
    default:
      throw invalid('kind', 'begin, partitions or end')
  }
}

function requestOf(body: unknown): Record<string, unknown> {
  const fields = record(body, 'body')
  if (fields['format'] !== RECOVERY_FORMAT)
    throw new BrokerError('UNSUPPORTED_VERSION', `this version recovers in format ${RECOVERY_FORMAT}`, {
      field: 'format',
      outcome: 'no',
    })
  return fields
}

function few(value: unknown, field: string): readonly unknown[] {
  if (!Array.isArray(value) || value.length > RECOVERY_GROUPS_MAX)
    throw invalid(field, `a list of at most ${RECOVERY_GROUPS_MAX}`)
  return value
}

function ids(value: unknown, field: string): readonly number[] {
  if (!Array.isArray(value) || value.length > 1000) throw invalid(field, 'a list of broker ids')
  return value.map((id) => {
    if (natural(id, field) === 0) throw invalid(field, 'a list of broker ids')
    return id as number
  })
}

function record(value: unknown, field: string): Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw invalid(field, 'an object')
  return value as Record<string, unknown>
}

function text(value: unknown, field: string): string {
  if (typeof value !== 'string' || value === '' || value.length > 1000) throw invalid(field, 'text')
  return value
}

function natural(value: unknown, field: string): number {
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 0)
    throw invalid(field, 'a natural number')
  return value
}

function invalid(field: string, expected: string): BrokerError {
  return new BrokerError('INVALID_REQUEST', `${field} must be ${expected}`, { field, outcome: 'no' })
}
