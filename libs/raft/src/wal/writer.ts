import { type Clock, invariant } from '@sluice/foundation'
import { Batch, checkpointBatch, endBatch } from './batch.js'
import { WalDiskFullError } from './errors.js'
import { toFailure } from './failure.js'
import { BATCH_HEADER_BYTES, BatchFlag, padded, SEGMENT_HEADER_BYTES } from './format.js'
import type { GroupSummary } from './group-definition.js'
import type { LogPosition } from './recovery.js'
import type { Segment, SegmentStore } from './segment-store.js'
import { SlabPool } from './slab.js'
import { writeWhole } from './zero-fill.js'

export interface WriterOptions {
  readonly store: SegmentStore
  readonly segmentBytes: number
  readonly clock: Clock
  /** An idle log writes an empty batch after this, milliseconds. */
  readonly sealAfterMs: number
  /** Every group that is defined, as it is after everything added so far. */
  readonly summaries: () => readonly GroupSummary[]
  /** Called before the batch's own callbacks. */
  readonly onDurable: (lsn: number) => void
  /** Gives up the room that is kept for a full disk; never rejects. */
  readonly freeReserve: () => Promise<void>
  /** Called once; after the reserve is given up when the disk is full, because the process may end here. */
  readonly onFatal: (error: Error) => void
}

export interface WriterStats {
  readonly syncs: number
  readonly batches: number
  /** Written, with headers and padding. */
  readonly bytes: number
}

/** The segment is full: the next batch goes into a new one, which starts with this checkpoint. */
interface Rollover {
  readonly checkpoint: Batch
  /** Where the old segment ends, bytes. */
  readonly oldEnd: number
}

/** Room for a seal and an END batch. */
const SEGMENT_RESERVE_BYTES = 2 * BATCH_HEADER_BYTES

/**
 * Group commit: while one batch is written and synced, everything that arrives is encoded into the next.
 * A batch's place in its segment is known as soon as it is opened, because the sizes of all batches
 * before it are, and so is what a checkpoint in front of it must say.
 */
export class LogWriter {
  readonly #options: WriterOptions
  readonly #slabs: SlabPool

  // Where the next batch goes; ahead of the disk.
  #seq: number
  #offset: number
  #nextLsn: number
  #isSegmentFresh: boolean
  #open: Batch | undefined
  /** Somebody waits for what is in the open batch. */
  #isWanted = false
  readonly #queue: (Batch | Rollover)[] = []

  // Where the disk is.
  #segment: Segment | undefined
  #lastCrc: number
  #durableLsn: number
  #isSealed: boolean
  #stats = { syncs: 0, batches: 0, bytes: 0 }

  #isBusy = false
  /** When the write under way began, on the clock that never goes back. */
  #writingSinceMs: number | undefined
  #loop: Promise<void> = Promise.resolve()
  #isClosing = false
  #failure: Error | undefined
  #telling: Promise<void> = Promise.resolve()
  #idle: NodeJS.Timeout | undefined

  constructor(options: WriterOptions, position: LogPosition | undefined) {
    this.#options = options
    this.#slabs = new SlabPool(options.segmentBytes)
    this.#seq = position?.segmentSeq ?? 0
    this.#offset = position?.offset ?? 0
    this.#nextLsn = (position?.lastLsn ?? 0) + 1
    this.#isSegmentFresh = position?.isSegmentFresh ?? false
    this.#segment = position === undefined ? undefined : options.store.get(position.segmentSeq)
    this.#lastCrc = position?.lastCrc ?? 0
    this.#durableLsn = position?.lastLsn ?? 0
    this.#isSealed = position?.isSealed ?? false
  }

  get failure(): Error | undefined {
    return this.#failure
  }

  /** How long the write under way has been waiting for the disk; 0 when there is none. */
  get stalledMs(): number {
    return this.#writingSinceMs === undefined ? 0 : this.#options.clock.monotonic() - this.#writingSinceMs
  }

  get stats(): WriterStats {
    return this.#stats
  }

  get durableLsn(): number {
    return this.#durableLsn
  }

