import type { NodeId } from '../core/types.js'
import type { Cluster } from './cluster.js'
import { nodeId } from './core-driver.js'
import type { Decision, DecisionOf } from './decision.js'
import type { SimNetwork } from './sim-network.js'
import type { SimNode } from './sim-node.js'
import type { Surroundings } from './surroundings.js'

/** Breaks processes, disks, clocks and links, and mends them again after a while. */
export class SimFaults {
  readonly #cluster: Cluster
  readonly #network: SimNetwork
  readonly #around: Surroundings
  readonly #clockRates = new Map<NodeId, number>()

  constructor(cluster: Cluster, network: SimNetwork, around: Surroundings) {
    this.#cluster = cluster
    this.#network = network
    this.#around = around
  }

  /** How fast time runs on a node, by decision; `undefined` when nobody has touched its clock. */
  clockRate(node: NodeId): number | undefined {
    return this.#clockRates.get(node)
  }

  /** True when the decision was a fault. */
  carryOut(decision: Decision): boolean {
    return this.#breakProcess(decision) || this.#breakLinks(decision)
  }

  /** Mends everything. */
  heal(): void {
    this.#network.mendAll()
    this.#clockRates.clear()
    for (const node of this.#cluster.liveNodes) node.heal()
  }

  #breakProcess(decision: Decision): boolean {
    switch (decision.kind) {
      case 'crash':
        this.#crash(this.#node(decision), decision)
        return true
      case 'crashInTurn': {
        const node = this.#node(decision)
        node?.dieInTurn(decision.sends, () => this.#crash(node, decision))
        return true
      }
      case 'crashAll':
        for (const node of this.#cluster.liveNodes) this.#crash(node, decision)
        return true
      case 'stop':
        this.#stop(decision)
        return true
      case 'pause':
        this.#node(decision)?.pause(decision.ms, decision.ticksFirst > 0)
        return true
      case 'clock':
        this.#clockRates.set(nodeId(decision.node), decision.percent / 100)
        return true
      case 'diskStall':
        this.#node(decision)?.store.stall(this.#around.now() + decision.ms)
        return true
      default:
        return false
    }
  }

  #breakLinks(decision: Decision): boolean {
    const network = this.#network
    switch (decision.kind) {
      case 'cut':
        network.cut(nodeId(decision.from), nodeId(decision.to), decision.ms)
        return true
      case 'isolate':
        this.#isolate(decision)
        return true
      case 'split':
        this.#separate(decision.mask, decision.ms)
        return true
      case 'bridge':
        this.#separate(decision.mask, decision.ms, decision.node)
        return true
      case 'reset':
        this.#reset(decision)
        return true
      case 'replay':
        this.#around.counts.framesReplayed += decision.count
        network.replay(nodeId(decision.from), nodeId(decision.to), decision.count)
        return true
      case 'corrupt':
        this.#around.counts.framesDamaged++
        network.corruptNext(nodeId(decision.from), nodeId(decision.to), decision)
        return true
      default:
        return false
    }
  }

  #node({ node }: { readonly node: number }): SimNode | undefined {
    return this.#cluster.node(node)
  }

  #crash(node: SimNode | undefined, { ms, kept }: { readonly ms: number; readonly kept: number }): void {
    if (node?.isUp !== true) return
    this.#around.counts.crashes++
    node.crash(kept / 1000)
    this.#startLater(node, ms)
  }

  #stop({ node: id, ms }: DecisionOf<'stop'>): void {
    const node = this.#cluster.node(id)
    if (node?.isUp !== true) return
    node.stop()
    this.#startLater(node, ms)
  }

  #startLater(node: SimNode, ms: number): void {
    // Whoever is connected to it sees the connection break, sooner or later.
    for (const other of this.#cluster.nodes)
      if (other !== node && (node.id + other.id) % 2 === 0)
        this.#around.later(ms / 4, () => other.enter((host) => host.peerDown(node.id)))
    this.#around.later(ms, () => {
      if (!node.isUp && !node.isDestroyed) node.start()
    })
  }

  #isolate({ node, direction, ms }: DecisionOf<'isolate'>): void {
    const id = nodeId(node)
    for (const { id: other } of this.#cluster.nodes) {
      if (direction !== 2) this.#network.cut(other, id, ms)
      if (direction !== 1) this.#network.cut(id, other, ms)
    }
  }

  /** Two sides that do not hear each other, but for a node that hears both and is heard by both. */
  #separate(mask: number, ms: number, bridge = 0): void {
    const isInside = (id: NodeId): boolean => ((mask >> (id - 1)) & 1) === 1
    for (const { id: from } of this.#cluster.nodes)
      for (const { id: to } of this.#cluster.nodes)
        if (isInside(from) !== isInside(to) && from !== nodeId(bridge) && to !== nodeId(bridge))
          this.#network.cut(from, to, ms)
  }

  /** A connection breaks: what was on its way in both directions is lost, and both ends may be told. */
  #reset({ from, to, notices }: DecisionOf<'reset'>): void {
    const [a, b] = [nodeId(from), nodeId(to)]
    this.#network.reset(a, b)
    this.#network.reset(b, a)
    if ((notices & 1) === 1) this.#cluster.node(a)?.enter((host) => host.peerDown(b))
    if ((notices & 2) === 2) this.#cluster.node(b)?.enter((host) => host.peerDown(a))
  }
}
