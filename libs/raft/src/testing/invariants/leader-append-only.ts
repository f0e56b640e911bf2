import { type LogIndex, type NodeId, Role, type Term } from '../../core/types.js'
import { holds, type InvariantCheck } from './invariant-check.js'

/** I4. Raft paper, figure 3: "a leader never overwrites or deletes entries in its log; it only appends new entries." */
export function leaderAppendOnly(): InvariantCheck {
  const leading = new Map<NodeId, { opening: number; term: Term; lastIndex: LogIndex }>()
  return {
    settled({ node, opening, role, term, changedFrom, log: { lastIndex } }) {
      if (role !== Role.LEADER) {
        leading.delete(node)
        return
      }
      const before = leading.get(node)
      if (before?.opening === opening && before.term === term)
        holds(
          changedFrom > before.lastIndex && lastIndex >= before.lastIndex,
          'leader append-only',
          () => `${node} changed ${changedFrom} of ${before.lastIndex} in term ${term}`,
        )
      leading.set(node, { opening, term, lastIndex })
    },
  }
}
