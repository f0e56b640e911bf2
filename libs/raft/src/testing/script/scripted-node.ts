import { invariant } from '@sluice/foundation'
import { type CoreConfig, type CoreLimits, limitsOf } from '../../core/config.js'
import { RaftCore } from '../../core/core.js'
import {
  type Entry,
  type LogIndex,
  MessageKind,
  type NodeId,
  type RaftGroupId,
  type RaftMessage,
  type RaftOutput,
  type SnapshotMeta,
} from '../../core/types.js'
import type { MemoryLog } from '../../storage/memory-log.js'
import { entriesText, snapshotText } from './message-text.js'
import { observe, type Observed, observedText, standingText } from './observed.js'
import type { Parcel } from './parcel.js'
import { ScenarioError } from './scenario-error.js'
import type { ScriptLaws } from './script-laws.js'
import { ScriptedDisk } from './scripted-disk.js'
import { ScriptedRandom } from './scripted-random.js'

/** What a scenario may say about a node's core. */
export type NodeSettings = Pick<CoreConfig, 'voters' | 'learners'> & Partial<CoreLimits>

/** Where a node's output goes. */
export interface ScriptSurroundings {
  readonly laws: ScriptLaws
  print(line: string): void
  send(parcel: Parcel): void
}

/** What it starts with. */
export interface NodeStart {
  readonly settings: NodeSettings
  readonly log: MemoryLog
  readonly term: number
}

/** One core with a disk, a state machine and a host, each of which takes its next step when told. */
export class ScriptedNode {
  readonly id: NodeId
  /** Election timeouts are one tick longer from node to node unless a scenario sets them. */
  readonly random: ScriptedRandom
  readonly settings: NodeSettings
  readonly #around: ScriptSurroundings
  readonly #disk: ScriptedDisk
  #core: RaftCore | undefined
  #seen: Observed | undefined
  /** Of the writes that are not synced, oldest first, each with what must wait for it. */
  #writes: { readonly persistId: number; readonly parcels: Parcel[] }[] = []
  #applying: { readonly from: LogIndex; readonly to: LogIndex } | undefined
  /** The state machine has everything up to here by a snapshot. */
  #restoredTo: LogIndex = 0
  #owed: NodeId[] = []

  constructor(id: NodeId, start: NodeStart, around: ScriptSurroundings) {
    this.id = id
    this.random = new ScriptedRandom(id - 1)
    this.settings = start.settings
    this.#around = around
    this.#disk = new ScriptedDisk(start.log, { term: start.term, vote: 0, commit: 0 })
    this.#start(start.log.compactedIndex)
  }

  get isUp(): boolean {
    return this.#core !== undefined
  }

