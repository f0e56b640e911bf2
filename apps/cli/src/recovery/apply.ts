import {
  type ForceAnswer,
  type GroupOrder,
  RECOVERY_FORMAT,
  RECOVERY_GROUPS_MAX,
  type RecordRequest,
  type RecoveryView,
} from '@sluice/contracts'
import { delay, messageOf } from '@sluice/foundation'
import { answers, BrokerRefusal, callBroker, readView } from './broker-client.js'
import {
  type GroupPlan,
  groupsOf,
  hasMajority,
  isForced,
  METADATA,
  misfits,
  RecoveryError,
  type RecoveryPlan,
} from './plan.js'

const RETRY_MS = 250
/** For groups to elect their leaders, and brokers to hear what the metadata says. */
const STEP_MS_MAX = 60_000

export interface ApplyOptions {
  readonly plan: RecoveryPlan
  /** The id of the plan, as the operator typed it. */
  readonly confirm: string
  /** Who answers for it: goes into the audit trail. */
  readonly operator: string
  readonly say: (line: string) => void
}

/**
 * Carries a plan out, as far as an earlier run has not: the metadata's group first, which can then say what
 * becomes of the partitions, then those.
 *
 * @throws RecoveryError: where it says so, nothing was changed; else run it again
 */
export async function applyPlan(options: ApplyOptions): Promise<void> {
  const { plan, confirm, say } = options
  if (confirm !== plan.id)
    throw new RecoveryError(`the plan is ${plan.id}, and ${confirm} was confirmed: nothing was changed`)
  await check(plan)
  const recovery = new Recovery(options)
  if (plan.metadata !== null) {
    await recovery.force([plan.metadata])
    say('the metadata has a leader again')
  }
  await recovery.record()
  say(`brokers ${plan.lost.map(({ broker_id }) => broker_id).join(', ')} are given up`)
  await recovery.force(plan.partitions)
  await recovery.end()
}

/** Nothing is begun that does not fit in all. */
async function check(plan: RecoveryPlan): Promise<void> {
  const views: RecoveryView[] = []
  const problems: string[] = []
  for (const { broker_id, address } of plan.survivors)
    try {
      views.push(await readView(address))
    } catch (error) {
      problems.push(`broker ${broker_id} at ${address} does not answer: ${messageOf(error)}`)
    }
  if (problems.length === 0) problems.push(...misfits(plan, views))
  const back = await Promise.all(
    plan.lost.map(async ({ broker_id, address }) => ({
      text: `broker ${broker_id} answers at ${address}: it is not lost`,
      isBack: await answers(address, { clusterId: plan.cluster_id, brokerId: broker_id }),
    })),
  )
  problems.push(...back.flatMap(({ text, isBack }) => (isBack ? [text] : [])))
  if (problems.length > 0)
    throw new RecoveryError(`the plan does not fit, and nothing was changed: ${problems.join('; ')}`)
}

class Recovery {
  readonly #options: ApplyOptions

  constructor(options: ApplyOptions) {
    this.#options = options
  }

