import { MessageKind, Role } from '../../core/types.js'
import { holds, type InvariantCheck } from './invariant-check.js'

/** I17. A learner never seeks votes, and stays a learner. It gives its vote, which counts for nobody (thesis §4.1). */
export function learnersNeverCount(): InvariantCheck {
  return {
    stepped(node) {
      if (!node.isVoter) holds(node.role === Role.LEARNER, 'learners stay learners', () => `${node.id}`)
    },
    sent(node, message) {
      if (node.isVoter) return
      const { kind } = message
      const seeksVotes = kind === MessageKind.PRE_VOTE || kind === MessageKind.VOTE
      holds(!seeksVotes, 'learners seek no votes', () => `${node.id}: kind ${kind}`)
    },
  }
}
