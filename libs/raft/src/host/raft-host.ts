import { invariant, type Random, toError } from '@sluice/foundation'
import { membersOf } from '../core/configuration.js'
import { ConfigurationPool } from '../core/configuration-pool.js'
import { type CoreLimits, limitsOf } from '../core/config.js'
import { RaftCore } from '../core/core.js'
import type { LogIndex, NodeId, RaftGroupId, SnapshotMeta } from '../core/types.js'
import type { GroupStorage, LogStore, LogWrite } from '../storage/log-store.js'
import { decodeFrame, epochOf, isMessageFrame } from './codec.js'
import { Outbox, type RaftTransport } from './outbox.js'
import { PeerWatch } from './peer-watch.js'
import { type Completion, type GroupHost, RaftGroup } from './raft-group.js'
import type { SnapshotCarrier, SnapshotSource, StateMachine } from './state-machine.js'
import { eventLoop, type TurnScheduler } from './turn-scheduler.js'

export interface RaftTimings {
  /** Length of one tick, milliseconds. Default 100. */
  readonly tickMs: number
  /** Ticks without a leader before an election, plus a random part of the same length. Default 10. */
  readonly electionTicks: number
  /** Ticks between two heartbeats. Default 3. */
  readonly heartbeatTicks: number
  /** A group in which nothing happened for so many ticks costs nothing until something does; 0: never. Default 10. */
  readonly quiesceTicks: number
  /** A node whose disk has not answered for so long stops leading, milliseconds. Default 5000. */
  readonly diskStallMs: number
}

export const DEFAULT_TIMINGS: RaftTimings = {
  tickMs: 100,
  electionTicks: 10,
  heartbeatTicks: 3,
  quiesceTicks: 10,
  diskStallMs: 5000,
}

export interface RaftHostOptions {
  readonly nodeId: NodeId
  /**
   * Higher at every start of this node, u32: what an earlier process sent is not heard after the first word of a
   * later one. Default 0, for a node that is never started again under its id.
   */
  readonly epoch?: number
  readonly store: LogStore
  readonly transport: RaftTransport
  readonly random: Random
  readonly timings?: Partial<RaftTimings>
  /** Bounds of every group's core, in place of those that suit most. */
  readonly limits?: Pick<
    CoreLimits,
    'inflightMessagesMax' | 'inflightBytesMax' | 'appendBytesMax' | 'uncommittedBytesMax' | 'readsMax'
  >
  readonly scheduler?: TurnScheduler
  /** Needed by groups whose machines have snapshots. */
  readonly snapshots?: SnapshotCarrier
  /** Something broke that no retry mends: the process must end. */
  readonly onFatal: (error: Error) => void
  /** A snapshot could not be opened, or did not arrive; it is tried again. */
  /** A group that was opened as recovering has back what its disk had lost. */
  readonly onRecovered?: (group: RaftGroupId) => void
  readonly onSnapshotFailed?: (group: RaftGroupId, peer: NodeId, error: Error) => void
}

export interface GroupSettings {
  readonly id: RaftGroupId
  /** 16 bytes that tell this group from any other that ever had its id. */
  readonly uuid: Uint8Array
  readonly name: string
  /** The group's first voters, the same on all of its first members; none on a node that is to be added. */
  readonly voters: readonly NodeId[]
  readonly learners?: readonly NodeId[]
  /** What the state machine holds already, for example in a database. */
  readonly applied: LogIndex
  /**
   * The disk has lost a part of what was durable in this group: its log, or the end of it. It takes part again
   * once enough others have told it what it may have forgotten; alone it never does. Default false.
   */
  readonly isRecovering?: boolean
  /**
   * Whatever this process stores because it has applied an entry shall not outlive the knowledge that the entry
   * was committed: its index goes into the log ahead of all that is appended later. Default false: a restart then
   * may have to learn from the others again how far the group had got.
   */
  readonly keepsCommit?: boolean
  /** A snapshot that the machine was made from: the log follows it, when a crash came between the two. */
  readonly snapshot?: SnapshotMeta
  readonly machine: StateMachine
}

const INFLIGHT_MESSAGES_MAX = 64
const INFLIGHT_BYTES_MAX = 8 * 1024 * 1024
const APPEND_BYTES_MAX = 1024 * 1024
const UNCOMMITTED_BYTES_MAX = 64 * 1024 * 1024
/** Groups that are woken in one tick when a peer comes or goes, so that thousands do not elect at once. */
const WAKES_PER_TICK = 256
/** Ticks before a snapshot that did not arrive is tried again. */
const SNAPSHOT_RETRY_TICKS = 10

