import type { GroupLog } from './group-log.js'
import type { SegmentStore } from './segment-store.js'

export interface PurgeOptions {
  readonly store: SegmentStore
  readonly groups: () => Iterable<GroupLog>
  /** The segment that the disk is at: it and later ones stay. */
  readonly currentSegmentSeq: () => number
  /** Of the newest batch, on disk or not. */
  readonly lastLsn: () => number
  readonly onRemoved: (seq: number) => void
  readonly onFailure: (error: unknown) => void
}

/**
 * Removes segments that no group's entries are in any more. Whatever else they hold, a later segment's
 * checkpoint says as well. What makes a segment superfluous may itself still be on its way to the disk:
 * a segment goes only once everything is durable that had been added when that was found out.
 */
export class Purger {
  readonly #options: PurgeOptions
  #isWanted = true
  #plannedAtSegment = 0
  #durableLsn = 0
  #plan: { readonly below: number; readonly lsn: number } | undefined
  #removing: Promise<void> = Promise.resolve()
  #isRemoving = false

  constructor(options: PurgeOptions) {
    this.#options = options
  }

  /** Entries were compacted, removed or copied forward. */
  want(): void {
    this.#isWanted = true
  }

  /** `want`, and looks at once. */
  wantNow(): void {
    this.#isWanted = true
    this.durable(this.#durableLsn)
  }

  /** Everything up to this batch is on disk. */
  durable(lsn: number): void {
    this.#durableLsn = lsn
    for (let below = this.#due(); below !== undefined; below = this.#due()) {
      if ((this.#options.store.firstSeq ?? below) >= below) continue // what was found out since comes next
      this.#isRemoving = true
      this.#removing = this.#remove(below)
    }
  }

  /** Segments below this one can go now. */
  #due(): number | undefined {
    const segment = this.#options.currentSegmentSeq()
    if (this.#plan === undefined && (this.#isWanted || segment !== this.#plannedAtSegment)) {
      this.#isWanted = false
      this.#plannedAtSegment = segment
      this.#plan = { below: this.#firstNeeded(), lsn: this.#options.lastLsn() }
    }
    if (this.#plan === undefined || this.#durableLsn < this.#plan.lsn || this.#isRemoving) return undefined
    const { below } = this.#plan
    this.#plan = undefined
    return below
  }

  /** Waits for what is being removed. */
  async close(): Promise<void> {
    for (let seen: unknown; seen !== this.#removing;) {
      seen = this.#removing
      await this.#removing
    }
  }

  #firstNeeded(): number {
    let first = this.#options.currentSegmentSeq()
    for (const log of this.#options.groups()) first = Math.min(first, log.firstSegmentSeq ?? first)
    return first
  }

  async #remove(below: number): Promise<void> {
    const { store, onRemoved, onFailure } = this.#options
    try {
      for (let seq = store.firstSeq; seq !== undefined && seq < below; seq = store.firstSeq) {
        await store.removeFirst()
        onRemoved(seq)
      }
    } catch (error) {
      onFailure(error)
      return
    }
    this.#isRemoving = false
    this.durable(this.#durableLsn) // a plan may have waited
  }
}
