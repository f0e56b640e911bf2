import { createHash } from 'node:crypto'
import type { GroupOrder, GroupView, RecoveryView } from '@sluice/contracts'
import { bestSurvivor, lastTermOf, type NodeId, type SurvivorLog } from '@sluice/raft'

/** Above every term that somebody who is lost can have entered. */
const TERMS_SKIPPED = 1_000_000
/** Above every change of replicas that a lost decision can have begun. */
const MOVES_SKIPPED = 1000

export const METADATA = 'metadata'
const PLAN_FORMAT = 1

/** A recovery that makes no sense, or not any more; nothing was changed. */
export class RecoveryError extends Error {
  override readonly name = 'RecoveryError'
}

/** A broker that answers, where it does so, and what it says. */
export interface Survivor {
  readonly address: string
  readonly view: RecoveryView
}

/** A replica that is left of a group. */
interface SurvivingReplica {
  readonly broker_id: number
  readonly last_index: number
  readonly last_term: number
  readonly commit: number
  /** Offset behind the last message that it knows to be committed. */
  readonly end: number | null
  readonly newest_at: number | null
}

/** A group that cannot elect a leader any more: what is to become of it. */
export interface GroupPlan extends GroupOrder {
  /** The broker whose log the others take. */
  readonly chosen: number
  /** The voters so far. */
  readonly members: readonly number[]
  readonly survivors: readonly SurvivingReplica[]
  /** What may be lost, in words. */
  readonly loss: string
}

export interface RecoveryPlan {
  readonly format: number
  /** The beginning of the checksum: what the operator confirms. */
  readonly id: string
  /** SHA-256 of the rest. */
  readonly checksum: string
  readonly made_at: string
  readonly cluster_id: string
  readonly survivors: readonly {
    readonly broker_id: number
    readonly address: string
    readonly node_uuid: string
  }[]
  readonly lost: readonly { readonly broker_id: number; readonly address: string }[]
  /** Absent while the metadata has its majority. */
  readonly metadata: GroupPlan | null
  readonly partitions: readonly GroupPlan[]
  /** Partitions of which nothing is left. */
  readonly gone: readonly {
    readonly group_id: number
    readonly name: string
    readonly replicas: readonly number[]
    readonly why: string
  }[]
  /** Partitions that have their majority, and are left alone. */
  readonly untouched: number
}

interface Holder {
  readonly brokerId: number
  readonly group: GroupView
  readonly log: SurvivorLog
}

/** @throws RecoveryError when there is nothing to recover, or it cannot be told yet */
export function makePlan(survivors: readonly Survivor[], now: Date): RecoveryPlan {
  const views = survivors.map(({ view }) => view)
  const first = views[0]
  if (first === undefined) throw new RecoveryError('no broker answers: start those that are left first')
  checkSame(views)
  checkSettled(views, METADATA)
  const known = informed(views)
  const alive = new Set(views.map((view) => view.broker_id))
  const lost = known.brokers.filter(({ broker_id: id }) => !alive.has(id))
  checkLost(views, lost)
  const lostIds = lost.map(({ broker_id: id }) => id)
  const metadata = decide(views, { name: METADATA }, lostIds)
  if (metadata.kind === 'gone') throw new RecoveryError(`no survivor has the metadata: ${metadata.why}`)
  const partitions: GroupPlan[] = []
  const gone: RecoveryPlan['gone'][number][] = []
  let untouched = 0
  for (const { group_id, name, replicas, move_id } of known.partitions) {
    const decision = decide(views, { name, move_id }, lostIds)
    if (decision.kind === 'majority') untouched++
    else if (decision.kind === 'force') partitions.push(decision.plan)
    else gone.push({ group_id, name, replicas, why: decision.why })
  }
  if (metadata.kind === 'majority' && partitions.length === 0)
    throw new RecoveryError(
      gone.length === 0
        ? 'every group has its majority: nothing is to be forced'
        : `nothing is left of ${gone.map(({ name }) => name).join(', ')}, every other group has its majority: nothing is to be forced`,
    )
  const rest = {
    made_at: now.toISOString(),
    cluster_id: first.cluster_id,
    survivors: survivors.map(({ address, view: { broker_id, node_uuid } }) => ({
      broker_id,
      address,
      node_uuid,
    })),
    lost: lost.map(({ broker_id, host, port }) => ({ broker_id, address: `${host}:${port}` })),
    metadata: metadata.kind === 'force' ? metadata.plan : null,
    partitions,
    gone,
    untouched,
  }
  const checksum = checksumOf(rest)
  return { format: PLAN_FORMAT, id: checksum.slice(0, 12), checksum, ...rest }
}

