import type { BrokerId } from '@sluice/domain'
import { invariant } from '@sluice/foundation'

/** A broker as the planner sees it. */
export interface PlanBroker {
  readonly id: BrokerId
  readonly host: string
  /** Empty: unknown. */
  readonly rack: string
  /** May get replicas and leaderships, and counts for what is even. */
  readonly takes: boolean
  /** May keep the replicas that it has. */
  readonly keeps: boolean
  /** Loses its replicas even when nobody can take their place. */
  readonly isEvicted: boolean
}

export interface PlanPartition {
  readonly groupId: number
  /** The first is the preferred leader. */
  readonly replicas: readonly BrokerId[]
  readonly replicationFactor: number
  /** Brokers that must not become replicas of it. */
  readonly barred: readonly BrokerId[]
  /** Its replicas are being changed: it stays as it is. */
  readonly fixed: boolean
  readonly bytes: number
}

/** Two replicas on one rack are worse than two on one host, since a host is part of a rack. */
const SAME_RACK = 2
const SAME_HOST = 1

/** Who holds what, while a plan is made: replicas are changed, and loads kept up. */
export class Layout {
  readonly #brokers: ReadonlyMap<BrokerId, PlanBroker>
  readonly #partitions: ReadonlyMap<number, PlanPartition>
  readonly #replicas = new Map<number, BrokerId[]>()
  /** Groups by the broker that holds a replica. */
  readonly #held = new Map<BrokerId, Set<number>>()
  /** By broker and by another one: groups that could go from here to there, the cheapest last. */
  readonly #candidates = new Map<BrokerId, Map<BrokerId, number[]>>()

  constructor(brokers: readonly PlanBroker[], partitions: readonly PlanPartition[]) {
    this.#brokers = new Map(brokers.map((broker) => [broker.id, broker]))
    this.#partitions = new Map(partitions.map((partition) => [partition.groupId, partition]))
    for (const { groupId, replicas } of partitions) {
      this.#replicas.set(groupId, [...replicas])
      for (const id of replicas) this.#heldBy(id).add(groupId)
    }
  }

  broker(id: BrokerId): PlanBroker | undefined {
    return this.#brokers.get(id)
  }

