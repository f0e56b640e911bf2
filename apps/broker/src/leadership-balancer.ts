import type { NodeId, RaftGroup } from '@sluice/raft'
import type { PartitionReplica } from './partition-replica.js'

/** Leaderships handed over in one round, so that a broker that returns is not flooded. */
const TRANSFERS_PER_ROUND = 4

/**
 * Gives leaderships back: a partition is led by its preferred leader whenever that one is there and has
 * the whole log. Called once a second.
 */
export function returnLeaderships(replicas: Iterable<PartitionReplica>, brokerId: number): number {
  let started = 0
  for (const replica of replicas) {
    const preferred = replica.info.replicas[0]!
    if (preferred === brokerId || !replica.group.isLeader) continue
    if (!isCaughtUp(replica.group, preferred)) continue
    if (replica.group.transferLeadership(preferred as number as NodeId)) started++
    if (started === TRANSFERS_PER_ROUND) break
  }
  return started
}

function isCaughtUp(group: RaftGroup, peer: number): boolean {
  const progress = group.progress(peer as NodeId)
  return progress?.recentActive === true && progress.match >= group.commit && group.commit > 0
}
