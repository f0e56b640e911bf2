import { type NodeId, Role } from '../../core/types.js'
import { nodeId } from '../core-driver.js'
import { type Parcel, parcelText } from './parcel.js'
import { ScenarioError } from './scenario-error.js'
import { ScriptLaws } from './script-laws.js'
import { type ParcelFilter, ScriptNetwork } from './script-network.js'
import { type NodeStart, ScriptedNode, type ScriptSurroundings } from './scripted-node.js'

const ROUNDS_MAX = 1000
const VOTE_KINDS = ['pre-vote', 'vote', 'pre-vote-response', 'vote-response']

/** The nodes of a scenario and what travels between them. Everything that happens is told, line by line. */
export class ScriptWorld implements ScriptSurroundings {
  readonly laws = new ScriptLaws()
  readonly network = new ScriptNetwork()
  readonly #nodes: ScriptedNode[] = []
  #lines: string[] = []

  get nodes(): readonly ScriptedNode[] {
    return this.#nodes
  }

  get nextId(): NodeId {
    return nodeId(this.#nodes.length + 1)
  }

  addNode(start: NodeStart): void {
    this.#nodes.push(new ScriptedNode(this.nextId, start, this))
  }

  node(id: NodeId): ScriptedNode {
    const node = this.#nodes[id - 1]
    if (node === undefined) throw new ScenarioError(`there is no node ${id}`)
    return node
  }

  /** Those nodes, or all that run when none are named. */
  nodesOf(ids: readonly NodeId[]): readonly ScriptedNode[] {
    return ids.length > 0 ? ids.map((id) => this.node(id)) : this.#nodes.filter((node) => node.isUp)
  }

  print(line: string): void {
    this.#lines.push(line)
  }

  takeLines(): readonly string[] {
    const lines = this.#lines
    this.#lines = []
    return lines
  }

  send(parcel: Parcel): void {
    this.print(parcelText(parcel))
    this.network.send(parcel)
  }

  /**
   * Delivers what the filter means. What is for a node in `drop`, or for one that does not run, is lost;
   * `keep` leaves it on its way, so that it arrives once more.
   *
   * @returns how many were delivered or lost
   */
  deliver(
    filter: ParcelFilter,
    options: { readonly drop?: readonly NodeId[]; readonly keep?: boolean } = {},
  ): number {
    const { drop = [], keep = false } = options
    const parcels = this.network.select(filter)
    if (!keep) this.network.remove(parcels)
    for (const parcel of parcels) {
      const node = this.#nodes[parcel.to - 1]
      if (drop.includes(parcel.to) || node?.isUp !== true) this.print(`lost ${parcelText(parcel)}`)
      else node.receive(parcel)
    }
    return parcels.length
  }

  /** These nodes turn, sync, apply, send snapshots and get what is for them, until there is nothing left to do. */
  stabilize(nodes: readonly ScriptedNode[]): void {
    const to = nodes.map(({ id }) => id)
    for (let round = 0; round < ROUNDS_MAX; round++) {
      let isQuiet = true
      for (const node of nodes) while (this.#work(node)) isQuiet = false
      if (this.deliver({ to }) > 0) isQuiet = false
      if (isQuiet) return
    }
    throw new ScenarioError(`${to.join(', ')} never come to rest`)
  }

  /**
   * The node campaigns and gets the votes of these nodes, and of nobody else: requests to others are lost.
   * It leads then, and has said nothing yet.
   */
  elect(candidate: ScriptedNode, voters: readonly ScriptedNode[]): void {
    const nodes = [candidate, ...voters]
    const to = nodes.map(({ id }) => id)
    candidate.step((core) => core.campaign())
    for (let round = 0; round < ROUNDS_MAX && candidate.core.role !== Role.LEADER; round++) {
      for (const node of nodes) while (node.turn() || node.persist());
      for (const kind of VOTE_KINDS) this.deliver({ to, kind })
    }
    if (candidate.core.role !== Role.LEADER) throw new ScenarioError(`node ${candidate.id} is not elected`)
    this.network.remove(VOTE_KINDS.flatMap((kind) => this.network.select({ kind, from: [candidate.id] })))
  }

  #work(node: ScriptedNode): boolean {
    if (node.turn() || node.persist() || node.apply()) return true
    const [peer] = node.owed
    if (peer === undefined) return false
    node.sendSnapshot(peer)
    return true
  }
}
