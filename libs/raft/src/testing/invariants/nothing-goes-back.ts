import type { LogIndex, NodeId, Term } from '../../core/types.js'
import { holds, type InvariantCheck } from './invariant-check.js'

interface Seen {
  readonly incarnation: number
  readonly term: Term
  readonly commit: LogIndex
  readonly applied: LogIndex
}

/** I3. Term, commit and applied index never go back; over a crash, what was durable of them. */
export function nothingGoesBack(): InvariantCheck {
  const seen = new Map<NodeId, Seen>()
  return {
    stepped(node) {
      const { id, incarnation, term, commit, applied } = node
      const before = seen.get(id)
      if (before?.incarnation === incarnation) {
        holds(term >= before.term, 'terms never go back', () => `${id}: ${before.term} to ${term}`)
        holds(commit >= before.commit, 'commit never goes back', () => `${id}: ${before.commit} to ${commit}`)
        holds(applied >= before.applied, 'applied never goes back', () => `${id}: to ${applied}`)
      }
      seen.set(id, { incarnation, term, commit, applied })
    },
    restarted(node) {
      const durable = node.durableHardState
      holds(node.term >= durable.term, 'a restart keeps the term', () => `${node.id}: ${node.term}`)
      holds(node.commit >= durable.commit, 'a restart keeps the commit', () => `${node.id}: ${node.commit}`)
    },
  }
}
