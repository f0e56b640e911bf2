import { appliedOnce } from './applied-once.js'
import { CommitLedger } from './commit-ledger.js'
import { committedForEver } from './committed-for-ever.js'
import { committedOnQuorum } from './committed-on-quorum.js'
import { durableBeforeReply } from './durable-before-reply.js'
import { electionSafety } from './election-safety.js'
import { everythingBounded } from './everything-bounded.js'
import { groupsApart } from './groups-apart.js'
import { indexOrder } from './index-order.js'
import type { InvariantCheck, ObservedGroup } from './invariant-check.js'
import { leaderAppendOnly } from './leader-append-only.js'
import { leaderCompleteness } from './leader-completeness.js'
import { linearizable } from './linearizable.js'
import { logMatching } from './log-matching.js'
import { nothingAcknowledgedIsLost } from './nothing-acknowledged-is-lost.js'
import { nothingGoesBack } from './nothing-goes-back.js'
import { oneChangeAtATime } from './one-change-at-a-time.js'
import { oneVoteATerm } from './one-vote-a-term.js'
import { onlyVotersCount } from './only-voters-count.js'
import { ownTermCommit } from './own-term-commit.js'
import { snapshotsAreStates } from './snapshots-are-states.js'
import { StateLedger } from './state-ledger.js'
import { stateMachineSafety } from './state-machine-safety.js'

/** Every law, I1 to I20, with an empty memory, as one. */
export function allInvariants(group: ObservedGroup): Required<InvariantCheck> {
  const ledger = new CommitLedger(group.initial)
  const states = new StateLedger()
  const checks: readonly InvariantCheck[] = [
    // What others look up comes first.
    ledger,
    electionSafety(),
    oneVoteATerm(),
    nothingGoesBack(),
    leaderAppendOnly(),
    logMatching(),
    leaderCompleteness(ledger),
    stateMachineSafety(states),
    committedForEver(ledger),
    committedOnQuorum(group),
    ownTermCommit(),
    indexOrder(group),
    durableBeforeReply(),
    appliedOnce(),
    nothingAcknowledgedIsLost(),
    linearizable(),
    oneChangeAtATime(group),
    onlyVotersCount(),
    snapshotsAreStates(ledger, states),
    everythingBounded(group),
    groupsApart(group),
  ]
  return {
    opened: toAll(checks, 'opened'),
    stepped: toAll(checks, 'stepped'),
    settled: toAll(checks, 'settled'),
    ticked: toAll(checks, 'ticked'),
    sent: toAll(checks, 'sent'),
    applied: toAll(checks, 'applied'),
    snapshot: toAll(checks, 'snapshot'),
    invoked: toAll(checks, 'invoked'),
    answered: toAll(checks, 'answered'),
    converged: toAll(checks, 'converged'),
  }
}

/** One call for all the checks that want it. */
function toAll<K extends keyof InvariantCheck>(
  checks: readonly InvariantCheck[],
  what: K,
): Required<InvariantCheck>[K] {
  type Hook = (...values: readonly unknown[]) => void
  const wanting = checks.filter((check) => check[what] !== undefined)
  const hooks = wanting.map((check) => (check[what] as Hook).bind(check))
  return (...values: readonly unknown[]) => {
    for (const hook of hooks) hook(...values)
  }
}
