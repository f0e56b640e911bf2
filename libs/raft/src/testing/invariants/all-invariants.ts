import { appliedOnce } from './applied-once.js'
import { CommitLedger } from './commit-ledger.js'
import { committedForEver } from './committed-for-ever.js'
import { committedOnQuorum } from './committed-on-quorum.js'
import { durableBeforeReply } from './durable-before-reply.js'
import { electionSafety } from './election-safety.js'
import { freshReads } from './fresh-reads.js'
import { indexOrder } from './index-order.js'
import type { InvariantCheck, ObservedCluster } from './invariant-check.js'
import { leaderAppendOnly } from './leader-append-only.js'
import { leaderCompleteness } from './leader-completeness.js'
import { learnersNeverCount } from './learners-never-count.js'
import { logMatching } from './log-matching.js'
import { nothingAcknowledgedIsLost } from './nothing-acknowledged-is-lost.js'
import { nothingGoesBack } from './nothing-goes-back.js'
import { oneVoteATerm } from './one-vote-a-term.js'
import { ownTermCommit } from './own-term-commit.js'
import { stateMachineSafety } from './state-machine-safety.js'

/** Every law, with an empty memory, as one. */
export function allInvariants(cluster: ObservedCluster): Required<InvariantCheck> {
  const ledger = new CommitLedger()
  const checks: readonly InvariantCheck[] = [
    electionSafety(),
    oneVoteATerm(),
    nothingGoesBack(),
    leaderAppendOnly(),
    logMatching(),
    leaderCompleteness(ledger),
    stateMachineSafety(),
    committedForEver(ledger),
    committedOnQuorum(cluster),
    ownTermCommit(),
    indexOrder(cluster),
    durableBeforeReply(),
    appliedOnce(),
    nothingAcknowledgedIsLost(),
    freshReads(),
    learnersNeverCount(),
  ]
  return {
    stepped(node) {
      for (const check of checks) check.stepped?.(node)
    },
    settled(node) {
      ledger.record(node)
      for (const check of checks) check.settled?.(node)
    },
    sent(node, message) {
      for (const check of checks) check.sent?.(node, message)
    },
    applied(node, entry) {
      for (const check of checks) check.applied?.(node, entry)
    },
    restarted(node) {
      for (const check of checks) check.restarted?.(node)
    },
    acknowledged(serial, index) {
      for (const check of checks) check.acknowledged?.(serial, index)
    },
    readAnswered(read) {
      for (const check of checks) check.readAnswered?.(read)
    },
    converged(nodes) {
      for (const check of checks) check.converged?.(nodes)
    },
  }
}
