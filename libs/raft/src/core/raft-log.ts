import { invariant } from '@sluice/foundation'
import type { Membership } from './membership.js'
import type { Entry, EntryKind, LogIndex, LogView, SnapshotMeta, Term } from './types.js'

/** What an entry costs besides its data, so that bounds in bytes bound empty entries too. Bytes. */
const ENTRY_OVERHEAD_BYTES = 32

export interface LogPosition {
  readonly index: LogIndex
  readonly term: Term
}

/** What the storage is told to change: it starts anew behind `snapshot`, drops everything from `truncateFrom` on, then adds `entries`. */
export interface LogWrite {
  readonly snapshot: SnapshotMeta | undefined
  readonly truncateFrom: LogIndex | undefined
  readonly entries: readonly Entry[]
}

/** Of the thousands of logs to which nothing happens; never written to. */
const NONE: never[] = []
const NOTHING: LogWrite = { snapshot: undefined, truncateFrom: undefined, entries: NONE }

/** A write handed to the storage: when it is durable, the log is durable up to `last`. */
interface HandedOut {
  readonly persistId: number
  last: LogIndex
}

/**
 * The log as the core sees it: what the storage has, with a tail in front of it that waits for the
 * next `handOut`.
 *
 *     compacted │ durable │ handed out, not durable yet │ pending │
 *               └──────────── LogView ──────────────────┘
 *
 * Writes become durable in the order they were handed out. One that was overwritten before it was
 * durable says nothing about what stands there now, even under the same index and term: truncation
 * therefore shortens every write that is still on its way.
 */
export class RaftLog {
  readonly membership: Membership
  readonly #view: LogView
  #restored: SnapshotMeta | undefined
  #pending: Entry[] = NONE
  /** Index of the first pending entry, or of the next one. */
  #pendingFrom: LogIndex
  #truncateFrom: LogIndex | undefined
  #durableIndex: LogIndex
  #handedOut: HandedOut[] = NONE

  constructor(view: LogView, membership: Membership) {
    this.#view = view
    this.membership = membership
    this.#pendingFrom = view.lastIndex + 1
    this.#durableIndex = view.lastIndex
  }

  get compactedIndex(): LogIndex {
    return this.#restored?.index ?? this.#view.compactedIndex
  }

  get lastIndex(): LogIndex {
    return this.#pendingFrom + this.#pending.length - 1
  }

  get lastTerm(): Term {
    return this.knownTerm(this.lastIndex)
  }

  /** Everything up to here survives a crash of this node. */
  get durableIndex(): LogIndex {
    return this.#durableIndex
  }

  get hasPending(): boolean {
    return this.#restored !== undefined || this.#truncateFrom !== undefined || this.#pending.length > 0
  }

  /** `undefined` when the entry is compacted or does not exist; 0 before the first entry. */
  term(index: LogIndex): Term | undefined {
    if (index >= this.#pendingFrom) return this.#pending[index - this.#pendingFrom]?.term
    if (this.#restored !== undefined) return index === this.#restored.index ? this.#restored.term : undefined
    return index === 0 && this.#view.compactedIndex === 0 ? 0 : this.#view.term(index)
  }

  /** The term of an entry that our own state says is there. */
  knownTerm(index: LogIndex): Term {
    const term = this.term(index)
    invariant(term !== undefined, `entry ${index} is in the log`)
    return term
  }

  /** What an entry counts for in every bound of bytes. */
  costBytes(index: LogIndex): number {
    const pending = index - this.#pendingFrom
    const size = pending < 0 ? this.#view.sizeBytes(index) : this.#pending[pending]!.data.length
    return size + ENTRY_OVERHEAD_BYTES
  }

  static proposalCostBytes(data: Uint8Array): number {
    return data.length + ENTRY_OVERHEAD_BYTES
  }

  /**
   * Raft paper §5.4.1: "If the logs have last entries with different terms, then the log with the
   * later term is more up-to-date. If the logs end with the same term, then whichever log is longer
   * is more up-to-date."
   */
  isUpToDate(last: LogPosition): boolean {
    const ours = this.lastTerm
    return last.term > ours || (last.term === ours && last.index >= this.lastIndex)
  }

  /**
   * Last position at or before `from` whose term is not above `from.term`, from where two logs may
   * agree: skips a whole term at a time, on both sides (Raft paper §5.3, end). Stops at the compacted end.
   */
  conflictBackOff(from: LogPosition): LogPosition {
    let index = Math.min(from.index, this.lastIndex)
    if (index < this.compactedIndex) return { index, term: 0 }
    let term = this.knownTerm(index)
    while (term > from.term && index > this.compactedIndex) term = this.knownTerm(--index)
    return { index, term }
  }

  /** One entry of this node's own, as the leader. */
  appendOwn(term: Term, kind: EntryKind, data: Uint8Array): void {
    this.#add({ index: this.lastIndex + 1, term, kind, data })
  }

  /** Received entries, from position `at` of the array on; they follow the last one. */
  appendReceived(entries: readonly Entry[], at: number): void {
    invariant(entries[at]!.index === this.lastIndex + 1, 'received entries follow the last one')
    for (let i = at; i < entries.length; i++) this.#add(entries[i]!)
  }

  /** Drops everything from `index` on. The caller has checked that none of it is committed. */
  truncate(index: LogIndex): void {
    this.membership.truncated(index)
    if (index >= this.#pendingFrom) {
      this.#pending = this.#pending.slice(0, index - this.#pendingFrom)
      return
    }
    this.#pending = NONE
    this.#pendingFrom = index
    this.#truncateFrom = Math.min(index, this.#truncateFrom ?? index)
    this.#durableIndex = Math.min(this.#durableIndex, index - 1)
    for (const write of this.#handedOut) write.last = Math.min(write.last, index - 1)
  }

  /** Starts anew behind a snapshot: nothing that was here matters any more. */
  restore(snapshot: SnapshotMeta): void {
    this.#restored = snapshot
    this.#pending = NONE
    this.#pendingFrom = snapshot.index + 1
    this.#truncateFrom = undefined
    this.#durableIndex = 0
    for (const write of this.#handedOut) write.last = 0
    this.membership.restored(snapshot.index, snapshot.configuration)
  }

  /** Gives the pending tail to the storage, whose view covers it before the next call. */
  handOut(persistId: number): LogWrite {
    if (!this.hasPending) return NOTHING
    this.membership.compacted(this.#view.compactedIndex)
    const snapshot = this.#restored
    const truncateFrom = this.#truncateFrom
    const entries = this.#pending
    const stored = truncateFrom ?? (snapshot ?? { index: this.#view.lastIndex }).index + 1
    invariant(this.#pendingFrom === stored, 'the storage has what it was handed')
    if (entries.length > 0 || snapshot !== undefined) {
      const write = { persistId, last: this.lastIndex }
      if (this.#handedOut.length === 0) this.#handedOut = [write]
      else this.#handedOut.push(write)
    }
    this.#pendingFrom += entries.length
    this.#pending = NONE
    this.#truncateFrom = undefined
    this.#restored = undefined
    return { snapshot, truncateFrom, entries }
  }

  persisted(persistId: number): void {
    const writes = this.#handedOut
    while (writes.length > 0 && writes[0]!.persistId <= persistId)
      this.#durableIndex = Math.max(this.#durableIndex, writes.shift()!.last)
    if (writes.length === 0) this.#handedOut = NONE
  }

  #add(entry: Entry): void {
    const kept = this.membership.appended(entry)
    if (this.#pending.length === 0) this.#pending = [kept]
    else this.#pending.push(kept)
  }
}
