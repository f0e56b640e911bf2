import type { EntryKind, LogIndex } from '../core/types.js'
import { EntryIndex, type EntryLocation } from './entry-index.js'

/**
 * Where the entries of one group's log are. Entries are written in order, so that their segments never
 * descend, except once the oldest ones were copied forward:
 *
 *   compacted | copied: a newer segment | rest: in order | last
 *
 * While a log is replayed there may be a gap between the two: entries whose segments are gone, because a
 * record that is still to come copies, compacts or truncates them.
 */
export class EntryPlaces {
  #copied: EntryIndex | undefined
  readonly #rest: EntryIndex

  /** Of a log that ends with `last`; none of its entries is found yet. */
  constructor(last: LogIndex) {
    this.#rest = new EntryIndex(last)
  }

  get last(): LogIndex {
    return this.#rest.last
  }

  /** The highest entry whose place is not known; at most `compactedIndex` when there is none. */
  missingTo(compactedIndex: LogIndex): LogIndex {
    const { base } = this.#rest
    return (this.#copied?.last ?? compactedIndex) < base ? base : compactedIndex
  }

  isKnown(index: LogIndex): boolean {
    if (this.#copied !== undefined && index <= this.#copied.last) return index > this.#copied.base
    return index > this.#rest.base && index <= this.#rest.last
  }

  /** Adds the entry after the last one. */
  push(segmentSeq: number, batchAt: number, dataAt: number, lengthBytes: number, kind: EntryKind): void {
    this.#rest.push(segmentSeq, batchAt, dataAt, lengthBytes, kind)
  }

  location(index: LogIndex): EntryLocation {
    return this.#holderOf(index).location(index)
  }

  lengthBytes(index: LogIndex): number {
    return this.#holderOf(index).lengthBytes(index)
  }

  /** The oldest segment that holds an entry; `undefined` when there are none. */
  firstSegmentSeq(): number | undefined {
    const rest = this.#rest.firstSegmentSeq()
    const copied = this.#copied?.firstSegmentSeq()
    return copied === undefined || (rest !== undefined && rest < copied) ? rest : copied
  }

  /** The highest entry in this segment or an older one; `undefined` when none is there. */
  lastUpTo(segmentSeq: number): LogIndex | undefined {
    return this.#rest.lastUpTo(segmentSeq) ?? this.#copied?.lastUpTo(segmentSeq)
  }

  /** The oldest entries are here now: all up to the last of these. */
  copied(places: EntryIndex): void {
    this.#copied = places
    this.#rest.dropTo(places.last)
  }

  /** Forgets everything from `index` on. */
  truncateFrom(index: LogIndex): void {
    this.#copied?.truncateFrom(index)
    this.#rest.truncateFrom(index)
  }

  /** Forgets everything up to `index`. */
  dropTo(index: LogIndex): void {
    if (this.#copied !== undefined && index >= this.#copied.last) this.#copied = undefined
    this.#copied?.dropTo(index)
    this.#rest.dropTo(index)
  }

  #holderOf(index: LogIndex): EntryIndex {
    return this.#copied !== undefined && index <= this.#copied.last ? this.#copied : this.#rest
  }
}
