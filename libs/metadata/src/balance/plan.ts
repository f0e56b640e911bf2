import type { BrokerId } from '@sluice/domain'

/** Why replicas are moved. */
export const PLAN_REASONS = [
  'asked-for',
  'broker-added',
  'broker-removed',
  'broker-dead',
  'replicas-missing',
] as const

export type PlanReason = (typeof PLAN_REASONS)[number]

/**
 *     waiting ──▶ moving ──▶ done
 *        │           └─▶ undoing ──▶ undone ──  or failed, when that does not end either
 *        └─▶ skipped
 */
type PlannedMoveState = 'waiting' | 'moving' | 'done' | 'undoing' | 'undone' | 'failed' | 'skipped'

export interface PlannedMove {
  readonly groupId: number
  readonly from: readonly BrokerId[]
  readonly to: readonly BrokerId[]
  /** What has to be copied, as far as it is known. */
  readonly bytes: number
  readonly state: PlannedMoveState
  /** When it came to its state. */
  readonly since: number
  /** Of the partition's change of replicas that is under way for it. */
  readonly moveId?: number
  /** Why it was undone, failed or skipped. */
  readonly reason?: string
}

/** A number of moves, carried out some at a time. The newest plan is kept when it has ended. */
export interface BalancePlan {
  readonly id: number
  readonly reason: PlanReason
  /** The broker that it is about; absent when it is about all. */
  readonly brokerId?: BrokerId
  readonly movesAtOnce: number
  /** For one move, beside what its bytes take. Milliseconds. */
  readonly moveTimeoutMs: number
  readonly startedAt: number
  readonly endedAt?: number
  /** `incomplete`: ended, and some moves were undone, failed or skipped. */
  readonly state: 'running' | 'cancelling' | 'cancelled' | 'done' | 'incomplete'
  readonly moves: readonly PlannedMove[]
}

/** What the leader of the metadata wants done next about a plan. */
export interface PlanStep {
  readonly start: readonly number[]
  readonly undo: readonly number[]
  readonly giveUp: readonly number[]
}

/** A move may take this long per byte, so that large partitions are not undone while they get on. */
const BYTES_PER_MS = 1000
/** What began later than that, by another leader's clock, began by a clock that was wrong. Milliseconds. */
const CLOCK_SKEW_MS = 60_000
/** Steps in one command. */
const STEPS_MAX = 256

type RunningPlan = BalancePlan & { readonly state: 'running' | 'cancelling' }

export function isRunning(plan: BalancePlan | undefined): plan is RunningPlan {
  return plan?.state === 'running' || plan?.state === 'cancelling'
}

/** What is due now; `undefined` when nothing is. */
export function duePlanStep(plan: BalancePlan, now: number): PlanStep | undefined {
  if (!isRunning(plan)) return undefined
  const late = (move: PlannedMove): boolean => {
    const tookMs = now - move.since
    return tookMs > plan.moveTimeoutMs + move.bytes / BYTES_PER_MS || tookMs < -CLOCK_SKEW_MS
  }
  const groups = (moves: readonly PlannedMove[]): readonly number[] =>
    moves.slice(0, STEPS_MAX).map(({ groupId }) => groupId)
  const moving = plan.moves.filter(({ state }) => state === 'moving')
  const undoing = plan.moves.filter(({ state }) => state === 'undoing')
  const waiting = plan.state === 'running' ? plan.moves.filter(({ state }) => state === 'waiting') : []
  const free = Math.max(plan.movesAtOnce - moving.length - undoing.length, 0)
  const step = {
    start: groups(waiting.slice(0, free)),
    undo: groups(plan.state === 'cancelling' ? moving : moving.filter(late)),
    giveUp: groups(undoing.filter(late)),
  }
  return step.start.length + step.undo.length + step.giveUp.length > 0 ? step : undefined
}

/** The plan with some of its moves changed; it ends when nothing of it is left to do. */
export function withMoves(
  plan: BalancePlan,
  change: (move: PlannedMove) => PlannedMove,
  at: number,
): BalancePlan {
  const moves = plan.moves.map(change)
  const changed = { ...plan, moves }
  const isOpen = moves.some(
    ({ state }) =>
      state === 'moving' || state === 'undoing' || (state === 'waiting' && plan.state === 'running'),
  )
  if (!isRunning(plan) || isOpen) return changed
  const isComplete = moves.every(({ state }) => state === 'done')
  const end = plan.state === 'cancelling' ? 'cancelled' : isComplete ? 'done' : 'incomplete'
  return { ...changed, state: end, endedAt: at }
}

/** The metadata says that a partition's change of replicas is done. */
export function moveEnded(
  plan: BalancePlan,
  ended: { readonly groupId: number; readonly moveId: number },
  at: number,
): BalancePlan {
  const isIt = (move: PlannedMove): boolean => move.groupId === ended.groupId && move.moveId === ended.moveId
  if (!isRunning(plan) || !plan.moves.some(isIt)) return plan
  return withMoves(
    plan,
    (move) =>
      isIt(move) ? { ...move, state: move.state === 'undoing' ? 'undone' : 'done', since: at } : move,
    at,
  )
}

/** Partitions were deleted: what was to become of their replicas is over. */
export function partitionsGone(plan: BalancePlan, groupIds: ReadonlySet<number>, at: number): BalancePlan {
  const isOver = ({ groupId, state }: PlannedMove): boolean =>
    groupIds.has(groupId) && (state === 'waiting' || state === 'moving' || state === 'undoing')
  if (!isRunning(plan) || !plan.moves.some(isOver)) return plan
  const reason = 'the partition is gone'
  return withMoves(
    plan,
    (move) =>
      isOver(move)
        ? { ...move, state: move.state === 'waiting' ? 'skipped' : 'failed', since: at, reason }
        : move,
    at,
  )
}
