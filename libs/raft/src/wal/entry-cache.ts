import type { Entry, LogIndex } from '../core/types.js'
import { cachedBytes, type EntryTail } from './entry-tail.js'

/** Entries of one tail that were added with one batch. */
interface Chunk {
  readonly tail: EntryTail
  /** The chunk is gone when the tail was cut since. */
  readonly cuts: number
  upTo: LogIndex
  readonly lsn: number
}

const CHUNKS_SWEPT_MIN = 1024

/**
 * Bounds the entries in memory over all groups: the oldest leave first. Entries that are not durable
 * yet stay, because they can be read from nowhere else; until they are, the bound may be exceeded.
 */
export class EntryCache {
  readonly #bytesMax: number
  #bytes = 0
  #durableLsn = 0
  /** In the order of their batches; some are gone already. */
  #chunks: Chunk[] = []
  #head = 0
  #sweepAt = CHUNKS_SWEPT_MIN

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax
  }

  /** Of the data, and a fixed figure per entry. */
  get bytes(): number {
    return this.#bytes
  }

  /** Adds entries [start, end) of the array, which are part of the batch with this lsn. */
  add(tail: EntryTail, entries: readonly Entry[], start: number, end: number, lsn: number): void {
    for (let i = start; i < end; i++) {
      tail.push(entries[i]!)
      this.#bytes += cachedBytes(entries[i]!.data.length)
    }
    this.#addChunk(tail, lsn)
  }

  truncateFrom(tail: EntryTail, index: LogIndex, lsn: number): void {
    this.#bytes -= tail.truncateFrom(index)
    if (tail.first < tail.next) this.#addChunk(tail, lsn)
  }

  dropTo(tail: EntryTail, index: LogIndex): void {
    this.#bytes -= tail.dropTo(index)
  }

  /** Everything up to this batch is on disk. */
  durable(lsn: number): void {
    this.#durableLsn = lsn
    while (this.#bytes > this.#bytesMax && this.#head < this.#chunks.length) {
      const chunk = this.#chunks[this.#head]!
      if (isHeld(chunk)) {
        if (chunk.lsn > this.#durableLsn) break
        this.#bytes -= chunk.tail.dropTo(chunk.upTo)
      }
      this.#head += 1
    }
    if (this.#head > CHUNKS_SWEPT_MIN && this.#head * 2 > this.#chunks.length) this.#sweep()
  }

  #addChunk(tail: EntryTail, lsn: number): void {
    const upTo = tail.next - 1
    const newest = this.#head < this.#chunks.length ? this.#chunks.at(-1) : undefined
    if (newest?.tail === tail && newest.cuts === tail.cuts && newest.lsn === lsn) newest.upTo = upTo
    else this.#chunks.push({ tail, cuts: tail.cuts, upTo, lsn })
    if (this.#chunks.length >= this.#sweepAt) this.#sweep()
  }

  /** Forgets the chunks that are gone; at most once per doubling, so that it costs nothing per chunk. */
  #sweep(): void {
    this.#chunks = this.#chunks.slice(this.#head).filter(isHeld)
    this.#head = 0
    this.#sweepAt = Math.max(CHUNKS_SWEPT_MIN, this.#chunks.length * 2)
  }
}

function isHeld(chunk: Chunk): boolean {
  return chunk.cuts === chunk.tail.cuts && chunk.upTo >= chunk.tail.first
}
