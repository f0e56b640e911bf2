import type { BrokerId } from '@sluice/domain'
import { unreachable } from '@sluice/foundation'
import type { AuditEvent, AuditKind } from '../audit-trail.js'
import type { BalancePlan } from '../balance/plan.js'
import { planEvents } from '../balance/plan-events.js'
import type { MetadataCommand, MoveCommand, PlanCommand } from '../command.js'
import type { PartitionInfo } from '../entities.js'
import { DETAILED_AUDIT_LEVEL } from '../feature-level.js'
import {
  copyDropped,
  finishMove,
  isRefusal,
  type MoveRefusal,
  settleMove,
  startMove,
} from '../replica-move.js'
import { type Outcome, refused } from './outcome.js'
import type { ClusterTables } from './tables.js'

export function changeReplicas(tables: ClusterTables, command: MoveCommand): Outcome {
  const partition = tables.partitions.get(command.groupId)
  if (partition === undefined)
    return refused('PARTITION_NOT_FOUND', `there is no partition of group ${command.groupId}`, 'groupId')
  const changed = afterMoveCommand(tables, partition, command)
  if (isRefusal(changed)) return refused(changed.code, changed.message)
  const planBefore = tables.plans.plan
  if (command.kind === 'move-done') tables.plans.moveEnded(command, command.at)
  const result = { moveId: changed.moveId }
  if (changed === partition) return { result, changes: {} }
  tables.replacePartition(partition, changed)
  const isDetailed = tellsEveryStep(tables)
  const event = isDetailed ? moveEvent(partition, changed, command) : briefMoveEvent(changed, command)
  const subject = `partition/${partition.name}`
  const auditEvents = event === undefined ? [] : [tables.record(command, event.kind, subject, event.reason)]
  if (isDetailed && planBefore !== tables.plans.plan)
    auditEvents.push(...recordPlan(tables, command, planBefore))
  return { result, changes: { partitions: [changed], auditEvents } }
}

function tellsEveryStep({ settings }: ClusterTables): boolean {
  return settings.featureLevel >= DETAILED_AUDIT_LEVEL
}

/** As the version before tells it. */
function briefMoveEvent(
  after: PartitionInfo,
  { kind }: MoveCommand,
): { readonly kind: AuditKind; readonly reason: string } | undefined {
  if (kind !== 'move-done') return undefined
  return { kind: 'replicas-moved', reason: `replicas are ${after.replicas.join(', ')}` }
}

/** That a copy may be a candidate again is bookkeeping, and no event. */
function moveEvent(
  before: PartitionInfo,
  after: PartitionInfo,
  command: MoveCommand,
): { readonly kind: AuditKind; readonly reason: string } | undefined {
  const replicas = `replicas are ${after.replicas.join(', ')}`
  switch (command.kind) {
    case 'move-replicas':
      if (after.move === undefined) return { kind: 'replicas-moved', reason: replicas }
      return {
        kind: 'move-started',
        reason: `from ${before.replicas.join(', ')} to ${after.move.target.join(', ')}`,
      }
    case 'cancel-move':
      return { kind: 'move-undoing', reason: 'called off' }
    case 'move-done':
      return { kind: isUndone(before) ? 'move-undone' : 'replicas-moved', reason: replicas }
    case 'replica-dropped':
      return { kind: 'replica-dropped', reason: `nothing is left of it on broker ${command.brokerId}` }
    case 'move-settled':
      return undefined
    default:
      return unreachable(command)
  }
}

/** What the move ended with is what was there before. */
function isUndone({ replicas, move }: PartitionInfo): boolean {
  return move?.target.length === replicas.length && replicas.every((id) => move.target.includes(id))
}

function afterMoveCommand(
  tables: ClusterTables,
  partition: PartitionInfo,
  command: MoveCommand,
): PartitionInfo | MoveRefusal {
  switch (command.kind) {
    case 'move-replicas': {
      const unknown = command.target.find((id) => !tables.brokers.has(id))
      if (unknown !== undefined)
        return { code: 'BROKER_NOT_FOUND', message: `broker ${unknown} does not exist` }
      return startMove(partition, command.target as readonly BrokerId[], command.at)
    }
    case 'move-done':
      return finishMove(partition, command.moveId)
    case 'move-settled':
      return settleMove(partition, command.moveId)
    case 'cancel-move':
      if (partition.move === undefined || partition.moveId !== command.moveId)
        return {
          code: 'MOVE_CONFLICT',
          message: `move ${command.moveId} of ${partition.name} is not under way`,
        }
      return startMove(partition, partition.replicas, command.at)
    case 'replica-dropped':
      return copyDropped(partition, command.brokerId as BrokerId)
    default:
      return unreachable(command)
  }
}

export function changePlan(tables: ClusterTables, command: PlanCommand): Outcome {
  const partitions: PartitionInfo[] = []
  const before = tables.plans.plan
  const outcome = tables.plans.carryOut(command, {
    partition: (groupId) => tables.partitions.get(groupId),
    knowsBroker: (id) => tables.brokers.has(id),
    replace: (known, changed) => {
      tables.replacePartition(known, changed)
      partitions.push(changed)
    },
  })
  if ('code' in outcome) return refused(outcome.code, outcome.message)
  const auditEvents = tellsEveryStep(tables)
    ? recordPlan(tables, command, before)
    : recordPlanBriefly(tables, command, outcome.planId)
  return { result: outcome, changes: { partitions, auditEvents } }
}

/** As the version before tells it. */
function recordPlanBriefly(tables: ClusterTables, command: PlanCommand, planId: number): AuditEvent[] {
  const subject = `plan/${planId}`
  switch (command.kind) {
    case 'start-plan':
      return [
        tables.record(command, 'plan-started', subject, `${command.reason}: ${command.moves.length} moves`),
      ]
    case 'cancel-plan':
      return [tables.record(command, 'plan-cancelled', subject, 'asked for')]
    case 'step-plan':
      return []
    default:
      return unreachable(command)
  }
}

/** Ends the moves of partitions that are deleted: nobody else would, before they took too long. */
export function endMoves(
  tables: ClusterTables,
  command: MetadataCommand,
  deleted: readonly PartitionInfo[],
): AuditEvent[] {
  // The version before lets such moves run out.
  if (!tellsEveryStep(tables)) return []
  const before = tables.plans.plan
  tables.plans.partitionsGone(new Set(deleted.map(({ groupId }) => groupId)), command.at)
  return before === tables.plans.plan ? [] : recordPlan(tables, command, before, deleted)
}

function recordPlan(
  tables: ClusterTables,
  command: MetadataCommand,
  before: BalancePlan | undefined,
  deleted: readonly PartitionInfo[] = [],
): AuditEvent[] {
  const gone = new Map<number, PartitionInfo>(deleted.map((partition) => [partition.groupId, partition]))
  const events = planEvents(before, tables.plans.plan!, {
    nameOf: (groupId) => (tables.partitions.get(groupId) ?? gone.get(groupId))?.name,
    ...(command.kind === 'cancel-plan' && command.reason !== undefined ? { why: command.reason } : {}),
  })
  return events.map(({ kind, subject, reason }) => tables.record(command, kind, subject, reason))
}
