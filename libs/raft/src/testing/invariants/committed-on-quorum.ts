import { type LogIndex, type NodeId, Role } from '../../core/types.js'
import { holds, type InvariantCheck, type ObservedCluster } from './invariant-check.js'

/** I9. When a leader commits an entry, the disks of a majority of the voters have it, synced. */
export function committedOnQuorum(cluster: ObservedCluster): InvariantCheck {
  const committed = new Map<NodeId, { incarnation: number; index: LogIndex }>()
  return {
    settled(node) {
      const { id, incarnation, commit: index } = node
      const before = committed.get(id)
      committed.set(id, { incarnation, index })
      if (node.role !== Role.LEADER || (before?.incarnation === incarnation && before.index === index)) return
      const term = node.log.term(index)
      const holders = cluster.nodes.filter(
        ({ isVoter, durableLog }) =>
          isVoter && (durableLog.compactedIndex > index || durableLog.term(index) === term),
      )
      holds(holders.length * 2 > cluster.voterCount, 'committed on a quorum', () => {
        return `entry ${index} of leader ${id} is on the disks of ${holders.map((holder) => holder.id).join()} only`
      })
    },
  }
}
