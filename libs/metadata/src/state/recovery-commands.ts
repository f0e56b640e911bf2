import type { BrokerId } from '@sluice/domain'
import { isLeaving } from '../balance/leaving.js'
import type { AuditEvent } from '../audit-trail.js'
import type { BrokerInfo, PartitionInfo, RecoveryInfo } from '../entities.js'
import { forceReplicas } from '../replica-move.js'
import { type CommandOf, type Outcome, refused } from './outcome.js'
import type { ClusterTables } from './tables.js'

/** They are kept for good, and each is an operator's work. */
const RECOVERIES_MAX = 1000
/** More than a metadata group decides while its followers fall behind. */
const IDS_SKIPPED = 1000
const BROKER_IDS_SKIPPED = 10

/**
 * Gives brokers up: they are evicted, so that whatever they hold is placed on others, and their ids are
 * never part of the cluster again, also after they are removed.
 */
export function beginRecovery(tables: ClusterTables, command: CommandOf<'begin-recovery'>): Outcome {
  const { planId, operator, at } = command
  const known = tables.recoveries.get(planId)
  if (known !== undefined) return { result: { planId }, changes: {} }
  if (tables.recoveries.size >= RECOVERIES_MAX)
    return refused('RECOVERY_REFUSED', `${RECOVERIES_MAX} recoveries were forced on this cluster already`)
  const lost = command.lost as readonly BrokerId[]
  const stay = [...tables.brokers.values()].filter((it) => !lost.includes(it.id) && !isLeaving(it))
  if (stay.length === 0) return refused('LAST_BROKER', 'no broker would stay', 'lost')
  tables.putRecovery({ planId, operator, at, lost })
  const asked = { at, by: operator }
  const auditEvents = [tables.record(asked, 'recovery-begun', `recovery/${planId}`, command.summary)]
  const brokers: BrokerInfo[] = []
  for (const id of lost) {
    auditEvents.push(tables.record(asked, 'broker-lost', `broker/${id}`, `given up with plan ${planId}`))
    const broker = tables.brokers.get(id)
    if (broker === undefined) continue
    const evicted = { ...broker, state: 'evicted' } as const
    tables.brokers.set(id, evicted)
    brokers.push(evicted)
  }
  if (command.skipsIds) skipIds(tables)
  return { result: { planId }, changes: { brokers, auditEvents } }
}

/** Those that have the number of this recovery, or a later one, already are left as they are. */
export function recoverPartitions(tables: ClusterTables, command: CommandOf<'recover-partitions'>): Outcome {
  const { planId } = command
  const recovery = tables.recoveries.get(planId)
  if (recovery === undefined) return unknownPlan(planId)
  const unfit = command.partitions
    .flatMap(({ replicas }) => replicas)
    .find((id) => !tables.brokers.has(id) || tables.lost.has(id))
  if (unfit !== undefined)
    return refused('RECOVERY_REFUSED', `broker ${unfit} is no survivor of this cluster`, 'replicas')
  const asked = { at: command.at, by: recovery.operator }
  const partitions: PartitionInfo[] = []
  const auditEvents: AuditEvent[] = []
  for (const { groupId, moveId, replicas, loss } of command.partitions) {
    const partition = tables.partitions.get(groupId)
    if (partition === undefined || partition.moveId >= moveId) continue
    const target = { replicas: replicas as readonly BrokerId[], moveId }
    const forced = forceReplicas(partition, target, (id) => tables.lost.has(id))
    tables.replacePartition(partition, forced)
    partitions.push(forced)
    const subject = `partition/${partition.name}`
    auditEvents.push(tables.record(asked, 'partition-recovered', subject, `plan ${planId}: ${loss}`))
  }
  return { result: { planId, recovered: partitions.length }, changes: { partitions, auditEvents } }
}

export function endRecovery(tables: ClusterTables, command: CommandOf<'end-recovery'>): Outcome {
  const { planId, at, summary } = command
  const recovery = tables.recoveries.get(planId)
  if (recovery === undefined) return unknownPlan(planId)
  if (recovery.endedAt !== undefined) return { result: { planId }, changes: {} }
  const ended: RecoveryInfo = { ...recovery, endedAt: at }
  tables.putRecovery(ended)
  const asked = { at, by: recovery.operator }
  const event = tables.record(asked, 'recovery-ended', `recovery/${planId}`, summary)
  return { result: { planId }, changes: { auditEvents: [event] } }
}

function skipIds({ nextIds }: ClusterTables): void {
  nextIds.group += IDS_SKIPPED
  nextIds.producer += IDS_SKIPPED
  nextIds.consumer += IDS_SKIPPED
  nextIds.broker += BROKER_IDS_SKIPPED
}

function unknownPlan(planId: string): Outcome {
  return refused('RECOVERY_REFUSED', `no recovery with plan ${planId} has begun`, 'planId')
}