/** Of everything that a plan says. */
function checksumOf(rest: Omit<RecoveryPlan, 'format' | 'id' | 'checksum'>): string {
  return createHash('sha256').update(JSON.stringify(rest)).digest('hex')
}

/**
 * A plan as it was written, whole.
 * @throws RecoveryError
 */
export function parsePlan(text: string): RecoveryPlan {
  let plan: RecoveryPlan
  try {
    plan = JSON.parse(text) as RecoveryPlan
  } catch (cause) {
    throw new RecoveryError('the plan is not JSON', { cause })
  }
  const { format, id, checksum, ...rest } = plan
  if (format !== PLAN_FORMAT)
    throw new RecoveryError(`the plan is of another format than ${PLAN_FORMAT}: make a new one`)
  if (checksumOf(rest) !== checksum || id !== checksum.slice(0, 12))
    throw new RecoveryError('the plan was changed since it was made: make a new one')
  return plan
}

/** Why the plan is not to be carried out now: what it was made from is different. Empty: it fits. */
export function misfits(plan: RecoveryPlan, views: readonly RecoveryView[]): readonly string[] {
  const problems: string[] = []
  const byId = new Map(views.map((view) => [view.broker_id, view]))
  for (const { broker_id, node_uuid } of plan.survivors) {
    const view = byId.get(broker_id)
    if (view === undefined) problems.push(`broker ${broker_id} does not answer`)
    else if (view.cluster_id !== plan.cluster_id)
      problems.push(
        `broker ${broker_id} belongs to cluster ${view.cluster_id}, the plan to ${plan.cluster_id}`,
      )
    else if (view.node_uuid !== node_uuid)
      problems.push(`broker ${broker_id} has another data directory than when the plan was made`)
  }
  if (problems.length > 0) return problems
  for (const { broker_id } of plan.lost)
    for (const view of views) {
      const its = view.brokers.find((broker) => broker.broker_id === broker_id)
      if (its !== undefined && its.silent_ms < view.quiet_ms)
        problems.push(`broker ${broker_id} was heard by broker ${view.broker_id} ${its.silent_ms} ms ago`)
    }
  for (const group of groupsOf(plan)) problems.push(...misfitsOf(group, byId))
  return problems
}

/** The metadata's group first, if it is among them. */
export function groupsOf({ metadata, partitions }: RecoveryPlan): readonly GroupPlan[] {
  return metadata === null ? partitions : [metadata, ...partitions]
}

/** True once the plan was carried out for the group, by its chosen broker. */
export function isForced({ chosen, group_id, term }: GroupPlan, views: Iterable<RecoveryView>): boolean {
  for (const { broker_id, groups } of views)
    if (broker_id === chosen) return groups.some((group) => group.group_id === group_id && group.term >= term)
  return false
}

function misfitsOf(plan: GroupPlan, views: ReadonlyMap<number, RecoveryView>): readonly string[] {
  if (isForced(plan, views.values())) return []
  const problems: string[] = []
  for (const replica of plan.survivors) {
    const group = views
      .get(replica.broker_id)
      ?.groups.find(({ group_id, unfit }) => group_id === plan.group_id && unfit === null)
    if (group === undefined) problems.push(`broker ${replica.broker_id} does not have ${plan.name} any more`)
    else if (group.leader !== 0 && views.has(group.leader))
      problems.push(`broker ${group.leader} leads ${plan.name}`)
    else if (
      group.last_index !== replica.last_index ||
      termAtEnd(group) !== replica.last_term ||
      group.commit !== replica.commit
    )
      problems.push(`the log of ${plan.name} on broker ${replica.broker_id} has changed`)
  }
  return problems
}