  movable(): readonly PlanPartition[] {
    return [...this.#partitions.values()].filter((partition) => !partition.fixed)
  }

  partitions(): IterableIterator<PlanPartition> {
    return this.#partitions.values()
  }

  replicasOf(groupId: number): readonly BrokerId[] {
    return [...this.#replicas.get(groupId)!]
  }

  /** The one that is to lead it. */
  leaderOf(groupId: number): BrokerId {
    return this.#replicas.get(groupId)![0]!
  }

  before(groupId: number): readonly BrokerId[] {
    return this.#partitions.get(groupId)!.replicas
  }

  loadOf(id: BrokerId): number {
    return this.#held.get(id)?.size ?? 0
  }

  /** Brokers among which everything shall be even, the emptiest first. */
  balanced(): readonly BrokerId[] {
    return [...this.#brokers.values()]
      .filter((broker) => broker.takes)
      .map((broker) => broker.id)
      .sort((a, b) => this.loadOf(a) - this.loadOf(b) || a - b)
  }

  /** Groups whose replicas, or whose preferred leader, are others than before. */
  changed(): readonly number[] {
    return [...this.#partitions.values()]
      .filter(({ groupId, replicas }) => {
        const now = this.#replicas.get(groupId)!
        return now.length !== replicas.length || now.some((id, position) => id !== replicas[position])
      })
      .map(({ groupId }) => groupId)
  }

  add(groupId: number, id: BrokerId): void {
    this.#replicas.get(groupId)!.push(id)
    this.#heldBy(id).add(groupId)
    this.#changed(groupId)
  }

  remove(groupId: number, id: BrokerId): void {
    const replicas = this.#replicas.get(groupId)!
    invariant(replicas.length > 1, 'a partition keeps a replica')
    replicas.splice(replicas.indexOf(id), 1)
    this.#heldBy(id).delete(groupId)
    this.#changed(groupId)
  }

  replace(groupId: number, from: BrokerId, to: BrokerId): void {
    const replicas = this.#replicas.get(groupId)!
    replicas[replicas.indexOf(from)] = to
    this.#heldBy(from).delete(groupId)
    this.#heldBy(to).add(groupId)
    this.#changed(groupId)
  }

  lead(groupId: number, id: BrokerId): void {
    const replicas = this.#replicas.get(groupId)!
    replicas.splice(replicas.indexOf(id), 1)
    replicas.unshift(id)
  }

  mayGet(groupId: number, id: BrokerId): boolean {
    const { barred } = this.#partitions.get(groupId)!
    return (
      this.#brokers.get(id)?.takes === true &&
      !this.#replicas.get(groupId)!.includes(id) &&
      !barred.includes(id)
    )
  }

  /** Who should get one more replica of the partition, in place of `leaving` if given. */
  bestCandidate(groupId: number, leaving?: BrokerId): BrokerId | undefined {
    return this.balanced()
      .filter((id) => this.mayGet(groupId, id))
      .map((id) => ({ id, crowd: this.crowding(groupId, id, leaving) }))
      .sort((a, b) => a.crowd - b.crowd || this.loadOf(a.id) - this.loadOf(b.id))[0]?.id
  }

  /** How many of the partition's other replicas are in the same place as the broker, `leaving` not counted. */
  crowding(groupId: number, id: BrokerId, leaving?: BrokerId): number {
    const place = this.#brokers.get(id)
    if (place === undefined) return 0
    let crowd = 0
    for (const other of this.#replicas.get(groupId)!) {
      if (other === id || other === leaving) continue
      const its = this.#brokers.get(other)
      if (its?.keeps !== true) continue
      if (place.rack !== '' && its.rack === place.rack) crowd += SAME_RACK
      if (its.host === place.host) crowd += SAME_HOST
    }
    return crowd
  }

  /** The replica that is missed the least. */
  mostLoaded(groupId: number): BrokerId {
    const [, ...others] = this.#replicas.get(groupId)!
    return others.toSorted(
      (a, b) => this.crowding(groupId, b) - this.crowding(groupId, a) || this.loadOf(b) - this.loadOf(a),
    )[0]!
  }

  /** The smallest partition that can go from one broker to another without its replicas getting closer. */
  cheapestMove(from: BrokerId, to: BrokerId): number | undefined {
    const candidates = this.#candidatesOf(from, to)
    for (let groupId = candidates.pop(); groupId !== undefined; groupId = candidates.pop())
      if (this.#mayMove(groupId, from, to)) return groupId
    return undefined
  }

  /** Looked for once; a partition is looked at again when its replicas have changed, since nothing else matters. */
  #candidatesOf(from: BrokerId, to: BrokerId): number[] {
    let targets = this.#candidates.get(from)
    if (targets === undefined) this.#candidates.set(from, (targets = new Map<BrokerId, number[]>()))
    let candidates = targets.get(to)
    if (candidates === undefined) {
      candidates = [...this.#heldBy(from)].filter((groupId) => this.#mayMove(groupId, from, to))
      candidates.sort((a, b) => this.#compare(b, a, to))
      targets.set(to, candidates)
    }
    return candidates
  }

  #changed(groupId: number): void {
    for (const from of this.#replicas.get(groupId)!)
      for (const [to, candidates] of this.#candidates.get(from) ?? []) {
        if (!this.#mayMove(groupId, from, to)) continue
        let low = 0
        let high = candidates.length
        while (low < high) {
          const middle = (low + high) >>> 1
          if (this.#compare(candidates[middle]!, groupId, to) > 0) low = middle + 1
          else high = middle
        }
        candidates.splice(low, 0, groupId)
      }
  }

  #mayMove(groupId: number, from: BrokerId, to: BrokerId): boolean {
    return (
      this.#heldBy(from).has(groupId) &&
      !this.#partitions.get(groupId)!.fixed &&
      this.mayGet(groupId, to) &&
      this.crowding(groupId, to, from) <= this.crowding(groupId, from)
    )
  }

  /** One that goes back to a broker that held it costs least; among the same the smallest, then the first. */
  #compare(one: number, other: number, to: BrokerId): number {
    const [a, b] = [this.#partitions.get(one)!, this.#partitions.get(other)!]
    const returns = (it: PlanPartition): number => (it.replicas.includes(to) ? 0 : 1)
    return returns(a) - returns(b) || a.bytes - b.bytes || one - other
  }

  #heldBy(id: BrokerId): Set<number> {
    let held = this.#held.get(id)
    if (held === undefined) this.#held.set(id, (held = new Set()))
    return held
  }
}
