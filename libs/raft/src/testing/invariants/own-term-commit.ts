import { type LogIndex, type NodeId, Role, type Term } from '../../core/types.js'
import { holds, type InvariantCheck } from './invariant-check.js'

/**
 * I10. Raft paper §5.4.2: "Raft never commits log entries from previous terms by counting replicas.
 * Only log entries from the leader's current term are committed by counting replicas."
 */
export function ownTermCommit(): InvariantCheck {
  const leading = new Map<NodeId, { opening: number; term: Term; commit: LogIndex }>()
  return {
    settled({ node, opening, role, term, commit, log }) {
      const before = leading.get(node)
      if (role !== Role.LEADER) {
        if (before !== undefined) leading.delete(node)
        return
      }
      if (before?.opening === opening && before.term === term && before.commit === commit) return
      leading.set(node, { opening, term, commit })
      if (before?.opening !== opening || before.term !== term) return
      holds(
        log.term(commit) === term,
        'only own entries are committed by counting',
        () => `leader ${node} of term ${term} committed ${commit} of term ${log.term(commit) ?? -1}`,
      )
    },
  }
}
