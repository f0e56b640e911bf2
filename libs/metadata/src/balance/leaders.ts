import type { BrokerId } from '@sluice/domain'
import type { Layout } from './layout.js'

interface Step {
  readonly from: BrokerId
  readonly groupId: number
}

/**
 * Makes preferred leaders even, without moving a replica: a leadership goes from one replica of a partition
 * to another. Where the fullest and the emptiest broker share no partition, it goes through those between
 * them, along the shortest way.
 */
export function evenLeaders(layout: Layout): void {
  const balanced = new Set(layout.balanced())
  const led = new Map<BrokerId, Set<number>>([...balanced].map((id) => [id, new Set<number>()]))
  for (const { groupId, fixed } of layout.partitions()) {
    const [leader] = layout.replicasOf(groupId)
    if (!fixed && leader !== undefined && !balanced.has(leader)) {
      // Nobody shall prefer a broker that takes nothing, as long as another one is there.
      const heir = layout
        .replicasOf(groupId)
        .filter((id) => balanced.has(id))
        .sort((a, b) => led.get(a)!.size - led.get(b)!.size)[0]
      if (heir !== undefined && layout.broker(leader)?.keeps !== true) layout.lead(groupId, heir)
    }
    led.get(layout.replicasOf(groupId)[0]!)?.add(groupId)
  }
  const leaderships = new Leaderships(layout, [...balanced])
  for (;;) {
    const way = leaderships.nextWay()
    if (way === undefined) return
    let to = way.to
    for (const { from, groupId } of way.steps.toReversed()) {
      leaderships.move(groupId, from, to)
      to = from
    }
  }
}

/** Which leaderships can go from which broker to which: looked up, so that a step costs by brokers, not by partitions. */
class Leaderships {
  readonly #layout: Layout
  readonly #brokers: readonly BrokerId[]
  readonly #counts = new Map<BrokerId, number>()
  /** By who leads them, then by who else holds a replica. */
  readonly #shared = new Map<BrokerId, Map<BrokerId, Set<number>>>()

  constructor(layout: Layout, brokers: readonly BrokerId[]) {
    this.#layout = layout
    this.#brokers = brokers
    for (const id of brokers) {
      this.#counts.set(id, 0)
      this.#shared.set(id, new Map(brokers.map((other) => [other, new Set()])))
    }
    for (const { groupId, fixed } of layout.partitions()) {
      const leader = layout.leaderOf(groupId)
      if (!this.#counts.has(leader)) continue
      this.#counts.set(leader, this.#countOf(leader) + 1)
      if (!fixed) this.#share(groupId, leader)
    }
  }

  /** From one of the brokers that lead the most to one that leads at least two fewer, the shortest way. */
  nextWay(): { readonly steps: readonly Step[]; readonly to: BrokerId } | undefined {
    const order = this.#brokers.toSorted((a, b) => this.#countOf(b) - this.#countOf(a) || a - b)
    for (const from of order) {
      const way = this.#shortestWay(from)
      if (way !== undefined) return way
    }
    return undefined
  }

  move(groupId: number, from: BrokerId, to: BrokerId): void {
    for (const groups of this.#shared.get(from)!.values()) groups.delete(groupId)
    this.#layout.lead(groupId, to)
    this.#counts.set(from, this.#countOf(from) - 1)
    this.#counts.set(to, this.#countOf(to) + 1)
    this.#share(groupId, to)
  }

  /** Over partitions that both ends of a step hold. */
  #shortestWay(from: BrokerId): { readonly steps: readonly Step[]; readonly to: BrokerId } | undefined {
    const goal = this.#countOf(from) - 2
    const reached = new Map<BrokerId, readonly Step[]>([[from, []]])
    for (const [at, steps] of reached)
      for (const [to, groups] of this.#shared.get(at)!) {
        const [groupId] = groups
        if (groupId === undefined || reached.has(to)) continue
        const way = [...steps, { from: at, groupId }]
        if (this.#countOf(to) <= goal) return { steps: way, to }
        reached.set(to, way)
      }
    return undefined
  }

  #share(groupId: number, leader: BrokerId): void {
    for (const id of this.#layout.replicasOf(groupId))
      if (id !== leader) this.#shared.get(leader)!.get(id)?.add(groupId)
  }

  #countOf(id: BrokerId): number {
    return this.#counts.get(id)!
  }
}
