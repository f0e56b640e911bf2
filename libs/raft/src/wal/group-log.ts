import {
  type Entry,
  EntryKind,
  type HardState,
  type LogIndex,
  type RaftGroupId,
  type SnapshotMeta,
  type Term,
} from '../core/types.js'
import type { GroupStorage } from '../storage/log-store.js'
import type { BatchReader } from './batch-reader.js'
import type { EntryCache } from './entry-cache.js'
import { EntryIndex, type EntryLocation } from './entry-index.js'
import { EntryPlaces } from './entry-places.js'
import { EntryTail } from './entry-tail.js'
import { WalRangeError } from './errors.js'
import { EMPTY_HARD_STATE, type GroupDefinition, type GroupSummary } from './group-definition.js'
import { TermRuns } from './term-runs.js'

/** Where entries that are next to each other were written. */
export interface EntriesPlace {
  readonly segmentSeq: number
  readonly batchAt: number
  /** Of the first entry's data. */
  readonly dataAt: number
}

const NO_ENTRIES: readonly Entry[] = []
/** A term that a checkpoint does not tell; gone when recovery ends. */
const UNKNOWN_TERM = -1

/**
 * One group's log as it will be once everything handed to the WAL is on disk. The WAL alone changes it;
 * everybody else reads.
 */
export class GroupLog implements GroupStorage {
  readonly id: RaftGroupId
  readonly uuid: Uint8Array
  readonly name: string
  #terms: TermRuns
  #places: EntryPlaces
  readonly #tail: EntryTail
  readonly #cache: EntryCache
  readonly #reader: BatchReader
  #hardState: HardState
  #base: Uint8Array | undefined
  /** The CONFIGURATION entries in the log: few, so that a list of just their number is made anew for one more. */
  #configurations: readonly Entry[] = NO_ENTRIES
  #isDefined: boolean

  /** @param from a definition for a new group, a checkpoint's summary for one whose records may be gone */
  constructor(
    from: GroupDefinition | GroupSummary,
    parts: { readonly cache: EntryCache; readonly reader: BatchReader },
  ) {
    this.id = from.id
    this.uuid = from.uuid
    this.name = from.name
    this.#cache = parts.cache
    this.#reader = parts.reader
    if ('hardState' in from) {
      this.#hardState = from.hardState
      this.#terms = termsOf(from)
      this.#places = new EntryPlaces(from.lastIndex)
      this.#isDefined = true
    } else {
      this.#hardState = EMPTY_HARD_STATE
      this.#terms = new TermRuns(0, 0)
      this.#places = new EntryPlaces(0)
      this.#isDefined = false
    }
    this.#tail = new EntryTail(this.#places.last + 1)
  }

  get hardState(): HardState {
    return this.#hardState
  }

  get compactedIndex(): LogIndex {
    return this.#terms.compactedIndex
  }

  get compactedTerm(): Term {
    return this.#terms.compactedTerm
  }

  get lastIndex(): LogIndex {
    return this.#places.last
  }

  get baseConfiguration(): Uint8Array | undefined {
    return this.#base
  }

  configurationEntries(): readonly Entry[] {
    return this.#configurations
  }

  term(index: LogIndex): Term | undefined {
    return index < this.compactedIndex || index > this.lastIndex ? undefined : this.#terms.at(index)
  }

  sizeBytes(index: LogIndex): number {
    return this.#places.lengthBytes(index)
  }

  /** Entries from memory, both ends included; `undefined` when some of them are not there (any more). */
  slice(from: LogIndex, to: LogIndex): readonly Entry[] | undefined {
    return from < this.#tail.first || to >= this.#tail.next ? undefined : this.#tail.slice(from, to)
  }

