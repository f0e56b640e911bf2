import { invariant, toError } from '@sluice/foundation'
import type { RaftCore } from '../core/core.js'
import {
  type Entry,
  EntryKind,
  type LogIndex,
  MessageKind,
  type NodeId,
  type RaftGroupId,
  type RaftMessage,
  type RaftOutput,
  Role,
  type Term,
} from '../core/types.js'
import type { GroupLog, WalWrite } from '../wal/group-log.js'
import type { Outbox } from './outbox.js'

/** What a group's log drives. Called in log order, never twice for an entry, on one thread. */
export interface StateMachine {
  /** Committed entries, durable here. Must not throw: what it cannot do is a result of its own. */
  apply(entries: readonly Entry[]): void
  /** Role, term or leader changed. Proposals of an earlier term may still be decided either way. */
  stateChanged(state: GroupState): void
}

export interface GroupState {
  readonly role: Role
  readonly term: Term
  /** 0 when none is known. */
  readonly leader: NodeId | 0
}

export type ProposeOutcome =
  | { readonly kind: 'accepted'; readonly firstIndex: LogIndex; readonly term: Term }
  | { readonly kind: 'not-leader'; readonly leader: NodeId | 0 }
  | { readonly kind: 'overloaded' }
  | { readonly kind: 'transferring' }

export type ReadOutcome =
  | { readonly kind: 'ready'; readonly index: LogIndex }
  | { readonly kind: 'not-leader'; readonly leader: NodeId | 0 }

/** What the host does for its groups. */
export interface GroupHost {
  markDirty(group: RaftGroup): void
  fatal(error: Error): void
}

/** Sends that wait until everything handed to the log before them is durable. */
export interface Completion {
  readonly group: RaftGroup
  readonly persistId: number
  readonly messages: RaftMessage[]
}

const NO_ENTRIES: readonly Entry[] = []

interface WaitingRead {
  readonly index: LogIndex
  readonly done: (outcome: ReadOutcome) => void
}

/** One group of a process: its core, its log and its state machine, without any timer of its own. */
export class RaftGroup {
  readonly id: RaftGroupId
  readonly #core: RaftCore
  readonly #log: GroupLog
  readonly #machine: StateMachine
  readonly #host: GroupHost

  #output: RaftOutput | undefined
  readonly #outstanding: Completion[] = []
  #applying = false
  /** Peers whose appends wait for the disk. */
  readonly #readsForPeers = new Map<NodeId, Promise<void>>()
  #applyTo: LogIndex = 0
  #nextToken = 1
  readonly #askedReads = new Map<number, (outcome: ReadOutcome) => void>()
  #waitingReads: WaitingRead[] = []
  #closed = false

  constructor(parts: {
    readonly core: RaftCore
    readonly log: GroupLog
    readonly machine: StateMachine
    readonly host: GroupHost
  }) {
    this.id = parts.core.group
    this.#core = parts.core
    this.#log = parts.log
    this.#machine = parts.machine
    this.#host = parts.host
  }

