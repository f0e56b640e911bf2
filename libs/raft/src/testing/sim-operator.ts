import { refusalOf } from '../core/configuration.js'
import type { ConfigurationChange } from '../core/configuration.js'
import type { Configuration, NodeId } from '../core/types.js'
import type { Cluster } from './cluster.js'
import { nodeId } from './core-driver.js'
import type { Decision, DecisionOf } from './decision.js'
import { contextOf } from './invariants/fingerprint.js'
import type { SimReplica } from './sim-replica.js'
import type { Surroundings } from './surroundings.js'

/** How often those who replace a lost node look whether it is done. Milliseconds. */
const REPLACE_EVERY_MS = 60

/** Those who run the cluster: who is a member where, what is kept, and which group has which id. */
export class SimOperator {
  readonly #cluster: Cluster
  readonly #around: Surroundings
  /** A node that is gone for ever, and the one that takes its place. */
  readonly #replacements: { readonly gone: NodeId; by: NodeId; readonly joint: boolean }[] = []
  /** Every configuration that was ever asked for, with the group's tag. */
  readonly #asked: { readonly tag: number; readonly configuration: Configuration }[] = []

  constructor(cluster: Cluster, around: Surroundings) {
    this.#cluster = cluster
    this.#around = around
  }

  /** Groups in which a node that is gone for ever is not replaced yet. */
  get groupsWithGone(): readonly number[] {
    return this.#replacements.flatMap(({ gone }) => this.#groupsWith(gone))
  }

  /** True when the decision was an operator's. */
  carryOut(decision: Decision): boolean {
    switch (decision.kind) {
      case 'transfer':
        this.#transfer(decision)
        return true
      case 'campaign':
        this.#cluster
          .node(decision.node)
          ?.enter(() => this.#cluster.node(decision.node)?.replica(groupId(decision))?.group.campaign())
        return true
      case 'addVoter':
      case 'addLearner':
      case 'addPromotable':
      case 'remove':
      case 'demote':
        this.#changeOne(decision)
        return true
      case 'members':
        this.#changeMembers(decision)
        return true
      case 'checkpoint':
        this.#cluster.node(decision.node)?.checkpoint(groupId(decision))
        return true
      case 'compact':
        this.#cluster.node(decision.node)?.checkpoint(groupId(decision))
        this.#cluster.node(decision.node)?.compact(groupId(decision), decision.keep)
        return true
      case 'reopen':
        this.#reopen(decision)
        return true
      case 'recreate':
        this.#recreate(decision)
        return true
      case 'destroy':
        this.#replaceNode(decision)
        return true
      case 'loseLog':
        this.#loseLog(decision)
        return true
      default:
        return false
    }
  }

  #transfer({ group, to }: DecisionOf<'transfer'>): void {
    const leader = this.#cluster.leader(group)
    if (leader === undefined) return
    this.#cluster.node(leader.node)?.enter(() => void leader.group.transferLeadership(nodeId(to)))
  }

