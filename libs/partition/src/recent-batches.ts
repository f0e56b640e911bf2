import { invariant } from '@sluice/foundation'
import type { StoredBatch } from './rows.js'

/** The newest batches of a partition, in order and without gaps, for readers that keep up. */
export class RecentBatches {
  #batches: StoredBatch[] = []
  #first = 0
  #sizeBytes = 0

  get sizeBytes(): number {
    return this.#sizeBytes
  }

  /** Offset of the oldest message here; `undefined` when there is none. */
  get firstOffset(): number | undefined {
    return this.#batches[this.#first]?.baseOffset
  }

  add(batch: StoredBatch): void {
    const last = this.#batches.length > this.#first ? this.#batches.at(-1) : undefined
    invariant(
      last === undefined || last.lastOffset + 1 === batch.baseOffset,
      'recent batches follow one another without a gap',
    )
    this.#batches.push(batch)
    this.#sizeBytes += batch.bytes.length
  }

  /** Drops the oldest batches while more than `bytesMax` are held, but none at or above `keepFrom`. */
  evict(bytesMax: number, keepFrom: number): void {
    while (this.#sizeBytes > bytesMax && this.#first < this.#batches.length) {
      if (this.#batches[this.#first]!.lastOffset >= keepFrom) return
      this.#dropOldest()
    }
    this.#giveBack()
  }

  /** Drops what is before `logStart` whole: deleted messages are held for nobody. */
  trim(logStart: number): void {
    while (this.#first < this.#batches.length && this.#batches[this.#first]!.lastOffset < logStart)
      this.#dropOldest()
    this.#giveBack()
  }

  /**
   * The batches from the one that holds `offset` on: at least one, then while they fit in `bytesMax`.
   * `undefined` when `offset` is older than what is held.
   */
  read(offset: number, bytesMax: number): readonly StoredBatch[] | undefined {
    const start = this.#find(offset)
    if (start === undefined) return undefined
    const found: StoredBatch[] = []
    let bytes = 0
    for (let i = start; i < this.#batches.length; i++) {
      const batch = this.#batches[i]!
      bytes += batch.bytes.length
      if (found.length > 0 && bytes > bytesMax) break
      found.push(batch)
    }
    return found
  }

  #dropOldest(): void {
    this.#sizeBytes -= this.#batches[this.#first]!.bytes.length
    this.#first++
  }

  /** Lets go of the dropped ones, seldom enough to cost nothing per batch. */
  #giveBack(): void {
    if (this.#first <= 64 || this.#first * 2 <= this.#batches.length) return
    this.#batches = this.#batches.slice(this.#first)
    this.#first = 0
  }

  #find(offset: number): number | undefined {
    let low = this.#first
    let high = this.#batches.length
    if (low === high || offset < this.#batches[low]!.baseOffset) return undefined
    while (high - low > 1) {
      const middle = (low + high) >>> 1
      if (this.#batches[middle]!.baseOffset <= offset) low = middle
      else high = middle
    }
    return offset <= this.#batches[low]!.lastOffset ? low : undefined
  }
}
