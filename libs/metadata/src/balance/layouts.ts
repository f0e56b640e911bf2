import type { BrokerInfo, PartitionInfo } from '../entities.js'
import type { MetadataState } from '../state.js'
import { isLeaving } from './leaving.js'
import type { PlanBroker, PlanPartition } from './layout.js'
import type { Layouts } from './planner.js'

/**
 * The cluster as the planner sees it. Who is dead, or about to leave, is to keep nothing.
 *
 * @param sizes bytes of partitions by group, as far as they are known
 * @param now who is dead keeps what it has until it is due to be rebuilt; without it, that is due
 */
export function layoutsOf(
  state: MetadataState,
  sizes: ReadonlyMap<number, number> = new Map(),
  now = Infinity,
): Layouts {
  return {
    brokers: state
      .brokers()
      .map((broker) => planBroker(broker, mayTake(state, broker), isRebuildDue(state, broker, now))),
    partitions: state.topics().flatMap(({ replicationFactor, partitions }) =>
      partitions.map((partition) => ({
        ...planPartition(partition, replicationFactor, sizes),
        // Nobody is left who could change its replicas.
        ...(partition.replicas.every((id) => state.lostBy(id) !== undefined) ? { fixed: true } : {}),
      })),
    ),
  }
}

function planBroker(broker: BrokerInfo, takes: boolean, isRebuildDue: boolean): PlanBroker {
  const { id, host, rack, state } = broker
  return {
    id,
    host,
    rack,
    takes,
    keeps: !isRebuildDue && !isLeaving(broker),
    isEvicted: state === 'evicted',
  }
}

function planPartition(
  partition: PartitionInfo,
  replicationFactor: number,
  sizes: ReadonlyMap<number, number>,
): PlanPartition {
  const { groupId, replicas, departing, departed, move } = partition
  return {
    groupId,
    replicas,
    replicationFactor,
    barred: [...departing, ...departed],
    fixed: move !== undefined,
    bytes: sizes.get(groupId) ?? 0,
  }
}

/** Replicas may be placed there. */
export function mayTake(state: MetadataState, { id, state: its }: BrokerInfo): boolean {
  return (its === 'active' || its === 'joining') && state.healthCheck('broker', id)?.status === 'alive'
}

/** It is dead, and has been silent for so long that others take what it holds. */
export function isRebuildDue(state: MetadataState, { id }: BrokerInfo, now: number): boolean {
  const check = state.healthCheck('broker', id)
  if (check?.status === 'alive') return false
  return now - (check?.lastSeenAt ?? 0) >= (state.settings.rebuildAfterMs ?? 0)
}
