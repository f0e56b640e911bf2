import { type NodeId, Role, type Term } from '../../core/types.js'
import { holds, type InvariantCheck } from './invariant-check.js'

/** I1. Raft paper, figure 3: "at most one leader can be elected in a given term." */
export function electionSafety(): InvariantCheck {
  const leaders = new Map<Term, NodeId>()
  return {
    stepped(node) {
      if (node.role !== Role.LEADER) return
      const leader = leaders.get(node.term) ?? node.id
      holds(leader === node.id, 'election safety', () => `${leader} and ${node.id} lead term ${node.term}`)
      leaders.set(node.term, node.id)
    },
  }
}
