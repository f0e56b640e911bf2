import { WalCorruptError } from './errors.js'
import {
  BATCH_HEADER_BYTES,
  BatchFlag,
  type BatchHeader,
  decodeBatchHeader,
  findBatchMagic,
  isBatchIntact,
  SEGMENT_HEADER_BYTES,
  viewOf,
} from './format.js'

/** One segment's file in memory. */
export interface SegmentImage {
  readonly path: string
  readonly bytes: Buffer
  readonly salt: number
}

export interface FoundBatch {
  readonly header: BatchHeader
  /** Where in the file it starts, bytes. */
  readonly at: number
}

export interface ScannedSegment {
  readonly batches: readonly FoundBatch[]
  /** Where the last batch ends, bytes; an END batch does not count. */
  readonly end: number
  readonly lastLsn: number
  readonly lastCrc: number
  /** The next segment was made before this one was left. */
  readonly hasEnd: boolean
  /** What is wrong with the bytes at `end`; says nothing when they are zeros. */
  readonly reason: string
}

/** What the first batch must be chained to; `prevCrc` is unknown for the oldest segment that is left. */
export interface ScanStart {
  readonly lsn: number
  readonly prevCrc: number | undefined
}

/**
 * Reads batches until one is not valid.
 * @throws WalCorruptError when a valid batch is not the one that must come there
 */
export function scanSegment(image: SegmentImage, start: ScanStart): ScannedSegment {
  const view = viewOf(image.bytes)
  const batches: FoundBatch[] = []
  let { lsn, prevCrc } = start
  let at = SEGMENT_HEADER_BYTES
  let hasEnd = false
  let reason = ''
  for (;;) {
    const header = intactBatch(image, view, at)
    if (typeof header === 'string') {
      reason = header
      break
    }
    const refuse = (why: string): WalCorruptError =>
      new WalCorruptError({ file: image.path, offset: at, reason: why })
    if (header.lsn !== lsn) throw refuse(`batch ${header.lsn} is in place of batch ${lsn}`)
    if (prevCrc !== undefined && header.prevCrc !== prevCrc)
      throw refuse('the batch does not follow the one before it')
    if (header.flags === BatchFlag.END) {
      hasEnd = true
      break
    }
    batches.push({ header, at })
    at += header.sizeBytes
    lsn += 1
    prevCrc = header.crc
  }
  return { batches, end: at, lastLsn: lsn - 1, lastCrc: prevCrc ?? 0, hasEnd, reason }
}

function intactBatch(image: SegmentImage, view: DataView, at: number): BatchHeader | string {
  const header = decodeBatchHeader(view, at, image.bytes.length - at)
  if (typeof header === 'string') return header
  const batch = image.bytes.subarray(at, at + header.sizeBytes)
  return isBatchIntact(batch, image.salt) ? header : 'the checksum of the batch does not match'
}

/** How many times the file may go through the checksum before the search gives up. */
const SEARCH_FACTOR_MAX = 64

/**
 * A batch is written only after the one before it was synced: behind a torn one there is nothing valid.
 *
 * @returns where a valid batch of this or a later lsn starts behind `after`; -1 when there is none
 * @throws WalCorruptError when too many bytes look like batches to tell: guessing is no option
 */
export function findValidBatch(image: SegmentImage, after: number, lsn: number): number {
  const { bytes, path } = image
  const view = viewOf(bytes)
  const lsnMax = lsn + bytes.length / BATCH_HEADER_BYTES
  let budget = SEARCH_FACTOR_MAX * bytes.length
  for (let at = findBatchMagic(bytes, after + 8); at >= 0; at = findBatchMagic(bytes, at + 8)) {
    const header = decodeBatchHeader(view, at, bytes.length - at)
    if (typeof header === 'string' || header.lsn < lsn || header.lsn > lsnMax) continue
    budget -= header.sizeBytes
    if (budget < 0)
      throw new WalCorruptError({ file: path, offset: after, reason: 'cannot tell a torn tail from damage' })
    if (isBatchIntact(bytes.subarray(at, at + header.sizeBytes), image.salt)) return at
  }
  return -1
}

const ZEROS = Buffer.alloc(64 * 1024)

/** Position behind the last byte at or over `from` that is not 0; `from` when there is none. */
export function endOfData(bytes: Buffer, from: number): number {
  let end = bytes.length
  while (end - from >= ZEROS.length && bytes.compare(ZEROS, 0, ZEROS.length, end - ZEROS.length, end) === 0)
    end -= ZEROS.length
  while (end > from && bytes[end - 1] === 0) end -= 1
  return end
}
