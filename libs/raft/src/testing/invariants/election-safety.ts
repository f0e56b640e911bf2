import { type NodeId, Role, type Term } from '../../core/types.js'
import { holds, type InvariantCheck } from './invariant-check.js'

/** I1. Raft paper, figure 3: "at most one leader can be elected in a given term." */
export function electionSafety(): InvariantCheck {
  const leaders = new Map<Term, NodeId>()
  return {
    stepped({ role, term, node }) {
      if (role !== Role.LEADER) return
      const leader = leaders.get(term) ?? node
      holds(leader === node, 'election safety', () => `${leader} and ${node} lead term ${term}`)
      leaders.set(term, node)
    },
  }
}
