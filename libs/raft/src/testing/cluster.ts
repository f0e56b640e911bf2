import { invariant, SeededRandom } from '@sluice/foundation'
import { membersOf } from '../core/configuration.js'
import type { Configuration, NodeId, RaftGroupId } from '../core/types.js'
import { nodeId } from './core-driver.js'
import { GroupIncarnation, type ReplicaFinder } from './group-incarnation.js'
import type { ObservedDisk, ObservedReplica } from './invariants/invariant-check.js'
import { ELECTION_TICKS, SimNode } from './sim-node.js'
import type { SimReplica } from './sim-replica.js'
import type { Surroundings } from './surroundings.js'

/** All nodes and groups of a simulation, and who is where. */
export class Cluster implements ReplicaFinder {
  readonly #around: Surroundings
  readonly #seed: number
  readonly #nodes: SimNode[] = []
  readonly #incarnations = new Map<number, GroupIncarnation>()
  readonly #incarnationCounts = new Map<number, number>()

  constructor(around: Surroundings, seed: number) {
    this.#around = around
    this.#seed = seed
  }

  /** Those that are gone for ever, too. */
  get nodes(): readonly SimNode[] {
    return this.#nodes
  }

  get liveNodes(): readonly SimNode[] {
    return this.#nodes.filter((node) => !node.isDestroyed)
  }

  get groupIds(): readonly number[] {
    return [...this.#incarnations.keys()]
  }

  incarnations(): Iterable<GroupIncarnation> {
    return this.#incarnations.values()
  }

  incarnation(group: number): GroupIncarnation {
    const incarnation = this.#incarnations.get(group)
    invariant(incarnation !== undefined, `there is a group ${group}`)
    return incarnation
  }

  node(id: number): SimNode | undefined {
    return this.#nodes[id - 1]
  }

  /** A new node with an empty disk; it is not started. */
  addNode(): SimNode {
    const id = nodeId(this.#nodes.length + 1)
    const stream = (number: number): SeededRandom => new SeededRandom(this.#seed * 1009 + number * 64 + id)
    const node = new SimNode(id, this.#around, { disk: stream(1), node: stream(2) })
    this.#nodes.push(node)
    return node
  }

  /** A new group, in place of any earlier one of the same id. Nobody has opened it yet. */
  addGroup(id: number, voters: readonly NodeId[], learners: readonly NodeId[]): GroupIncarnation {
    const number = (this.#incarnationCounts.get(id) ?? 0) + 1
    this.#incarnationCounts.set(id, number)
    this.#incarnations.get(id)?.retire()
    const { limits, snapshots } = this.#around.conditions
    const incarnation = new GroupIncarnation({
      id: id as RaftGroupId,
      number,
      voters,
      learners,
      limits,
      keepsLogs: !snapshots,
      electionTicks: ELECTION_TICKS,
      finder: this,
    })
    this.#incarnations.set(id, incarnation)
    return incarnation
  }

  disk(incarnation: GroupIncarnation, node: NodeId): ObservedDisk | undefined {
    return this.node(node)?.store.durable(incarnation.id, incarnation.uuid)
  }

  lostDisk(incarnation: GroupIncarnation, node: NodeId): ObservedDisk | undefined {
    return this.node(node)?.store.lost(incarnation.id, incarnation.uuid)
  }

  hasLost(node: NodeId): boolean {
    return this.node(node)?.hasLost === true
  }

  /** A member of some group has not got back yet what its disk lost. */
  get isRecovering(): boolean {
    return this.groupIds.some((group) => {
      const incarnation = this.incarnation(group)
      const leader = this.leader(group)
      const counts = (node: SimNode): boolean =>
        leader === undefined || membersOf(leader.configuration).includes(node.id)
      return this.liveNodes.some((node) => node.isRecovering(incarnation) && counts(node))
    })
  }

  replicas(incarnation: GroupIncarnation): readonly SimReplica[] {
    const found: SimReplica[] = []
    for (const node of this.#nodes) {
      const replica = node.replica(incarnation.id)
      if (replica?.incarnation === incarnation) found.push(replica)
    }
    return found
  }

  /** Of those that lead, the one of the latest term: the others do not know yet that they do not. */
  leader(group: number): SimReplica | undefined {
    let leader: SimReplica | undefined
    for (const replica of this.replicas(this.incarnation(group)))
      if (replica.isLeader && replica.group.state.term >= (leader?.group.state.term ?? 0)) leader = replica
    return leader
  }

  /** The node of that id; 0 is whoever leads, or the first that runs. */
  target({ group, node }: { readonly group: number; readonly node: number }): SimNode | undefined {
    if (node > 0) return this.node(node)
    const leader = this.leader(group)
    return leader === undefined ? this.#nodes.find(({ isUp }) => isUp) : this.node(leader.node)
  }

  /** Every configuration of the group that may still be in force somewhere, on a disk or in a process. */
  configurations(group: number): readonly Configuration[] {
    const incarnation = this.incarnation(group)
    return [incarnation.initial, ...this.replicas(incarnation).map(({ configuration }) => configuration)]
  }

  /** The group can elect a leader although some nodes are gone for ever, and others have lost their logs. */
  canLive(group: number, configuration: Configuration, without?: NodeId): boolean {
    const { voters, votersOutgoing, promotable } = configuration
    const incarnation = this.incarnation(group)
    const isThere = (id: NodeId): boolean => {
      const node = id === without ? undefined : this.node(id)
      return node?.isDestroyed === false && !node.isRecovering(incarnation)
    }
    const majority = (ids: readonly NodeId[]): boolean => 2 * ids.filter(isThere).length > ids.length
    // A learner may have been found fit just before it went: it becomes a voter all the same.
    const isLively = majority(voters) && majority([...voters, ...promotable])
    return isLively && (votersOutgoing.length === 0 || majority(votersOutgoing))
  }

  /** Members whose nodes are gone for ever, as the leader sees it. */
  missingMembers(leader: ObservedReplica): readonly NodeId[] {
    return membersOf(leader.configuration).filter((id) => this.node(id)?.isDestroyed === true)
  }

  /** The nodes of a mask that are not gone for ever. */
  nodesOf(mask: number): NodeId[] {
    return this.liveNodes.filter(({ id }) => ((mask >> (id - 1)) & 1) === 1).map(({ id }) => id)
  }
}