  /** Until every one of them has a leader among the survivors. */
  async force(groups: readonly GroupPlan[]): Promise<void> {
    const { plan } = this.#options
    const end = performance.now() + STEP_MS_MAX
    for (let open = groups, views = await this.#views(); ; views = await this.#views()) {
      open = open.filter((group) => !isForced(group, views))
      const waits = new Map<number, string>()
      for (const { broker_id, address } of plan.survivors)
        await this.#order(
          address,
          open.filter(({ chosen }) => chosen === broker_id),
          waits,
        )
      const without = groups.filter(
        (group) => !isForced(group, views) || leaderOf(group.name, views) === undefined,
      )
      if (without.length === 0) return
      if (performance.now() > end)
        throw new RecoveryError(
          `no leader yet for ${without.map((group) => describe(group, waits)).join(', ')}: run apply again with the same plan`,
        )
      await delay(RETRY_MS)
    }
  }

  /** The audit trail, the brokers that are given up, and the partitions' replicas. */
  async record(): Promise<void> {
    const { plan, operator } = this.#options
    const { lost, partitions, gone, metadata } = plan
    const ids = lost.map(({ broker_id }) => broker_id)
    const losses = gone.length === 0 ? '' : `; nothing is left of ${shortened(gone.map(({ name }) => name))}`
    await this.#atLeader({
      kind: 'begin',
      operator,
      lost: ids,
      skips_ids: metadata !== null,
      summary: `brokers ${ids.join(', ')} are given up; ${groupsOf(plan).length} groups go on with what survivors have${losses}`,
    })
    for (let i = 0; i < partitions.length; i += RECOVERY_GROUPS_MAX)
      await this.#atLeader({
        kind: 'partitions',
        partitions: partitions
          .slice(i, i + RECOVERY_GROUPS_MAX)
          .map(({ group_id, move_id, voters, loss }) => ({ group_id, move_id, replicas: voters, loss })),
      })
  }

  async end(): Promise<void> {
    const { partitions, gone } = this.#options.plan
    const lost = gone.length === 0 ? '' : `, ${gone.length} are lost wholly`
    await this.#atLeader({
      kind: 'end',
      summary: `${partitions.length} partitions have a leader again${lost}`,
    })
    const more = withoutMajority(this.#options.plan, await this.#views())
    if (more.length > 0)
      this.#options.say(
        `${shortened(more)}: decided when it was not known yet whether it would stand, and without a majority as well. Make another plan now`,
      )
  }

  /** @param waits gets the groups of which the broker does not know enough yet, each with what it lacks */
  async #order(address: string, groups: readonly GroupPlan[], waits: Map<number, string>): Promise<void> {
    const { plan, confirm } = this.#options
    for (let i = 0; i < groups.length; i += RECOVERY_GROUPS_MAX) {
      const answer = (await callBroker(address, '/recovery/groups', {
        format: RECOVERY_FORMAT,
        plan_id: plan.id,
        confirm,
        cluster_id: plan.cluster_id,
        lost: plan.lost.map(({ broker_id }) => broker_id),
        groups: groups.slice(i, i + RECOVERY_GROUPS_MAX).map(orderOf),
      })) as unknown as ForceAnswer
      for (const { group_id, outcome, reason } of answer.groups) {
        if (outcome === 'wait') waits.set(group_id, reason ?? '')
        if (outcome === 'refused')
          throw new RecoveryError(
            `${groups.find((group) => group.group_id === group_id)?.name ?? ''} was refused by the broker at ${address}: ${reason ?? ''}`,
          )
      }
    }
  }

  /** The leader may have changed, or not serve yet. */
  async #atLeader(step: RecordRequest['step']): Promise<void> {
    const { plan } = this.#options
    const body = { format: RECOVERY_FORMAT, plan_id: plan.id, cluster_id: plan.cluster_id, step }
    const end = performance.now() + STEP_MS_MAX
    for (;;) {
      const leader = leaderOf(METADATA, await this.#views())
      const address = plan.survivors.find(({ broker_id }) => broker_id === leader)?.address
      try {
        if (address !== undefined) {
          await callBroker(address, '/recovery/record', body)
          return
        }
      } catch (error) {
        const isOver = error instanceof BrokerRefusal && error.code !== 'NOT_LEADER'
        if (isOver) throw new RecoveryError(`the metadata refuses: ${error.message}`, { cause: error })
      }
      if (performance.now() > end)
        throw new RecoveryError(
          plan.metadata === null
            ? 'the metadata has no leader, though the plan counts on one: make a new plan'
            : 'the metadata has no leader: run apply again with the same plan',
        )
      await delay(RETRY_MS)
    }
  }

  #views(): Promise<RecoveryView[]> {
    return Promise.all(this.#options.plan.survivors.map(({ address }) => readView(address)))
  }
}

function describe({ group_id, name }: GroupPlan, waits: ReadonlyMap<number, string>): string {
  const reason = waits.get(group_id)
  return reason === undefined ? name : `${name} (${reason})`
}

/** Partitions that the metadata has, and the plan did not know: their creation was in the log, not known to be committed. */
export function withoutMajority(
  { lost, partitions, gone }: RecoveryPlan,
  views: readonly RecoveryView[],
): readonly string[] {
  const lostIds = lost.map(({ broker_id }) => broker_id)
  const known = new Set([...partitions, ...gone].map(({ group_id }) => group_id))
  const more = new Set<string>()
  for (const { partitions: all } of views)
    for (const { group_id, name, replicas } of all)
      if (!known.has(group_id) && !hasMajority([replicas], lostIds)) more.add(name)
  return [...more]
}

/** The survivor that says so itself. */
function leaderOf(name: string, views: readonly RecoveryView[]): number | undefined {
  return views.find(({ broker_id, groups }) =>
    groups.some((group) => group.name === name && group.leader === broker_id),
  )?.broker_id
}

function orderOf({ group_id, name, voters, move_id, term, last_index, last_term }: GroupPlan): GroupOrder {
  return { group_id, name, voters, move_id, term, last_index, last_term }
}

function shortened(names: readonly string[]): string {
  const some = names.slice(0, 20).join(', ')
  return names.length > 20 ? `${some} and ${names.length - 20} more` : some
}
