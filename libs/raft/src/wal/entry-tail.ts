import { invariant } from '@sluice/foundation'
import type { Entry, LogIndex } from '../core/types.js'

/** What an entry in memory takes besides its data, bytes; a rough figure. */
const ENTRY_OVERHEAD_BYTES = 128

const CAPACITY_MIN = 4
const SLACK = 8

/** @param dataBytes of the entry */
export function cachedBytes(dataBytes: number): number {
  return dataBytes + ENTRY_OVERHEAD_BYTES
}

/** The newest entries of one group, [first, next), in a ring. The entries are the caller's own objects. */
export class EntryTail {
  #first: LogIndex
  #next: LogIndex
  #ring: (Entry | undefined)[] = []
  #cuts = 0

  constructor(next: LogIndex) {
    this.#first = next
    this.#next = next
  }

  /** The lowest index held; equals `next` when nothing is. */
  get first(): LogIndex {
    return this.#first
  }

  get next(): LogIndex {
    return this.#next
  }

  /** How often the end was cut off: the same index before and after a cut is not the same entry. */
  get cuts(): number {
    return this.#cuts
  }

  push(entry: Entry): void {
    invariant(entry.index === this.#next, 'entries are kept without gaps')
    const count = this.#next - this.#first
    if (count === this.#ring.length) this.#resize(Math.max(CAPACITY_MIN, count * 2))
    this.#ring[this.#at(entry.index)] = entry
    this.#next += 1
  }

  /** What comes next has this index; nothing is held. */
  skipTo(next: LogIndex): void {
    invariant(this.#first === this.#next, 'only an empty tail skips')
    this.#first = next
    this.#next = next
  }

  /** Both ends included and held; nothing when `to` is below `from`. */
  slice(from: LogIndex, to: LogIndex): Entry[] {
    invariant(from >= this.#first && to < this.#next, 'a slice is of what is held')
    const entries: Entry[] = []
    for (let index = from; index <= to; index++) entries.push(this.#ring[this.#at(index)]!)
    return entries
  }

  /** Drops everything from `index` on; returns the bytes freed. What comes next has that index. */
  truncateFrom(index: LogIndex): number {
    let freed = 0
    for (let i = Math.max(index, this.#first); i < this.#next; i++) freed += this.#clear(i)
    this.#next = index
    this.#first = Math.min(this.#first, index)
    this.#cuts += 1
    return freed
  }

  /** Drops everything up to `index`; returns the bytes freed. */
  dropTo(index: LogIndex): number {
    let freed = 0
    while (this.#first <= index && this.#first < this.#next) freed += this.#clear(this.#first++)
    const count = this.#next - this.#first
    if (this.#ring.length > CAPACITY_MIN && count * SLACK <= this.#ring.length) this.#shrink(count)
    return freed
  }

  #clear(index: LogIndex): number {
    const at = this.#at(index)
    const freed = cachedBytes(this.#ring[at]!.data.length)
    this.#ring[at] = undefined
    return freed
  }

  /** `&` keeps the low 32 bits of its operand, and the capacity is a power of two below 2^32. */
  #at(index: LogIndex): number {
    return (index & (this.#ring.length - 1)) >>> 0
  }

  #shrink(count: number): void {
    let capacity = CAPACITY_MIN
    while (capacity < count * 2) capacity *= 2
    this.#resize(capacity)
  }

  #resize(capacity: number): void {
    const kept = this.slice(this.#first, this.#next - 1)
    this.#ring = new Array<Entry | undefined>(capacity).fill(undefined)
    for (const entry of kept) this.#ring[this.#at(entry.index)] = entry
  }
}
