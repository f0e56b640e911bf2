import { invariant } from '@sluice/foundation'
import {
  type ConfigurationChange,
  encodeConfiguration,
  isJoint,
  nextConfiguration,
  promoted,
  refusalOf,
  sameConfiguration,
  withoutOutgoing,
} from './configuration.js'
import { BLANK, QUIESCE } from './message.js'
import type { NodeState } from './node-state.js'
import type { Progress } from './progress.js'
import { RaftLog } from './raft-log.js'
import { type Reader, ReadQueue } from './read-queue.js'
import { Replication } from './replication.js'
import {
  type Configuration,
  EntryKind,
  type LogIndex,
  MessageKind,
  type NodeId,
  type RaftMessage,
  type Term,
} from './types.js'

export interface Proposal {
  readonly kind: typeof EntryKind.COMMAND | typeof EntryKind.NOOP
  readonly data: Uint8Array
}

export type ProposeResult =
  | { readonly kind: 'accepted'; readonly firstIndex: LogIndex; readonly term: Term }
  | { readonly kind: 'not-leader'; readonly leader: NodeId | 0 }
  | { readonly kind: 'overloaded' }
  | { readonly kind: 'transferring' }

/**
 * `change-pending`: an earlier change, or this leadership's first entry, is not committed yet. `invalid`
 * says why no group can have such a configuration.
 */
export type ConfigurationResult =
  | Exclude<ProposeResult, { readonly kind: 'overloaded' }>
  | { readonly kind: 'change-pending' }
  | { readonly kind: 'unchanged' }
  | { readonly kind: 'invalid'; readonly reason: string }

const NO_DATA = new Uint8Array(0)

/** One leadership of this node: made when it begins and thrown away when it ends, so that nothing leaks. */
export class Leader {
  readonly #state: NodeState
  readonly #replication: Replication
  /** Made for the first read. */
  #reads: ReadQueue | undefined
  /** First entry of this leadership; once it is committed, so is everything before it. */
  readonly #noopIndex: LogIndex
  #uncommittedBytes = 0
  #heartbeatElapsed = 0
  #quorumElapsed = 0
  #idleTicks = 0
  #transferee: Progress | undefined
  #transferElapsed = 0
  #needsFlush = true

