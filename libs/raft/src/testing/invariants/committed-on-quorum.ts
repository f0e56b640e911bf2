import { isQuorum } from '../../core/quorum.js'
import { type LogIndex, type NodeId, Role, type Term } from '../../core/types.js'
import { holds, type InvariantCheck, type ObservedGroup } from './invariant-check.js'

/**
 * I9. Raft paper §5.3: "A log entry is committed once the leader that created the entry has replicated it
 * on a majority of the servers", in a joint configuration on a majority of both (§6). On their disks,
 * synced: what a crash takes back was never there.
 */
export function committedOnQuorum(group: ObservedGroup): InvariantCheck {
  const committed = new Map<NodeId, { opening: number; term: Term; index: LogIndex }>()
  return {
    // Before the next event, in which the configuration may change.
    stepped({ node, opening, role, term, commit: index, configuration, log }) {
      const before = committed.get(node)
      const isNews = before?.opening !== opening || before.term !== term || before.index !== index
      if (!isNews) return
      committed.set(node, { opening, term, index })
      if (role !== Role.LEADER || index <= log.compactedIndex) return
      const entryTerm = log.term(index)
      const holders = new Set<NodeId>()
      const has = (voter: NodeId): boolean => {
        // What a disk has lost was there; its node may not vote before it is there again.
        const disks = [group.disk(voter), group.lostDisk(voter)]
        const isThere = disks.some((disk) => {
          if (disk === undefined) return false
          return disk.log.compactedIndex > index || disk.log.term(index) === entryTerm
        })
        if (isThere) holders.add(voter)
        return isThere
      }
      const onQuorum = isQuorum(configuration, has)
      holds(onQuorum, 'committed on a quorum', () => {
        const { voters, votersOutgoing } = configuration
        return `entry ${index} of leader ${node} is on the disks of [${[...holders].join()}] only, of [${voters.join()}][${votersOutgoing.join()}]`
      })
    },
  }
}
