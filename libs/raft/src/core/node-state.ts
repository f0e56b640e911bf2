import { invariant, type Random } from '@sluice/foundation'
import { type CoreConfig, type CoreLimits, initialConfiguration, limitsOf } from './config.js'
import { Membership } from './membership.js'
import { Outgoing } from './outgoing.js'
import { RaftLog } from './raft-log.js'
import { type HardState, type LogIndex, type NodeId, type RaftGroupId, Role, type Term } from './types.js'

/** What a node is in every role: its membership, term, vote, log and clock in ticks. */
export class NodeState {
  readonly id: NodeId
  readonly group: RaftGroupId
  readonly membership: Membership
  readonly limits: CoreLimits
  readonly log: RaftLog
  readonly outgoing = new Outgoing()

  /** Ticks since a leader was heard, a vote was given, or the own election began. */
  electionElapsed = 0
  /** Every member has the log up to here, and it is committed, as the leaders told so far. Never decreases. */
  heldByAll: LogIndex = 0
  /** Nothing is expected to happen: the leader sends no heartbeats, and nobody waits for them. */
  isQuiesced = false

  readonly #random: Random
  #role: Role
  #term: Term
  #vote: NodeId | 0
  #leader: NodeId | 0 = 0
  #commit: LogIndex
  #applied: LogIndex
  #electionTimeout = 0
  #changed = false
  #hardStateChanged = false
  #commitHandedOut: LogIndex