  /**
   * Entries as they are now, both ends included, from memory or from disk: the first of the range up to
   * `bytesMax` of data, and at least one. What is truncated or compacted meanwhile is still returned.
   *
   * @throws WalRangeError when the range is empty or reaches outside (compactedIndex, lastIndex]
   * @throws WalCorruptError when the disk does not give back what was written
   */
  async read(from: LogIndex, to: LogIndex, bytesMax: number): Promise<readonly Entry[]> {
    if (from > to || from <= this.compactedIndex || to > this.lastIndex)
      throw new WalRangeError(
        `entries ${from} to ${to} of group ${this.id} are not in ` +
          `(${this.compactedIndex}, ${this.lastIndex}]`,
      )
    const last = this.#lastWithin(from, to, bytesMax)
    // Everything is looked up before the first wait.
    const recent = this.#tail.slice(Math.max(from, this.#tail.first), last)
    const older: (EntryLocation & { readonly index: LogIndex; readonly term: Term })[] = []
    for (let index = from; index <= last && index < this.#tail.first; index++)
      older.push({ index, term: this.#terms.at(index), ...this.#places.location(index) })
    if (older.length === 0) return recent
    const entries = await this.#reader.readEntries(older)
    return [...entries, ...recent]
  }

  #lastWithin(from: LogIndex, to: LogIndex, bytesMax: number): LogIndex {
    let bytes = this.sizeBytes(from)
    let last = from
    while (last < to) {
      bytes += this.sizeBytes(last + 1)
      if (bytes > bytesMax) break
      last += 1
    }
    return last
  }

  // What follows is for the WAL.

  /** False until the record that defines the group is in a batch. */
  get isDefined(): boolean {
    return this.#isDefined
  }

  /** The oldest segment that is needed for this group's entries. */
  get firstSegmentSeq(): number | undefined {
    return this.#places.firstSegmentSeq()
  }

  /** Up to where the log must be copied for it to need neither this segment nor an older one. */
  lastUpTo(segmentSeq: number): LogIndex | undefined {
    return this.#places.lastUpTo(segmentSeq)
  }

  /** How often the end was cut off: the same index before and after a cut is not the same entry. */
  get cuts(): number {
    return this.#tail.cuts
  }

  /** The highest entry that is in none of the segments replayed; equals `compactedIndex` in a sound log. */
  get missingTo(): LogIndex {
    return this.#places.missingTo(this.compactedIndex)
  }

  /** False while the last entry is one that was not found yet. */
  get isLastFound(): boolean {
    return this.lastIndex === this.compactedIndex || this.#places.isKnown(this.lastIndex)
  }

  /** What a checkpoint says; `lastTerm` is meaningless while the last entry is not found. */
  get summary(): GroupSummary {
    const { id, uuid, name, hardState, compactedIndex, compactedTerm, lastIndex } = this
    const lastTerm = this.#terms.lastTerm
    const base = this.#base
    return { id, uuid, name, hardState, compactedIndex, compactedTerm, lastIndex, lastTerm, base }
  }

  markDefined(): void {
    this.#isDefined = true
  }

  setHardState(state: HardState): void {
    this.#hardState = state
  }

  /** Why entries cannot follow, or `undefined`. */
  refusalOfEntry(index: LogIndex, term: Term): string | undefined {
    if (index !== this.lastIndex + 1) return `entry ${index} does not follow entry ${this.lastIndex}`
    if (term < this.#terms.lastTerm) return `term ${term} of entry ${index} is below the term before it`
    return undefined
  }

  /** Why the log cannot be cut there, or `undefined`. */
  refusalOfTruncate(from: LogIndex): string | undefined {
    if (from > this.compactedIndex && from <= this.lastIndex) return undefined
    return `entry ${from}, to cut from, is not in (${this.compactedIndex}, ${this.lastIndex}]`
  }

  /** Why the log cannot be compacted there, or `undefined`. */
  refusalOfCompact(index: LogIndex, term: Term): string | undefined {
    if (index <= this.compactedIndex || index > this.lastIndex)
      return `entry ${index}, to compact to, is not in (${this.compactedIndex}, ${this.lastIndex}]`
    const known = this.#terms.at(index)
    return known === term || known === UNKNOWN_TERM
      ? undefined
      : `entry ${index} has term ${known}, not ${term}`
  }

  /** Why the log cannot restart behind that, or `undefined`. */
  refusalOfSnapshot({ index, term }: SnapshotMeta): string | undefined {
    if (!Number.isSafeInteger(index) || index < 1 || index < this.compactedIndex)
      return `a snapshot of entry ${index} is older than the log, which starts behind ${this.compactedIndex}`
    if (term < this.compactedTerm) return `term ${term} of the snapshot is below the term before it`
    return undefined
  }

  /** Why these cannot be the log's oldest entries, copied, or `undefined`. */
  refusalOfCopies(copies: readonly Entry[]): string | undefined {
    const last = copies.at(-1)
    if (last === undefined || last.index > this.lastIndex) return `copies are of the log's entries`
    let { compactedTerm: term } = this
    for (const [i, copy] of copies.entries()) {
      if (copy.index !== this.compactedIndex + 1 + i) return `copies start with the log's oldest entry`
      const known = this.#terms.at(copy.index)
      if (copy.term < term || (known !== UNKNOWN_TERM && known !== copy.term))
        return `the copy of entry ${copy.index} has another term`
      if (this.#places.isKnown(copy.index) && this.#places.lengthBytes(copy.index) !== copy.data.length)
        return `the copy of entry ${copy.index} has another length`
      term = copy.term
    }
    return undefined
  }

  truncateFrom(index: LogIndex, lsn: number): void {
    this.#places.truncateFrom(index)
    this.#terms.truncateFrom(index)
    this.#configurations = this.#configurations.filter((entry) => entry.index < index)
    this.#cache.truncateFrom(this.#tail, index, lsn)
  }

  setBase(configuration: Uint8Array): void {
    this.#base = configuration
  }

  /**
   * The log's oldest entries are in this place now, too, durable.
   * @param copies may reach back to entries that are compacted
   */
  copied(copies: readonly Entry[], place: EntriesPlace): void {
    const { segmentSeq, batchAt } = place
    let { dataAt } = place
    const places = new EntryIndex(this.compactedIndex)
    for (const { index, data, kind } of copies) {
      if (index > this.compactedIndex) places.push(segmentSeq, batchAt, dataAt, data.length, kind)
      dataAt += data.length
    }
    if (places.last > this.compactedIndex) this.#places.copied(places)
  }

  /** Like `copied`, in a replay: there the copies may be all that is left of the entries. */
  recoverCopies(copies: readonly Entry[], place: EntriesPlace): void {
    this.#terms.setFirst(
      copies.map((copy) => copy.term),
      this.lastIndex,
    )
    const last = copies.at(-1)!.index
    this.#configurations = [
      ...copies.filter((copy) => copy.kind === EntryKind.CONFIGURATION).map(withOwnData),
      ...this.#configurations.filter((entry) => entry.index > last),
    ]
    this.copied(copies, place)
  }

  /** The base configuration once the log is compacted to `index`. */
  baseAt(index: LogIndex): Uint8Array | undefined {
    return this.#configurations.findLast((entry) => entry.index <= index)?.data ?? this.#base
  }

  /** Empties the log; it goes on behind the snapshot. */
  restart(snapshot: SnapshotMeta, lsn: number): void {
    const { index, term, configuration } = snapshot
    this.#cache.truncateFrom(this.#tail, Math.min(this.compactedIndex + 1, this.#tail.next), lsn)
    this.#terms = new TermRuns(index, term)
    this.#places = new EntryPlaces(index)
    this.#tail.skipTo(index + 1)
    this.#configurations = NO_ENTRIES
    this.#base = Uint8Array.from(configuration)
  }

  /** Adds entries [start, end) of the array, all of one term, written to `place` with batch `lsn`. */
  append(entries: readonly Entry[], start: number, end: number, place: EntriesPlace, lsn: number): void {
    let { dataAt } = place
    const { segmentSeq, batchAt } = place
    this.#terms.add(entries[start]!.index, entries[start]!.term)
    for (let i = start; i < end; i++) {
      const { data, kind } = entries[i]!
      this.#places.push(segmentSeq, batchAt, dataAt, data.length, kind)
      dataAt += data.length
      if (kind === EntryKind.CONFIGURATION) this.#addConfiguration(entries[i]!)
    }
    this.#cache.add(this.#tail, entries, start, end, lsn)
  }

  /**
   * Adds one entry whose data stays on disk.
   * @param data a view; a copy is kept of that of a configuration
   */
  recover(term: Term, location: EntryLocation, data: Uint8Array): void {
    const { segmentSeq, batchAt, dataAt, lengthBytes, kind } = location
    const index = this.lastIndex + 1
    this.#terms.add(index, term)
    this.#places.push(segmentSeq, batchAt, dataAt, lengthBytes, kind)
    if (kind === EntryKind.CONFIGURATION) this.#addConfiguration({ index, term, kind, data })
    this.#tail.skipTo(this.#places.last + 1)
  }

  compactTo(index: LogIndex, term: Term): void {
    this.#base = this.baseAt(index)
    this.#terms.compactTo(index, term)
    this.#configurations = this.#configurations.filter((entry) => entry.index > index)
    this.#places.dropTo(index)
    this.#cache.dropTo(this.#tail, index)
  }

  /** Frees the memory of a group that was removed. */
  release(): void {
    this.#cache.dropTo(this.#tail, this.lastIndex)
  }

  #addConfiguration(entry: Entry): void {
    this.#configurations = this.#configurations.concat(withOwnData(entry))
  }
}

/** The data may be a view of much more, which it would keep in memory. */
function withOwnData(entry: Entry): Entry {
  if (entry.data.length === entry.data.buffer.byteLength) return entry
  return { ...entry, data: Uint8Array.from(entry.data) }
}

function termsOf(summary: GroupSummary): TermRuns {
  const { compactedIndex, compactedTerm, lastIndex, lastTerm } = summary
  const terms = new TermRuns(compactedIndex, compactedTerm)
  if (lastIndex > compactedIndex + 1) terms.add(compactedIndex + 1, UNKNOWN_TERM)
  if (lastIndex > compactedIndex) terms.add(lastIndex, lastTerm)
  return terms
}