type Decision =
  | { readonly kind: 'majority' }
  | { readonly kind: 'gone'; readonly why: string }
  | { readonly kind: 'force'; readonly plan: GroupPlan }

function decide(
  views: readonly RecoveryView[],
  subject: { readonly name: string; readonly move_id?: number },
  lost: readonly number[],
): Decision {
  const { name } = subject
  const holders = holdersOf(views, name)
  const best = bestSurvivor(holders.map(({ log }) => log))
  const chosen = holders.find(({ log }) => log === best)
  if (chosen !== undefined && hasMajority([chosen.group.voters, chosen.group.voters_outgoing], lost))
    return { kind: 'majority' }
  checkSettled(views, name)
  if (chosen === undefined) return { kind: 'gone', why: whyGone(views, name) }
  const { voters, voters_outgoing, learners } = chosen.group
  const members = [...new Set([...voters, ...voters_outgoing, ...learners])]
  checkQuiet(views, holders)
  const kept = holders
    .filter(({ brokerId }) => members.includes(brokerId))
    .sort((a, b) => Number(b === chosen) - Number(a === chosen) || a.brokerId - b.brokerId)
  const { group_id, last_index } = chosen.group
  const moves = holders.map(({ group }) => group.move_id)
  return {
    kind: 'force',
    plan: {
      group_id,
      name,
      chosen: chosen.brokerId,
      voters: kept.map(({ brokerId }) => brokerId),
      move_id: subject.move_id === undefined ? 0 : Math.max(subject.move_id, ...moves) + MOVES_SKIPPED,
      term: Math.max(...holders.map(({ group }) => group.term)) + TERMS_SKIPPED,
      last_index,
      last_term: lastTermOf(chosen.log),
      members,
      survivors: kept.map(replicaOf),
      loss: lossOf(
        chosen,
        kept,
        lost.filter((id) => members.includes(id)),
      ),
    },
  }
}

/** Replicas that can be relied on, of brokers that take part in the group. */
function holdersOf(views: readonly RecoveryView[], name: string): readonly Holder[] {
  return views.flatMap(({ broker_id: brokerId, groups }) =>
    groups.flatMap((group) => {
      const { commit, last_index: lastIndex, tail, voters, voters_outgoing, learners } = group
      const isMember = [voters, voters_outgoing, learners].some((ids) => ids.includes(brokerId))
      if (group.name !== name || group.unfit !== null || !isMember) return []
      return [{ brokerId, group, log: { node: brokerId as NodeId, commit, lastIndex, tail } }]
    }),
  )
}

function replicaOf({ brokerId, group, log }: Holder): SurvivingReplica {
  const { last_index, commit, end, newest_at } = group
  return { broker_id: brokerId, last_index, last_term: lastTermOf(log), commit, end, newest_at }
}

function lossOf(chosen: Holder, kept: readonly Holder[], lost: readonly number[]): string {
  const { end, newest_at, commit, last_index } = chosen.group
  const brokers = `broker${lost.length === 1 ? '' : 's'} ${lost.join(', ')}`
  const unsure = last_index - commit
  const kept_more =
    unsure === 0
      ? ''
      : ` ${unsure} ${unsure === 1 ? 'entry' : 'entries'} behind that ${unsure === 1 ? 'is' : 'are'} kept too, committed or not.`
  if (end === null)
    return `decisions up to entry ${commit} are kept.${kept_more} Later ones that only ${brokers} had are lost.`
  const ends = kept.map(({ group }) => group.end ?? 0)
  const known = Math.max(end, ...ends)
  const newest = newest_at === null ? '' : `, the newest of ${new Date(newest_at).toISOString()}`
  const whole =
    known === 0 ? 'no message is known to be committed' : `offsets 0 to ${known - 1} are kept${newest}`
  return `${whole}.${kept_more} Messages from offset ${known} on that only ${brokers} had are lost, also when they were acknowledged.`
}

