import { invariant } from '@sluice/foundation'
import { BLANK } from './message.js'
import type { NodeState } from './node-state.js'
import type { Progress } from './progress.js'
import { quorumSize } from './quorum.js'
import { RaftLog } from './raft-log.js'
import { ReadQueue } from './read-queue.js'
import { Replication } from './replication.js'
import { EntryKind, type LogIndex, MessageKind, type NodeId, type RaftMessage, type Term } from './types.js'

export interface Proposal {
  readonly kind: EntryKind
  readonly data: Uint8Array
}

export type ProposeResult =
  | { readonly kind: 'accepted'; readonly firstIndex: LogIndex; readonly term: Term }
  | { readonly kind: 'not-leader'; readonly leader: NodeId | 0 }
  | { readonly kind: 'overloaded' }
  | { readonly kind: 'transferring' }

const NO_DATA = new Uint8Array(0)

/** One leadership of this node: made when it begins and thrown away when it ends, so that nothing leaks. */
export class Leader {
  readonly #state: NodeState
  readonly #replication: Replication
  readonly #reads: ReadQueue
  /** First entry of this leadership; once it is committed, so is everything before it. */
  readonly #noopIndex: LogIndex
  #uncommittedBytes = 0
  #heartbeatElapsed = 0
  #quorumElapsed = 0
  #transferee: Progress | undefined
  #transferElapsed = 0
  #needsFlush = true

  constructor(state: NodeState) {
    this.#state = state
    this.#replication = new Replication(state)
    this.#reads = new ReadQueue(state.outgoing)
    state.log.appendOwn(state.term, EntryKind.NOOP, NO_DATA)
    this.#noopIndex = state.log.lastIndex
    for (let i = state.commit + 1; i <= this.#noopIndex; i++) this.#uncommittedBytes += state.log.costBytes(i)
  }

  /** `flush` has something to do. */
  get needsFlush(): boolean {
    return this.#needsFlush
  }

  progress(peer: NodeId): Progress | undefined {
    return this.#replication.progress(peer)
  }

  smallestMatch(): LogIndex {
    return this.#replication.smallestMatch()
  }

  /** `quorum-lost`: no majority answered for an election timeout, so others may have elected another leader. */
  tick(): 'leads' | 'quorum-lost' {
    const { limits, voters } = this.#state
    if (this.#transferee !== undefined && ++this.#transferElapsed >= limits.electionTicks)
      this.#transferee = undefined
    if (++this.#quorumElapsed >= limits.electionTicks) {
      this.#quorumElapsed = 0
      if (this.#replication.takeActiveVoters() < quorumSize(voters.length)) return 'quorum-lost'
    }
    if (++this.#heartbeatElapsed >= limits.heartbeatTicks) {
      this.#heartbeatElapsed = 0
      for (const peer of this.#replication.peers) {
        this.#sendHeartbeat(peer)
        peer.heartbeatSent()
      }
    }
    return 'leads'
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

  receiveAppendResponse(response: RaftMessage): void {
    if (!this.#replication.receiveResponse(response)) return
    this.#needsFlush = true
    this.#advanceCommit()
    if (response.from === this.#transferee?.id) this.#handOver(this.#transferee)
  }

  receiveHeartbeatResponse(response: RaftMessage): void {
    const peer = this.#replication.progress(response.from)
    if (peer === undefined || response.context > this.#reads.lastRound) return
    if (peer.heartbeatAnswered()) this.#needsFlush = true
    if (response.context <= peer.readRound) return
    peer.readRound = response.context
    this.#confirmReads()
  }

  /** The own log is durable further than before: only now does it count. */
  ownLogPersisted(): void {
    this.#advanceCommit()
  }

  unreachable(peer: NodeId): void {
    this.#replication.progress(peer)?.lostLink()
  }

  /** Answered in a round of heartbeats that starts with the next flush, once this term has a commit. */
  askRead(token: number): void {
    this.#reads.ask(token)
    this.#needsFlush = true
  }

  /** Takes no proposals until `to` has the whole log and is told to campaign, or an election timeout is over. */
  transfer(to: NodeId): boolean {
    const peer = this.#replication.progress(to)
    if (peer === undefined || !peer.isVoter || peer.state === 'snapshot-needed') return false
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
    if (this.#reads.hasAsked && this.#state.commit >= this.#noopIndex) this.#openReadRound()
  }

  /** Another leader may exist: the reads that wait cannot be answered here any more. */
  abandon(): void {
    this.#reads.refuseAll()
  }

  #openReadRound(): void {
    this.#reads.open(this.#state.commit)
    if (this.#state.voters.length === 1) this.#confirmReads()
    else for (const peer of this.#replication.peers) if (peer.isVoter) this.#sendHeartbeat(peer)
  }

  #confirmReads(): void {
    this.#reads.confirm(this.#replication.majorityReadRound(this.#reads.lastRound))
  }

  #advanceCommit(): void {
    const { log } = this.#state
    const before = this.#state.commit
    if (!this.#replication.advanceCommit()) return
    for (let i = before + 1; i <= this.#state.commit; i++) this.#uncommittedBytes -= log.costBytes(i)
    invariant(this.#uncommittedBytes >= 0, 'what is committed was counted as uncommitted')
    // Followers, and reads that wait for the first commit of the term, shall hear of it at once.
    this.#needsFlush = true
  }

  #handOver(peer: Progress): void {
    const { id, term, log, outgoing } = this.#state
    if (peer.match !== log.lastIndex) return
    outgoing.send({ ...BLANK, kind: MessageKind.TIMEOUT_NOW, from: id, to: peer.id, term })
  }

  #sendHeartbeat(peer: Progress): void {
    const { id, term, commit, outgoing } = this.#state
    outgoing.send({
      ...BLANK,
      kind: MessageKind.HEARTBEAT,
      from: id,
      to: peer.id,
      term,
      index: Math.min(this.#replication.smallestMatch(), commit),
      commit: Math.min(peer.match, commit),
      context: this.#reads.openRound,
    })
  }
}
