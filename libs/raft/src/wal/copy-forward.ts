import { toError } from '@sluice/foundation'
import type { Entry, LogIndex, RaftGroupId } from '../core/types.js'
import { cachedBytes } from './entry-tail.js'
import { WalClosedError } from './errors.js'
import type { GroupLog } from './group-log.js'
import { copiesBytes } from './record.js'
import type { SegmentStore } from './segment-store.js'
import type { WalEvent } from './wal-options.js'
import type { LogWriter } from './writer.js'

export interface CopyForwardOptions {
  readonly store: SegmentStore
  readonly writer: LogWriter
  readonly groups: ReadonlyMap<RaftGroupId, GroupLog>
  readonly segmentBytes: number
  /** So far behind a group is slow, and once more so far its entries are copied. Segments. */
  readonly slowGroupSegments: number
  readonly onEvent: (event: WalEvent) => void
  /** Entries are durable in a newer segment. */
  readonly onCopied: () => void
}

/** The oldest entries of one group, which are to be copied. */
interface Copying {
  readonly log: GroupLog
  /** Of the log when the entries were chosen. */
  readonly cuts: number
  readonly last: LogIndex
  /** A rough figure. */
  readonly sizeBytes: number
}

/** A segment is worth emptying when no more than this part of it is copied for that. */
const SEGMENT_SHARE = 4
/** What one group may have copied at once, as its copies must be in one batch. Bytes. */
const GROUP_BYTES_MAX = 4 * 1024 * 1024
/** What is copied before the disk is waited for. Bytes, and groups. */
const STEP_BYTES_MAX = 1024 * 1024
const STEP_GROUPS_MAX = 256
const REPORTS_MAX = 100

/**
 * Keeps slow groups from holding old segments for ever: reports them, and when that does not help copies
 * the few entries they have there into the newest segment. The record that holds the copies also says
 * that they are the log's entries from now on, so that a crash leaves both or neither; the old ones are
 * read until the new ones are durable, and their segment stays until then.
 */
export class CopyForward {
  readonly #options: CopyForwardOptions
  #lookedAt = 0
  #oldest = { segmentSeq: 0, reportedAt: 0, isUnreadable: false, reported: new Set<RaftGroupId>() }
  /** Being read, or not durable yet. */
  #isCopying = false
  #reading: Promise<void> = Promise.resolve()
  #isClosed = false

  constructor(options: CopyForwardOptions) {
    this.#options = options
  }

  /** A batch is on disk. */
  durable(): void {
    const { segmentSeq } = this.#options.writer
    if (this.#isCopying || this.#isClosed || this.#lookedAt === segmentSeq) return
    this.#lookedAt = segmentSeq
    this.#look(segmentSeq)
  }

  /** Starts no more copies, and waits for what is being read. */
  async close(): Promise<void> {
    this.#isClosed = true
    await this.#reading
  }

  #look(newest: number): void {
    const { store, slowGroupSegments } = this.#options
    const oldest = store.firstSeq
    if (oldest === undefined || newest - oldest < slowGroupSegments) return
    if (this.#oldest.segmentSeq !== oldest)
      this.#oldest = { segmentSeq: oldest, reportedAt: newest, isUnreadable: false, reported: new Set() }
    this.#report(oldest)
    const { reportedAt, isUnreadable } = this.#oldest
    if (newest - oldest < 2 * slowGroupSegments || newest === reportedAt || isUnreadable) return
    // Everything that is old, so that it is copied once and not again for the next segment; else the oldest.
    const chosen = this.#choose(newest - slowGroupSegments) ?? this.#choose(oldest)
    if (chosen === undefined || chosen.length === 0) return
    this.#isCopying = true
    this.#reading = this.#copy(chosen)
  }

  #report(segmentSeq: number): void {
    const { reported } = this.#oldest
    let reports = 0
    for (const log of this.#options.groups.values()) {
      if (log.firstSegmentSeq !== segmentSeq || reported.has(log.id)) continue
      reported.add(log.id)
      this.#options.onEvent({ kind: 'group-holds-segment', group: log.id, segmentSeq })
      reports += 1
      if (reports === REPORTS_MAX) return
    }
  }

  /** What of all groups must be copied for this segment and older ones to go; `undefined` when it is much. */
  #choose(segmentSeq: number): Copying[] | undefined {
    const budget = this.#options.segmentBytes / SEGMENT_SHARE
    const chosen: Copying[] = []
    let total = 0
    for (const log of this.#options.groups.values()) {
      const last = log.lastUpTo(segmentSeq)
      if (last === undefined) continue
      const bytesMax = Math.min(budget - total, GROUP_BYTES_MAX)
      let sizeBytes = 0
      for (let index = log.compactedIndex + 1; index <= last && sizeBytes <= bytesMax; index++)
        sizeBytes += cachedBytes(log.sizeBytes(index))
      if (sizeBytes > bytesMax) return undefined
      total += sizeBytes
      chosen.push({ log, cuts: log.cuts, last, sizeBytes })
    }
    return chosen
  }

  /** One step: some of the groups, then a look again when that is durable. */
  async #copy(chosen: readonly Copying[]): Promise<void> {
    const read: { readonly copying: Copying; readonly entries: readonly Entry[] }[] = []
    let stepBytes = 0
    for (const copying of chosen.slice(0, STEP_GROUPS_MAX)) {
      if (stepBytes > 0 && stepBytes + copying.sizeBytes > STEP_BYTES_MAX) break
      stepBytes += copying.sizeBytes
      const entries = await this.#read(copying)
      if (entries !== undefined) read.push({ copying, entries })
    }
    const { writer } = this.#options
    if (this.#isClosed || writer.failure !== undefined) return
    let open = 0
    const copied = (): void => {
      open -= 1
      if (open > 0) return
      this.#isCopying = false
      this.#lookedAt = 0
      this.#options.onCopied()
      this.durable()
    }
    // From here on nothing is waited for: what is still the log's when it is looked at goes into the batch.
    for (const { copying, entries } of read) {
      const live = this.#isUnchanged(copying)
        ? entries.filter((entry) => entry.index > copying.log.compactedIndex)
        : []
      if (live.length === 0) continue
      open += 1
      this.#add(copying, live, copied)
    }
    if (open === 0) this.#isCopying = false
    else writer.commitLater()
  }

  async #read({ log, last, cuts }: Copying): Promise<readonly Entry[] | undefined> {
    if (this.#isClosed || log.cuts !== cuts || last <= log.compactedIndex) return undefined
    try {
      return await log.read(log.compactedIndex + 1, last, Number.POSITIVE_INFINITY)
    } catch (error) {
      if (error instanceof WalClosedError) return undefined
      this.#oldest.isUnreadable = true
      const { segmentSeq } = this.#oldest
      this.#options.onEvent({ kind: 'copy-failed', group: log.id, segmentSeq, error: toError(error) })
      return undefined
    }
  }

  #add(copying: Copying, copies: readonly Entry[], copied: () => void): void {
    const { log } = copying
    const batch = this.#options.writer.reserve(copiesBytes(copies))
    const place = {
      segmentSeq: batch.segmentSeq,
      batchAt: batch.offset,
      dataAt: batch.addCopies(log.id, copies),
    }
    batch.callbacks.push(() => {
      // The old entries stay good for a log that was cut meanwhile.
      if (this.#isUnchanged(copying)) log.copied(copies, place)
      copied()
    })
  }

  #isUnchanged({ log, cuts }: Copying): boolean {
    return this.#options.groups.get(log.id) === log && log.cuts === cuts
  }
}
