import { join } from 'node:path'
import type { RaftGroupId } from '../core/types.js'
import { endBatch } from './batch.js'
import type { BatchReader } from './batch-reader.js'
import { readWhole } from './batch-reader.js'
import type { EntryCache } from './entry-cache.js'
import { WalCorruptError, WalForeignError, WalVersionError } from './errors.js'
import type { WalFile, WalFiles } from './files.js'
import {
  BatchFlag,
  decodeSegmentHeader,
  parseSegmentFileName,
  SEGMENT_FILE_BYTES_MAX,
  SEGMENT_HEADER_BYTES,
  segmentFileName,
  unknownFormatOf,
} from './format.js'
import type { GroupLog } from './group-log.js'
import { RecordError, UnknownRecordError } from './record.js'
import { Replay } from './replay.js'
import {
  endOfData,
  findValidBatch,
  type ScannedSegment,
  scanSegment,
  type SegmentImage,
} from './segment-scan.js'
import type { Segment, SegmentStore } from './segment-store.js'
import { writeWhole } from './zero-fill.js'

/** Where the log goes on. */
export interface LogPosition {
  readonly segmentSeq: number
  /** Where in the last segment the next batch goes, bytes. */
  readonly offset: number
  readonly lastLsn: number
  readonly lastCrc: number
  /** The last batch is a seal. */
  readonly isSealed: boolean
  /** The last segment holds nothing but its checkpoint. */
  readonly isSegmentFresh: boolean
}

/** Bytes behind the last valid batch that a crash left, now zeros. */
interface TornTail {
  readonly file: string
  readonly offset: number
  readonly sizeBytes: number
}

export interface RecoveredLog {
  readonly groups: Map<RaftGroupId, GroupLog>
  /** `undefined` for a directory without segments. */
  readonly position: LogPosition | undefined
  readonly batches: number
  readonly tornTail: TornTail | undefined
}

export interface RecoveryOptions {
  readonly directory: string
  readonly nodeUuid: Uint8Array
  readonly files: WalFiles
  readonly store: SegmentStore
  readonly cache: EntryCache
  readonly reader: BatchReader
}

interface LoadedSegment {
  readonly image: SegmentImage
  readonly segment: Segment
  readonly scan: ScannedSegment
}

/**
 * Reads every segment, oldest first, into the groups' logs and the store.
 *
 * A batch that is not valid was torn by a crash only if it is in the last segment and no valid one comes
 * after it; everything else is damage, and is never cut.
 *
 * What is found is synced again before anything is built on it: a process that was killed may have left
 * a batch that never reached the disk, and a sync that failed may have left one that the system wrongly
 * takes for written.
 *
 * @throws WalCorruptError, WalForeignError, WalVersionError
 */
export async function recoverLog(options: RecoveryOptions): Promise<RecoveredLog> {
  const { directory, files } = options
  const seqs = await listSegments(options)
  const replay = new Replay(options)
  let beforePrevious: LoadedSegment | undefined
  let previous: LoadedSegment | undefined
  let batches = 0
  for (const seq of seqs) {
    const loaded = await load(options, seq, previous)
    replayAll(replay, loaded)
    batches += loaded.scan.batches.length
    beforePrevious = previous
    previous = loaded
  }
  if (previous === undefined)
    return { groups: replay.groups, position: undefined, batches, tornTail: undefined }
  const last = previous
  if (last.scan.hasEnd) {
    const missing = join(directory, segmentFileName(last.segment.seq + 1))
    throw new WalCorruptError({ file: missing, offset: 0, reason: 'the last segment is missing' })
  }
  const before = join(directory, segmentFileName(seqs[0]! - 1))
  orCorrupt(before, 0, () => replay.finish())
  const tornTail = await settle(last)
  await files.syncDirectory(directory)
  if (beforePrevious !== undefined) await markEnd(beforePrevious)
  return { groups: replay.groups, position: positionOf(last), batches, tornTail }
}

async function listSegments(options: RecoveryOptions): Promise<number[]> {
  const names = await options.files.list(options.directory)
  const seqs = names.map(parseSegmentFileName).filter((seq) => seq !== undefined)
  seqs.sort((a, b) => a - b)
  for (let i = 1; i < seqs.length; i++) {
    const expected = seqs[i - 1]! + 1
    if (seqs[i] === expected) continue
    const file = join(options.directory, segmentFileName(expected))
    throw new WalCorruptError({ file, offset: 0, reason: 'a segment between two others is missing' })
  }
  return seqs
}

async function load(
  options: RecoveryOptions,
  seq: number,
  previous: LoadedSegment | undefined,
): Promise<LoadedSegment> {
  const path = join(options.directory, segmentFileName(seq))
  const file = await options.files.open(path, 'existing')
  try {
    const bytes = await readFile(path, file)
    const header = checkHeader(options, { path, seq, bytes, previous })
    const image = { path, bytes, salt: header.salt }
    const scan = scanSegment(image, {
      lsn: header.prevSegmentLastLsn + 1,
      prevCrc: previous?.scan.lastCrc,
    })
    if (scan.batches.length === 0)
      throw new WalCorruptError({
        file: path,
        offset: SEGMENT_HEADER_BYTES,
        reason: `no checkpoint: ${scan.reason}`,
      })
    const segment = { seq, path, file, salt: header.salt }
    options.store.adopt(segment)
    return { image, segment, scan }
  } catch (error) {
    await file.close()
    throw error
  }
}

