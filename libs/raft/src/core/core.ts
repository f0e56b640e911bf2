import { invariant, unreachable } from '@sluice/foundation'
import type { CoreConfig } from './config.js'
import { ConfigurationError, type ConfigurationChange, decodeConfiguration } from './configuration.js'
import { appendForced, type ForcedConfiguration, type ForceResult, refusalToForce } from './forced.js'
import { Election, type ElectionKind } from './election.js'
import {
  acknowledge,
  receiveAppend,
  receiveHeartbeat,
  refuseStaleLeader,
  restoreSnapshot,
} from './follower.js'
import { ForwardedReads } from './forwarded-reads.js'
import { type ConfigurationResult, Leader, type Proposal, type ProposeResult } from './leader.js'
import { BLANK, BY_TRANSFER } from './message.js'
import { Recovery } from './recovery.js'
import { NodeState } from './node-state.js'
import type { PeerProgress } from './progress.js'
import {
  type Configuration,
  type Entry,
  EntryKind,
  type HardState,
  type LogIndex,
  MessageKind,
  type NodeId,
  type RaftGroupId,
  type RaftMessage,
  type RaftOutput,
  Role,
  type SnapshotMeta,
  type Term,
} from './types.js'
import { answerVoteRequest, refuseVoteRequest } from './voter.js'

export type ReadIndexResult =
  | { readonly kind: 'accepted' }
  | { readonly kind: 'not-leader'; readonly leader: NodeId | 0 }
  | { readonly kind: 'overloaded' }

/**
 * One node of one Raft group: the same calls always give the same output. Nothing here waits, knows
 * the time or touches the world; the host writes and sends what `take` hands out.
 *
 *                 timeout                won                    won, own vote durable
 *     follower ───────────▶ pre-candidate ───▶ candidate ──────────────────▶ leader
 *        ▲ ◀── leader heard, later term, lost ──┘  │                          │
 *        └─────────────────────────────────────────┴── later term, no quorum ─┘
 *
 * A storage error is the end of a core: it must get no further call, and nothing it said may leave.
 */
export class RaftCore {
  readonly id: NodeId
  readonly group: RaftGroupId
  readonly #state: NodeState
  /** Made for the first read that is asked of a node that does not lead. */
  #forwardedReads: ForwardedReads | undefined
  #leader: Leader | undefined
  #recovery: Recovery | undefined
  #election: Election | undefined
  #persistId = 0
  /** End of the range that the host is applying; `applied` when it is not. */
  #applyingTo: LogIndex

  constructor(config: CoreConfig) {
    this.#state = new NodeState(config)
    this.id = config.id
    this.group = config.group
    this.#applyingTo = config.applied
    if (config.isRecovering === true) this.#recovery = new Recovery(this.#state)
  }

  get role(): Role {
    return this.#state.role
  }

  get term(): Term {
    return this.#state.term
  }

  get vote(): NodeId | 0 {
    return this.#state.vote
  }

  /** 0 when none is known. */
  get leader(): NodeId | 0 {
    return this.#state.leader
  }

  /** In force here: the latest in the log, committed or not. */
  get configuration(): Configuration {
    return this.#state.membership.configuration
  }

  /** Reads that may wait here at a time. */
  get readsMax(): number {
    return this.#state.limits.readsMax
  }

  /** Index of the entry that brought `configuration`; 0 for the group's initial one. */
  get configurationIndex(): LogIndex {
    return this.#state.membership.index
  }

  /** The configuration at an entry from the compacted end on, encoded: part of a snapshot of it. */
  configurationAt(index: LogIndex): Uint8Array {
    return this.#state.membership.at(index)
  }

  /** Ticks make no difference until something else happens. */
  get isQuiesced(): boolean {
    return this.#state.isQuiesced && this.#recovery === undefined
  }

  /** It has not learned yet what it may have forgotten: it hears nothing, and says nothing, else. */
  get isSilent(): boolean {
    return this.#recovery?.isAsking === true
  }

  /** What this node's disk lost is not here again yet: it neither votes nor leads. */
  get isRecovering(): boolean {
    return this.#recovery !== undefined
  }

  get commit(): LogIndex {
    return this.#state.commit
  }

  /** What the host has reported through `appliedTo`. */
  get applied(): LogIndex {
    return this.#state.applied
  }

  /** Own entries up to here are durable, and still the ones in the log. */
  get durableIndex(): LogIndex {
    return this.#state.log.durableIndex
  }

