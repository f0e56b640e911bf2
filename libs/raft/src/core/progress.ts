import { InflightWindow } from './inflight-window.js'
import type { LogIndex, NodeId } from './types.js'

/**
 *     probe ──── an append is acknowledged ────▶ replicate
 *       ▲ ◀── an append is refused, or the link broke ──┘
 *       └──▶ snapshot: its next entry is compacted here; left by an acknowledgement, or when sending one failed
 *
 * Probing sends one append and waits; replicating sends ahead within the window.
 */
export type ProgressState = 'probe' | 'replicate' | 'snapshot'

/** What others may know of a peer's progress. */
export interface PeerProgress {
  readonly match: LogIndex
  readonly next: LogIndex
  readonly state: ProgressState
  /** It answered since the last quorum check. */
  readonly recentActive: boolean
  /** Its link broke, and nothing was heard of it since. */
  readonly isLost: boolean
}

/** What the leader of a term knows of one peer. Made anew for every leadership. */
export class Progress implements PeerProgress {
  readonly id: NodeId
  readonly inflight: InflightWindow
  state: ProgressState = 'probe'
  /** Durable there and equal to our log up to here. Never decreases, unless its disk has lost what it had. */
  match: LogIndex = 0
  /** The next entry to send; match < next. */
  next: LogIndex
  recentActive = false
  /** Commit index in the last append sent. */
  commitSent: LogIndex = 0
  /** The last round of reads it has answered. */
  readRound = 0
  /** A probe is on its way: nothing more is sent until it is answered or given up. */
  paused = false
  /** An empty append shall find out whether what is in flight got lost. */
  nudged = false
  /** Nothing was heard of it since its link broke. */
  isLost = false
  /** A learner has caught up once it gets here soon enough (Raft thesis §4.2.1). */
  roundTarget: LogIndex = 0
  roundTicks = 0
  /** The number of the last recovery that it told of; 0 when none. */
  #recovery = 0
  /** Something was in flight at the last two heartbeats, and nothing moved in between. */
  #stalled = false
  #matchAtHeartbeat: LogIndex = 0
  #waitedAtHeartbeat = false

  constructor(
    id: NodeId,
    next: LogIndex,
    window: { readonly messagesMax: number; readonly bytesMax: number },
  ) {
    this.id = id
    this.next = next
    this.inflight = new InflightWindow(window)
  }

  get maySend(): boolean {
    if (this.state === 'replicate') return !this.inflight.isFull
    return this.state === 'probe' && !this.paused
  }

  /** Takes note that `[next, last]` was sent. */
  sent(last: LogIndex, bytes: number): void {
    if (this.state === 'replicate') {
      this.inflight.add(last, bytes)
      this.next = last + 1
    } else {
      this.paused = true
    }
  }

  /** The peer has everything up to `index`. An answer that was overtaken says nothing new. */
  acknowledge(index: LogIndex): void {
    if (index < this.match || (index === this.match && this.state === 'snapshot')) return
    this.match = index
    this.next = Math.max(this.next, index + 1)
    if (this.state === 'replicate') this.inflight.freeTo(index)
    else this.#replicate()
  }

  /**
   * The peer refused the append after `rejected`. True when the answer is not outdated and something
   * shall be sent again.
   *
   * @param agreement where the two logs may agree, at most
   */
  refuse(rejected: LogIndex, agreement: LogIndex): boolean {
    if (this.state === 'replicate') {
      if (rejected <= this.match) return false
      this.probe()
      return true
    }
    if (this.state !== 'probe' || this.next - 1 !== rejected) return false
    this.next = Math.max(Math.min(rejected, agreement + 1), this.match + 1)
    this.paused = false
    return true
  }

  /** Forgets what is in flight. */
  probe(): void {
    this.state = 'probe'
    this.next = this.match + 1
    this.#clearFlight()
  }

  needSnapshot(): void {
    this.state = 'snapshot'
    this.#clearFlight()
  }

  /**
   * Its disk has lost a part of what it acknowledged: nothing that it said before counts. Told again and
   * again; each recovery is heard of once.
   */
  recovers(recovery: number, next: LogIndex): void {
    if (recovery === this.#recovery) return
    this.#recovery = recovery
    this.match = 0
    this.readRound = 0
    this.commitSent = 0
    this.probe()
    this.next = next
  }

  /** Anything at all came from it. */
  heard(): void {
    this.recentActive = true
    this.isLost = false
  }

  /** The link broke: what is in flight is lost, and a sign of life is awaited before more is sent. */
  lostLink(): void {
    if (this.state === 'replicate') this.probe()
    this.paused = true
    this.isLost = true
    this.#stalled = true
    // The next heartbeat finds it waiting since before, so that already its answer goes on with it.
    this.#waitedAtHeartbeat = true
    this.#matchAtHeartbeat = this.match
  }

  /** A heartbeat is sent: was anything acknowledged since the one before? */
  heartbeatSent(): void {
    const waits = this.#waits
    this.#stalled = waits && this.#waitedAtHeartbeat && this.match === this.#matchAtHeartbeat
    this.#waitedAtHeartbeat = waits
    this.#matchAtHeartbeat = this.match
  }

  /** The peer lives. True when something got stuck and shall be tried again. */
  heartbeatAnswered(): boolean {
    this.heard()
    if (!this.#stalled) return false
    this.#stalled = false
    this.paused = false
    this.nudged = this.state === 'replicate'
    return true
  }

  get #waits(): boolean {
    return this.state === 'replicate' ? this.match < this.next - 1 : this.paused
  }

  #replicate(): void {
    this.state = 'replicate'
    this.next = this.match + 1
    this.#clearFlight()
  }

  #clearFlight(): void {
    this.inflight.clear()
    this.paused = false
    this.nudged = false
    this.#stalled = false
    this.#waitedAtHeartbeat = false
  }
}
