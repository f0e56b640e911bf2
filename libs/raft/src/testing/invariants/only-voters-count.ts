import { BY_TRANSFER } from '../../core/message.js'
import { isQuorum } from '../../core/quorum.js'
import {
  type Configuration,
  MessageKind,
  type NodeId,
  type RaftMessage,
  Role,
  type Term,
} from '../../core/types.js'
import { holds, type InvariantCheck, type ObservedReplica } from './invariant-check.js'

/**
 * I17. Raft thesis §4.2.1, learners are "not counted towards majorities", and §9.6, nobody "increments its
 * term" who could not win: one that is no voter seeks no votes, a leader has the votes of a quorum of
 * voters, and a term is entered only after a quorum said that it would vote, or because the leader asked.
 */
export function onlyVotersCount(): InvariantCheck {
  const granted = { votes: new Answers(), preVotes: new Answers() }
  const leading = new Map<NodeId, Term>()

  function checkLeader({ node, term, configuration }: ObservedReplica): void {
    if (leading.get(node) === term) return
    leading.set(node, term)
    const voters = granted.votes.of(node, term)
    holds(
      isQuorum(configuration, (id) => id === node || voters.has(id)),
      'a leader has a quorum of votes',
      () => `${node} in ${term} by ${[...voters].join()}`,
    )
  }

  function checkRequest(replica: ObservedReplica, message: RaftMessage): void {
    const { node, role, term, configuration } = replica
    const preVote = message.kind === MessageKind.PRE_VOTE
    // What waited for the disk may leave when the node is elsewhere already.
    if (role !== (preVote ? Role.PRE_CANDIDATE : Role.CANDIDATE)) return
    if (message.term !== (preVote ? term + 1 : term)) return
    holds(maySeekVotes(replica), 'who is no voter seeks no votes', () => `${node}: kind ${message.kind}`)
    if (preVote || message.hint === BY_TRANSFER) return
    const supporters = granted.preVotes.of(node, message.term)
    holds(
      isQuorum(configuration, (id) => id === node || supporters.has(id)),
      'a term is entered with the support of a quorum',
      () => `${node} in ${message.term} by ${[...supporters].join()}`,
    )
  }

  return {
    stepped(replica) {
      if (replica.role === Role.LEADER) checkLeader(replica)
    },
    settled(replica) {
      const { node, role, configuration } = replica
      if (!isVoterIn(configuration, node) && role !== Role.LEARNER && role !== Role.LEADER)
        holds(maySeekVotes(replica), 'who is no voter is a learner', () => `${node}: role ${role}`)
    },
    sent(replica, message) {
      switch (message.kind) {
        case MessageKind.PRE_VOTE:
        case MessageKind.VOTE:
          checkRequest(replica, message)
          break
        case MessageKind.PRE_VOTE_RESPONSE:
          if (!message.reject) granted.preVotes.add(message)
          break
        case MessageKind.VOTE_RESPONSE:
          if (!message.reject) granted.votes.add(message)
          break
        default:
      }
    },
  }
}

/** Who has said yes to whom, by term. */
class Answers {
  readonly #byCandidate = new Map<string, Set<NodeId>>()

  add({ from, to, term }: RaftMessage): void {
    this.of(to, term).add(from)
  }

  of(candidate: NodeId, term: Term): Set<NodeId> {
    const key = `${candidate} in ${term}`
    let answers = this.#byCandidate.get(key)
    if (answers === undefined) {
      answers = new Set()
      this.#byCandidate.set(key, answers)
    }
    return answers
  }
}

/** One that was a voter may be needed until the change that removes it is committed (Raft thesis §4.2.2). */
function maySeekVotes({ node, configuration, commit, log }: ObservedReplica): boolean {
  if (isVoterIn(configuration, node)) return true
  return log.configurationEntries().some(({ index }) => index > commit)
}

function isVoterIn({ voters, votersOutgoing }: Configuration, node: NodeId): boolean {
  return voters.includes(node) || votersOutgoing.includes(node)
}
