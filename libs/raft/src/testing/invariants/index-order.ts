import { membersOf } from '../../core/configuration.js'
import { type Configuration, type LogIndex, type NodeId, Role, type Term } from '../../core/types.js'
import { holds, type InvariantCheck, type ObservedGroup, type ObservedReplica } from './invariant-check.js'

/**
 * I11. compacted ≤ applied ≤ commit ≤ last, and nothing is applied that is not durable here; at a leader
 * match < next and match ≤ last, and a match never decreases within a term (Raft paper, figure 2:
 * "increases monotonically"), unless the peer's disk has lost what it had. Where logs are kept for the slowest member, none ever needs a snapshot.
 */
export function indexOrder(group: Pick<ObservedGroup, 'keepsLogs' | 'hasLost'>): InvariantCheck {
  const leaderships = new Map<
    NodeId,
    { opening: number; term: Term; configuration: Configuration; matches: Map<NodeId, LogIndex> }
  >()

  function matchesOf({ node, opening, term, configuration }: ObservedReplica): Map<NodeId, LogIndex> {
    const known = leaderships.get(node)
    // With another configuration, a member may have left and come back since the last look.
    if (known?.opening === opening && known.term === term && known.configuration === configuration)
      return known.matches
    const matches = new Map<NodeId, LogIndex>()
    leaderships.set(node, { opening, term, configuration, matches })
    return matches
  }

  function checkPeer(replica: ObservedReplica, peer: NodeId, matches: Map<NodeId, LogIndex>): void {
    const progress = replica.progress(peer)
    if (progress === undefined) {
      // One that left and came back begins anew.
      matches.delete(peer)
      return
    }
    const { match, next, state } = progress
    const about = (): string => `${replica.node} of ${peer} in ${replica.term}: ${match}, ${next}`
    holds(match < next, 'match < next', about)
    holds(match <= replica.log.lastIndex, 'match ≤ last', about)
    if (!group.hasLost(peer)) holds(match >= (matches.get(peer) ?? 0), 'a match never decreases', about)
    if (group.keepsLogs) holds(state !== 'snapshot', 'nobody compacts what a member needs', about)
    matches.set(peer, match)
  }

  return {
    stepped({ node, applied, commit, log }) {
      holds(
        log.compactedIndex <= applied,
        'compacted ≤ applied',
        () => `${node}: ${log.compactedIndex}, ${applied}`,
      )
      holds(applied <= commit, 'applied ≤ commit', () => `${node}: ${applied}, ${commit}`)
    },
    settled(replica) {
      const { node, applied, commit, log, disk, role } = replica
      holds(commit <= log.lastIndex, 'commit ≤ last', () => `${node}: ${commit}, ${log.lastIndex}`)
      holds(
        applied <= disk.log.lastIndex || applied <= log.compactedIndex,
        'applied ≤ durable',
        () => `${node}: ${applied}, ${disk.log.lastIndex}`,
      )
      if (role !== Role.LEADER) return
      const matches = matchesOf(replica)
      for (const peer of membersOf(replica.configuration))
        if (peer !== node) checkPeer(replica, peer, matches)
      for (const peer of matches.keys()) if (replica.progress(peer) === undefined) matches.delete(peer)
    },
  }
}