  /** Of the newest batch, on disk or not. */
  get lastLsn(): number {
    return this.#nextLsn - 1
  }

  /** The segment that the disk is at. */
  get segmentSeq(): number {
    return this.#segment?.seq ?? 0
  }

  /** Makes the first segment when there is none, and starts what goes on in the background. */
  async start(): Promise<void> {
    if (this.#segment === undefined) {
      this.#rollOver()
      this.#pump()
      await this.#drain()
      await this.#telling
      if (this.#failure !== undefined) throw this.#failure
    }
    this.#options.store.prepareSpare()
    this.#waitForIdle()
  }

  /** The batch to add records of this size to, at once. */
  reserve(sizeBytes: number): Batch {
    const open = this.#open
    if (open !== undefined && open.fits(sizeBytes) && this.#segmentFits(open.sizeBytes + sizeBytes))
      return open
    this.#closeOpen()
    if (!this.#segmentFits(BATCH_HEADER_BYTES + sizeBytes) && !this.#isSegmentFresh) this.#rollOver()
    return this.#openBatch(BATCH_HEADER_BYTES + sizeBytes, BatchFlag.NONE)
  }

  /** Writes what was added, and calls back when it is durable. Callbacks come in the order of the calls. */
  commit(done: () => void): void {
    const batch = this.#open ?? this.reserve(0)
    batch.callbacks.push(done)
    this.#isWanted = true
    this.#pump()
  }

  /** What was added goes to disk with the next commit, or once the log is idle. */
  commitLater(): void {
    if (!this.#isBusy) this.#waitForIdle()
  }

  /** Ends the log: nothing is acknowledged any more. */
  fail(error: unknown): void {
    if (this.#failure !== undefined) return
    this.#failure = toFailure(error)
    clearTimeout(this.#idle)
    this.#queue.length = 0
    this.#open = undefined
    if (this.#failure instanceof WalDiskFullError) this.#telling = this.#tellDiskFull(this.#failure)
    else this.#options.onFatal(this.#failure)
  }

  async #tellDiskFull(failure: WalDiskFullError): Promise<void> {
    await this.#options.freeReserve()
    this.#options.onFatal(failure)
  }

  /** Writes everything that was added, and a seal. Resolves also when that fails, which `onFatal` tells. */
  async close(): Promise<void> {
    this.#isClosing = true
    clearTimeout(this.#idle)
    this.#isWanted = this.#open !== undefined
    this.#pump()
    await this.#drain()
    if (this.#failure === undefined && !this.#isSealed) {
      this.#seal()
      await this.#drain()
    }
    await this.#telling
  }

  #segmentFits(sizeBytes: number): boolean {
    return this.#offset + padded(sizeBytes) + SEGMENT_RESERVE_BYTES <= this.#options.segmentBytes
  }

  #openBatch(sizeBytes: number, flags: BatchFlag): Batch {
    const place = { segmentSeq: this.#seq, offset: this.#offset, lsn: this.#nextLsn++ }
    this.#open = new Batch(place, this.#slabs.take(sizeBytes), flags)
    this.#isSegmentFresh = false
    return this.#open
  }

  #closeOpen(): void {
    const batch = this.#open
    if (batch === undefined) return
    this.#open = undefined
    this.#isWanted = false
    this.#offset = batch.offset + batch.sizeBytes
    this.#queue.push(batch)
  }

  #rollOver(): void {
    this.#seq += 1
    const place = { segmentSeq: this.#seq, offset: SEGMENT_HEADER_BYTES, lsn: this.#nextLsn++ }
    const checkpoint = checkpointBatch(this.#options.summaries(), place)
    this.#queue.push({ checkpoint, oldEnd: this.#offset })
    this.#offset = SEGMENT_HEADER_BYTES + checkpoint.sizeBytes
    this.#isSegmentFresh = true
  }

  #pump(): void {
    if (this.#isBusy || this.#failure !== undefined) return
    this.#isBusy = true
    this.#loop = this.#run()
  }

  async #drain(): Promise<void> {
    while (this.#isBusy) await this.#loop
  }

  /** The next write starts before the callbacks of the last one run: the disk does not wait for them. */
  async #run(): Promise<void> {
    let written: Batch | undefined
    let writing: Promise<void> | undefined
    try {
      while (this.#failure === undefined) {
        const next = this.#take()
        writing = next === undefined ? undefined : this.#carryOut(next)
        if (written !== undefined) this.#complete(written)
        written = next instanceof Batch ? next : undefined
        if (next === undefined && this.#isEmpty()) break
        await writing
      }
    } catch (error) {
      this.fail(error)
      await writing?.catch(() => undefined)
    } finally {
      this.#isBusy = false
    }
    this.#waitForIdle()
  }

  #isEmpty(): boolean {
    return this.#queue.length === 0 && !this.#isWanted
  }

  #take(): Batch | Rollover | undefined {
    if (this.#queue.length === 0 && this.#isWanted) this.#closeOpen()
    return this.#queue.shift()
  }

  async #carryOut(work: Batch | Rollover): Promise<void> {
    this.#writingSinceMs = this.#options.clock.monotonic()
    try {
      await (work instanceof Batch ? this.#write(work) : this.#switchSegment(work))
    } finally {
      this.#writingSinceMs = undefined
    }
  }

  async #write(batch: Batch): Promise<void> {
    const segment = this.#segment
    invariant(segment?.seq === batch.segmentSeq, 'a batch goes into the segment it was made for')
    const { bytes, crc } = batch.finish(this.#lastCrc, segment.salt)
    this.#lastCrc = crc
    await writeWhole(segment.file, bytes, batch.offset)
    await segment.file.sync()
    this.#count(bytes.length)
  }

  /**
   * The new segment is durable before the old one says that there is one, and the old one says so before
   * anything is acknowledged from the new one: its loss is always noticed.
   */
  async #switchSegment({ checkpoint, oldEnd }: Rollover): Promise<void> {
    const { store } = this.#options
    const old = this.#segment
    const prevCrc = this.#lastCrc
    const { segmentSeq: seq, lsn } = checkpoint
    this.#segment = await store.create({ seq, prevSegmentLastLsn: lsn - 1 }, (salt) => {
      const { bytes, crc } = checkpoint.finish(prevCrc, salt)
      this.#lastCrc = crc
      return bytes
    })
    this.#count(checkpoint.sizeBytes)
    if (old !== undefined) {
      const end = endBatch({ segmentSeq: old.seq, offset: oldEnd, lsn }, { prevCrc, salt: old.salt })
      await writeWhole(old.file, end, oldEnd)
      await old.file.sync()
      this.#count(end.length)
    }
    this.#durableLsn = lsn
    this.#isSealed = false
    store.prepareSpare()
  }

  #count(bytes: number): void {
    this.#stats = {
      syncs: this.#stats.syncs + 1,
      batches: this.#stats.batches + 1,
      bytes: this.#stats.bytes + bytes,
    }
  }

  #complete(batch: Batch): void {
    this.#durableLsn = batch.lsn
    this.#isSealed = batch.flags === BatchFlag.SEAL
    this.#slabs.giveBack(batch.slab)
    this.#options.onDurable(batch.lsn)
    for (const done of batch.callbacks) {
      if (this.#failure !== undefined) return
      done()
    }
  }

  /** Rot in the very last batch looks like a torn one: an idle log puts an empty batch behind it. */
  #seal(): void {
    this.#openBatch(BATCH_HEADER_BYTES, BatchFlag.SEAL)
    this.#isWanted = true
    this.#pump()
  }

  #waitForIdle(): void {
    if (this.#isClosing || this.#failure !== undefined) return
    if (this.#open === undefined && this.#isSealed) return
    if (this.#options.sealAfterMs === Number.POSITIVE_INFINITY) return
    if (this.#idle === undefined) this.#idle = setTimeout(this.#onIdle, this.#options.sealAfterMs).unref()
    else this.#idle.refresh()
  }

  readonly #onIdle = (): void => {
    if (this.#isBusy || this.#isClosing || this.#failure !== undefined) return
    if (this.#open === undefined) {
      this.#seal()
    } else {
      this.#isWanted = true
      this.#pump()
    }
  }
}
