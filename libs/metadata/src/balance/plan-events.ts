import { unreachable } from '@sluice/foundation'
import type { AuditKind } from '../audit-trail.js'
import { type BalancePlan, isRunning, type PlannedMove } from './plan.js'

/** What is told of a plan; the trail gives it an id and a time. */
export interface PlanEvent {
  readonly kind: AuditKind
  readonly subject: string
  readonly reason: string
}

/**
 * What has happened to the newest plan, as events. That a move under way has ended is told with the partition whose
 * replicas it changed, and not here.
 *
 * @param nameOf of a partition, by its group; undefined when it is gone
 * @param why the plan was called off
 */
export function planEvents(
  before: BalancePlan | undefined,
  after: BalancePlan,
  { nameOf, why }: { readonly nameOf: (groupId: number) => string | undefined; readonly why?: string },
): readonly PlanEvent[] {
  const subject = `plan/${after.id}`
  const known = before?.id === after.id ? before : undefined
  const events: PlanEvent[] = []
  if (known === undefined) events.push({ kind: 'plan-started', subject, reason: startText(after) })
  else if (known.state === 'running' && isCalledOff(after))
    events.push({ kind: 'plan-cancelled', subject, reason: why ?? 'asked for' })
  for (const [position, move] of after.moves.entries()) {
    const earlier = known?.moves[position]
    if (earlier === undefined || earlier.state === move.state) continue
    const event = moveEvent(earlier, move)
    const name = nameOf(move.groupId)
    const its = name === undefined ? `group/${move.groupId}` : `partition/${name}`
    if (event !== undefined)
      events.push({ kind: event.kind, subject: its, reason: `plan ${after.id}: ${event.reason}` })
  }
  if (!isRunning(after) && (known === undefined || isRunning(known)))
    events.push({ kind: 'plan-ended', subject, reason: endText(after) })
  return events
}

function moveEvent(
  before: PlannedMove,
  { state, from, to, reason = '' }: PlannedMove,
): { readonly kind: AuditKind; readonly reason: string } | undefined {
  switch (state) {
    case 'moving':
      return { kind: 'move-started', reason: `from ${from.join(', ')} to ${to.join(', ')}` }
    case 'done':
      // Only another preferred leader: nothing was under way.
      return before.state === 'waiting'
        ? { kind: 'replicas-moved', reason: `replicas are ${to.join(', ')}` }
        : undefined
    case 'undoing':
      return { kind: 'move-undoing', reason }
    case 'failed':
      return { kind: 'move-failed', reason }
    case 'skipped':
      return { kind: 'move-skipped', reason }
    case 'undone':
    case 'waiting':
      return undefined
    default:
      return unreachable(state)
  }
}

function isCalledOff({ state }: BalancePlan): boolean {
  return state === 'cancelling' || state === 'cancelled'
}

function startText({ reason, brokerId, moves, movesAtOnce }: BalancePlan): string {
  const about = brokerId === undefined ? '' : ` (broker ${brokerId})`
  return `${reason}${about}: ${moves.length} moves, ${movesAtOnce} at once`
}

/** `incomplete: 7 done, 1 undone, 2 skipped` */
function endText({ state, moves }: BalancePlan): string {
  const counts = new Map<PlannedMove['state'], number>()
  for (const move of moves) counts.set(move.state, (counts.get(move.state) ?? 0) + 1)
  const parts = Array.from(counts, ([what, count]) => `${count} ${what}`)
  return `${state}: ${parts.length === 0 ? 'no moves' : parts.join(', ')}`
}
