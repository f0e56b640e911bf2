import { BLANK } from './message.js'
import type { NodeState } from './node-state.js'
import { Progress } from './progress.js'
import { majorityValue } from './quorum.js'
import { type LogIndex, MessageKind, type NodeId, type RaftMessage } from './types.js'

/** The log of one leadership on its way to the peers, and what they have of it. */
export class Replication {
  readonly peers: readonly Progress[]
  readonly #byId = new Map<NodeId, Progress>()
  readonly #state: NodeState
  /** One number per voter, to count with. */
  readonly #counted: number[]

  constructor(state: NodeState) {
    this.#state = state
    const window = {
      messagesMax: state.limits.inflightMessagesMax,
      bytesMax: state.limits.inflightBytesMax,
    }
    this.peers = state.peers.map((peer) => new Progress(peer, state.log.lastIndex + 1, window))
    for (const progress of this.peers) this.#byId.set(progress.id, progress)
    this.#counted = new Array<number>(state.voters.length).fill(0)
  }

  progress(peer: NodeId): Progress | undefined {
    return this.#byId.get(peer)
  }

  /** True when something may be sent, or committed, that could not before. */
  receiveResponse(response: RaftMessage): boolean {
    const progress = this.#byId.get(response.from)
    if (progress === undefined) return false
    progress.recentActive = true
    if (!response.reject) {
      if (response.index > this.#state.log.lastIndex) return false
      progress.acknowledge(response.index)
      return true
    }
    const agreement = this.#state.log.conflictBackOff({ index: response.hint, term: response.hintTerm })
    return progress.refuse(response.index, agreement.index)
  }

  /**
   * "If there exists an N such that N > commitIndex, a majority of matchIndex[i] ≥ N, and
   * log[N].term == currentTerm: set commitIndex = N" (figure 2; the term because of figure 8).
   */
  advanceCommit(): boolean {
    const { log, commit, term } = this.#state
    let count = 0
    this.#counted[count++] = log.durableIndex
    for (const peer of this.peers) if (peer.isVoter) this.#counted[count++] = peer.match
    const index = majorityValue(this.#counted)
    if (index <= commit || log.knownTerm(index) !== term) return false
    return this.#state.commitTo(index)
  }

  /** The last round of reads that a majority has echoed; `lastRound` counts as the leader's own. */
  majorityReadRound(lastRound: number): number {
    let count = 0
    this.#counted[count++] = lastRound
    for (const peer of this.peers) if (peer.isVoter) this.#counted[count++] = peer.readRound
    return majorityValue(this.#counted)
  }

  /** Voters heard since the last call, the leader included. */
  takeActiveVoters(): number {
    let active = 1
    for (const peer of this.peers) {
      if (peer.isVoter && peer.recentActive) active++
      peer.recentActive = false
    }
    return active
  }

  /** All members have everything up to here durably, this one included. */
  smallestMatch(): LogIndex {
    let smallest = this.#state.log.durableIndex
    for (const peer of this.peers) smallest = Math.min(smallest, peer.match)
    return smallest
  }

  /** Sends every peer what it lacks, as far as its window allows, and the commit index where it is news. */
  flush(): void {
    for (const peer of this.peers) this.#flushTo(peer)
  }

  #flushTo(peer: Progress): void {
    const { log, commit } = this.#state
    if (peer.state === 'snapshot-needed') return
    if (peer.next <= log.compactedIndex) {
      peer.needSnapshot()
      return
    }
    const news = peer.nudged || peer.commitSent < commit
    peer.nudged = false
    let sent = false
    for (; peer.next <= log.lastIndex && peer.maySend; sent = true) this.#sendAppend(peer)
    if (!sent && news && peer.state === 'replicate') this.#send(peer, peer.next - 1)
  }

  #sendAppend(peer: Progress): void {
    const { log, limits } = this.#state
    const lastIndex = log.lastIndex
    let last = peer.next
    let bytes = log.costBytes(last)
    while (last < lastIndex) {
      const more = bytes + log.costBytes(last + 1)
      if (more > limits.appendBytesMax) break
      bytes = more
      last++
    }
    this.#send(peer, last)
    peer.sent(last, bytes)
  }

  /** The append of `[next, last]`; an empty one when `last` is the entry before. */
  #send(peer: Progress, last: LogIndex): void {
    const { id, term, commit, log, outgoing } = this.#state
    const previous = peer.next - 1
    peer.commitSent = commit
    outgoing.send({
      ...BLANK,
      kind: MessageKind.APPEND,
      from: id,
      to: peer.id,
      term,
      index: previous,
      logTerm: log.knownTerm(previous),
      commit,
      count: last - previous,
    })
  }
}
