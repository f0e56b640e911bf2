import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { type Clock, invariant } from '@sluice/foundation'
import { WalClosedError } from './errors.js'
import type { WalFile, WalFiles } from './files.js'
import { encodeSegmentHeader, segmentFileName } from './format.js'
import { fillWithZeros, writeWhole } from './zero-fill.js'

/** One open file of the log. */
export interface Segment {
  readonly seq: number
  readonly path: string
  readonly file: WalFile
  /** What the CRC of each of its batches starts with. */
  readonly salt: number
}

interface HeldSegment extends Segment {
  users: number
  isRemoved: boolean
}

export interface SegmentStoreOptions {
  readonly directory: string
  readonly nodeUuid: Uint8Array
  readonly segmentBytes: number
  readonly files: WalFiles
  readonly clock: Clock
}

const SPARE_FILE = 'wal-spare.tmp'

/**
 * The segment files of one directory, all open. A segment gets its name when its header and its
 * checkpoint are durable: one that has a name but no valid start is damaged.
 *
 * The next segment's file is filled with zeros ahead of time, so that appends neither change the size of
 * their file nor allocate space: a sync then has nothing but the data to write.
 */
export class SegmentStore {
  readonly #options: SegmentStoreOptions
  readonly #segments = new Map<number, HeldSegment>()
  #spare: Promise<WalFile | undefined> | undefined
  #isClosed = false

  constructor(options: SegmentStoreOptions) {
    this.#options = options
  }

  get count(): number {
    return this.#segments.size
  }

  /** Of the oldest segment; `undefined` when there are none. They have no gaps. */
  get firstSeq(): number | undefined {
    return this.#segments.keys().next().value
  }

  /** Takes over an existing file; oldest first. */
  adopt(segment: Segment): void {
    this.#segments.set(segment.seq, { ...segment, users: 0, isRemoved: false })
  }

  get(seq: number): Segment {
    const segment = this.#segments.get(seq)
    invariant(segment !== undefined, `segment ${seq} is there`)
    return segment
  }

  /**
   * Keeps the file readable until released, even when the segment is removed.
   * @throws WalClosedError
   */
  retain(seq: number): Segment {
    if (this.#isClosed) throw new WalClosedError()
    const segment = this.#segments.get(seq)
    invariant(segment !== undefined, `segment ${seq} is there`)
    segment.users += 1
    return segment
  }

  async release(segment: Segment): Promise<void> {
    const held = segment as HeldSegment
    held.users -= 1
    if (held.isRemoved && held.users === 0) await held.file.close()
  }

  /** Starts to fill the next segment's file in the background. A failure shows when the file is needed. */
  prepareSpare(): void {
    this.#spare ??= this.#fill().catch(() => undefined)
  }

  /** Resolves when the preparation of the next segment ends, one way or the other. */
  async sparePrepared(): Promise<void> {
    await this.#spare
  }

  /**
   * Makes the next segment; durable, with its name, when it resolves.
   * @param firstBatch finishes the segment's first batch for its salt
   */
  async create(
    start: { readonly seq: number; readonly prevSegmentLastLsn: number },
    firstBatch: (salt: number) => Uint8Array,
  ): Promise<Segment> {
    // A spare that failed gets a second chance: there may be space again.
    const file = (await this.#spare) ?? (await this.#fill())
    this.#spare = undefined
    invariant(file !== undefined, 'the store is open')
    try {
      return await this.#make(file, start, firstBatch)
    } catch (error) {
      await file.close()
      throw error
    }
  }

  async #make(
    file: WalFile,
    start: { readonly seq: number; readonly prevSegmentLastLsn: number },
    firstBatch: (salt: number) => Uint8Array,
  ): Promise<Segment> {
    const { directory, files, nodeUuid, clock } = this.#options
    const header = encodeSegmentHeader({
      ...start,
      nodeUuid,
      createdMs: clock.now(),
      nonce: randomBytes(8),
    })
    await writeWhole(file, Buffer.concat([header.bytes, firstBatch(header.salt)]), 0)
    await file.sync()
    const path = join(directory, segmentFileName(start.seq))
    await files.rename(join(directory, SPARE_FILE), path)
    await files.syncDirectory(directory)
    const segment = { seq: start.seq, path, file, salt: header.salt }
    this.adopt(segment)
    return segment
  }

  /** Removes the oldest segment for good. One at a time: after a crash no gap may be left. */
  async removeFirst(): Promise<void> {
    const seq = this.firstSeq
    const segment = seq === undefined ? undefined : this.#segments.get(seq)
    invariant(segment !== undefined, 'there is a segment to remove')
    this.#segments.delete(segment.seq)
    segment.isRemoved = true
    await this.#options.files.remove(segment.path)
    await this.#options.files.syncDirectory(this.#options.directory)
    if (segment.users === 0) await segment.file.close()
  }

  /** Closes every file that nobody reads. */
  async close(): Promise<void> {
    this.#isClosed = true
    const spare = await this.#spare
    await spare?.close()
    for (const segment of this.#segments.values()) {
      segment.isRemoved = true
      if (segment.users === 0) await segment.file.close()
    }
  }

  /** Ends early, without a file, when the store is closed meanwhile. */
  async #fill(): Promise<WalFile | undefined> {
    const { directory, files, segmentBytes } = this.#options
    const path = join(directory, SPARE_FILE)
    const file = await files.open(path, 'create')
    try {
      if (await fillWithZeros(file, segmentBytes, () => this.#isClosed)) return file
    } catch (error) {
      await file.close()
      await files.remove(path).catch(() => undefined) // a full disk gets its room back
      throw error
    }
    await file.close()
    return undefined
  }
}
