import type { BrokerId, ErrorCode } from '@sluice/domain'
import type { PartitionInfo } from './entities.js'

/** Why a change of a partition's replicas is not possible; nothing is changed. */
export interface MoveRefusal {
  readonly code: ErrorCode
  readonly message: string
}

/**
 * Who may hold a part of the partition's log, and on whose word it is forgotten:
 *
 *     (not a holder) ── target names it ──▶ joining ── the move is done ──▶ replica
 *          ▲                                   │                              │
 *          │                 done without it, as after a cancel       done without it
 *          │                                   ▼                              │
 *     departed ◀── it says that its copy is gone ── departing ◀───────────────┘
 *
 * Somebody who forgot what it voted for and acknowledged may come back only when nobody is left who
 * still counts on that: no broker is departing, and every replica knows of the last change. Until a
 * leader has seen that (`settled`), a departed broker is no candidate.
 */
export function isHolder(partition: PartitionInfo, brokerId: number): boolean {
  return includes(partition.replicas, brokerId) || includes(partition.move?.joining ?? [], brokerId)
}

/** The replicas that the partition is to have. */
export function wantedReplicas(partition: PartitionInfo): readonly BrokerId[] {
  return partition.move?.target ?? partition.replicas
}

/** True for a broker that may be named in a new target. */
export function mayHold(partition: PartitionInfo, brokerId: number): boolean {
  if (includes(partition.replicas, brokerId)) return true
  return !includes(partition.departing, brokerId) && !includes(partition.departed, brokerId)
}

/** A new target, in place of one that is not reached yet. The first of it is the preferred leader. */
export function startMove(
  partition: PartitionInfo,
  target: readonly BrokerId[],
  at: number,
): PartitionInfo | MoveRefusal {
  const { name, replicas, move } = partition
  if (target.length === 0 || new Set(target).size !== target.length)
    return refusal('INVALID_REQUEST', `the replicas of ${name} are one broker or more, each once`)
  const barred = target.find((id) => !mayHold(partition, id) && !includes(move?.joining ?? [], id))
  if (barred !== undefined)
    return refusal('MOVE_CONFLICT', `broker ${barred} still has to let go of its earlier replica of ${name}`)
  if (move === undefined && sameMembers(target, replicas)) return { ...partition, replicas: target }
  const joining = [
    ...(move?.joining ?? []),
    ...target.filter((id) => !replicas.includes(id) && !includes(move?.joining ?? [], id)),
  ]
  const moveId = partition.moveId + 1
  return { ...partition, moveId, move: { target, joining, since: at } }
}

/** The partition's Raft group has the target for its members. */
export function finishMove(partition: PartitionInfo, moveId: number): PartitionInfo | MoveRefusal {
  const { name, replicas, move } = partition
  if (move === undefined || partition.moveId !== moveId)
    return refusal('MOVE_CONFLICT', `move ${moveId} of ${name} is not under way`)
  const left = [...replicas, ...move.joining].filter((id) => !move.target.includes(id))
  const { groupId, topic, number, founders, departed, createdAt } = partition
  const departing = union(partition.departing, left)
  return {
    groupId,
    topic,
    number,
    name,
    replicas: move.target,
    founders,
    moveId,
    departing,
    departed,
    createdAt,
  }
}

/** The broker says that nothing of the partition is left on it. */
export function copyDropped(partition: PartitionInfo, brokerId: BrokerId): PartitionInfo {
  if (!partition.departing.includes(brokerId)) return partition
  return {
    ...partition,
    departing: partition.departing.filter((id) => id !== brokerId),
    departed: union(partition.departed, [brokerId]),
  }
}

/** Its leader has seen that every replica knows of the last change. */
export function settleMove(partition: PartitionInfo, moveId: number): PartitionInfo {
  const { move, departing, departed } = partition
  const isSettled = move === undefined && partition.moveId === moveId && departing.length === 0
  return isSettled && departed.length > 0 ? { ...partition, departed: [] } : partition
}

/** The broker is gone for good, and its identity is never taken back: nothing of it needs to be waited for. */
export function forgetBroker(partition: PartitionInfo, brokerId: BrokerId): PartitionInfo {
  const { departing, departed } = partition
  if (!departing.includes(brokerId) && !departed.includes(brokerId)) return partition
  return {
    ...partition,
    departing: departing.filter((id) => id !== brokerId),
    departed: departed.filter((id) => id !== brokerId),
  }
}

/**
 * The survivors as the replicas, on the word of an operator: nobody is asked. Nothing of those who are lost is
 * waited for; survivors that hold something and are no replicas any more drop it, as after any other change.
 */
export function forceReplicas(
  partition: PartitionInfo,
  { replicas, moveId }: { readonly replicas: readonly BrokerId[]; readonly moveId: number },
  isLost: (brokerId: BrokerId) => boolean,
): PartitionInfo {
  const { groupId, topic, number, name, founders, createdAt } = partition
  const stays = (id: BrokerId): boolean => !isLost(id) && !replicas.includes(id)
  const left = [...partition.replicas, ...(partition.move?.joining ?? [])].filter(stays)
  const departing = union(partition.departing.filter(stays), left)
  const departed = partition.departed.filter(stays)
  return { groupId, topic, number, name, replicas, founders, moveId, departing, departed, createdAt }
}

/** A partition as an earlier version wrote it: its replicas had never changed. */
export function withMoveFields(stored: PartitionInfo): PartitionInfo {
  const {
    founders = stored.replicas,
    moveId = 0,
    departing = [],
    departed = [],
  } = stored as Partial<PartitionInfo>
  return { ...stored, founders, moveId, departing, departed }
}

export function isRefusal(outcome: PartitionInfo | MoveRefusal): outcome is MoveRefusal {
  return 'code' in outcome
}

function sameMembers(a: readonly number[], b: readonly number[]): boolean {
  return a.length === b.length && a.every((id) => b.includes(id))
}

function union(known: readonly BrokerId[], more: readonly BrokerId[]): readonly BrokerId[] {
  return [...known, ...more.filter((id) => !known.includes(id))]
}

function includes(ids: readonly number[], id: number): boolean {
  return ids.includes(id)
}

function refusal(code: ErrorCode, message: string): MoveRefusal {
  return { code, message }
}
