import { invariant } from '@sluice/foundation'
import { type ConfigurationChange, encodeConfiguration } from '../core/configuration.js'
import type { RaftCore } from '../core/core.js'
import type { ForcedConfiguration, ForceResult } from '../core/forced.js'
import type { ConfigurationResult, ProposeResult } from '../core/leader.js'
import type { PeerProgress } from '../core/progress.js'
import {
  type Configuration,
  EntryKind,
  type LogIndex,
  type NodeId,
  type RaftGroupId,
  type RaftMessage,
  type RaftOutput,
  Role,
  type Entry,
  type Term,
} from '../core/types.js'
import type { GroupStorage, LogWrite } from '../storage/log-store.js'
import { AppendSender } from './append-sender.js'
import { Applier } from './applier.js'
import { incarnationOf } from './codec.js'
import type { Outbox } from './outbox.js'
import type { GroupState, SnapshotSource, StateMachine } from './state-machine.js'
import { type ReadOutcome, WaitingReads } from './waiting-reads.js'

/** What the host does for its groups. */
export interface GroupHost {
  markDirty(group: RaftGroup): void
  /** The peer's next entries are compacted here. */
  sendSnapshot(group: RaftGroup, peer: NodeId): void
  /** Who is in the group may have changed. */
  membersChanged(group: RaftGroup): void
  /** What the disk had lost is there again. */
  recovered(group: RaftGroup): void
  fatal(error: Error): void
}

/** Sends that wait until everything handed to the log before them is durable. */
export interface Completion {
  readonly group: RaftGroup
  readonly persistId: number
  readonly messages: RaftMessage[]
}

/** Of the thousands of groups that wait for nothing; never written to. */
const NONE: never[] = []

/** One group of a process: its core, its log and its state machine, without any timer of its own. */
export class RaftGroup {
  readonly id: RaftGroupId
  /** A number that tells it from other groups that had its id. */
  readonly incarnation: number
  readonly log: GroupStorage
  readonly machine: StateMachine
  readonly #core: RaftCore
  readonly #host: GroupHost
  readonly #sender: AppendSender
  readonly #applier: Applier
  readonly #keepsCommit: boolean
  /** Made for the first read. */
  #reads: WaitingReads | undefined

  #output: RaftOutput | undefined
  /** Writes that are not durable yet. */
  #outstanding: Completion[] = NONE
  #isRecovering: boolean
  /** The last that the host was told of. */
  #configuration: Configuration
  #closed = false

  constructor(parts: {
    readonly core: RaftCore
    readonly log: GroupStorage
    readonly machine: StateMachine
    /** See `GroupSettings`. */
    readonly keepsCommit: boolean
    readonly host: GroupHost
    readonly outbox: Outbox
  }) {
    const { core, log, machine, keepsCommit, host, outbox } = parts
    this.id = core.group
    this.incarnation = incarnationOf(log.uuid)
    this.log = log
    this.machine = machine
    this.#core = core
    this.#host = host
    this.#keepsCommit = keepsCommit
    this.#isRecovering = core.isRecovering
    this.#configuration = core.configuration
    this.#sender = new AppendSender(this, outbox)
    this.#applier = new Applier(this)
  }

