import { membersOf } from '../core/configuration.js'
import type { Call } from './call.js'
import type { Cluster } from './cluster.js'
import { InvariantBroken } from './invariants/invariant-check.js'
import type { SimClients } from './sim-clients.js'
import { ELECTION_TICKS, TICK_MS } from './sim-node.js'
import type { SimOperator } from './sim-operator.js'
import type { SimReplica } from './sim-replica.js'
import { KEYS } from './sim-state.js'
import type { VirtualTime } from './virtual-time.js'

const ELECTION_MS = ELECTION_TICKS * TICK_MS
const LEADER_MS_MAX = 10 * ELECTION_MS
/** Nothing more is applied anywhere for so long, and yet the cluster has not come together. */
const STANDSTILL_MS_MAX = 30 * ELECTION_MS
/** Whatever goes on. */
const RECOVERY_MS_MAX = 300 * ELECTION_MS
const CALM_MS = 5 * ELECTION_MS

/**
 * What a cluster owes when nothing breaks any more: each group has a leader within ten election
 * timeouts, its configuration is no longer joint, all its members have the same log and state, it takes
 * writes, everybody can read them, and from then on nobody seeks another leader.
 */
export class Recovery {
  readonly #cluster: Cluster
  readonly #clients: SimClients
  readonly #operator: SimOperator
  readonly #time: VirtualTime

  constructor(parts: {
    readonly cluster: Cluster
    readonly clients: SimClients
    readonly operator: SimOperator
    readonly time: VirtualTime
  }) {
    this.#cluster = parts.cluster
    this.#clients = parts.clients
    this.#operator = parts.operator
    this.#time = parts.time
  }

  /** @throws InvariantBroken */
  async run(): Promise<void> {
    await this.#until(() => this.#withoutLeader(), 'every group has a leader', LEADER_MS_MAX)
    await this.#converge()
    await this.#writeAndRead()
    await this.#converge()
    await this.#stayCalm()
    for (const group of this.#cluster.groupIds) this.#checkOutcome(group)
  }

  #checkOutcome(group: number): void {
    const incarnation = this.#cluster.incarnation(group)
    const members = this.#members(group)
    // Whoever waits at a node that is no member any more is told by those who close the group there.
    for (const replica of this.#cluster.replicas(incarnation))
      if (!members.includes(replica)) replica.abandon()
    incarnation.checks.converged(members)
  }

  #withoutLeader(): string | undefined {
    const without = this.#cluster.groupIds.find((group) => this.#cluster.leader(group) === undefined)
    return without === undefined ? undefined : this.#describe(without, 'has none')
  }

  async #converge(): Promise<void> {
    await this.#until(
      () => this.#whatDiffers(),
      'all members agree',
      STANDSTILL_MS_MAX,
      () => {
        let applied = 0
        for (const group of this.#cluster.groupIds)
          for (const replica of this.#cluster.replicas(this.#cluster.incarnation(group)))
            applied += replica.applied
        return applied
      },
    )
  }

