import type { MetadataCommand, MoveOrder } from '../command.js'
import type { BrokerInfo } from '../entities.js'
import { MISSING_REPLICAS_LEVEL } from '../feature-level.js'
import { isHolder } from '../replica-move.js'
import type { MetadataState } from '../state.js'
import { isRebuildDue, layoutsOf, mayTake } from './layouts.js'
import { isLeaving } from './leaving.js'
import { duePlanStep, isRunning, type PlanReason } from './plan.js'
import { planChanges, type PlanGoal } from './planner.js'

/** Moves that are under way at the same time, so that copying leaves room for the work of the day. */
export const MOVES_AT_ONCE = 4
/** For one move, beside what its bytes take. Milliseconds. */
export const MOVE_TIMEOUT_MS = 120_000
/** Before the next try, when a plan could not do all that it was to do. */
const RETRY_MS = 10_000

/** What the leader of the metadata knows beside the metadata. */
export interface LeaderView {
  readonly now: number
  /** It has led for long enough to know who is silent because he is dead. */
  readonly knowsTheDead: boolean
  /** Brokers in the metadata's Raft group. */
  readonly metadataMembers: readonly number[]
  /** As what it asks, in the audit trail. */
  readonly by: string
  /** About how many bytes partitions have, by group; those that are not here count as empty. */
  readonly sizes?: ReadonlyMap<number, number>
}

/**
 * What the leader of the metadata should have decided next, or `undefined`: it carries plans on, makes new
 * ones for brokers that come, leave or stay dead and for replicas that are missing, and removes those that have given everything away.
 */
export function nextAction(state: MetadataState, view: LeaderView): MetadataCommand | undefined {
  const { plan } = state
  if (isRunning(plan)) {
    if (plan.state === 'running' && isOverdue(state, plan))
      return {
        kind: 'cancel-plan',
        at: view.now,
        planId: plan.id,
        reason: plan.reason === 'broker-removed' ? 'the broker stays' : 'the broker is there again',
        by: view.by,
      }
    const step = duePlanStep(plan, view.now)
    return step === undefined
      ? undefined
      : { kind: 'step-plan', at: view.now, planId: plan.id, ...step, by: view.by }
  }
  const endedMs = plan?.state === 'incomplete' ? view.now - plan.endedAt! : RETRY_MS
  // An end that is still to come was noted by a clock that ran ahead.
  const isRetry = endedMs >= 0 && endedMs < RETRY_MS
  const action = (isRetry ? undefined : planFor(state, view)) ?? removal(state, view) ?? welcome(state, view)
  return action === undefined ? undefined : { ...action, by: view.by }
}

/** Every change that the goal asks for, as orders of a plan. */
export function ordersFor(
  state: MetadataState,
  goal: PlanGoal,
  sizes: ReadonlyMap<number, number> = new Map(),
  now = Infinity,
): readonly MoveOrder[] {
  return planChanges(layoutsOf(state, sizes, now), goal).map(({ groupId, from, to }) => ({
    groupId,
    from,
    to,
    // What is copied: once for every new replica.
    bytes: (sizes.get(groupId) ?? 0) * to.filter((id) => !from.includes(id)).length,
  }))
}

/** The broker that it is about came back, or may stay. */
function isOverdue(
  state: MetadataState,
  plan: { readonly reason: PlanReason; readonly brokerId?: number },
): boolean {
  if (plan.brokerId === undefined) return false
  const broker = state.broker(plan.brokerId)
  if (plan.reason === 'broker-removed') return broker !== undefined && !isLeaving(broker)
  return plan.reason === 'broker-dead' && broker !== undefined && !isLeaving(broker) && !isDead(state, broker)
}

function planFor(state: MetadataState, view: LeaderView): MetadataCommand | undefined {
  const brokers = state.brokers()
  const leaving = brokers.find((broker) => isLeaving(broker))
  const dead = view.knowsTheDead ? brokers.find((broker) => isRebuildDue(state, broker, view.now)) : undefined
  const coming = brokers.find((broker) => isComing(state, broker))
  const due: readonly [PlanReason, BrokerInfo | undefined, PlanGoal][] = [
    ['broker-removed', leaving, 'repair'],
    ['broker-dead', dead, 'repair'],
    ['broker-added', coming, 'even'],
  ]
  for (const [reason, broker, goal] of due) {
    if (broker === undefined) continue
    const plan = startOf({ reason, goal, brokerId: broker.id }, state, view)
    if (plan !== undefined) return plan
  }
  return lacksReplicas(state)
    ? startOf({ reason: 'replicas-missing', goal: 'repair' }, state, view)
    : undefined
}

function startOf(
  plan: { readonly reason: PlanReason; readonly goal: PlanGoal; readonly brokerId?: number },
  state: MetadataState,
  { now, sizes }: LeaderView,
): MetadataCommand | undefined {
  const { reason, goal, brokerId } = plan
  const moves = ordersFor(state, goal, sizes, now)
  if (moves.length === 0) return undefined
  const about = brokerId === undefined ? {} : { brokerId }
  const limits = { movesAtOnce: MOVES_AT_ONCE, moveTimeoutMs: MOVE_TIMEOUT_MS }
  return { kind: 'start-plan', at: now, reason, ...about, ...limits, moves }
}

/**
 * A partition has fewer replicas than its topic asks for, and there is a broker for one more: it was made while
 * brokers were dead, or too few. Cheap enough to be asked all the time.
 */
function lacksReplicas(state: MetadataState): boolean {
  if (state.settings.featureLevel < MISSING_REPLICAS_LEVEL) return false
  const takers = state.brokers().flatMap((broker) => (mayTake(state, broker) ? [broker.id] : []))
  return state
    .topics()
    .some(({ replicationFactor, partitions }) =>
      partitions.some(
        ({ replicas, departing, departed, move }) =>
          replicas.length < replicationFactor &&
          move === undefined &&
          takers.some((id) => ![...replicas, ...departing, ...departed].includes(id)),
      ),
    )
}

/** A broker that was to leave, and holds nothing any more. */
function removal(state: MetadataState, { now, metadataMembers }: LeaderView): MetadataCommand | undefined {
  const broker = emptied(state).find(({ id }) => !metadataMembers.includes(id))
  return broker === undefined ? undefined : { kind: 'remove-broker', at: now, brokerId: broker.id }
}

/** Brokers that leave and hold no replica any more: what is left to do is to remove them. */
export function emptied(state: MetadataState): readonly BrokerInfo[] {
  return state.brokers().filter((broker) => {
    if (!isLeaving(broker)) return false
    for (const partition of state.partitions()) if (isHolder(partition, broker.id)) return false
    return true
  })
}

/** The plan that gives a new broker its share has been made: from now on it is one as any other. */
function welcome(state: MetadataState, { now }: LeaderView): MetadataCommand | undefined {
  const broker = state.brokers().find((it) => isComing(state, it))
  return broker === undefined
    ? undefined
    : { kind: 'set-broker-state', at: now, brokerId: broker.id, state: 'active' }
}

/** Added, and heard of since. */
function isComing(state: MetadataState, { id, state: its, createdAt }: BrokerInfo): boolean {
  return its === 'joining' && (state.healthCheck('broker', id)?.lastSeenAt ?? 0) > createdAt
}

function isDead(state: MetadataState, { id }: BrokerInfo): boolean {
  return state.healthCheck('broker', id)?.status === 'dead'
}