/**
 * The Raft groups of one process, on one ticker and one log. Whatever happens marks groups dirty; one
 * turn of the event loop then takes care of all of them: one write and one sync, one frame per peer.
 * Quiesced groups are not even ticked; what keeps them safe is that processes watch each other.
 */
export class RaftHost implements GroupHost {
  readonly #options: RaftHostOptions
  readonly #timings: RaftTimings
  readonly #limits: CoreLimits
  readonly #scheduler: TurnScheduler
  readonly #outbox: Outbox
  readonly #watch: PeerWatch
  readonly #configurations = new ConfigurationPool()
  readonly #groups = new Map<RaftGroupId, RaftGroup>()
  /** Those that need ticks. */
  readonly #awake = new Set<RaftGroup>()
  /** Writes on their way that a group of this id must wait for, before it may say or do anything. */
  readonly #held = new Map<RaftGroupId, number>()
  readonly #toWake = new Map<RaftGroup, NodeId>()
  /** Heard since the last beat, and in no group that this node knows the members of. */
  readonly #strangers = new Set<NodeId>()
  /** Of the process that each peer runs now. */
  readonly #epochs = new Map<NodeId, number>()
  readonly #snapshotRetries: { readonly group: RaftGroup; readonly peer: NodeId; ticksLeft: number }[] = []
  #dirty = new Set<RaftGroup>()
  /** A group was closed or changed its members: some peers may share no group with this node any more. */
  #peersMayLeave = false
  #ticksToBeat = 0
  #scheduled = false
  #stopped = false
  #stopTicker: (() => void) | undefined

