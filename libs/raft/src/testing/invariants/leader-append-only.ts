import { type LogIndex, type NodeId, Role, type Term } from '../../core/types.js'
import { holds, type InvariantCheck } from './invariant-check.js'

/** I4. Raft paper, figure 3: "a leader never overwrites or deletes entries in its log; it only appends new entries." */
export function leaderAppendOnly(): InvariantCheck {
  const leading = new Map<NodeId, { incarnation: number; term: Term; lastIndex: LogIndex }>()
  return {
    settled(node) {
      if (node.role !== Role.LEADER) {
        leading.delete(node.id)
        return
      }
      const before = leading.get(node.id)
      if (before?.incarnation === node.incarnation && before.term === node.term)
        holds(node.changedFrom > before.lastIndex, 'leader append-only', () => {
          return `${node.id} changed ${node.changedFrom} of ${before.lastIndex} in term ${node.term}`
        })
      const { incarnation, term } = node
      leading.set(node.id, { incarnation, term, lastIndex: node.log.lastIndex })
    },
  }
}
