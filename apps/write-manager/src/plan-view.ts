import type { BalancePlan, MetadataState, MoveOrder, PlannedMove } from '@sluice/metadata'
import type { ProposedPlan } from './broker-administration.js'

/** What one broker copies, about: measured on two cores with everything on one machine. */
const BYTES_PER_SECOND = 20_000_000
/** What a move takes beside copying. */
const MOVE_MS = 2000
/** Moves that are shown one by one. */
const MOVES_SHOWN_MAX = 1000

interface MoveView {
  readonly partition: string
  readonly from: readonly number[]
  readonly to: readonly number[]
  readonly bytes: number
}

/** What a plan would do, or begins to do. */
export function proposedView({ moves, movesAtOnce, planId }: ProposedPlan, state: MetadataState): object {
  return {
    ...(planId === undefined ? {} : { rebalance_id: planId }),
    dry_run: planId === undefined,
    moves_total: moves.length,
    bytes: bytesOf(moves),
    expected_ms: expectedMs(moves, movesAtOnce),
    moves: moves.slice(0, MOVES_SHOWN_MAX).map((move) => moveView(move, state)),
  }
}

/** How far a plan is. */
export function planView(plan: BalancePlan, state: MetadataState): object {
  const counts: Record<PlannedMove['state'], number> = {
    waiting: 0,
    moving: 0,
    done: 0,
    undoing: 0,
    undone: 0,
    failed: 0,
    skipped: 0,
  }
  for (const move of plan.moves) counts[move.state]++
  const left = plan.moves.filter((move) => move.state === 'waiting' || move.state === 'moving')
  return {
    rebalance_id: plan.id,
    reason: plan.reason,
    ...(plan.brokerId === undefined ? {} : { broker_id: plan.brokerId }),
    state: plan.state,
    started_at: new Date(plan.startedAt).toISOString(),
    ...(plan.endedAt === undefined ? {} : { ended_at: new Date(plan.endedAt).toISOString() }),
    moves_total: plan.moves.length,
    moves_by_state: counts,
    bytes: bytesOf(plan.moves),
    bytes_done: bytesOf(plan.moves.filter((move) => move.state === 'done')),
    expected_ms: plan.endedAt === undefined ? expectedMs(left, plan.movesAtOnce) : 0,
    moves: plan.moves.slice(0, MOVES_SHOWN_MAX).map((move) => ({
      ...moveView(move, state),
      state: move.state,
      since: new Date(move.since).toISOString(),
      ...(move.reason === undefined ? {} : { reason: move.reason }),
    })),
  }
}

function moveView({ groupId, from, to, bytes }: MoveOrder, state: MetadataState): MoveView {
  return { partition: state.partitionByGroup(groupId)?.name ?? `group ${groupId}`, from, to, bytes }
}

function bytesOf(moves: readonly MoveOrder[]): number {
  return moves.reduce((sum, { bytes }) => sum + bytes, 0)
}

/** A change of the preferred leader alone takes no time to speak of. */
function expectedMs(moves: readonly MoveOrder[], movesAtOnce: number): number {
  const copying = moves.filter(({ from, to }) => to.some((id) => !from.includes(id)))
  const copyMs = (bytesOf(copying) / BYTES_PER_SECOND) * 1000
  return Math.round(Math.ceil(copying.length / movesAtOnce) * MOVE_MS + copyMs)
}
