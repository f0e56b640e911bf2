import type { BrokerId } from '@sluice/domain'

/** How much a broker that may take replicas carries. */
export interface BrokerLoad {
  readonly id: BrokerId
  readonly replicas: number
  /** Partitions whose preferred leader it is. */
  readonly preferred: number
}

/**
 * The replicas of one more partition: the brokers with the fewest replicas, ties broken by the fewest
 * preferred leaderships, then by id. The first of the answer is the preferred leader: of those chosen
 * the one that leads the fewest.
 *
 * @param loads one per candidate, in any order; `count` of them are chosen, or all when there are fewer
 */
export function placeReplicas(loads: readonly BrokerLoad[], count: number): readonly BrokerId[] {
  const chosen = [...loads]
    .sort((a, b) => a.replicas - b.replicas || a.preferred - b.preferred || a.id - b.id)
    .slice(0, count)
  chosen.sort((a, b) => a.preferred - b.preferred || a.id - b.id)
  return chosen.map((load) => load.id)
}