  /** Each group takes writes, and each of its members reads them. */
  async #writeAndRead(): Promise<void> {
    const { groupIds } = this.#cluster
    const writes = groupIds.map((group) => () => {
      return this.#clients.write({ group, node: 0, key: group % KEYS, count: 1, size: 40 })[0]!
    })
    await this.#untilDone(writes, 'a fresh write is done')
    const reads = groupIds.flatMap((group) =>
      this.#members(group).map(
        ({ node }) =>
          () =>
            this.#clients.read({ group, node, key: group % KEYS }),
      ),
    )
    await this.#untilDone(reads, 'every member reads it')
  }

  /** Some are refused at first: a leader may be about to hand over. */
  async #untilDone(attempts: readonly (() => Call)[], promise: string): Promise<void> {
    const calls = attempts.map((attempt) => attempt())
    const unanswered = (): string | undefined => {
      calls.forEach((call, i) => {
        if (call.outcome === 'refused') calls[i] = attempts[i]!()
      })
      const call = calls.find(({ outcome }) => outcome !== 'done')
      return call === undefined ? undefined : `${call.kind} ${call.serial} is ${call.outcome}`
    }
    await this.#until(unanswered, promise, STANDSTILL_MS_MAX)
  }

  async #stayCalm(): Promise<void> {
    const leaders = this.#cluster.groupIds.map((group) => this.#cluster.leader(group)!)
    const terms = leaders.map(({ group }) => group.state.term)
    await this.#time.runUntil(this.#time.nowMs + CALM_MS)
    leaders.forEach((leader, i) => {
      if (!leader.isLeader || leader.group.state.term !== terms[i])
        throw new InvariantBroken(
          `liveness: a leader stays when nothing breaks: ${this.#describe(leader.incarnation.id, 'does not')}`,
        )
    })
  }

  /** Those that are there. */
  #members(group: number): SimReplica[] {
    const leader = this.#cluster.leader(group)
    if (leader === undefined) return []
    const members = membersOf(leader.configuration)
    return [...this.#cluster.replicas(leader.incarnation)].filter(({ node }) => members.includes(node))
  }

  #whatDiffers(): string | undefined {
    const [group] = this.#operator.groupsWithGone
    if (group !== undefined) return this.#describe(group, 'still has a member that is gone')
    for (const group of this.#cluster.groupIds) {
      const why = this.#whatDiffersIn(group)
      if (why !== undefined) return this.#describe(group, why)
    }
    return undefined
  }

  #whatDiffersIn(group: number): string | undefined {
    const leader = this.#cluster.leader(group)
    if (leader === undefined) return 'has no leader'
    const { configuration, log } = leader
    if (configuration.votersOutgoing.length > 0 || !leader.group.isConfigurationCommitted)
      return 'is in the middle of a change'
    if (configuration.promotable.some((id) => this.#cluster.node(id)?.isUp))
      return 'has not promoted a learner'
    const members = this.#members(group)
    const present = membersOf(configuration).filter((id) => this.#cluster.node(id)?.isDestroyed === false)
    if (members.length !== present.length) return 'is not open everywhere'
    const { term } = leader.group.state
    for (const member of members) {
      if (member.group.isRecovering) return `has not recovered on ${member.node}`
      if (member.group.state.term !== term) return `is in another term on ${member.node}`
      if (member.log.lastIndex !== log.lastIndex) return `has another log on ${member.node}`
      if (member.group.applied !== log.lastIndex) return `is not applied on ${member.node}`
      if (member.stateHash !== leader.stateHash) return `has another state on ${member.node}`
    }
    return undefined
  }

  /**
   * @param missing what keeps the promise from being kept, if anything
   * @param progress a number that grows as long as there is hope
   */
  async #until(
    missing: () => string | undefined,
    promise: string,
    withinMs: number,
    progress: () => number = () => 0,
  ): Promise<void> {
    const limitMs = this.#time.nowMs + RECOVERY_MS_MAX
    let untilMs = this.#time.nowMs + withinMs
    let progressed = progress()
    for (let why = missing(); why !== undefined; why = missing()) {
      const now = progress()
      if (now > progressed) untilMs = this.#time.nowMs + withinMs
      progressed = Math.max(progressed, now)
      if (this.#time.nowMs > Math.min(untilMs, limitMs))
        throw new InvariantBroken(`liveness: ${promise}: ${why}`)
      await this.#time.runUntil(this.#time.nowMs + TICK_MS)
    }
  }

  #describe(group: number, what: string): string {
    const incarnation = this.#cluster.incarnation(group)
    const replicas = this.#cluster.replicas(incarnation).map((replica) => {
      const { role, term, leader } = replica.group.state
      const { voters, votersOutgoing, learners, promotable } = replica.configuration
      return (
        `${replica.node}: role ${role} term ${term} leader ${leader} commit ${replica.group.commit}` +
        ` applied ${replica.group.applied} log ${replica.log.compactedIndex}..${replica.log.lastIndex}` +
        ` of [${voters.join()}][${votersOutgoing.join()}][${learners.join()}/${promotable.join()}]` +
        (replica.group.isQuiesced ? ' asleep' : '')
      )
    })
    return [`group ${incarnation.tag} ${what}`, ...replicas].join('\n    ')
  }
}