  constructor(options: RaftHostOptions) {
    this.#options = options
    this.#timings = { ...DEFAULT_TIMINGS, ...options.timings }
    this.#limits = limitsOf({
      electionTicks: this.#timings.electionTicks,
      heartbeatTicks: this.#timings.heartbeatTicks,
      quiesceTicks: this.#timings.quiesceTicks,
      inflightMessagesMax: INFLIGHT_MESSAGES_MAX,
      inflightBytesMax: INFLIGHT_BYTES_MAX,
      appendBytesMax: APPEND_BYTES_MAX,
      uncommittedBytesMax: UNCOMMITTED_BYTES_MAX,
      ...options.limits,
    })
    this.#scheduler = options.scheduler ?? eventLoop
    this.#outbox = new Outbox(options.transport, options.epoch ?? 0)
    this.#watch = new PeerWatch({
      silentTicksMax: this.#timings.electionTicks,
      onDown: (peer) => this.#onPeerDown(peer),
      onUp: (peer) => this.#onPeerUp(peer),
    })
  }

  start(): void {
    invariant(this.#stopTicker === undefined, 'a host starts once')
    this.#stopTicker = this.#scheduler.every(this.#timings.tickMs, () => this.tick())
  }

  /** Takes no more input and answers what waits. What the log was given is still written by its `close`. */
  stop(): void {
    this.#stopped = true
    this.#stopTicker?.()
    for (const group of this.#groups.values()) group.close()
  }

  get isStopped(): boolean {
    return this.#stopped
  }

  group(id: RaftGroupId): RaftGroup | undefined {
    return this.#groups.get(id)
  }

  groups(): IterableIterator<RaftGroup> {
    return this.#groups.values()
  }

  /** Groups that are ticked; the others wait for something to happen. */
  get awakeCount(): number {
    return this.#awake.size
  }

  /** Starts a group: from its log when there is one of the same incarnation, else empty. */
  openGroup(settings: GroupSettings): RaftGroup {
    const { nodeId, store, random } = this.#options
    invariant(!this.#groups.has(settings.id), `group ${settings.id} is open already`)
    const log = store.group(settings.id) ?? store.createGroup(settings.id, settings.uuid, settings.name)
    const same = log.uuid.every((byte, i) => byte === settings.uuid[i])
    invariant(same, `the log's group ${settings.id} is another incarnation`)
    if (settings.snapshot !== undefined) this.#followSnapshot(log, settings.snapshot)
    const core = new RaftCore({
      id: nodeId,
      group: settings.id,
      voters: settings.voters,
      ...(settings.learners === undefined ? {} : { learners: settings.learners }),
      limits: this.#limits,
      configurations: this.#configurations,
      random,
      log,
      hardState: log.hardState,
      applied: settings.applied,
      ...(settings.isRecovering === undefined ? {} : { isRecovering: settings.isRecovering }),
    })
    const { machine, keepsCommit = false } = settings
    const group = new RaftGroup({ core, log, machine, keepsCommit, host: this, outbox: this.#outbox })
    this.#groups.set(settings.id, group)
    this.#watch.add(this.#othersIn(group))
    this.markDirty(group)
    return group
  }

  /** Stops a group; its log stays. */
  closeGroup(id: RaftGroupId): void {
    const group = this.#groups.get(id)
    if (group === undefined) return
    group.close()
    if (group.isWriting) this.#holdUntilDurable(id)
    this.#groups.delete(id)
    this.#awake.delete(group)
    this.#toWake.delete(group)
    this.#options.snapshots?.cancel(id)
    this.#peersMayLeave = true
  }

  /** Stops a group and forgets its log. The id may come back with another uuid only. */
  removeGroup(id: RaftGroupId): void {
    this.closeGroup(id)
    if (this.#options.store.group(id) !== undefined) this.#options.store.removeGroup(id)
  }

  /**
   * A frame from a peer.
   * @throws RaftDecodeError when it is none; nothing of it has taken effect
   */
  receive(from: NodeId, frame: Uint8Array): void {
    if (this.#stopped) return
    if (!isMessageFrame(frame)) {
      this.#hear(from)
      this.#options.snapshots?.receive(from, frame)
      return
    }
    const epoch = epochOf(frame)
    if (epoch < (this.#epochs.get(from) ?? 0)) return
    this.#epochs.set(from, epoch)
    this.#hear(from)
    const to = this.#options.nodeId
    for (const { group: id, incarnation, message, entries } of decodeFrame(frame, { from, to })) {
      const group = this.#groups.get(id)
      if (group?.incarnation === incarnation) group.receive(message, entries)
    }
  }

  /** The connection to a peer broke: what was sent may be lost. */
  peerDown(peer: NodeId): void {
    if (!this.#stopped) this.#watch.lost(peer)
  }

  /** A whole snapshot arrived, for a group of this process. */
  snapshotReceived(id: RaftGroupId, source: SnapshotSource): void {
    const group = this.#groups.get(id)
    if (this.#stopped || group === undefined) void source.close()
    else group.restore(source).catch((error: unknown) => this.fatal(toError(error)))
  }

  /** A snapshot did not get to the peer, or its acknowledgement does not come: it is tried again, later. */
  snapshotEnded(id: RaftGroupId, peer: NodeId): void {
    const group = this.#groups.get(id)
    if (group === undefined) return
    this.#snapshotRetries.push({ group, peer, ticksLeft: SNAPSHOT_RETRY_TICKS })
  }

  /** Forgets a group's log up to `index`, which its state machine must hold durably. */
  compact(group: RaftGroup, index: LogIndex): void {
    if (!this.#stopped && index > group.log.compactedIndex) this.#options.store.compact(group.id, index)
  }

  /** One tick. Called by the ticker. */
  tick(): void {
    if (this.#stopped) return
    try {
      // A leader whose disk hangs is no leader: it falls silent, and the others elect another one.
      const isStalled = this.#options.store.stalledMs > this.#timings.diskStallMs
      for (const group of this.#awake) {
        if (!(isStalled && group.isLeader)) group.tick()
        if (group.isQuiesced) this.#awake.delete(group)
      }
      this.#forgetPeers()
      this.#watch.tick()
      this.#wakeSome()
      this.#retrySnapshots()
      this.#options.snapshots?.tick()
      if (++this.#ticksToBeat < this.#timings.heartbeatTicks || isStalled) return
      this.#ticksToBeat = 0
      for (const peer of this.#watch.peers()) this.#outbox.beat(peer)
      this.#answerStrangers()
    } catch (error) {
      this.fatal(toError(error))
    }
  }

  // What follows is for the groups.

  markDirty(group: RaftGroup): void {
    if (group.isClosed || this.#held.has(group.id)) return
    this.#dirty.add(group)
    this.#awake.add(group)
    this.#schedule()
  }

  membersChanged(group: RaftGroup): void {
    this.#watch.add(this.#othersIn(group))
    this.#peersMayLeave = true
  }

  sendSnapshot(group: RaftGroup, peer: NodeId): void {
    const carrier = this.#options.snapshots
    if (carrier === undefined || group.machine.openSnapshot === undefined) return
    const { term } = group.state
    group.machine.openSnapshot().then(
      (source) => {
        if (group.isLeader && group.state.term === term)
          carrier.offer({ group: group.id, uuid: group.log.uuid, peer, term }, source)
        else void source.close()
      },
      (error: unknown) => {
        this.#options.onSnapshotFailed?.(group.id, peer, toError(error))
        this.snapshotEnded(group.id, peer)
      },
    )
  }

  recovered(group: RaftGroup): void {
    this.#options.onRecovered?.(group.id)
  }

  fatal(error: Error): void {
    this.#options.onFatal(error)
  }

  /** Its log ends before the snapshot, or differs from it: the machine is what counts. */
  #followSnapshot(log: GroupStorage, snapshot: SnapshotMeta): void {
    const { index, term } = snapshot
    if (index === 0 || log.compactedIndex > index || log.term(index) === term) return
    const { hardState } = log
    const isLater = term > hardState.term
    this.#options.store.append(
      [
        {
          group: log.id,
          hardState: {
            term: Math.max(term, hardState.term),
            vote: isLater ? 0 : hardState.vote,
            commit: Math.max(index, hardState.commit),
          },
          snapshot,
        },
      ],
      () => undefined,
    )
    this.#holdUntilDurable(log.id)
  }

  /**
   * A core takes all of its log for durable when it begins: one that is opened while an earlier one's
   * writes are on their way says and does nothing before they are.
   */
  #holdUntilDurable(id: RaftGroupId): void {
    this.#held.set(id, (this.#held.get(id) ?? 0) + 1)
    this.#options.store.append([], () => {
      const left = this.#held.get(id)! - 1
      if (left > 0) {
        this.#held.set(id, left)
        return
      }
      this.#held.delete(id)
      const group = this.#groups.get(id)
      if (group !== undefined && !this.#stopped) this.markDirty(group)
    })
  }

  /** Once a tick: it looks at every group, and thousands change their members or are closed at a time. */
  #forgetPeers(): void {
    if (!this.#peersMayLeave) return
    this.#peersMayLeave = false
    const members = new Set<NodeId>()
    for (const group of this.#groups.values())
      for (const id of membersOf(group.configuration)) members.add(id)
    this.#watch.retain(members)
  }

  #othersIn(group: RaftGroup): readonly NodeId[] {
    return membersOf(group.configuration).filter((id) => id !== this.#options.nodeId)
  }

  #onPeerDown(peer: NodeId): void {
    this.#options.snapshots?.peerDown(peer)
    for (const group of this.#groups.values()) {
      if (group.isQuiesced && group.state.leader === peer) this.#toWake.set(group, peer)
      else group.unreachable(peer)
    }
  }

  /** Groups that were left without the peer have something to tell it. */
  #onPeerUp(peer: NodeId): void {
    for (const group of this.#groups.values()) {
      if (group.progress(peer)?.isLost !== true) continue
      if (group.isQuiesced) this.#toWake.set(group, peer)
      else group.reachable(peer)
    }
  }

  #wakeSome(): void {
    let count = 0
    for (const [group, peer] of this.#toWake) {
      if (++count > WAKES_PER_TICK) return
      this.#toWake.delete(group)
      if (group.isLeader) group.reachable(peer)
      else group.unreachable(peer)
      group.wake()
    }
  }

  #hear(from: NodeId): void {
    if (!this.#watch.heard(from)) this.#strangers.add(from)
  }

  /** A group here that waits to be added may have fallen asleep without this node: who adds it must know that it is there. */
  #answerStrangers(): void {
    if (this.#strangers.size === 0) return
    const waits = [...this.#groups.values()].some(({ configuration }) => configuration.voters.length === 0)
    if (waits) for (const peer of this.#strangers) this.#outbox.beat(peer)
    this.#strangers.clear()
  }

  #retrySnapshots(): void {
    for (let i = this.#snapshotRetries.length - 1; i >= 0; i--) {
      const retry = this.#snapshotRetries[i]!
      if (--retry.ticksLeft > 0) continue
      this.#snapshotRetries.splice(i, 1)
      retry.group.snapshotFailed(retry.peer)
    }
  }

  #schedule(): void {
    if (this.#scheduled || this.#stopped) return
    this.#scheduled = true
    this.#scheduler.soon(this.#turn)
  }

  readonly #turn = (): void => {
    this.#scheduled = false
    if (this.#stopped) return
    try {
      const dirty = this.#dirty
      this.#dirty = new Set()
      const writes: LogWrite[] = []
      const completions: Completion[] = []
      for (const group of dirty) group.collect(writes, completions)
      if (completions.length > 0) this.#options.store.append(writes, () => this.#persisted(completions))
      else if (writes.length > 0) this.#options.store.append(writes)
      for (const group of dirty) group.carryOut()
      if (this.#outbox.flush()) this.#schedule()
    } catch (error) {
      this.fatal(toError(error))
    }
  }

  #persisted(completions: readonly Completion[]): void {
    if (this.#stopped) return
    try {
      for (const completion of completions) completion.group.persisted(completion)
      // The answers that waited for the disk leave with whatever they allow next.
      this.#turn()
    } catch (error) {
      this.fatal(toError(error))
    }
  }
}
