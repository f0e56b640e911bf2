import { invariant } from '@sluice/foundation'
import type { AppliedBatch, ResidentBatch } from './rows.js'

/**
 * The memory that all partitions of a process share for their newest batches. When it is full they take
 * turns in letting their oldest batch go: first what the database has; and when what it lacks takes too much,
 * the bytes of that, which the log has.
 */
export class RecentBudget {
  readonly #bytesMax: number
  readonly #heldBytesMax: number
  #usedBytes = 0
  /** Those that can let a batch go, the next one first. */
  readonly #givers = new Set<RecentBatches>()
  /** Those that have bytes in memory. */
  readonly #holders = new Set<RecentBatches>()

  constructor(bounds: {
    /** Of batches, as far as the database has them. */
    readonly bytesMax: number
    /** Of batches that the database does not have; `bytesMax` if that is more. */
    readonly heldBytesMax: number
  }) {
    this.#bytesMax = bounds.bytesMax
    this.#heldBytesMax = Math.max(bounds.bytesMax, bounds.heldBytesMax)
  }

  get usedBytes(): number {
    return this.#usedBytes
  }

  /** Lets batches go while there are too many; what the database lacks goes only from memory. */
  enforce(): void {
    for (const owner of this.#givers) {
      if (this.#usedBytes <= this.#bytesMax) return
      // Behind all others, which is where this loop comes to it again.
      this.#givers.delete(owner)
      owner.dropOldest()
      this.changed(owner)
    }
    for (const owner of this.#holders) {
      if (this.#usedBytes <= this.#heldBytesMax) return
      this.#holders.delete(owner)
      owner.pageOutOldest()
      this.changed(owner)
    }
  }

  // What follows is for the partitions' batches.

  used(bytes: number): void {
    this.#usedBytes += bytes
  }

  /** Whether it can let something go may have changed. */
  changed(owner: RecentBatches): void {
    if (owner.canDrop) this.#givers.add(owner)
    else this.#givers.delete(owner)
    if (owner.holds) this.#holders.add(owner)
    else this.#holders.delete(owner)
  }
}

/**
 * The newest batches of a partition, in order and without gaps, for readers that keep up and for the database.
 * Of the oldest the bytes may be in the log only.
 */
export class RecentBatches {
  readonly #budget: RecentBudget
  #batches: (AppliedBatch | undefined)[] = []
  #first = 0
  /** From here on the bytes are in memory. */
  #resident = 0
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

  add(batch: ResidentBatch): void {
    invariant(!this.#isClosed, 'nothing is added after the end')
    const last = this.#batches.length > this.#first ? this.#batches.at(-1) : undefined
    invariant(
      last === undefined || last.lastOffset + 1 === batch.baseOffset,
      'recent batches follow one another without a gap',
    )
    this.#batches.push(batch)
    this.#budget.used(batch.sizeBytes)
    this.#budget.changed(this)
  }

  /** The database has the batches before `offset`: they may go when room is needed. */
  release(offset: number): void {
    this.#keepFrom = offset
    while (this.#first < this.#resident && this.canDrop) this.#removeOldest()
    this.#budget.changed(this)
  }

  /** Drops what is before `logStart` whole: deleted messages are held for nobody, not even for the database. */
  trim(logStart: number): void {
    for (
      let oldest = this.#oldest;
      oldest !== undefined && oldest.lastOffset < logStart;
      oldest = this.#oldest
    ) {
      this.#removeOldest()
      oldest.bytes = undefined
    }
    this.#budget.changed(this)
  }

  /** Lets everything go; what is on its way to the database keeps its bytes. */
  close(): void {
    while (this.#oldest !== undefined) this.#removeOldest()
    this.#budget.changed(this)
    this.#isClosed = true
  }

  /** False when the oldest batch is to be kept, or there is none. */
  get canDrop(): boolean {
    const oldest = this.#oldest
    return oldest !== undefined && oldest.lastOffset < this.#keepFrom
  }

  /** True while bytes of a batch are in memory. */
  get holds(): boolean {
    return this.#resident < this.#batches.length
  }

  /** For the budget. */
  dropOldest(): void {
    invariant(this.canDrop, 'what is not in the database is kept')
    this.#removeOldest()
  }

  /** For the budget: the bytes of the oldest batch that are here go; whoever needs them reads the log. */
  pageOutOldest(): void {
    const oldest = this.#batches[this.#resident]
    invariant(oldest !== undefined, 'bytes of a batch are in memory')
    oldest.bytes = undefined
    this.#resident++
    this.#budget.used(-oldest.sizeBytes)
  }

  /**
   * The batches from the one that holds `offset` on: at least one, then while they fit in `bytesMax`.
   * `undefined` when `offset` is older than what is in memory.
   */
  read(offset: number, bytesMax: number): readonly ResidentBatch[] | undefined {
    const start = this.#find(offset)
    if (start === undefined || start < this.#resident) return undefined
    return this.#from(start, this.#batches.length, bytesMax).filter(isResident)
  }

  /** The same of batches whose bytes are in the log; `undefined` when `offset` is in none of them. */
  pagedOut(offset: number, bytesMax: number): readonly AppliedBatch[] | undefined {
    const start = this.#find(offset)
    if (start === undefined || start >= this.#resident) return undefined
    return this.#from(start, this.#resident, bytesMax)
  }

  /** The first batch with a message at or after `ms` among those that reach `from`, wherever its bytes are. */
  atTime(ms: number, from: number): AppliedBatch | undefined {
    for (let i = this.#first; i < this.#batches.length; i++) {
      const batch = this.#batches[i]!
      if (batch.lastOffset >= from && batch.maxTimestamp >= ms) return batch
    }
    return undefined
  }

  get #oldest(): AppliedBatch | undefined {
    return this.#batches[this.#first]
  }

  #from(start: number, end: number, bytesMax: number): AppliedBatch[] {
    const found: AppliedBatch[] = []
    let bytes = 0
    for (let i = start; i < end; i++) {
      const batch = this.#batches[i]!
      bytes += batch.sizeBytes
      if (found.length > 0 && bytes > bytesMax) break
      found.push(batch)
    }
    return found
  }

  #removeOldest(): void {
    const oldest = this.#batches[this.#first]!
    // At once, so that its bytes are free although the list is made shorter later.
    this.#batches[this.#first] = undefined
    this.#first++
    if (this.#resident < this.#first) {
      this.#resident = this.#first
      this.#budget.used(-oldest.sizeBytes)
    }
    if (this.#first <= 64 || this.#first * 2 <= this.#batches.length) return
    this.#batches = this.#batches.slice(this.#first)
    this.#resident -= this.#first
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

function isResident(batch: AppliedBatch): batch is ResidentBatch {
  return batch.bytes !== undefined
}