function whyGone(views: readonly RecoveryView[], name: string): string {
  const reasons = views.flatMap(({ broker_id, groups }) =>
    groups.flatMap((group) =>
      group.name === name && group.unfit !== null ? [`broker ${broker_id}: ${group.unfit}`] : [],
    ),
  )
  return reasons.length === 0 ? 'no survivor has a replica' : reasons.join('; ')
}

/** The survivor whose metadata knows most: what any of them knows to be decided. */
function informed(views: readonly RecoveryView[]): RecoveryView {
  const best = bestSurvivor(holdersOf(views, METADATA).map(({ log }) => log))
  const found = views.find(({ broker_id }) => broker_id === best?.node)
  if (found === undefined)
    throw new RecoveryError(`no survivor has the metadata: ${whyGone(views, METADATA)}`)
  return found
}

function checkSame(views: readonly RecoveryView[]): void {
  const clusters = new Set(views.map(({ cluster_id }) => cluster_id))
  if (clusters.size > 1)
    throw new RecoveryError(`the brokers belong to different clusters: ${[...clusters].join(', ')}`)
  const ids = views.map(({ broker_id }) => broker_id)
  const twice = ids.find((id, i) => ids.indexOf(id) !== i)
  if (twice !== undefined) throw new RecoveryError(`broker ${twice} is named twice`)
}

function checkLost(views: readonly RecoveryView[], lost: RecoveryView['brokers']): void {
  if (lost.length === 0) throw new RecoveryError('every broker of the cluster answers: nobody is lost')
  for (const view of views)
    for (const { broker_id, silent_ms } of view.brokers)
      if (lost.some((broker) => broker.broker_id === broker_id) && silent_ms < view.quiet_ms)
        throw new RecoveryError(
          `broker ${broker_id} is not named, and broker ${view.broker_id} heard it ${silent_ms} ms ago: name it, or stop it and wait ${view.quiet_ms} ms`,
        )
}

/** A broker that begins has most of what it has on its disk only: that is not gone. */
function checkSettled(views: readonly RecoveryView[], name: string): void {
  for (const { broker_id, groups } of views)
    for (const group of groups)
      if (group.name === name && typeof group.unsettled === 'string')
        throw new RecoveryError(
          `broker ${broker_id} cannot say yet what it has of ${name}: ${group.unsettled}. Make the plan once it can; if it stays so, its log says why`,
        )
}

/** A leader that has lost its majority does not know so at once: it is no sign that there is one. */
function checkQuiet(views: readonly RecoveryView[], holders: readonly Holder[]): void {
  for (const { brokerId, group } of holders) {
    const quietMs = views.find(({ broker_id }) => broker_id === brokerId)?.quiet_ms ?? 0
    if (group.leader !== 0)
      throw new RecoveryError(
        `${group.name} is led by broker ${group.leader}, says broker ${brokerId}, but too many of its voters are silent: wait until it has been without a leader for ${quietMs} ms`,
      )
    if (group.leaderless_ms < quietMs)
      throw new RecoveryError(
        `${group.name} has been without a leader for ${group.leaderless_ms} ms on broker ${brokerId}: it may still elect one; wait until it is ${quietMs} ms`,
      )
  }
}

/** Each half of a configuration, without those who are lost. */
export function hasMajority(halves: readonly (readonly number[])[], lost: readonly number[]): boolean {
  return halves.every(
    (voters) => voters.length === 0 || voters.filter((id) => !lost.includes(id)).length * 2 > voters.length,
  )
}

function termAtEnd({ tail }: GroupView): number {
  return tail.at(-1)?.[1] ?? 0
}
