import { BLANK } from './message.js'
import type { NodeState } from './node-state.js'
import { MessageKind, type RaftMessage } from './types.js'

/**
 * Answers a PRE_VOTE, or a VOTE of this node's term. The same candidate is granted its vote again:
 * the first answer may be lost. A pre-vote changes nothing here.
 *
 * The own configuration is not asked: "servers process incoming RPC requests without consulting their
 * current configurations" (Raft thesis §4.1). One that was made a voter may not have heard of it yet,
 * and its vote may be the one that is needed.
 */
export function answerVoteRequest(state: NodeState, request: RaftMessage): void {
  const free = state.vote === request.from || (state.vote === 0 && state.leader === 0)
  const preVote = request.kind === MessageKind.PRE_VOTE
  const mayVote = free || (preVote && request.term > state.term)
  const granted = mayVote && state.log.isUpToDate({ index: request.index, term: request.logTerm })
  if (granted && !preVote) {
    state.electionElapsed = 0
    state.castVote(request.from)
  }
  respond(state, request, granted)
}

/** Refuses a request of an earlier term, so that the candidate learns this one. */
export function refuseVoteRequest(state: NodeState, request: RaftMessage): void {
  respond(state, request, false)
}

/** A pre-vote is granted for the term asked for, and refused in the asker's own, unless ours is later. */
function respond(state: NodeState, request: RaftMessage, granted: boolean): void {
  const preVote = request.kind === MessageKind.PRE_VOTE
  const preVoteTerm = granted ? request.term : Math.max(state.term, request.term - 1)
  state.outgoing.sendAfterPersist({
    ...BLANK,
    kind: preVote ? MessageKind.PRE_VOTE_RESPONSE : MessageKind.VOTE_RESPONSE,
    from: state.id,
    to: request.from,
    term: preVote ? preVoteTerm : state.term,
    reject: !granted,
  })
}