  get state(): GroupState {
    return { role: this.#core.role, term: this.#core.term, leader: this.#core.leader }
  }

  get isLeader(): boolean {
    return this.#core.role === Role.LEADER
  }

  get commit(): LogIndex {
    return this.#core.commit
  }

  get applied(): LogIndex {
    return this.#core.applied
  }

  get log(): GroupLog {
    return this.#log
  }

  get voters(): readonly NodeId[] {
    return this.#core.voters
  }

  /** What the leader knows of a member; `undefined` on others. */
  progress(peer: NodeId): ReturnType<RaftCore['progress']> {
    return this.#core.progress(peer)
  }

  /** The log may be compacted up to here without leaving a member behind. */
  compactionLimit(): LogIndex {
    return this.#core.compactionLimit()
  }

  /** Appends commands to the log, if this node leads. The bytes must not change afterwards. */
  propose(commands: readonly Uint8Array[]): ProposeOutcome {
    if (this.#closed) return { kind: 'not-leader', leader: 0 }
    const outcome = this.#core.propose(commands.map((data) => ({ kind: EntryKind.COMMAND, data })))
    this.#host.markDirty(this)
    return outcome
  }

  /** Calls back once everything that was committed before the call is applied here (Raft thesis §6.4). */
  readIndex(done: (outcome: ReadOutcome) => void): void {
    if (this.#closed) {
      done({ kind: 'not-leader', leader: 0 })
      return
    }
    const token = this.#nextToken++
    const asked = this.#core.readIndex(token)
    if (asked.kind !== 'accepted') {
      done({ kind: 'not-leader', leader: asked.leader })
      return
    }
    this.#askedReads.set(token, done)
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

  tick(): void {
    this.#core.tick()
    if (this.#core.hasOutput()) this.#host.markDirty(this)
  }

  receive(message: RaftMessage, entries: readonly Entry[]): void {
    if (this.#closed) return
    this.#core.step(message, entries)
    this.#host.markDirty(this)
  }

  unreachable(peer: NodeId): void {
    this.#core.unreachable(peer)
    this.#host.markDirty(this)
  }

  /** Refuses everything from here on and answers what waits. */
  close(): void {
    this.#closed = true
    this.#refuseReads([...this.#askedReads.keys()])
    for (const read of this.#waitingReads) read.done({ kind: 'not-leader', leader: 0 })
    this.#waitingReads = []
  }

  /**
   * First half of a turn: takes what the core wants and hands out what must be stored. Nothing else
   * happens until the log has the writes, so that the core is not called before its log is current.
   */
  collect(writes: WalWrite[], completions: Completion[]): void {
    if (this.#closed || !this.#core.hasOutput()) return
    const output = this.#core.take()
    this.#output = output
    if (output.persistId === 0) return
    writes.push({
      group: this.id,
      ...(output.hardState === undefined ? {} : { hardState: output.hardState }),
      ...(output.truncateFrom === undefined ? {} : { truncateFrom: output.truncateFrom }),
      entries: output.entries,
    })
    const completion = { group: this, persistId: output.persistId, messages: [...output.sendAfterPersist] }
    completions.push(completion)
    this.#outstanding.push(completion)
  }

  /** Second half: sends, answers reads, applies. The log has the writes, though not yet on disk. */
  carryOut(outbox: Outbox): void {
    const output = this.#output
    if (output === undefined) return
    this.#output = undefined
    this.#sendAll(output.sendNow, outbox)
    if (output.persistId === 0 && output.sendAfterPersist.length > 0) {
      const last = this.#outstanding.at(-1)
      if (last === undefined) this.#sendAll(output.sendAfterPersist, outbox)
      else last.messages.push(...output.sendAfterPersist)
    }
    if (output.stateChanged) this.#machine.stateChanged(this.state)
    this.#collectReads(output)
    if (output.applyTo >= output.applyFrom) {
      this.#applyTo = output.applyTo
      this.#apply(output.applyFrom)
    }
  }

  persisted(completion: Completion, outbox: Outbox): void {
    const first = this.#outstanding.shift()
    invariant(first === completion, 'the log completes writes in the order it got them')
    if (this.#closed) return
    this.#core.persisted(completion.persistId)
    this.#sendAll(completion.messages, outbox)
    this.#host.markDirty(this)
  }

  #collectReads(output: RaftOutput): void {
    this.#refuseReads(output.readsRefused)
    for (const { token, index } of output.reads) {
      const done = this.#askedReads.get(token)
      if (done === undefined) continue
      this.#askedReads.delete(token)
      if (index <= this.#core.applied) done({ kind: 'ready', index })
      else this.#waitingReads.push({ index, done })
    }
  }

  #sendAll(messages: readonly RaftMessage[], outbox: Outbox): void {
    for (const message of messages) this.#send(message, outbox)
  }

  #refuseReads(tokens: readonly number[]): void {
    for (const token of tokens) {
      const done = this.#askedReads.get(token)
      this.#askedReads.delete(token)
      done?.({ kind: 'not-leader', leader: this.#core.leader })
    }
  }

  #send(message: RaftMessage, outbox: Outbox): void {
    if (message.kind !== MessageKind.APPEND || message.count === 0) {
      outbox.add({ group: this.id, message, entries: NO_ENTRIES })
      return
    }
    const earlier = this.#readsForPeers.get(message.to)
    const to = message.index + message.count
    const entries = earlier === undefined ? this.#log.slice(message.index + 1, to) : undefined
    if (entries !== undefined) {
      outbox.add({ group: this.id, message, entries })
      return
    }
    // One after the other: an append that overtakes the one before it would be refused.
    const reading = (earlier ?? Promise.resolve()).then(() => this.#sendFromDisk(message, outbox))
    this.#readsForPeers.set(message.to, reading)
    void reading.then(() => {
      if (this.#readsForPeers.get(message.to) === reading) this.#readsForPeers.delete(message.to)
    })
  }

  /** Entries that are no longer in memory: the disk answers later, and by then the term may have moved on. */
  async #sendFromDisk(message: RaftMessage, outbox: Outbox): Promise<void> {
    try {
      const first = message.index + 1
      if (!this.#mayStillSend(message)) return
      const entries = await this.#log.read(first, message.index + message.count, Number.MAX_SAFE_INTEGER)
      if (!this.#mayStillSend(message) || entries.length !== message.count) return
      outbox.add({ group: this.id, message, entries })
      this.#host.markDirty(this)
    } catch (error) {
      if (this.#mayStillSend(message)) this.#host.fatal(toError(error))
    }
  }

  #mayStillSend(message: RaftMessage): boolean {
    const current = !this.#closed && this.isLeader && this.#core.term === message.term
    return current && this.#log.compactedIndex <= message.index
  }

  #apply(from: LogIndex): void {
    invariant(!this.#applying, 'the next range comes after the last one is applied')
    const entries = this.#log.slice(from, this.#applyTo)
    if (entries !== undefined) {
      this.#applyEntries(entries)
      return
    }
    this.#applying = true
    void this.#applyFromDisk(from)
  }

  async #applyFromDisk(from: LogIndex): Promise<void> {
    try {
      let next = from
      while (next <= this.#applyTo) {
        const entries = await this.#log.read(next, this.#applyTo, APPLY_READ_BYTES)
        if (this.#closed) return
        this.#machine.apply(entries)
        next += entries.length
      }
      this.#applying = false
      this.#appliedTo(this.#applyTo)
    } catch (error) {
      this.#host.fatal(toError(error))
    }
  }

  #applyEntries(entries: readonly Entry[]): void {
    this.#machine.apply(entries)
    this.#appliedTo(this.#applyTo)
  }

  #appliedTo(index: LogIndex): void {
    this.#core.appliedTo(index)
    this.#host.markDirty(this)
    if (this.#waitingReads.length === 0) return
    const ready = this.#waitingReads.filter((read) => read.index <= index)
    this.#waitingReads = this.#waitingReads.filter((read) => read.index > index)
    for (const read of ready) read.done({ kind: 'ready', index: read.index })
  }
}

const APPLY_READ_BYTES = 4 * 1024 * 1024
