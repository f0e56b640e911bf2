import type { BrokerId } from '@sluice/domain'
import { unreachable } from '@sluice/foundation'
import type { AuditEvent } from '../audit-trail.js'
import type { MoveCommand, PlanCommand } from '../command.js'
import type { PartitionInfo } from '../entities.js'
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
  if (command.kind === 'move-done') tables.plans.moveEnded(command, command.at)
  const result = { moveId: changed.moveId }
  if (changed === partition) return { result, changes: {} }
  tables.replacePartition(partition, changed)
  const subject = `partition/${partition.name}`
  const replicas = `replicas are ${changed.replicas.join(', ')}`
  const auditEvents =
    command.kind === 'move-done' ? [tables.record(command, 'replicas-moved', subject, replicas)] : []
  return { result, changes: { partitions: [changed], auditEvents } }
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
  const outcome = tables.plans.carryOut(command, {
    partition: (groupId) => tables.partitions.get(groupId),
    knowsBroker: (id) => tables.brokers.has(id),
    replace: (known, changed) => {
      tables.replacePartition(known, changed)
      partitions.push(changed)
    },
  })
  if ('code' in outcome) return refused(outcome.code, outcome.message)
  return {
    result: outcome,
    changes: { partitions, auditEvents: planEvents(tables, command, outcome.planId) },
  }
}

function planEvents(tables: ClusterTables, command: PlanCommand, planId: number): AuditEvent[] {
  switch (command.kind) {
    case 'start-plan':
      return [
        tables.record(
          command,
          'plan-started',
          `plan/${planId}`,
          `${command.reason}: ${command.moves.length} moves`,
        ),
      ]
    case 'cancel-plan':
      return [tables.record(command, 'plan-cancelled', `plan/${planId}`, 'asked for')]
    case 'step-plan':
      return []
  }
}
