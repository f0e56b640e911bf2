import { invariant } from '@sluice/foundation'
import type { Entry, LogIndex, LogView, Term } from '../core/types.js'

/** A log in memory, as a storage shows it to the core. */
export class MemoryLog implements LogView {
  #entries: Entry[] = []
  #compactedIndex: LogIndex = 0
  #compactedTerm: Term = 0
  #changedFrom = Number.POSITIVE_INFINITY

  static of(entries: readonly Entry[]): MemoryLog {
    const log = new MemoryLog()
    log.write({ truncateFrom: undefined, entries })
    return log
  }

  get compactedIndex(): LogIndex {
    return this.#compactedIndex
  }

  get lastIndex(): LogIndex {
    return this.#compactedIndex + this.#entries.length
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

  write(change: { readonly truncateFrom: LogIndex | undefined; readonly entries: readonly Entry[] }): void {
    const { truncateFrom, entries } = change
    if (truncateFrom !== undefined) {
      invariant(truncateFrom > this.#compactedIndex, 'what is compacted is never truncated')
      this.#entries.length = truncateFrom - this.#compactedIndex - 1
      this.#changedFrom = Math.min(this.#changedFrom, truncateFrom)
    }
    if (entries.length > 0) this.#changedFrom = Math.min(this.#changedFrom, entries[0]!.index)
    for (const entry of entries) {
      invariant(entry.index === this.lastIndex + 1, 'a log has no gaps')
      this.#entries.push(entry)
    }
  }

  compact(index: LogIndex): void {
    if (index <= this.#compactedIndex) return
    const term = this.term(index)
    invariant(term !== undefined, 'only what is there is compacted')
    this.#entries = this.#entries.slice(index - this.#compactedIndex)
    this.#compactedIndex = index
    this.#compactedTerm = term
  }

  /** A copy with the same entries, all of them counted as changed. */
  clone(): MemoryLog {
    const copy = new MemoryLog()
    copy.#entries = [...this.#entries]
    copy.#compactedIndex = this.#compactedIndex
    copy.#compactedTerm = this.#compactedTerm
    copy.#changedFrom = this.#compactedIndex + 1
    return copy
  }

  /** The lowest index that was written or cut since the last call; infinite when none was. */
  takeChangedFrom(): number {
    const from = this.#changedFrom
    this.#changedFrom = Number.POSITIVE_INFINITY
    return from
  }
}
