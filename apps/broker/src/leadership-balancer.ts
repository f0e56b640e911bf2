import type { NodeId, RaftGroup } from '@sluice/raft'
import type { PartitionReplica } from './partition-replica.js'

/** Leaderships handed over in one round, so that a broker that returns is not flooded. */
const TRANSFERS_PER_ROUND = 4

/**
 * Gives leaderships back: a partition is led by its preferred leader whenever that one is there and has
 * the whole log. Where it may not lead, as in maintenance, the next that may takes its place.
 * Called once a second.
 */
export function returnLeaderships(
  replicas: Iterable<PartitionReplica>,
  brokers: { readonly self: number; readonly mayLead: (brokerId: number) => boolean },
): number {
  let started = 0
  for (const { info, group } of replicas) {
    if (!group.isLeader) continue
    const eligible = info.replicas.filter((id) => brokers.mayLead(id))
    const heirs = brokers.mayLead(brokers.self) ? eligible.slice(0, 1) : eligible
    const heir = heirs.find((id) => id === brokers.self || isCaughtUp(group, id))
    if (heir === undefined || heir === brokers.self) continue
    if (group.transferLeadership(heir as number as NodeId)) started++
    if (started === TRANSFERS_PER_ROUND) break
  }
  return started
}

function isCaughtUp(group: RaftGroup, peer: number): boolean {
  const progress = group.progress(peer as NodeId)
  return progress?.recentActive === true && progress.match >= group.commit && group.commit > 0
}