  constructor(config: CoreConfig) {
    invariant(config.applied >= config.log.compactedIndex, 'what is compacted has been applied')
    invariant(config.applied <= config.log.lastIndex, 'what was applied is in the log, or its disk lost data')
    this.limits = config.limits ?? limitsOf({})
    this.id = config.id
    this.group = config.group
    this.membership = new Membership(
      config.id,
      initialConfiguration(config),
      config.log,
      config.configurations,
    )
    this.log = new RaftLog(config.log, this.membership)
    this.#random = config.random
    this.#role = this.#passiveRole
    this.#term = config.hardState.term
    this.#vote = config.hardState.vote
    this.#commit = Math.max(Math.min(config.hardState.commit, config.log.lastIndex), config.applied)
    this.#commitHandedOut = config.hardState.commit
    this.#applied = config.applied
    invariant(this.#term >= this.log.lastTerm, 'no entry is of a later term than the node')
    this.restartElectionTimer()
  }

  get role(): Role {
    return this.#role
  }

  get term(): Term {
    return this.#term
  }

  get vote(): NodeId | 0 {
    return this.#vote
  }

  /** The leader of this term, when this node knows it and has not lost the link to it. */
  get leader(): NodeId | 0 {
    return this.#leader
  }

  get commit(): LogIndex {
    return this.#commit
  }

  get applied(): LogIndex {
    return this.#applied
  }

  get hardStateChanged(): boolean {
    return this.#hardStateChanged
  }

  /** Role, term or leader changed since the last `takeChanged`. */
  get changed(): boolean {
    return this.#changed
  }

  get electionDue(): boolean {
    return this.electionElapsed >= this.#electionTimeout && this.mayLead
  }

  /** A learner has heard no leader for long, and cannot seek votes: the others may be asleep. */
  get leaderIsMissed(): boolean {
    return this.electionElapsed >= this.#electionTimeout && this.membership.isLearner
  }

  /** It may seek votes, and lead if it gets them. */
  get mayLead(): boolean {
    return this.membership.mayLead(this.#commit)
  }

  /** No server votes another leader away while it hears one (Raft thesis §4.2.3). A leader checks its quorum itself. */
  get hearsLeader(): boolean {
    if (this.#role === Role.LEADER) return true
    return this.#leader !== 0 && this.electionElapsed < this.limits.electionTicks
  }

  /** Neither leads nor seeks to, in this term or a later one. */
  becomeFollower(term: Term, leader: NodeId | 0): void {
    if (this.#role !== this.#passiveRole || leader !== 0) this.restartElectionTimer()
    this.#enter({ role: this.#passiveRole, term, leader })
  }

  becomePreCandidate(): void {
    this.restartElectionTimer()
    this.#enter({ role: Role.PRE_CANDIDATE, term: this.#term, leader: 0 })
  }

  /** "To begin an election, a follower increments its current term … It then votes for itself" (§5.2). */
  becomeCandidate(): void {
    this.restartElectionTimer()
    this.#enter({ role: Role.CANDIDATE, term: this.#term + 1, leader: 0 })
    this.castVote(this.id)
  }

  becomeLeader(): void {
    invariant(this.#role === Role.CANDIDATE, 'only a candidate becomes leader')
    this.electionElapsed = 0
    this.#enter({ role: Role.LEADER, term: this.#term, leader: this.id })
  }

  castVote(candidate: NodeId): void {
    invariant(this.#vote === 0 || this.#vote === candidate, 'one vote is given a term')
    if (this.#vote === candidate) return
    this.#vote = candidate
    this.#hardStateChanged = true
  }

  /** No vote is given in this term any more: one that was given may be forgotten. */
  forgoVote(): void {
    if (this.#vote === 0) this.castVote(this.id)
  }

  /** "If leaderCommit > commitIndex, set commitIndex" (Raft paper, figure 2); never backwards. */
  commitTo(index: LogIndex): boolean {
    if (index <= this.#commit) return false
    invariant(index <= this.log.lastIndex, 'what is committed is in the log')
    this.#commit = index
    return true
  }

  appliedTo(index: LogIndex): void {
    invariant(index >= this.#applied, 'nothing is applied twice')
    this.#applied = index
  }

  /** The link to the leader broke: an election follows soon, unless the leader is heard again before. */
  forgetLeader(): void {
    this.#enter({ role: this.#role, term: this.#term, leader: 0 })
    const soon = this.#electionTimeout - 1 - this.#random.below(3)
    this.electionElapsed = Math.max(this.electionElapsed, soon)
  }

  /** The membership may have changed: this node may have become, or ceased to be, a learner. */
  refreshRole(): void {
    if (this.#role !== Role.FOLLOWER && this.#role !== Role.LEARNER) return
    if (this.#role !== this.#passiveRole)
      this.#enter({ role: this.#passiveRole, term: this.#term, leader: this.#leader })
  }

  /** The state machine is to start anew at a snapshot, which stands for everything up to `index`. */
  restoredTo(index: LogIndex): void {
    invariant(index > this.#commit, 'a snapshot is installed only for what is not known to be committed here')
    this.#commit = index
  }

  /** A number that an earlier run of this node hardly drew: below 2^48. */
  drawNumber(): number {
    return this.#random.below(0x1_0000) * 0x1_0000_0000 + this.#random.below(0x1_0000_0000)
  }

  restartElectionTimer(): void {
    this.electionElapsed = 0
    this.#electionTimeout = this.limits.electionTicks + this.#random.below(this.limits.electionTicks)
  }

  takeChanged(): boolean {
    const changed = this.#changed
    this.#changed = false
    return changed
  }

  /** What goes with the next write; a commit index alone is seldom worth one, it travels with others. */
  takeHardState(): HardState | undefined {
    if (!this.#hardStateChanged && this.#commit === this.#commitHandedOut) return undefined
    this.#hardStateChanged = false
    this.#commitHandedOut = this.#commit
    return { term: this.#term, vote: this.#vote, commit: this.#commit }
  }

  get #passiveRole(): Role {
    return this.membership.isVoter ? Role.FOLLOWER : Role.LEARNER
  }

  #enter(next: { readonly role: Role; readonly term: Term; readonly leader: NodeId | 0 }): void {
    invariant(next.term >= this.#term, 'terms never go back')
    if (next.term !== this.#term) {
      this.#term = next.term
      this.#vote = 0
      this.#hardStateChanged = true
      this.#changed = true
    }
    if (next.role !== this.#role || next.leader !== this.#leader) this.#changed = true
    this.#role = next.role
    this.#leader = next.leader
  }
}
