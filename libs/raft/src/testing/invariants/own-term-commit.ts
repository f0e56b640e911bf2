import { type LogIndex, type NodeId, Role, type Term } from '../../core/types.js'
import { holds, type InvariantCheck } from './invariant-check.js'

/**
 * I10. Raft paper §5.4.2: "Raft never commits log entries from previous terms by counting replicas.
 * Only log entries from the leader's current term are committed by counting replicas."
 */
export function ownTermCommit(): InvariantCheck {
  const leading = new Map<NodeId, { incarnation: number; term: Term; commit: LogIndex }>()
  return {
    settled(node) {
      const { id, incarnation, term, commit } = node
      const before = leading.get(id)
      leading.delete(id)
      if (node.role !== Role.LEADER) return
      leading.set(id, { incarnation, term, commit })
      if (before?.incarnation !== incarnation || before.term !== term || before.commit === commit) return
      holds(node.log.term(commit) === term, 'only own entries are committed by counting', () => {
        return `leader ${id} of term ${term} committed ${commit} of term ${node.log.term(commit) ?? -1}`
      })
    },
  }
}