  /** One tick of the host's clock is over. */
  tick(): void {
    const state = this.#state
    if (this.isQuiesced) return
    this.#forwardedReads?.tick()
    if (this.#recovery !== undefined) {
      state.electionElapsed++
      this.#recovery.tick()
      return
    }
    if (this.#leader !== undefined) {
      if (this.#leader.tick() === 'quorum-lost') this.#follow(state.term, 0)
      return
    }
    state.electionElapsed++
    if (state.electionDue) this.#startElection('pre-vote')
    else if (state.leaderIsMissed) this.#wakeOthers()
    else this.#election?.tick()
  }

  /** Starts an election now, with a pre-vote. Nothing happens on a leader or a learner. */
  campaign(): void {
    this.wake()
    if (this.#leader === undefined && this.#maySeekVotes) this.#startElection('pre-vote')
  }

  /**
   * A message of a peer; `entries` are those of an APPEND. They may come late, twice or out of order.
   * Never throws on account of what they say: what makes no sense is dropped.
   */
  step(message: RaftMessage, entries: readonly Entry[]): void {
    const state = this.#state
    if (message.to !== state.id || message.from === state.id) return
    if (this.#recovers(message, entries)) return
    // One that was removed and does not know it may keep asking for a leader; that is no reason to wake up.
    if (message.kind === MessageKind.HEARTBEAT_RESPONSE && !state.membership.peers.includes(message.from))
      return
    this.wake(message.from)
    if (message.term < state.term) {
      this.#answerEarlierTerm(message)
      return
    }
    if (message.term > state.term && !this.#enterLaterTerm(message)) return
    this.#receive(message, entries)
  }

  /** Appends to the log, when this node leads. The bytes must not change afterwards. */
  propose(proposals: readonly Proposal[]): ProposeResult {
    if (this.#leader === undefined) return { kind: 'not-leader', leader: this.#state.leader }
    this.wake()
    return this.#leader.propose(proposals)
  }

  /** Changes who is in the group, when this node leads. Done when a configuration that is not joint is committed. */
  changeConfiguration(change: ConfigurationChange): ConfigurationResult {
    if (this.#leader === undefined) return { kind: 'not-leader', leader: this.#state.leader }
    this.wake()
    return this.#leader.changeConfiguration(change)
  }

  /**
   * UNSAFE. Changes who is in the group without asking anybody, on the word of an operator who knows that a
   * majority is lost for good; see `forced.ts`. Nothing is changed unless `forced` is answered.
   */
  forceConfiguration(forced: ForcedConfiguration): ForceResult {
    const state = this.#state
    const refusal = refusalToForce(state, forced, { isRecovering: this.#recovery !== undefined })
    if (refusal !== undefined) return refusal
    this.wake()
    this.#follow(forced.term, 0)
    return appendForced(state, forced)
  }

  /**
   * Asks for the index to read at, answered through `reads` or `readsRefused`; a node that does not lead
   * asks the leader. Tokens are the caller's, each used once.
   */
  readIndex(token: number): ReadIndexResult {
    const { id, leader } = this.#state
    if (leader === 0) return { kind: 'not-leader', leader }
    this.wake()
    const asked = this.#leader?.askRead({ from: id, token }) ?? this.#forwardRead(token)
    return { kind: asked ? 'accepted' : 'overloaded' }
  }

  /**
   * Lets `to` take over once it has the whole log. Proposals are refused until then, or until an
   * election timeout is over. False when this node does not lead or `to` cannot take over.
   */
  transferLeadership(to: NodeId): boolean {
    this.wake()
    return this.#leader?.transfer(to) ?? false
  }

  /** Ends quiescence: something happened, or may have, that the group must look at. */
  wake(by: NodeId | 0 = 0): void {
    const state = this.#state
    const { id, leader, term } = state
    if (!state.isQuiesced) return
    state.isQuiesced = false
    if (this.#leader !== undefined) {
      this.#leader.wake()
      return
    }
    state.restartElectionTimer()
    // Awake alone, it would wait for heartbeats that nobody sends, and seek another leader.
    const kind = MessageKind.HEARTBEAT_RESPONSE
    if (leader !== 0 && leader !== by) state.outgoing.send({ ...BLANK, kind, from: id, to: leader, term })
  }

  /** The link to `peer` broke: what was sent may be lost, and when it leads, others should campaign soon. */
  unreachable(peer: NodeId): void {
    if (this.#leader !== undefined) {
      this.#leader.unreachable(peer)
    } else if (peer !== 0 && peer === this.#state.leader) {
      this.wake()
      this.#forwardedReads?.refuseAll()
      this.#state.forgetLeader()
    }
  }

  /** The peer's process is there again: the group does not go to sleep without it any more. */
  reachable(peer: NodeId): void {
    this.#leader?.reachable(peer)
  }

  /**
   * The state machine has taken a snapshot that came from any leader of this group: the log follows,
   * unless it has got as far by itself. Nothing happens on a leader, which has everything.
   */
  restoreSnapshot(snapshot: SnapshotMeta): void {
    const state = this.#state
    if (this.#leader !== undefined || this.isSilent) return
    this.wake()
    // It may be the first thing that is heard of its term; and where others lead, an election among the
    // members of before is beside the point.
    if (snapshot.term > state.term) this.#follow(snapshot.term, 0)
    else if (this.#election !== undefined && snapshot.index > state.commit) this.#follow(state.term, 0)
    restoreSnapshot(state, snapshot)
    if (state.leader !== 0) acknowledge(state, { from: state.leader }, Math.max(snapshot.index, state.commit))
  }

  /** A snapshot that `snapshotTo` asked for did not get to the peer. Say so after a pause: it is asked for again. */
  snapshotFailed(peer: NodeId): void {
    this.#leader?.snapshotFailed(peer)
  }

  /** Everything handed out with this id or a smaller one is durable. */
  persisted(persistId: number): void {
    invariant(persistId <= this.#persistId, 'only what was handed out becomes durable')
    this.#state.log.persisted(persistId)
    this.#leader?.ownLogPersisted()
    this.#leaveIfRemoved()
    this.#election?.persisted(persistId)
    this.#settleElection()
  }

  /** The host has applied everything up to `index`, which is within the range it was given. */
  appliedTo(index: LogIndex): void {
    invariant(index <= this.#applyingTo, 'only what was handed out is applied')
    this.#state.appliedTo(index)
  }

  /** Up to here no member needs the log from this node, and this node has applied it. */
  compactionLimit(): LogIndex {
    const heldByAll = this.#leader?.smallestMatch() ?? this.#state.heldByAll
    return Math.min(heldByAll, this.#state.applied)
  }

  /** What the leader knows of a peer; `undefined` on others and for itself. */
  progress(peer: NodeId): PeerProgress | undefined {
    return this.#leader?.progress(peer)
  }

  hasOutput(): boolean {
    const state = this.#state
    return (
      state.hardStateChanged ||
      state.changed ||
      state.log.hasPending ||
      !state.outgoing.isEmpty ||
      this.#leader?.needsFlush === true ||
      this.#forwardedReads?.hasAsked === true ||
      this.#recovery?.isDone === true ||
      this.#mayApply
    )
  }

  /** What the host must do now, all of it, in the order of the fields. */
  take(): RaftOutput {
    const state = this.#state
    this.#endRecovery()
    this.#leader?.flush()
    this.#forwardedReads?.flush()
    const stores = state.hardStateChanged || state.log.hasPending
    const persistId = stores ? ++this.#persistId : 0
    if (stores) this.#election?.handedOut(persistId)
    const hardState = stores ? state.takeHardState() : undefined
    const { snapshot, truncateFrom, entries } = state.log.handOut(persistId)
    if (snapshot !== undefined) this.#applyingTo = snapshot.index
    const applyFrom = this.#applyingTo + 1
    if (this.#mayApply) this.#applyingTo = this.#applyLimit()
    return {
      persistId,
      hardState,
      snapshot,
      truncateFrom,
      entries,
      sendNow: state.outgoing.takeNow(),
      sendAfterPersist: state.outgoing.takeAfterPersist(),
      applyFrom,
      applyTo: this.#applyingTo,
      snapshotTo: state.outgoing.takeSnapshotTo(),
      reads: state.outgoing.takeReads(),
      readsRefused: state.outgoing.takeReadsRefused(),
      stateChanged: state.takeChanged(),
    }
  }

  /**
   * With a commit index that the log was not given yet, `undefined` when there is none. To be asked for after
   * `take`, by who wants it stored although nothing else is.
   */
  takeCommit(): HardState | undefined {
    return this.#state.takeHardState()
  }

  #forwardRead(token: number): boolean {
    this.#forwardedReads ??= new ForwardedReads(this.#state)
    return this.#forwardedReads.ask(token)
  }

  /** One range is applied at a time. */
  get #mayApply(): boolean {
    const { applied, commit, log } = this.#state
    return this.#applyingTo === applied && applied < Math.min(commit, log.durableIndex)
  }

  /** At least one entry, and more while they fit. */
  #applyLimit(): LogIndex {
    const { applied, commit, log, limits } = this.#state
    const limit = Math.min(commit, log.durableIndex)
    let last = applied + 1
    let bytes = log.costBytes(last)
    while (last < limit && (bytes += log.costBytes(last + 1)) <= limits.appendBytesMax * 4) last++
    return last
  }

  /** Those who are behind are told, where that ends what they do in vain. */
  #answerEarlierTerm(message: RaftMessage): void {
    switch (message.kind) {
      case MessageKind.APPEND:
      case MessageKind.HEARTBEAT:
        refuseStaleLeader(this.#state, message)
        break
      case MessageKind.PRE_VOTE:
      case MessageKind.VOTE:
        refuseVoteRequest(this.#state, message)
        break
      default:
    }
  }

  /** True when the message is for this node as it is then. */
  #enterLaterTerm(message: RaftMessage): boolean {
    const state = this.#state
    switch (message.kind) {
      case MessageKind.PRE_VOTE:
        return !state.hearsLeader
      case MessageKind.PRE_VOTE_RESPONSE:
        // Granted, it names the term asked for, which nobody has entered yet.
        if (message.reject) this.#follow(message.term, 0)
        return !message.reject
      case MessageKind.VOTE:
        if (state.hearsLeader && message.hint !== BY_TRANSFER) return false
        this.#follow(message.term, 0)
        return true
      case MessageKind.APPEND:
      case MessageKind.HEARTBEAT:
        this.#follow(message.term, message.from)
        return true
      default:
        this.#follow(message.term, 0)
        return true
    }
  }

  /** A message of this term, or one about a pre-vote. */
  #receive(message: RaftMessage, entries: readonly Entry[]): void {
    switch (message.kind) {
      case MessageKind.PRE_VOTE:
      case MessageKind.VOTE:
        if (this.#recovery === undefined) answerVoteRequest(this.#state, message)
        else refuseVoteRequest(this.#state, message)
        break
      case MessageKind.PRE_VOTE_RESPONSE:
      case MessageKind.VOTE_RESPONSE:
        this.#receiveVote(message)
        break
      case MessageKind.APPEND:
        if (this.#hearLeader(message.from)) receiveAppend(this.#state, message, entries)
        break
      case MessageKind.HEARTBEAT:
        if (this.#hearLeader(message.from)) receiveHeartbeat(this.#state, this.#asFarAsKnown(message))
        // Ticks would have ended the reads whose questions were lost; there are none in one's sleep.
        if (this.#state.isQuiesced) this.#forwardedReads?.refuseAll()
        break
      case MessageKind.APPEND_RESPONSE:
        this.#leader?.receiveAppendResponse(message)
        this.#leaveIfRemoved()
        break
      case MessageKind.HEARTBEAT_RESPONSE:
        this.#leader?.receiveHeartbeatResponse(message)
        break
      case MessageKind.TIMEOUT_NOW:
        this.#takeOver(message.from)
        break
      case MessageKind.READ_INDEX:
        this.#leader?.receiveReadRequest(message)
        break
      case MessageKind.READ_INDEX_RESPONSE:
        this.#forwardedReads?.receive(message)
        break
      case MessageKind.RECOVERY:
      case MessageKind.RECOVERY_RESPONSE:
        break
      default:
        unreachable(message.kind)
    }
  }

  /** "If votes received from majority of servers: become leader" (figure 2). */
  #receiveVote(message: RaftMessage): void {
    const election = this.#election
    const preVote = message.kind === MessageKind.PRE_VOTE_RESPONSE
    if (election === undefined || preVote !== (election.kind === 'pre-vote')) return
    // A refused pre-vote comes in our own term, a granted one in the term that we asked for.
    if (preVote && message.term !== this.#state.term + (message.reject ? 0 : 1)) return
    election.answer(message)
    this.#settleElection()
  }

  /** The sender leads this term. False for what cannot be: two leaders in it. */
  #hearLeader(from: NodeId): boolean {
    const state = this.#state
    if (this.#leader !== undefined || (state.leader !== 0 && state.leader !== from)) return false
    if (this.#election !== undefined || state.leader === 0) this.#follow(state.term, from)
    else state.electionElapsed = 0
    return true
  }

  #takeOver(leader: NodeId): void {
    const state = this.#state
    if (!this.#maySeekVotes || this.#leader !== undefined || state.role === Role.CANDIDATE) return
    if (state.leader === 0 || state.leader === leader) this.#startElection('transfer')
  }

  get #maySeekVotes(): boolean {
    return this.#state.mayLead && this.#recovery === undefined
  }

  /** True when the message is about a recovery, whatever terms it was sent in, or must wait for one. */
  #recovers(message: RaftMessage, entries: readonly Entry[]): boolean {
    if (message.kind === MessageKind.RECOVERY) this.#answerRecovery(message)
    else if (message.kind === MessageKind.RECOVERY_RESPONSE) this.#receiveRecoveryAnswer(message, entries)
    else if (this.isSilent) this.#recovery?.hears(message.from)
    else return false
    return true
  }

  /** What this node's durable term is, and what its leadership, if it has one, has committed. */
  #answerRecovery({ from, index, context }: RaftMessage): void {
    if (this.#recovery !== undefined) return
    this.wake(from)
    const { id, term, membership, outgoing } = this.#state
    this.#leader?.recovers(from, context, index)
    const commit = this.#leader?.committedHere ?? 0
    outgoing.sendAfterPersist({
      ...BLANK,
      kind: MessageKind.RECOVERY_RESPONSE,
      from: id,
      to: from,
      term,
      index: membership.index,
      commit,
      hint: commit > 0 ? 1 : 0,
      context,
    })
  }

  #receiveRecoveryAnswer(response: RaftMessage, entries: readonly Entry[]): void {
    const configuration = configurationIn(entries)
    if (this.#recovery === undefined || configuration === undefined) return
    const term = this.#recovery.receive(response, configuration)
    if (term === undefined) return
    this.#follow(term, 0)
    this.#state.forgoVote()
  }

  /** A leader that has not heard of the recovery says what it believes to be here. */
  #asFarAsKnown(heartbeat: RaftMessage): RaftMessage {
    return this.#recovery?.isUnknown === true ? { ...heartbeat, commit: 0, index: 0 } : heartbeat
  }

  #endRecovery(): void {
    if (this.#recovery?.isDone !== true) return
    this.#recovery = undefined
    this.#state.restartElectionTimer()
  }

  /** "The leader steps down (returns to follower state) once it has committed the C_new log entry" (Raft paper §6). */
  #leaveIfRemoved(): void {
    if (this.#leader?.isRemoved !== true) return
    this.#leader.leave()
    this.#follow(this.#state.term, 0)
  }

  /** A voter's campaign would wake a group that sleeps; a learner's sign of life does, and is nothing else. */
  #wakeOthers(): void {
    const { id, term, membership, outgoing } = this.#state
    this.#state.restartElectionTimer()
    const kind = MessageKind.HEARTBEAT_RESPONSE
    for (const to of membership.peers) outgoing.sendAfterPersist({ ...BLANK, kind, from: id, to, term })
  }

  #startElection(kind: ElectionKind): void {
    this.#forwardedReads?.refuseAll()
    if (kind === 'pre-vote') this.#state.becomePreCandidate()
    else this.#state.becomeCandidate()
    this.#election = new Election(this.#state, kind)
    this.#settleElection()
  }

  #settleElection(): void {
    const election = this.#election
    if (election === undefined) return
    const outcome = election.outcome
    if (outcome === 'lost') this.#follow(this.#state.term, 0)
    else if (outcome === 'won' && election.kind === 'pre-vote') this.#startElection('vote')
    else if (outcome === 'won') this.#lead()
  }

  #lead(): void {
    this.#election = undefined
    this.#state.becomeLeader()
    this.#leader = new Leader(this.#state)
  }

  #follow(term: Term, leader: NodeId | 0): void {
    this.#leader?.abandon()
    this.#leader = undefined
    this.#election = undefined
    this.#forwardedReads?.refuseAll()
    this.#state.becomeFollower(term, leader)
  }
}

/** The configuration that comes with an answer; `undefined` when there is none that makes sense. */
function configurationIn(entries: readonly Entry[]): Configuration | undefined {
  const entry = entries[0]
  if (entries.length !== 1 || entry?.kind !== EntryKind.CONFIGURATION) return undefined
  try {
    return decodeConfiguration(entry.data)
  } catch (error) {
    if (error instanceof ConfigurationError) return undefined
    throw error
  }
}
