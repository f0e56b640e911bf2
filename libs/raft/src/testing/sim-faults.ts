import type { Random } from '@sluice/foundation'
import type { RaftCore } from '../core/core.js'
import type { NodeId } from '../core/types.js'
import type { SimNetwork } from './sim-network.js'
import type { SimNode } from './sim-node.js'
import type { Trace } from './trace.js'

export interface FaultTargets {
  readonly nodes: readonly SimNode[]
  readonly network: SimNetwork
  readonly trace: Trace
  now(): number
  later(delayMs: number, run: () => void): void
}

/** The longest that a node stands still. Milliseconds. */
export const PAUSE_MS_MAX = 400

type Fault = (node: SimNode, other: SimNode) => void

/** Breaks something every now and then, and mends it again some time later. */
export class SimFaults {
  readonly #targets: FaultTargets
  readonly #random: Random
  readonly #everyMs: number
  readonly #faults: readonly Fault[]
  #stopped = false

  constructor(targets: FaultTargets, random: Random, everyMs: number) {
    this.#targets = targets
    this.#random = random
    this.#everyMs = everyMs
    this.#faults = [
      (node) => this.#crash(node),
      (node) => this.#crash(node),
      (node) => this.#isolate(node),
      () => this.#split(),
      (node, other) => this.#cutOneWay(node, other),
      (node) => this.#isolateOneWay(node),
      (node, other) => node.event((core) => void core.transferLeadership(other.id)),
      () => this.#transferFromLeader(),
      (node) => node.event((core) => core.campaign()),
      (node, other) => this.#breakLink(node, other),
      (node) => node.pause(this.#random.next() * PAUSE_MS_MAX),
      (node) => node.checkpoint(),
      () => this.#compactAll(),
      () => this.#crashAll(),
    ]
  }

  start(): void {
    this.#targets.later(this.#random.next() * this.#everyMs * 2, () => {
      if (this.#stopped) return
      const { nodes, trace } = this.#targets
      const which = this.#random.below(this.#faults.length)
      const node = nodes[this.#random.below(nodes.length)]!
      const other = nodes[this.#random.below(nodes.length)]!
      trace.note(this.#targets.now(), 'fault', which, node.id, other.id)
      this.#faults[which]!(node, other)
      this.start()
    })
  }

  /** Mends everything. */
  stop(): void {
    this.#stopped = true
    this.#targets.network.heal()
    for (const node of this.#targets.nodes) if (!node.isUp) node.start()
  }

  #crash(node: SimNode): void {
    if (!node.isUp) return
    node.crash()
    for (const other of this.#targets.nodes)
      if (other !== node && this.#random.below(2) === 0) other.event((core) => core.unreachable(node.id))
    this.#targets.later(this.#random.next() * 500, () => {
      if (!node.isUp) node.start()
    })
  }

  #crashAll(): void {
    for (const node of this.#targets.nodes) this.#crash(node)
  }

  #isolate(node: SimNode): void {
    for (const other of this.#targets.nodes) {
      this.#targets.network.cut(node.id, other.id)
      this.#targets.network.cut(other.id, node.id)
    }
    this.#healLater()
  }

  #isolateOneWay(node: SimNode): void {
    const inward = this.#random.below(2) === 0
    for (const other of this.#targets.nodes) {
      if (inward) this.#targets.network.cut(other.id, node.id)
      else this.#targets.network.cut(node.id, other.id)
    }
    this.#healLater()
  }

  #split(): void {
    const side = new Set<NodeId>()
    for (const { id } of this.#targets.nodes) if (this.#random.below(2) === 0) side.add(id)
    for (const { id: from } of this.#targets.nodes)
      for (const { id: to } of this.#targets.nodes)
        if (side.has(from) !== side.has(to)) this.#targets.network.cut(from, to)
    this.#healLater()
  }

  #cutOneWay(node: SimNode, other: SimNode): void {
    this.#targets.network.cut(node.id, other.id)
    this.#healLater()
  }

  #healLater(): void {
    this.#targets.later(this.#random.next() * 800, () => this.#targets.network.heal())
  }

  #breakLink(node: SimNode, other: SimNode): void {
    const noticeBy = (at: SimNode, peer: NodeId): void => at.event((core: RaftCore) => core.unreachable(peer))
    noticeBy(node, other.id)
    noticeBy(other, node.id)
  }

  #transferFromLeader(): void {
    const { nodes } = this.#targets
    const target = nodes[this.#random.below(nodes.length)]!
    for (const node of nodes) if (node.isLeader) node.event((core) => void core.transferLeadership(target.id))
  }

  #compactAll(): void {
    for (const node of this.#targets.nodes) {
      node.checkpoint()
      node.compact()
    }
  }
}