  /** For looking at; what changes it goes through `step`. */
  get core(): RaftCore {
    if (this.#core === undefined) throw new ScenarioError(`node ${this.id} is down`)
    return this.#core
  }

  get log(): MemoryLog {
    return this.#disk.log
  }

  get unsyncedCount(): number {
    return this.#writes.length
  }

  /** Peers that need a snapshot and have not been sent one. */
  get owed(): readonly NodeId[] {
    return this.#owed.filter((peer) => this.core.progress(peer)?.state === 'snapshot')
  }

  /** Calls the core and tells what it changed. */
  step<Result>(call: (core: RaftCore) => Result): Result {
    const result = call(this.core)
    this.#tell()
    return result
  }

  receive({ from, content }: Parcel): void {
    if (content.kind === 'message') this.step((core) => core.step(content.message, content.entries))
    else this.#restore(from, content.meta)
  }

  /** One turn of a host: writes what is to be stored, sends what need not wait. False when there is nothing. */
  turn(): boolean {
    if (!this.core.hasOutput()) return false
    const output = this.step((core) => core.take())
    if (output.persistId > 0) this.#write(output)
    for (const message of output.sendNow) this.#send(this.#parcelOf(message))
    const waiting = output.sendAfterPersist.map((message) => this.#parcelOf(message))
    const last = this.#writes.at(-1)
    if (output.persistId > 0) this.#writes.push({ persistId: output.persistId, parcels: waiting })
    else if (last !== undefined) last.parcels.push(...waiting)
    else for (const parcel of waiting) this.#send(parcel)
    for (const peer of output.snapshotTo) this.#owe(peer)
    for (const { token, index } of output.reads) this.#print(`reads ${token} at ${index}`)
    for (const token of output.readsRefused) this.#print(`refuses read ${token}`)
    this.#handOutRange(output)
    return true
  }

  /** The oldest write is durable. False when all are. */
  persist(): boolean {
    const write = this.#writes.shift()
    if (write === undefined) return false
    this.#disk.sync()
    this.step((core) => core.persisted(write.persistId))
    for (const parcel of write.parcels) this.#send(parcel)
    return true
  }

  /** The state machine applies the range that was handed out. False when there is none. */
  apply(): boolean {
    const range = this.#applying
    if (range === undefined) return false
    this.#applying = undefined
    const from = Math.max(range.from, this.#restoredTo + 1)
    if (from <= range.to) {
      const entries = this.log.slice(from, range.to)
      this.#print(`applies${entriesText(entries)}`)
      this.#around.laws.applied(this.id, entries)
    }
    this.step((core) => core.appliedTo(range.to))
    return true
  }

  /** Sends the state as of an entry that is applied. */
  sendSnapshot(to: NodeId, index = this.core.applied): void {
    const term = this.log.term(index)
    if (term === undefined || index > this.core.applied || index === 0)
      throw new ScenarioError(`node ${this.id} has no state as of ${index}`)
    this.#owed = this.#owed.filter((peer) => peer !== to)
    const meta: SnapshotMeta = { index, term, configuration: this.core.configurationAt(index) }
    this.#send({ from: this.id, to, content: { kind: 'snapshot', meta } })
  }

  compact(index: LogIndex): void {
    if (index > this.core.applied) throw new ScenarioError('only what is applied is compacted')
    this.#disk.compact(index)
  }

  crash(keptWrites: number): void {
    invariant(this.core.id === this.id, 'only what runs crashes')
    this.#disk.crash(keptWrites)
    this.#core = undefined
    this.#seen = undefined
    this.#writes = []
    this.#applying = undefined
    this.#owed = []
  }

  /** From what is durable; the state machine has everything up to `applied`, or what is compacted. */
  restart(applied = this.log.compactedIndex): void {
    if (this.isUp) throw new ScenarioError(`node ${this.id} runs`)
    this.#restoredTo = 0
    this.#start(applied)
    this.#print(`starts as ${standingText(observe(this.core))}`)
  }

  #start(applied: LogIndex): void {
    this.#core = new RaftCore({
      ...this.settings,
      limits: limitsOf(this.settings),
      id: this.id,
      group: 1 as RaftGroupId,
      random: this.random,
      log: this.#disk.log,
      hardState: this.#disk.syncedState,
      applied,
    })
    this.#seen = observe(this.#core)
  }

  /** As a host does it: the machine takes it first, and the log follows. */
  #restore(from: NodeId, meta: SnapshotMeta): void {
    if (meta.index > this.core.commit) {
      this.#restoredTo = meta.index
      this.#print(`restores the state ${snapshotText(meta)} of ${from}`)
    }
    this.step((core) => core.restoreSnapshot(meta))
  }

  #write(output: RaftOutput): void {
    const { hardState, snapshot, truncateFrom, entries } = output
    this.#disk.write(output)
    let text = 'writes'
    if (hardState !== undefined)
      text += ` term=${hardState.term} vote=${hardState.vote} commit=${hardState.commit}`
    if (snapshot !== undefined) text += ` snapshot=${snapshotText(snapshot)}`
    if (truncateFrom !== undefined) text += ` from=${truncateFrom}`
    this.#print(text + entriesText(entries))
  }

  #handOutRange({ snapshot, applyFrom, applyTo }: RaftOutput): void {
    if (snapshot !== undefined) {
      this.#applying = undefined
      this.step((core) => core.appliedTo(snapshot.index))
    }
    if (applyTo >= applyFrom) this.#applying = { from: applyFrom, to: applyTo }
  }

  #owe(peer: NodeId): void {
    this.#owed.push(peer)
    this.#print(`owes ${peer} a snapshot`)
  }

  #send(parcel: Parcel): void {
    this.#around.laws.sent(parcel, { log: this.#disk.syncedLog, hardState: this.#disk.syncedState })
    this.#around.send(parcel)
  }

  #parcelOf(message: RaftMessage): Parcel {
    const { index, count } = message
    const isAppend = message.kind === MessageKind.APPEND && count > 0
    const entries: readonly Entry[] = isAppend ? this.log.slice(index + 1, index + count) : []
    return { from: this.id, to: message.to, content: { kind: 'message', message, entries } }
  }

  #tell(): void {
    const now = observe(this.core)
    for (const line of observedText(this.#seen, now)) this.#print(line)
    this.#seen = now
    this.#around.laws.role(this.id, now.role, now.term)
  }

  #print(text: string): void {
    this.#around.print(`${this.id} ${text}`)
  }
}