  #changeOne(decision: DecisionOf<'addVoter' | 'addLearner' | 'addPromotable' | 'remove' | 'demote'>): void {
    const id = nodeId(decision.node)
    if (this.#cluster.node(id)?.isDestroyed !== false) return
    this.#change(decision.group, ({ voters, learners, promotable }) => {
      const others = {
        voters: voters.filter((other) => other !== id),
        learners: learners.filter((other) => other !== id),
        promotable: promotable.filter((other) => other !== id),
      }
      switch (decision.kind) {
        case 'addVoter':
          return { ...others, voters: [...others.voters, id] }
        case 'addLearner':
          return voters.includes(id) ? undefined : { ...others, learners: [...others.learners, id] }
        case 'addPromotable':
          if (voters.includes(id)) return undefined
          return {
            ...others,
            learners: [...others.learners, id],
            promotable: [...others.promotable, id],
          }
        case 'demote':
          return voters.includes(id) ? { ...others, learners: [...others.learners, id] } : undefined
        default:
          return others
      }
    })
  }

  #changeMembers({ group, voters: voterMask, learners: learnerMask }: DecisionOf<'members'>): void {
    const voters = this.#cluster.nodesOf(voterMask)
    const learners = this.#cluster.nodesOf(learnerMask & ~voterMask)
    // Who is gone must be seen off by those who replace it.
    this.#change(group, (present) => {
      const gone = present.voters.filter((id) => this.#cluster.node(id)?.isDestroyed === true)
      return { voters: [...voters, ...gone], learners }
    })
  }

  /** Asks whoever leads for other members; what could not live without those who are gone is not asked for. */
  #change(group: number, next: (present: Configuration) => ConfigurationChange | undefined): void {
    const leader = this.#cluster.leader(group)
    if (leader === undefined) return
    this.#cluster.node(leader.node)?.enter(() => this.#changeAt(leader, next))
  }

  #changeAt(leader: SimReplica, next: (present: Configuration) => ConfigurationChange | undefined): void {
    const present = leader.configuration
    const change = next(present)
    if (change === undefined) return
    const { tag } = leader.incarnation
    const context = contextOf(tag)
    const configuration: Configuration = {
      ...present,
      votersOutgoing: [],
      learners: [],
      promotable: [],
      ...change,
      context,
    }
    if (
      refusalOf(configuration) !== undefined ||
      !this.#cluster.canLive(leader.incarnation.id, configuration)
    )
      return
    const outcome = leader.group.changeConfiguration({ ...change, context })
    if (outcome.kind !== 'accepted') return
    this.#asked.push({ tag, configuration: leader.configuration })
    this.#around.counts.configurationChanges++
  }

  #reopen({ group, node, ms }: DecisionOf<'reopen'>): void {
    const target = this.#cluster.node(node)
    target?.closeGroup(groupId({ group }))
    this.#around.later(ms, () => target?.openGroup(this.#cluster.incarnation(group)))
  }

  /** The group ends and another one gets its id, on every node at a time of its own. */
  #recreate({ group, voters: voterMask, learners: learnerMask, ms }: DecisionOf<'recreate'>): void {
    const voters = this.#cluster.nodesOf(voterMask)
    if (voters.length === 0) return
    const learners = this.#cluster.nodesOf(learnerMask & ~voterMask)
    const incarnation = this.#cluster.addGroup(group, voters, learners)
    this.#around.counts.groupsRecreated++
    this.#cluster.liveNodes.forEach((node, i, { length }) => {
      // One that is down learns of it when it starts.
      this.#around.later((ms * i) / length, () => {
        if (!incarnation.isRetired) node.openGroup(incarnation)
      })
    })
  }

  /** A node is lost with its disk; a new one, with another id, takes its place in all its groups. */
  #replaceNode({ node, joint }: DecisionOf<'destroy'>): void {
    const target = this.#cluster.node(node)
    if (target?.isDestroyed !== false || !this.#canSpare(target.id)) return
    target.destroy()
    const replacement = this.#cluster.addNode()
    replacement.start()
    this.#around.counts.nodesReplaced++
    // It may have been about to take another one's place itself.
    for (const earlier of this.#replacements) if (earlier.by === target.id) earlier.by = replacement.id
    this.#replacements.push({ gone: target.id, by: replacement.id, joint: joint > 0 })
    if (this.#replacements.length === 1) this.#keepReplacing()
  }

  /** A disk has lost its log. One at a time: what is on no other disk is lost for good. */
  #loseLog({ node, ms, machine }: DecisionOf<'loseLog'>): void {
    const target = this.#cluster.node(node)
    if (target?.isDestroyed !== false || !this.#canSpare(target.id)) return
    target.loseLog(machine > 0)
    this.#around.counts.logsLost++
    this.#around.later(ms, () => {
      if (!target.isUp && !target.isDestroyed) target.start()
    })
  }

  #canSpare(id: NodeId): boolean {
    if (this.#cluster.isRecovering) return false
    return this.#cluster.groupIds.every((group) => {
      const { tag } = this.#cluster.incarnation(group)
      const asked = this.#asked.filter((change) => change.tag === tag)
      const all = [...this.#cluster.configurations(group), ...asked.map((change) => change.configuration)]
      return all.every(
        (configuration) =>
          configuration.voters.length === 0 || this.#cluster.canLive(group, configuration, id),
      )
    })
  }

  /** To the end: a change that was seen in force at a leader may be lost with it. */
  #keepReplacing(): void {
    for (const replacement of this.#replacements)
      for (const group of this.#groupsWith(replacement.gone)) this.#replaceIn(group, replacement)
    this.#around.later(REPLACE_EVERY_MS, () => this.#keepReplacing())
  }

  #replaceIn(group: number, { gone, by, joint }: { gone: NodeId; by: NodeId; joint: boolean }): void {
    this.#change(group, ({ voters, learners, promotable }) => {
      const left = {
        voters: voters.filter((id) => id !== gone),
        learners: learners.filter((id) => id !== gone),
        promotable: promotable.filter((id) => id !== gone),
      }
      if (learners.includes(gone)) {
        const known = voters.includes(by) || learners.includes(by)
        return known ? left : { ...left, learners: [...left.learners, by] }
      }
      if (joint) {
        const { learners: others } = left
        return {
          voters: [...left.voters.filter((id) => id !== by), by],
          learners: others.filter((id) => id !== by),
        }
      }
      // First the new one learns everything, then it counts, then the old one goes.
      if (voters.includes(by)) return left
      if (learners.includes(by) && promotable.includes(by)) return undefined
      return {
        voters,
        learners: [...learners.filter((id) => id !== by), by],
        promotable: [...promotable.filter((id) => id !== by), by],
      }
    })
  }

  /** Those where a leader still counts with it. */
  #groupsWith(gone: NodeId): readonly number[] {
    return this.#cluster.groupIds.filter((group) => {
      const leader = this.#cluster.leader(group)
      return leader === undefined || this.#cluster.missingMembers(leader).includes(gone)
    })
  }
}

function groupId({ group }: { readonly group: number }): SimReplica['incarnation']['id'] {
  return group as SimReplica['incarnation']['id']
}