async function readFile(path: string, file: WalFile): Promise<Buffer> {
  const sizeBytes = await file.size()
  if (sizeBytes > SEGMENT_FILE_BYTES_MAX)
    throw new WalCorruptError({
      file: path,
      offset: SEGMENT_FILE_BYTES_MAX,
      reason: 'no segment is so large',
    })
  const bytes = Buffer.allocUnsafeSlow(sizeBytes)
  return bytes.subarray(0, await readWhole(file, bytes, 0))
}

function checkHeader(
  options: RecoveryOptions,
  found: {
    readonly path: string
    readonly seq: number
    readonly bytes: Buffer
    readonly previous: LoadedSegment | undefined
  },
): { readonly salt: number; readonly prevSegmentLastLsn: number } {
  const { path, seq, bytes, previous } = found
  const unknown = unknownFormatOf(bytes)
  if (unknown !== undefined) throw new WalVersionError(path, unknown)
  const header = decodeSegmentHeader(bytes)
  if (typeof header === 'string') throw new WalCorruptError({ file: path, offset: 0, reason: header })
  if (Buffer.compare(header.nodeUuid, options.nodeUuid) !== 0)
    throw new WalForeignError(path, { expected: options.nodeUuid, found: header.nodeUuid })
  if (header.seq !== seq)
    throw new WalCorruptError({ file: path, offset: 8, reason: `the header says segment ${header.seq}` })
  if (previous === undefined) return header
  const { end, lastLsn, reason } = previous.scan
  if (header.prevSegmentLastLsn < lastLsn)
    throw new WalCorruptError({
      file: path,
      offset: 32,
      reason: `a stale segment: it follows batch ${header.prevSegmentLastLsn}, yet the one before it ends with ${lastLsn}`,
    })
  if (header.prevSegmentLastLsn > lastLsn)
    throw new WalCorruptError({
      file: previous.image.path,
      offset: end,
      reason: `batches ${lastLsn + 1} to ${header.prevSegmentLastLsn} are lost: ${reason}`,
    })
  return header
}

function replayAll(replay: Replay, { image, segment, scan }: LoadedSegment): void {
  for (const [i, batch] of scan.batches.entries())
    orCorrupt(image.path, batch.at, () =>
      replay.apply({ ...batch, segmentSeq: segment.seq, bytes: image.bytes }, i === 0),
    )
}

function orCorrupt(file: string, offset: number, run: () => void): void {
  try {
    run()
  } catch (error) {
    if (error instanceof UnknownRecordError) throw new WalVersionError(file, error.message)
    if (error instanceof RecordError) throw new WalCorruptError({ file, offset, reason: error.message })
    throw error
  }
}

const ZERO_CHUNK = new Uint8Array(1024 * 1024)

/** Cuts what was torn, and makes what is left durable. */
async function settle({ image, segment, scan }: LoadedSegment): Promise<TornTail | undefined> {
  const dataEnd = endOfData(image.bytes, scan.end)
  if (dataEnd > scan.end) {
    const valid = findValidBatch(image, scan.end, scan.lastLsn + 1)
    if (valid >= 0)
      throw new WalCorruptError({
        file: image.path,
        offset: scan.end,
        reason: `${scan.reason}, yet a later batch is whole at byte ${valid}`,
      })
  }
  for (let at = scan.end; at < dataEnd; at += ZERO_CHUNK.length)
    await writeWhole(segment.file, ZERO_CHUNK.subarray(0, Math.min(ZERO_CHUNK.length, dataEnd - at)), at)
  const last = scan.batches.at(-1)!
  await writeWhole(segment.file, image.bytes.subarray(last.at, scan.end), last.at)
  await segment.file.sync()
  if (dataEnd === scan.end) return undefined
  return { file: image.path, offset: scan.end, sizeBytes: dataEnd - scan.end }
}

/** A crash may have come between the making of the last segment and the word of it in the one before. */
async function markEnd({ segment, scan }: LoadedSegment): Promise<void> {
  const place = { segmentSeq: segment.seq, offset: scan.end, lsn: scan.lastLsn + 1 }
  const end = endBatch(place, { prevCrc: scan.lastCrc, salt: segment.salt })
  if (!scan.hasEnd) await writeWhole(segment.file, end, scan.end)
  await segment.file.sync()
}

function positionOf({ segment, scan }: LoadedSegment): LogPosition {
  return {
    segmentSeq: segment.seq,
    offset: scan.end,
    lastLsn: scan.lastLsn,
    lastCrc: scan.lastCrc,
    isSealed: scan.batches.at(-1)!.header.flags === BatchFlag.SEAL,
    isSegmentFresh: scan.batches.length === 1,
  }
}