  get state(): GroupState {
    return { role: this.#core.role, term: this.#core.term, leader: this.#core.leader }
  }

  get isLeader(): boolean {
    return !this.#closed && this.#core.role === Role.LEADER
  }

  /** That in which this node leads now, if it does. */
  get leadingTerm(): Term | undefined {
    return this.isLeader ? this.#core.term : undefined
  }

  get isClosed(): boolean {
    return this.#closed
  }

  /** Something was decided that the next turn hands out. */
  get hasOutput(): boolean {
    return this.#core.hasOutput()
  }

  /** Some of what it handed to the log is not durable yet. */
  get isWriting(): boolean {
    return this.#outstanding.length > 0
  }

  /** No ticks are needed until something else happens. */
  get isQuiesced(): boolean {
    return this.#core.isQuiesced
  }

  get commit(): LogIndex {
    return this.#core.commit
  }

  get applied(): LogIndex {
    return this.#core.applied
  }

  /** In force here: the latest in the log, committed or not. */
  get configuration(): Configuration {
    return this.#core.configuration
  }

  get configurationBytes(): Uint8Array {
    return encodeConfiguration(this.#core.configuration)
  }

  /** What the disk lost is not here again yet. */
  get isRecovering(): boolean {
    return this.#core.isRecovering
  }

  /** False while a change of the configuration is on its way. */
  get isConfigurationCommitted(): boolean {
    return this.#core.configurationIndex <= this.#core.commit
  }

  /** The configuration at an entry from the compacted end on, encoded: part of a snapshot of it. */
  configurationAt(index: LogIndex): Uint8Array {
    return this.#core.configurationAt(index)
  }

  /** What the leader knows of a member; `undefined` on others. */
  progress(peer: NodeId): PeerProgress | undefined {
    return this.#core.progress(peer)
  }

  /** The log may be compacted up to here without leaving a member behind. */
  compactionLimit(): LogIndex {
    return this.#core.compactionLimit()
  }

  /** Appends commands to the log, if this node leads. The bytes must not change afterwards. */
  propose(commands: readonly Uint8Array[]): ProposeResult {
    if (this.#closed) return { kind: 'not-leader', leader: 0 }
    const outcome = this.#core.propose(commands.map((data) => ({ kind: EntryKind.COMMAND, data })))
    this.#host.markDirty(this)
    return outcome
  }

  /**
   * Changes who is in the group, if this node leads. Accepted, it is in force; it is done when
   * `isConfigurationCommitted` and the configuration is not joint any more.
   */
  changeConfiguration(change: ConfigurationChange): ConfigurationResult {
    if (this.#closed) return { kind: 'not-leader', leader: 0 }
    const outcome = this.#core.changeConfiguration(change)
    this.#host.markDirty(this)
    return outcome
  }

  /** UNSAFE: see `RaftCore.forceConfiguration`. An election follows; done when somebody leads. */
  forceConfiguration(forced: ForcedConfiguration): ForceResult {
    if (this.#closed) return { kind: 'invalid', reason: 'the group is closed' }
    const outcome = this.#core.forceConfiguration(forced)
    if (outcome.kind === 'forced') this.#core.campaign()
    this.#host.markDirty(this)
    return outcome
  }

  /** Calls back once everything that was committed before the call is applied here (Raft thesis §6.4). */
  readIndex(done: (outcome: ReadOutcome) => void): void {
    if (this.#closed) {
      done({ kind: 'not-leader', leader: 0 })
      return
    }
    this.#reads ??= new WaitingReads(this.#core)
    this.#reads.ask(done)
    this.#host.markDirty(this)
  }

  transferLeadership(to: NodeId): boolean {
    const started = !this.#closed && this.#core.transferLeadership(to)
    this.#host.markDirty(this)
    return started
  }

  campaign(): void {
    if (this.#closed) return
    this.#core.campaign()
    this.#host.markDirty(this)
  }

  /** Closes the group to everything and answers what waits. */
  close(): void {
    this.#closed = true
    this.#applier.close()
    this.#reads?.close()
  }

  // What follows is for the host and for the parts of the group.

  sentLater(): void {
    this.#host.markDirty(this)
  }

  failed(error: Error): void {
    this.#host.fatal(error)
  }

  tick(): void {
    this.#core.tick()
    if (this.#core.hasOutput()) this.#host.markDirty(this)
  }

  wake(): void {
    this.#core.wake()
    this.#host.markDirty(this)
  }

  receive(message: RaftMessage, entries: readonly Entry[]): void {
    if (this.#closed) return
    this.#core.step(message, entries)
    this.#host.markDirty(this)
  }

  unreachable(peer: NodeId): void {
    this.#core.unreachable(peer)
    if (this.#core.hasOutput()) this.#host.markDirty(this)
  }

  reachable(peer: NodeId): void {
    this.#core.reachable(peer)
  }

  snapshotFailed(peer: NodeId): void {
    if (this.#closed) return
    this.#core.snapshotFailed(peer)
    this.#host.markDirty(this)
  }

  /** Takes a snapshot that another member sent, unless the log has got as far by itself. */
  async restore(source: SnapshotSource): Promise<void> {
    const { meta } = source
    const mayTake = !this.#closed && !this.isLeader && !this.#core.isSilent
    const isNews = mayTake && meta.index > this.#core.commit
    if (isNews) await this.#applier.restore(source)
    else await source.close()
    if (this.#closed) return
    // What the machine did not take, the log must not follow: a leader may have become none meanwhile.
    if (!isNews && meta.index > this.#core.commit) return
    this.#core.restoreSnapshot(meta)
    this.#applier.resume()
    this.#host.markDirty(this)
  }

  /**
   * First half of a turn: takes what the core wants and hands out what must be stored. Nothing else
   * happens until the log has the writes, so that the core is not called before its log is current.
   */
  collect(writes: LogWrite[], completions: Completion[]): void {
    if (this.#closed || !this.#core.hasOutput()) return
    const output = this.#core.take()
    this.#output = output
    if (this.#isRecovering && !this.#core.isRecovering) {
      this.#isRecovering = false
      this.#host.recovered(this)
    }
    if (output.persistId === 0) {
      const hardState = this.#keepsCommit ? this.#core.takeCommit() : undefined
      if (hardState !== undefined) writes.push({ group: this.id, hardState })
      return
    }
    const { hardState, snapshot, truncateFrom, entries } = output
    writes.push({
      group: this.id,
      ...(hardState === undefined ? {} : { hardState }),
      ...(snapshot === undefined ? {} : { snapshot }),
      ...(truncateFrom === undefined ? {} : { truncateFrom }),
      entries,
    })
    const completion = { group: this, persistId: output.persistId, messages: [...output.sendAfterPersist] }
    completions.push(completion)
    if (this.#outstanding.length === 0) this.#outstanding = [completion]
    else this.#outstanding.push(completion)
  }

  /** Second half: sends, answers reads, applies. The log has the writes, though not yet on disk. */
  carryOut(): void {
    const output = this.#output
    if (output === undefined) return
    this.#output = undefined
    for (const message of output.sendNow) this.#sender.send(message)
    if (output.persistId === 0 && output.sendAfterPersist.length > 0) {
      const last = this.#outstanding.at(-1)
      if (last === undefined) for (const message of output.sendAfterPersist) this.#sender.send(message)
      else last.messages.push(...output.sendAfterPersist)
    }
    if (this.#core.configuration !== this.#configuration) {
      this.#configuration = this.#core.configuration
      this.#host.membersChanged(this)
    }
    if (output.stateChanged) this.machine.stateChanged(this.state)
    for (const peer of output.snapshotTo) this.#host.sendSnapshot(this, peer)
    this.#reads?.settle(output)
    if (output.snapshot !== undefined) this.appliedTo(output.snapshot.index)
    if (output.applyTo >= output.applyFrom) this.#applier.apply(output.applyFrom, output.applyTo)
  }

  persisted(completion: Completion): void {
    const first = this.#outstanding.shift()
    invariant(first === completion, 'the log completes writes in the order it got them')
    if (this.#outstanding.length === 0) this.#outstanding = NONE
    if (this.#closed) return
    this.#core.persisted(completion.persistId)
    for (const message of completion.messages) this.#sender.send(message)
    this.#host.markDirty(this)
  }

  /** The state machine has everything up to `index`. */
  appliedTo(index: LogIndex): void {
    if (this.#closed) return
    this.#core.appliedTo(index)
    this.#reads?.appliedTo(index)
    this.#host.markDirty(this)
  }
}
