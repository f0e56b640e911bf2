import { MessageKind, Role } from '../../core/types.js'
import { holds, type InvariantCheck } from './invariant-check.js'

/** I17. A learner neither votes nor seeks votes, and stays a learner. */
export function learnersNeverCount(): InvariantCheck {
  return {
    stepped(node) {
      if (!node.isVoter) holds(node.role === Role.LEARNER, 'learners stay learners', () => `${node.id}`)
    },
    sent(node, message) {
      if (node.isVoter) return
      const { kind } = message
      const answers = kind === MessageKind.APPEND_RESPONSE || kind === MessageKind.HEARTBEAT_RESPONSE
      holds(answers, 'learners only answer appends and heartbeats', () => `${node.id}: kind ${kind}`)
    },
  }
}
