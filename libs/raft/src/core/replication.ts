import { BLANK } from './message.js'
import type { NodeState } from './node-state.js'
import { Progress } from './progress.js'
import { isQuorum, quorumValue } from './quorum.js'
import { type LogIndex, MessageKind, type NodeId, type RaftMessage } from './types.js'

/** The log of one leadership on its way to the peers, and what they have of it. */
export class Replication {
  #peers: readonly Progress[] = []
  readonly #state: NodeState

  constructor(state: NodeState) {
    this.#state = state
    this.reconfigure(state.log.lastIndex + 1)
  }

  get peers(): readonly Progress[] {
    return this.#peers
  }

  /**
   * The membership changed: new members are probed, those who left get nothing more, all others stay as
   * they are.
   *
   * @param next the entry that new members are probed with: there must be one, or nothing is sent to them
   */
  reconfigure(next: LogIndex): void {
    const { limits, membership } = this.#state
    const window = { messagesMax: limits.inflightMessagesMax, bytesMax: limits.inflightBytesMax }
    this.#peers = membership.peers.map((id) => this.progress(id) ?? new Progress(id, next, window))
  }

  progress(peer: NodeId): Progress | undefined {
    // A few at most: a search is quicker than a map, and takes no memory.
    for (const progress of this.#peers) if (progress.id === peer) return progress
    return undefined
  }

  /** True when something may be sent, or committed, that could not before. */
  receiveResponse(response: RaftMessage): boolean {
    const progress = this.progress(response.from)
    if (progress === undefined) return false
    progress.heard()
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
    const { id, log, commit, term, membership } = this.#state
    const index = quorumValue(membership.configuration, (voter) =>
      voter === id ? log.durableIndex : this.progress(voter)!.match,
    )
    if (index <= commit || log.knownTerm(index) !== term) return false
    return this.#state.commitTo(index)
  }

  /** The last round of reads that a majority has echoed; `lastRound` counts as the leader's own. */
  majorityReadRound(lastRound: number): number {
    const { id, membership } = this.#state
    return quorumValue(membership.configuration, (voter) =>
      voter === id ? lastRound : this.progress(voter)!.readRound,
    )
  }

  /** Whether a quorum was heard since the last call, the leader included. */
  takeQuorumActive(): boolean {
    const { id, membership } = this.#state
    const active = isQuorum(
      membership.configuration,
      (voter) => voter === id || this.progress(voter)!.recentActive,
    )
    for (const peer of this.#peers) peer.recentActive = false
    return active
  }

  /** All members have everything up to here durably, this one included. */
  smallestMatch(): LogIndex {
    let smallest = this.#state.log.durableIndex
    for (const peer of this.#peers) smallest = Math.min(smallest, peer.match)
    return smallest
  }

  /** Sends every peer what it lacks, as far as its window allows, and the commit index where it is news. */
  flush(): void {
    for (const peer of this.#peers) this.#flushTo(peer)
  }

  #flushTo(peer: Progress): void {
    const { log, commit, outgoing } = this.#state
    if (peer.state === 'snapshot') return
    if (peer.next <= log.compactedIndex) {
      if (peer.state === 'probe' && peer.paused) return
      peer.needSnapshot()
      outgoing.askForSnapshot(peer.id)
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
