import type { BrokerId } from '@sluice/domain'
import { unreachable } from '@sluice/foundation'
import type { PlanCommand } from '../command.js'
import type { PartitionInfo } from '../entities.js'
import { isRefusal, type MoveRefusal, startMove } from '../replica-move.js'
import {
  type BalancePlan,
  isRunning,
  moveEnded,
  partitionsGone,
  type PlannedMove,
  withMoves,
} from './plan.js'

export interface PlansSnapshot {
  readonly nextId: number
  readonly newest?: BalancePlan
}

/** The partitions and brokers that plans are about. */
export interface PlanSubjects {
  partition(groupId: number): PartitionInfo | undefined
  knowsBroker(id: number): boolean
  replace(known: PartitionInfo, changed: PartitionInfo): void
}

type Step = Extract<PlanCommand, { kind: 'step-plan' }>

/** The newest plan of moves, and what commands make of it: part of the replicated state. One runs at a time. */
export class PlanDesk {
  #nextId = 1
  #newest: BalancePlan | undefined

  get plan(): BalancePlan | undefined {
    return this.#newest
  }

  carryOut(command: PlanCommand, subjects: PlanSubjects): { readonly planId: number } | MoveRefusal {
    if (command.kind === 'start-plan') return this.#start(command)
    const plan = this.#newest
    if (plan?.id !== command.planId || !isRunning(plan))
      return { code: 'PLAN_NOT_FOUND', message: `plan ${command.planId} is not running` }
    switch (command.kind) {
      case 'cancel-plan':
        this.#newest = withMoves({ ...plan, state: 'cancelling' }, (move) => move, command.at)
        break
      case 'step-plan': {
        const context = { step: command, subjects, isCancelling: plan.state === 'cancelling' }
        this.#newest = withMoves(plan, (move) => afterStep(move, context), command.at)
        break
      }
      default:
        unreachable(command)
    }
    return { planId: plan.id }
  }

  /** The metadata says that a partition's change of replicas is done. */
  moveEnded(ended: { readonly groupId: number; readonly moveId: number }, at: number): void {
    if (this.#newest !== undefined) this.#newest = moveEnded(this.#newest, ended, at)
  }

  /** Partitions were deleted. */
  partitionsGone(groupIds: ReadonlySet<number>, at: number): void {
    if (this.#newest !== undefined) this.#newest = partitionsGone(this.#newest, groupIds, at)
  }

  toJSON(): PlansSnapshot {
    return { nextId: this.#nextId, ...(this.#newest === undefined ? {} : { newest: this.#newest }) }
  }

  /** Absent in snapshots of the first version. */
  load(snapshot: PlansSnapshot | undefined): void {
    this.#nextId = snapshot?.nextId ?? 1
    this.#newest = snapshot?.newest
  }

  #start(command: Extract<PlanCommand, { kind: 'start-plan' }>): { readonly planId: number } | MoveRefusal {
    if (isRunning(this.#newest))
      return { code: 'PLAN_RUNNING', message: `plan ${this.#newest.id} is running` }
    const { at, reason, brokerId, movesAtOnce, moveTimeoutMs } = command
    const plan: BalancePlan = {
      id: this.#nextId++,
      reason,
      ...(brokerId === undefined ? {} : { brokerId: brokerId as BrokerId }),
      movesAtOnce,
      moveTimeoutMs,
      startedAt: at,
      state: 'running',
      moves: command.moves.map(({ groupId, from, to, bytes }) => ({
        groupId,
        from: from as readonly BrokerId[],
        to: to as readonly BrokerId[],
        bytes,
        state: 'waiting',
        since: at,
      })),
    }
    this.#newest = withMoves(plan, (move) => move, at)
    return { planId: plan.id }
  }
}

interface StepContext {
  readonly step: Step
  readonly subjects: PlanSubjects
  readonly isCancelling: boolean
}

function afterStep(move: PlannedMove, context: StepContext): PlannedMove {
  const { groupId, state } = move
  const { start, undo, giveUp, at } = context.step
  if (state === 'waiting' && start.includes(groupId)) return started(move, context)
  if (state === 'moving' && undo.includes(groupId)) return undone(move, context)
  if (state === 'undoing' && giveUp.includes(groupId))
    return { ...move, state: 'failed', since: at, reason: 'could not be undone in time' }
  return move
}

function started(move: PlannedMove, { step, subjects }: StepContext): PlannedMove {
  const skipped = (reason: string): PlannedMove => ({ ...move, state: 'skipped', since: step.at, reason })
  const partition = subjects.partition(move.groupId)
  if (partition === undefined) return skipped('the partition is gone')
  if (!isAsPlanned(partition, move)) return skipped('its replicas were changed meanwhile')
  const unknown = move.to.find((id) => !subjects.knowsBroker(id))
  if (unknown !== undefined) return skipped(`broker ${unknown} is gone`)
  const changed = startMove(partition, move.to, step.at)
  if (isRefusal(changed)) return skipped(changed.message)
  subjects.replace(partition, changed)
  if (changed.move === undefined) return { ...move, state: 'done', since: step.at }
  return { ...move, state: 'moving', since: step.at, moveId: changed.moveId }
}

function undone(move: PlannedMove, { step, subjects, isCancelling }: StepContext): PlannedMove {
  const failed = (reason: string): PlannedMove => ({ ...move, state: 'failed', since: step.at, reason })
  const partition = subjects.partition(move.groupId)
  if (partition === undefined) return failed('the partition is gone')
  if (partition.moveId !== move.moveId) return failed('its replicas are being changed by somebody else')
  const changed = startMove(partition, partition.replicas, step.at)
  if (isRefusal(changed)) return failed(changed.message)
  subjects.replace(partition, changed)
  const reason = isCancelling ? 'called off' : 'took too long'
  return { ...move, state: 'undoing', since: step.at, moveId: changed.moveId, reason }
}

function isAsPlanned({ replicas, move }: PartitionInfo, { from }: PlannedMove): boolean {
  return move === undefined && replicas.length === from.length && replicas.every((id, i) => id === from[i])
}
