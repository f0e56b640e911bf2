import { invariant } from '@sluice/foundation'
import type { StoredBatch } from './rows.js'

/**
 * The memory that all partitions of a process share for their newest batches. When it is full they take
 * turns in letting their oldest batch go.
 */
export class RecentBudget {
  readonly #bytesMax: number
  #usedBytes = 0
  /** Those that can let a batch go, the next one first. */
  readonly #givers = new Set<RecentBatches>()

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax
  }

  get usedBytes(): number {
    return this.#usedBytes
  }

  /** Lets batches go while there are too many, but none that its partition has to keep. */
  enforce(): void {
    for (const owner of this.#givers) {
      if (this.#usedBytes <= this.#bytesMax) return
      this.#givers.delete(owner)
      owner.dropOldest()
      // Behind all others, which is where this loop comes to it again.
      if (owner.canDrop) this.#givers.add(owner)
    }
  }

  // What follows is for the partitions' batches.

  used(bytes: number): void {
    this.#usedBytes += bytes
  }

  /** Whether it can let a batch go may have changed. */
  changed(owner: RecentBatches): void {
    if (!owner.canDrop) this.#givers.delete(owner)
    else this.#givers.add(owner)
  }
}

/** The newest batches of a partition, in order and without gaps, for readers that keep up. */
export class RecentBatches {
  readonly #budget: RecentBudget
  #batches: (StoredBatch | undefined)[] = []
  #first = 0
  /** Batches before it may go. */
  #keepFrom = 0
  #isClosed = false

  constructor(budget: RecentBudget) {
    this.#budget = budget
  }

  /** Offset of the oldest message here; `undefined` when there is none. */
  get firstOffset(): number | undefined {
    return this.#batches[this.#first]?.baseOffset
  }

  add(batch: StoredBatch): void {
    invariant(!this.#isClosed, 'nothing is added after the end')
    const last = this.#batches.length > this.#first ? this.#batches.at(-1) : undefined
    invariant(
      last === undefined || last.lastOffset + 1 === batch.baseOffset,
      'recent batches follow one another without a gap',
    )
    this.#batches.push(batch)
    this.#budget.used(batch.bytes.length)
    this.#budget.changed(this)
  }

  /** Batches before `offset` can be read elsewhere: they may go when room is needed. */
  release(offset: number): void {
    this.#keepFrom = offset
    this.#budget.changed(this)
  }

  /** Drops what is before `logStart` whole: deleted messages are held for nobody. */
  trim(logStart: number): void {
    for (let oldest = this.#batches[this.#first]; oldest !== undefined && oldest.lastOffset < logStart;) {
      this.#remove(oldest)
      oldest = this.#batches[this.#first]
    }
    this.#budget.changed(this)
  }

  /** Lets everything go. */
  close(): void {
    this.trim(Number.POSITIVE_INFINITY)
    this.#isClosed = true
  }

  /** False when the oldest batch is to be kept, or there is none. */
  get canDrop(): boolean {
    const oldest = this.#batches[this.#first]
    return oldest !== undefined && oldest.lastOffset < this.#keepFrom
  }

  /** For the budget. */
  dropOldest(): void {
    invariant(this.canDrop, 'what is not in the database is kept')
    this.#remove(this.#batches[this.#first]!)
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

  #remove(oldest: StoredBatch): void {
    // At once, so that its bytes are free although the list is made shorter later.
    this.#batches[this.#first] = undefined
    this.#first++
    this.#budget.used(-oldest.bytes.length)
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
