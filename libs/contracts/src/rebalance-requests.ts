import { type BrokerId, toBrokerId } from '@sluice/domain'
import { RequestFields } from './request-fields.js'

export interface RebalanceRequest {
  /** Only show the plan. */
  readonly dryRun: boolean
  readonly movesAtOnce: number | undefined
  readonly moveTimeoutMs: number | undefined
}

export interface RemoveBrokerRequest {
  readonly brokerId: BrokerId
  /** Also when partitions lose a replica by it. */
  readonly force: boolean
}

export interface MaintenanceRequest {
  readonly brokerId: BrokerId
  readonly enabled: boolean
}

export const MOVES_AT_ONCE_MAX = 64
export const MOVE_TIMEOUT_MS_MIN = 1000
export const MOVE_TIMEOUT_MS_MAX = 86_400_000

const REBALANCE_FIELDS: ReadonlySet<string> = new Set(['dry_run', 'moves_at_once', 'move_timeout_ms'])
const REMOVE_FIELDS: ReadonlySet<string> = new Set(['broker_id', 'force'])
const MAINTENANCE_FIELDS: ReadonlySet<string> = new Set(['broker_id', 'enabled'])

/** @param fields of the query and the body together; the body wins */
export function parseRebalance(fields: unknown): RebalanceRequest {
  const reader = new RequestFields(fields, REBALANCE_FIELDS)
  return {
    dryRun: reader.boolean('dry_run'),
    movesAtOnce: reader.integer('moves_at_once', { min: 1, max: MOVES_AT_ONCE_MAX }),
    moveTimeoutMs: reader.integer('move_timeout_ms', { min: MOVE_TIMEOUT_MS_MIN, max: MOVE_TIMEOUT_MS_MAX }),
  }
}

/** @param fields of the path, the query and the body together */
export function parseRemoveBroker(fields: unknown): RemoveBrokerRequest {
  const reader = new RequestFields(fields, REMOVE_FIELDS)
  return { brokerId: toBrokerId(reader.value('broker_id')), force: reader.boolean('force') }
}

/** @param fields of the path and the body together; `enabled` is true unless it is given */
export function parseMaintenance(fields: unknown): MaintenanceRequest {
  const reader = new RequestFields(fields, MAINTENANCE_FIELDS)
  const enabled = reader.value('enabled') === undefined ? true : reader.boolean('enabled')
  return { brokerId: toBrokerId(reader.value('broker_id')), enabled }
}
