import { BLANK, BY_TRANSFER } from './message.js'
import type { NodeState } from './node-state.js'
import { electionTally, type Tally } from './quorum.js'
import { MessageKind, type NodeId, type RaftMessage } from './types.js'

/**
 * Pre-vote asks whether an election could be won, and changes nothing anywhere (Raft thesis §9.6).
 * An election after a transfer skips it, and voters answer although they hear their leader.
 */
export type ElectionKind = 'pre-vote' | 'vote' | 'transfer'

/** One campaign of this node, and the answers to it. The state is that of a (pre-)candidate already. */
export class Election {
  readonly kind: ElectionKind
  readonly #state: NodeState
  readonly #answers = new Map<NodeId, boolean>()
  /** The write that holds the own vote; 0 until it is handed out. */
  #ownVotePersistId = 0

  constructor(state: NodeState, kind: ElectionKind) {
    this.kind = kind
    this.#state = state
    // Alone, nobody can hear of this term before it is durable: the write of the first entry holds it.
    if (kind === 'pre-vote' || state.membership.peers.length === 0) this.#answers.set(state.id, true)
    this.#askAll()
  }

  get outcome(): Tally {
    const result = electionTally(this.#state.membership.configuration, this.#answers)
    // Nothing is sent in a term before the term is durable, whoever else supports it: after a crash
    // this node might lead the same term again, with other entries.
    return result === 'won' && !this.#answers.has(this.#state.id) ? 'pending' : result
  }

  /** Asks those again that have not answered: the request, or the peer's group, may not have been there. */
  tick(): void {
    // The first round of votes has not left before the own vote is durable.
    if (this.#answers.has(this.#state.id)) this.#askAll()
  }

  answer(message: RaftMessage): void {
    const voter = message.from
    if (!this.#state.membership.isVotingPeer(voter) || this.#answers.get(voter) === true) return
    this.#answers.set(voter, !message.reject)
  }

  handedOut(persistId: number): void {
    if (this.kind !== 'pre-vote' && this.#ownVotePersistId === 0) this.#ownVotePersistId = persistId
  }

  persisted(persistId: number): void {
    if (this.#ownVotePersistId > 0 && persistId >= this.#ownVotePersistId)
      this.#answers.set(this.#state.id, true)
  }

  #askAll(): void {
    const state = this.#state
    const log = state.log
    const preVote = this.kind === 'pre-vote'
    for (const peer of state.membership.peers) {
      if (!state.membership.isVotingPeer(peer) || this.#answers.has(peer)) continue
      const request: RaftMessage = {
        ...BLANK,
        kind: preVote ? MessageKind.PRE_VOTE : MessageKind.VOTE,
        from: state.id,
        to: peer,
        term: preVote ? state.term + 1 : state.term,
        index: log.lastIndex,
        logTerm: log.lastTerm,
        hint: this.kind === 'transfer' ? BY_TRANSFER : 0,
      }
      state.outgoing.sendAfterPersist(request)
    }
  }
}
