import type { LogIndex, NodeId, Term } from '../../core/types.js'
import { holds, type InvariantCheck } from './invariant-check.js'

interface Seen {
  readonly opening: number
  readonly term: Term
  readonly commit: LogIndex
  readonly applied: LogIndex
}

/**
 * I3. Raft paper, figure 2: term, commit index and last applied increase monotonically, and a vote stays
 * as long as its term. Over a crash, what was durable of them.
 */
export function nothingGoesBack(): InvariantCheck {
  const seen = new Map<NodeId, Seen>()
  return {
    stepped({ node, opening, term, commit, applied }) {
      const before = seen.get(node)
      if (before?.opening === opening) {
        holds(term >= before.term, 'terms never go back', () => `${node}: ${before.term} to ${term}`)
        holds(
          commit >= before.commit,
          'commit never goes back',
          () => `${node}: ${before.commit} to ${commit}`,
        )
        holds(
          applied >= before.applied,
          'applied never goes back',
          () => `${node}: ${before.applied} to ${applied}`,
        )
      }
      seen.set(node, { opening, term, commit, applied })
    },
    opened({ node, term, commit, applied, hardState, disk: { hardState: durable } }) {
      holds(term >= durable.term, 'a restart keeps the term', () => `${node}: ${durable.term} to ${term}`)
      if (term === durable.term)
        holds(
          durable.vote === 0 || hardState.vote === durable.vote,
          'a restart keeps the vote',
          () => `${node} in ${term}: ${durable.vote} to ${hardState.vote}`,
        )
      holds(commit >= durable.commit, 'a restart keeps the commit', () => {
        return `${node}: ${durable.commit} to ${commit}`
      })
      holds(applied <= commit, 'what is applied was committed', () => `${node}: ${applied} of ${commit}`)
    },
  }
}
