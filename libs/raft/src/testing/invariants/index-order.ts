import { type LogIndex, type NodeId, Role } from '../../core/types.js'
import { holds, type InvariantCheck, type ObservedCluster, type ObservedNode } from './invariant-check.js'

/**
 * I11. compacted ≤ applied ≤ commit ≤ last, applied ≤ durable ≤ last; at a leader match < next and
 * match ≤ last, and a match never decreases within a term.
 */
export function indexOrder(cluster: ObservedCluster): InvariantCheck {
  const matches = new Map<string, LogIndex>()

  function checkPeer(node: ObservedNode, peer: NodeId): void {
    const progress = node.progress(peer)
    if (progress === undefined) return
    const { match, next, state } = progress
    const key = `${node.id} of ${peer} in ${node.term}`
    holds(match < next, 'match < next', () => `${key}: ${match}, ${next}`)
    holds(match <= node.log.lastIndex, 'match ≤ last', () => `${key}: ${match}`)
    holds(match >= (matches.get(key) ?? 0), 'a match never decreases', () => `${key}: ${match}`)
    holds(state !== 'snapshot', 'nobody compacts what a member needs', () => key)
    matches.set(key, match)
  }

  return {
    stepped(node) {
      const { id, applied, commit, durableIndex, log } = node
      holds(
        log.compactedIndex <= applied,
        'compacted ≤ applied',
        () => `${id}: ${log.compactedIndex}, ${applied}`,
      )
      holds(applied <= commit, 'applied ≤ commit', () => `${id}: ${applied}, ${commit}`)
      holds(applied <= durableIndex, 'applied ≤ durable', () => `${id}: ${applied}, ${durableIndex}`)
    },
    settled(node) {
      const { id, commit, durableIndex, log } = node
      holds(commit <= log.lastIndex, 'commit ≤ last', () => `${id}: ${commit}, ${log.lastIndex}`)
      holds(durableIndex <= log.lastIndex, 'durable ≤ last', () => `${id}: ${durableIndex}, ${log.lastIndex}`)
      for (let index = log.compactedIndex + 1; index <= durableIndex; index += 7)
        holds(node.durableLog.term(index) === log.term(index), 'durable is what is on the disk', () => {
          return `${id}: entry ${index}`
        })
      if (node.role === Role.LEADER) for (const peer of cluster.nodes) checkPeer(node, peer.id)
    },
  }
}
