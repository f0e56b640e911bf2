import { invariant } from '@sluice/foundation'
import type { EntryKind, LogIndex } from '../core/types.js'

/** Where the data of one entry is. */
export interface EntryLocation {
  readonly segmentSeq: number
  /** Start of its batch in the segment's file, bytes. */
  readonly batchAt: number
  /** Start of its data in the segment's file, bytes. */
  readonly dataAt: number
  readonly lengthBytes: number
  readonly kind: EntryKind
}

const WORDS = 5
/** An array so small is on the heap; a larger one costs a group at rest several times its size. */
const CAPACITY_MIN = 2
/** Of an index that never held anything; never written to. */
const NO_WORDS = new Uint32Array(0)
/** A ring that is this many times too large shrinks. */
const SLACK = 8

/**
 * Locations of the entries in (base, last], 20 bytes each, in a ring that grows and shrinks.
 * An entry is always written after the one before it: segments never descend.
 */
export class EntryIndex {
  #base: LogIndex
  #last: LogIndex
  #capacity = 0
  #words = NO_WORDS

  constructor(base: LogIndex) {
    this.#base = base
    this.#last = base
  }

  get base(): LogIndex {
    return this.#base
  }

  get last(): LogIndex {
    return this.#last
  }

  /** Adds the entry after the last one. Five numbers instead of a location: an object per entry would cost more. */
  push(segmentSeq: number, batchAt: number, dataAt: number, lengthBytes: number, kind: EntryKind): void {
    const count = this.#last - this.#base
    if (count === this.#capacity) this.#resize(Math.max(CAPACITY_MIN, this.#capacity * 2))
    this.#last += 1
    const at = this.#at(this.#last)
    const words = this.#words
    words[at] = segmentSeq
    words[at + 1] = batchAt
    words[at + 2] = dataAt
    words[at + 3] = lengthBytes
    words[at + 4] = kind
  }

  location(index: LogIndex): EntryLocation {
    const at = this.#held(index)
    const words = this.#words
    return {
      segmentSeq: words[at]!,
      batchAt: words[at + 1]!,
      dataAt: words[at + 2]!,
      lengthBytes: words[at + 3]!,
      kind: words[at + 4]! as EntryKind,
    }
  }

  lengthBytes(index: LogIndex): number {
    return this.#words[this.#held(index) + 3]!
  }

  /** The oldest segment that holds an entry; `undefined` when there are none. */
  firstSegmentSeq(): number | undefined {
    return this.#last === this.#base ? undefined : this.#words[this.#at(this.#base + 1)]!
  }

  /** The highest entry in this segment or an older one; `undefined` when none is there. */
  lastUpTo(segmentSeq: number): LogIndex | undefined {
    let low = this.#base
    let high = this.#last
    // Entries up to `low` are there, those over `high` are not.
    while (low < high) {
      const middle = Math.ceil((low + high) / 2)
      if (this.#words[this.#at(middle)]! <= segmentSeq) low = middle
      else high = middle - 1
    }
    return low === this.#base ? undefined : low
  }

  /** Forgets everything from `index` on; may go below the base. */
  truncateFrom(index: LogIndex): void {
    this.#last = Math.min(this.#last, index - 1)
    this.#base = Math.min(this.#base, this.#last)
    this.#shrink()
  }

  /** Forgets everything up to `index`, which may be over the last one. */
  dropTo(index: LogIndex): void {
    this.#base = Math.max(this.#base, index)
    this.#last = Math.max(this.#last, this.#base)
    this.#shrink()
  }

  #held(index: LogIndex): number {
    invariant(index > this.#base && index <= this.#last, `the log holds no entry ${index}`)
    return this.#at(index)
  }

  #at(index: LogIndex): number {
    return slotOf(index, this.#capacity) * WORDS
  }

  #shrink(): void {
    const count = this.#last - this.#base
    if (this.#capacity <= CAPACITY_MIN || count * SLACK > this.#capacity) return
    let capacity = CAPACITY_MIN
    while (capacity < count * 2) capacity *= 2
    this.#resize(capacity)
  }

  #resize(capacity: number): void {
    const old = { words: this.#words, capacity: this.#capacity }
    this.#capacity = capacity
    this.#words = new Uint32Array(capacity * WORDS)
    for (let index = this.#base + 1; index <= this.#last; index++) {
      const source = slotOf(index, old.capacity) * WORDS
      this.#words.set(old.words.subarray(source, source + WORDS), this.#at(index))
    }
  }
}

/** `&` keeps the low 32 bits of its operand, and the capacity is a power of two below 2^32. */
function slotOf(index: LogIndex, capacity: number): number {
  return (index & (capacity - 1)) >>> 0
}
