import { MessageKind } from '../../core/types.js'
import { holds, type InvariantCheck } from './invariant-check.js'

/**
 * I12. Raft paper, figure 2: "Updated on stable storage before responding to RPCs." No vote, request for
 * votes or acknowledgement leaves before what it says is synced, and no leader speaks in a term that
 * a crash would make it forget.
 */
export function durableBeforeReply(): InvariantCheck {
  return {
    sent({ node, disk }, message) {
      const { term, vote } = disk.hardState
      const about = (): string => `${node} in term ${message.term}, durable ${term} for ${vote}`
      switch (message.kind) {
        case MessageKind.VOTE:
          holds(term > message.term || (term === message.term && vote === node), 'own vote is durable', about)
          break
        case MessageKind.VOTE_RESPONSE:
          holds(term >= message.term, 'term is durable', about)
          if (!message.reject)
            holds(term > message.term || vote === message.to, 'a vote given is durable', about)
          break
        case MessageKind.APPEND_RESPONSE:
          holds(term >= message.term, 'term is durable', about)
          // Once a later term is durable, entries of the earlier one may be overwritten since.
          if (!message.reject && term === message.term)
            holds(disk.log.lastIndex >= message.index, 'what is acknowledged is durable', () => {
              return `${about()}: ${disk.log.lastIndex} of ${message.index}`
            })
          break
        case MessageKind.APPEND:
        case MessageKind.HEARTBEAT:
          holds(term >= message.term, 'a leader’s term is durable', about)
          break
        default:
      }
    },
  }
}
