import { MessageKind, type NodeId, type Term } from '../../core/types.js'
import { holds, type InvariantCheck } from './invariant-check.js'

/**
 * I2. Raft paper §5.2: "Each server will vote for at most one candidate in a given term", over crashes.
 * A vote counts from the moment others hear of it; one that was neither durable nor sent may be lost.
 */
export function oneVoteATerm(): InvariantCheck {
  const votes = new Map<string, NodeId>()
  const stored = new Map<NodeId, { opening: number; term: Term; vote: NodeId | 0 }>()
  return {
    sent({ node }, message) {
      let candidate: NodeId
      if (message.kind === MessageKind.VOTE) candidate = node
      else if (message.kind === MessageKind.VOTE_RESPONSE && !message.reject) candidate = message.to
      else return
      const key = `${node} in ${message.term}`
      const before = votes.get(key) ?? candidate
      holds(before === candidate, 'one vote a term', () => `${key} voted for ${before} and ${candidate}`)
      votes.set(key, candidate)
    },
    stepped({ node, opening, hardState: { term, vote } }) {
      const before = stored.get(node)
      if (before?.opening === opening && before.term === term && before.vote === vote) return
      if (before?.opening === opening && before.term === term && before.vote !== 0)
        holds(before.vote === vote, 'one vote a term', () => `${node} changed its vote in ${term}`)
      stored.set(node, { opening, term, vote })
    },
  }
}