  constructor(state: NodeState) {
    this.#state = state
    this.#replication = new Replication(state)
    // A log begins with its group's members: one who is added later knows them from there only.
    if (state.log.lastIndex > 0) state.log.appendOwn(state.term, EntryKind.NOOP, NO_DATA)
    else {
      state.log.appendOwn(state.term, EntryKind.CONFIGURATION, state.membership.at(0))
    }
    this.#noopIndex = state.log.lastIndex
    for (let i = state.commit + 1; i <= this.#noopIndex; i++) this.#uncommittedBytes += state.log.costBytes(i)
  }

  /** `flush` has something to do. */
  get needsFlush(): boolean {
    return this.#needsFlush
  }

  /** The group goes on without this node: it is no voter in the configuration in force, and that is committed. */
  get isRemoved(): boolean {
    const { membership, commit } = this.#state
    return !membership.isVoter && membership.index <= commit && commit >= this.#noopIndex
  }

  progress(peer: NodeId): Progress | undefined {
    return this.#replication.progress(peer)
  }

  smallestMatch(): LogIndex {
    return this.#replication.smallestMatch()
  }

  /** `quorum-lost`: no majority answered for an election timeout, so others may have elected another leader. */
  tick(): 'leads' | 'quorum-lost' {
    const { limits } = this.#state
    if (this.#transferee !== undefined && ++this.#transferElapsed >= limits.electionTicks)
      this.#transferee = undefined
    if (++this.#quorumElapsed >= limits.electionTicks) {
      this.#quorumElapsed = 0
      if (!this.#replication.takeQuorumActive()) return 'quorum-lost'
    }
    this.#promoteLearner()
    if (this.#quiesces()) return 'leads'
    if (++this.#heartbeatElapsed >= limits.heartbeatTicks) {
      this.#heartbeatElapsed = 0
      for (const peer of this.#replication.peers) {
        this.#sendHeartbeat(peer)
        peer.heartbeatSent()
      }
    }
    return 'leads'
  }

  /** Something happens again: everybody hears a heartbeat with the next tick. */
  wake(): void {
    this.#idleTicks = 0
    this.#quorumElapsed = 0
    this.#heartbeatElapsed = this.#state.limits.heartbeatTicks
  }

  propose(proposals: readonly Proposal[]): ProposeResult {
    if (this.#transferee !== undefined) return { kind: 'transferring' }
    const { log, term, limits } = this.#state
    let bytes = 0
    for (const { data } of proposals) bytes += RaftLog.proposalCostBytes(data)
    const uncommitted = this.#uncommittedBytes
    if (uncommitted > 0 && uncommitted + bytes > limits.uncommittedBytesMax) return { kind: 'overloaded' }
    const firstIndex = log.lastIndex + 1
    for (const { kind, data } of proposals) log.appendOwn(term, kind, data)
    this.#uncommittedBytes += bytes
    this.#needsFlush = true
    return { kind: 'accepted', firstIndex, term }
  }

  /**
   * One change at a time, and none before an entry of this term is committed: an earlier leader's change
   * might otherwise be neither in force here nor gone (the flaw of the thesis' §4.1 found in 2015).
   */
  changeConfiguration(change: ConfigurationChange): ConfigurationResult {
    if (this.#transferee !== undefined) return { kind: 'transferring' }
    if (this.#changePending) return { kind: 'change-pending' }
    const present = this.#state.membership.configuration
    const next = nextConfiguration(present, change)
    const reason = refusalOf(next)
    if (reason !== undefined) return { kind: 'invalid', reason }
    if (sameConfiguration(present, withoutOutgoing(next))) return { kind: 'unchanged' }
    return this.#appendConfiguration(next)
  }

  receiveAppendResponse(response: RaftMessage): void {
    if (!this.#replication.receiveResponse(response)) return
    this.#needsFlush = true
    this.#advanceCommit()
    if (response.from === this.#transferee?.id) this.#handOver(this.#transferee)
  }

  receiveHeartbeatResponse(response: RaftMessage): void {
    const peer = this.#replication.progress(response.from)
    if (peer === undefined || response.context > (this.#reads?.lastRound ?? 0)) return
    if (peer.heartbeatAnswered()) this.#needsFlush = true
    if (response.context <= peer.readRound) return
    peer.readRound = response.context
    this.#confirmReads()
  }

  /** The own log is durable further than before: only now does it count. */
  ownLogPersisted(): void {
    this.#advanceCommit()
  }

  /** What every member has that is needed to go on from here; 0 before this term has a commit. */
  get committedHere(): LogIndex {
    const { commit } = this.#state
    return commit >= this.#noopIndex ? commit : 0
  }

  /** A peer's disk has lost what it acknowledged; its log ends with `lastIndex` now. */
  recovers(peer: NodeId, recovery: number, lastIndex: LogIndex): void {
    const { log } = this.#state
    // With an entry to send at least: nothing else would find out what is there.
    this.#replication.progress(peer)?.recovers(recovery, Math.min(lastIndex + 1, log.lastIndex))
    this.#needsFlush = true
  }

  unreachable(peer: NodeId): void {
    this.#replication.progress(peer)?.lostLink()
  }

  reachable(peer: NodeId): void {
    const progress = this.#replication.progress(peer)
    if (progress !== undefined) progress.isLost = false
  }

  /** The peer did not get the snapshot: what it needs is found out, and asked for, again. */
  snapshotFailed(peer: NodeId): void {
    const progress = this.#replication.progress(peer)
    if (progress?.state !== 'snapshot') return
    progress.probe()
    this.#needsFlush = true
  }

  /** Answered in a round of heartbeats that starts with the next flush, once this term has a commit. */
  askRead(reader: Reader): boolean {
    this.#needsFlush = true
    this.#reads ??= new ReadQueue(this.#state.limits.readsMax, (of, index) => this.#settleRead(of, index))
    return this.#reads.ask(reader)
  }

  receiveReadRequest(request: RaftMessage): void {
    const reader = { from: request.from, token: request.context }
    if (!this.askRead(reader)) this.#settleRead(reader, undefined)
  }

  /** Takes no proposals until `to` has the whole log and is told to campaign, or an election timeout is over. */
  transfer(to: NodeId): boolean {
    const peer = this.#replication.progress(to)
    const mayLead = this.#state.membership.configuration.voters.includes(to)
    if (peer === undefined || !mayLead || peer.state === 'snapshot') return false
    if (peer === this.#transferee) return true
    this.#transferee = peer
    this.#transferElapsed = 0
    this.#needsFlush = true
    this.#handOver(peer)
    return true
  }

  /** Sends what came together since the last flush: entries, commit index, a round of reads. */
  flush(): void {
    if (!this.#needsFlush) return
    this.#needsFlush = false
    this.#replication.flush()
    if (this.#reads?.hasAsked === true && this.#state.commit >= this.#noopIndex) this.#openReadRound()
  }

  /** The others hear of the last commit, and the one with the longest log is asked to take over. */
  leave(): void {
    this.#replication.flush()
    const { voters } = this.#state.membership.configuration
    const candidates = this.#replication.peers.filter(({ id }) => voters.includes(id))
    // Who was told already is told again: a second one would only be its rival.
    const transferee = candidates.find((peer) => peer === this.#transferee)
    const successor = transferee ?? candidates.toSorted((a, b) => b.match - a.match)[0]
    if (successor !== undefined) this.#sendTimeoutNow(successor)
  }

  /** Another leader may exist: the reads that wait cannot be answered here any more. */
  abandon(): void {
    this.#reads?.refuseAll()
  }

  get #changePending(): boolean {
    const { membership, commit } = this.#state
    return commit < this.#noopIndex || membership.index > commit || isJoint(membership.configuration)
  }

  #appendConfiguration(next: Configuration): ConfigurationResult & { readonly kind: 'accepted' } {
    const { log, term } = this.#state
    log.appendOwn(term, EntryKind.CONFIGURATION, encodeConfiguration(next))
    const firstIndex = log.lastIndex
    this.#uncommittedBytes += log.costBytes(firstIndex)
    this.#replication.reconfigure(firstIndex)
    for (const learner of next.promotable) this.#startRound(this.#replication.progress(learner))
    // Those whose answer a round of reads waits for may have left: no other answer would end it.
    this.#confirmReads()
    this.#needsFlush = true
    return { kind: 'accepted', firstIndex, term }
  }

  /**
   * A learner has caught up when what was new at the start of a round took it less than an election
   * timeout (Raft thesis §4.2.1). It is made a voter then, where its role says that it shall be one.
   */
  #promoteLearner(): void {
    const { configuration } = this.#state.membership
    if (configuration.promotable.length === 0 || this.#changePending || this.#transferee !== undefined) return
    for (const id of configuration.promotable) {
      const learner = this.#replication.progress(id)
      if (learner === undefined) continue
      if (learner.roundTarget === 0) this.#startRound(learner)
      learner.roundTicks++
      if (learner.match < learner.roundTarget || learner.isLost) continue
      if (learner.roundTicks <= this.#state.limits.electionTicks) {
        this.#appendConfiguration(promoted(configuration, id))
        return
      }
      this.#startRound(learner)
    }
  }

  #startRound(learner: Progress | undefined): void {
    if (learner === undefined) return
    learner.roundTarget = this.#state.log.lastIndex
    learner.roundTicks = 0
  }

  /**
   * Nothing is left to do and everybody who can be reached has everything: no heartbeats are needed
   * until something happens. Who misses this message asks for votes, which wakes the group.
   */
  #quiesces(): boolean {
    const state = this.#state
    if (state.limits.quiesceTicks === 0 || !this.#isIdle()) {
      this.#idleTicks = 0
      return false
    }
    if (++this.#idleTicks < state.limits.quiesceTicks) return false
    this.#idleTicks = 0
    for (const peer of this.#replication.peers) if (!peer.isLost) this.#sendHeartbeat(peer, QUIESCE)
    state.isQuiesced = true
    return true
  }

  #isIdle(): boolean {
    const { log, commit, applied, membership } = this.#state
    const last = log.lastIndex
    if (applied !== last || commit !== last || log.durableIndex !== last) return false
    if (this.#transferee !== undefined || this.#reads?.isEmpty === false || isJoint(membership.configuration))
      return false
    return this.#replication.peers.every((peer) => peer.match === last || peer.isLost)
  }

  #openReadRound(): void {
    this.#reads?.open(this.#state.commit)
    const { membership } = this.#state
    for (const peer of this.#replication.peers)
      if (membership.isVotingPeer(peer.id)) this.#sendHeartbeat(peer)
    this.#confirmReads()
  }

  #confirmReads(): void {
    const reads = this.#reads
    reads?.confirm(this.#replication.majorityReadRound(reads.lastRound))
  }

  #settleRead(reader: Reader, index: LogIndex | undefined): void {
    const { id, term, outgoing } = this.#state
    if (reader.from === id) {
      if (index === undefined) outgoing.refuseRead(reader.token)
      else outgoing.answerRead(reader.token, index)
      return
    }
    outgoing.send({
      ...BLANK,
      kind: MessageKind.READ_INDEX_RESPONSE,
      from: id,
      to: reader.from,
      term,
      index: index ?? 0,
      reject: index === undefined,
      context: reader.token,
    })
  }

  #advanceCommit(): void {
    const { log, membership } = this.#state
    const before = this.#state.commit
    if (!this.#replication.advanceCommit()) return
    for (let i = before + 1; i <= this.#state.commit; i++) this.#uncommittedBytes -= log.costBytes(i)
    invariant(this.#uncommittedBytes >= 0, 'what is committed was counted as uncommitted')
    // Followers, and reads that wait for the first commit of the term, shall hear of it at once.
    this.#needsFlush = true
    const { configuration } = membership
    if (isJoint(configuration) && membership.index <= this.#state.commit)
      this.#appendConfiguration(withoutOutgoing(configuration))
  }

  #handOver(peer: Progress): void {
    if (peer.match === this.#state.log.lastIndex) this.#sendTimeoutNow(peer)
  }

  #sendTimeoutNow(peer: Progress): void {
    const { id, term, outgoing } = this.#state
    outgoing.send({ ...BLANK, kind: MessageKind.TIMEOUT_NOW, from: id, to: peer.id, term })
  }

  #sendHeartbeat(peer: Progress, hint = 0): void {
    const { id, term, commit, outgoing } = this.#state
    outgoing.send({
      ...BLANK,
      kind: MessageKind.HEARTBEAT,
      from: id,
      to: peer.id,
      term,
      index: Math.min(this.#replication.smallestMatch(), commit),
      commit: Math.min(peer.match, commit),
      hint,
      context: this.#reads?.openRound ?? 0,
    })
  }
}
