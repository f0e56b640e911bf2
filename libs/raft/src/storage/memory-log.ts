import { invariant } from '@sluice/foundation'
import {
  type Entry,
  EntryKind,
  type LogIndex,
  type LogView,
  type SnapshotMeta,
  type Term,
} from '../core/types.js'

/** What a log is told to change, in this order. */
export interface LogChange {
  readonly snapshot?: SnapshotMeta | undefined
  readonly truncateFrom?: LogIndex | undefined
  readonly entries?: readonly Entry[] | undefined
}

/** A log in memory, as a storage shows it to the core. */
export class MemoryLog implements LogView {
  #entries: Entry[] = []
  #configurations: Entry[] = []
  #compactedIndex: LogIndex = 0
  #compactedTerm: Term = 0
  #baseConfiguration: Uint8Array | undefined
  #changedFrom = Number.POSITIVE_INFINITY

  static of(entries: readonly Entry[]): MemoryLog {
    const log = new MemoryLog()
    log.write({ entries })
    return log
  }

  get compactedIndex(): LogIndex {
    return this.#compactedIndex
  }

  get compactedTerm(): Term {
    return this.#compactedTerm
  }

  get lastIndex(): LogIndex {
    return this.#compactedIndex + this.#entries.length
  }

  get baseConfiguration(): Uint8Array | undefined {
    return this.#baseConfiguration
  }

  configurationEntries(): readonly Entry[] {
    return this.#configurations
  }

  term(index: LogIndex): Term | undefined {
    return index === this.#compactedIndex ? this.#compactedTerm : this.entry(index)?.term
  }

  sizeBytes(index: LogIndex): number {
    const entry = this.entry(index)
    invariant(entry !== undefined, `entry ${index} exists`)
    return entry.data.length
  }

  entry(index: LogIndex): Entry | undefined {
    return this.#entries[index - this.#compactedIndex - 1]
  }

  /** Both ends included; all of them must exist. */
  slice(from: LogIndex, to: LogIndex): readonly Entry[] {
    invariant(from > this.#compactedIndex && to <= this.lastIndex, `entries ${from} to ${to} exist`)
    return this.#entries.slice(from - this.#compactedIndex - 1, to - this.#compactedIndex)
  }

  write(change: LogChange): void {
    const { snapshot, truncateFrom, entries = [] } = change
    if (snapshot !== undefined) this.#restart(snapshot)
    if (truncateFrom !== undefined) this.#truncate(truncateFrom)
    if (entries.length > 0) this.#changedFrom = Math.min(this.#changedFrom, entries[0]!.index)
    for (const entry of entries) {
      invariant(entry.index === this.lastIndex + 1, 'a log has no gaps')
      this.#entries.push(entry)
      if (entry.kind === EntryKind.CONFIGURATION) this.#configurations.push(entry)
    }
  }

  compact(index: LogIndex): void {
    if (index <= this.#compactedIndex) return
    const term = this.term(index)
    invariant(term !== undefined, 'only what is there is compacted')
    this.#baseConfiguration =
      this.#configurations.findLast((entry) => entry.index <= index)?.data ?? this.#baseConfiguration
    this.#configurations = this.#configurations.filter((entry) => entry.index > index)
    this.#entries = this.#entries.slice(index - this.#compactedIndex)
    this.#compactedIndex = index
    this.#compactedTerm = term
  }

  /** A copy with the same entries, all of them counted as changed. */
  clone(): MemoryLog {
    const copy = new MemoryLog()
    copy.#entries = [...this.#entries]
    copy.#configurations = [...this.#configurations]
    copy.#compactedIndex = this.#compactedIndex
    copy.#compactedTerm = this.#compactedTerm
    copy.#baseConfiguration = this.#baseConfiguration
    copy.#changedFrom = this.#compactedIndex + 1
    return copy
  }

  /** The lowest index that was written or cut since the last call; infinite when none was. */
  takeChangedFrom(): number {
    const from = this.#changedFrom
    this.#changedFrom = Number.POSITIVE_INFINITY
    return from
  }

  #restart(snapshot: SnapshotMeta): void {
    this.#entries = []
    this.#configurations = []
    this.#compactedIndex = snapshot.index
    this.#compactedTerm = snapshot.term
    this.#baseConfiguration = snapshot.configuration
    this.#changedFrom = 0
  }

  #truncate(from: LogIndex): void {
    invariant(from > this.#compactedIndex, 'what is compacted is never truncated')
    this.#entries.length = Math.min(this.#entries.length, from - this.#compactedIndex - 1)
    this.#configurations = this.#configurations.filter((entry) => entry.index < from)
    this.#changedFrom = Math.min(this.#changedFrom, from)
  }
}
