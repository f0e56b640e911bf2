import { crc32 } from 'node:zlib'

/*
 * segment file  wal-<seq, 16 hex digits>.seg, all integers little endian
 *   header 64 B : magic "RWAL" | format u16 | crcAlgorithm u8 | flags u8 | seq u64 | nodeUuid 16 B |
 *                 prevSegmentLastLsn u64 | createdMs u64 | nonce 8 B | crc u32 | zeros
 *   batch       : magic u32 | bodyBytes u32 | lsn u64 | recordCount u32 | prevCrc u32 | crc u32 | flags u32
 *                 (32 B), then the body, zeros up to a multiple of 8
 *   zeros up to the end of the file
 *
 * A batch's CRC continues its segment's header CRC (the salt) over the batch from magic to padding, with
 * zeros in place of itself: a batch is valid in no other file, and nobody who sends us bytes can make any
 * that look like one, because nobody knows the nonce.
 * `lsn` counts batches from 1 without gaps. The first batch of a segment is a checkpoint; an END batch
 * says that the next segment exists, and has the lsn of that one's checkpoint.
 */

export const SEGMENT_HEADER_BYTES = 64
export const BATCH_HEADER_BYTES = 32
/** Body of one batch, bytes; more is a sign of damage. */
export const BATCH_BODY_BYTES_MAX = 256 * 1024 * 1024

/** Of one segment's file with whatever it may hold, bytes. */
export const SEGMENT_FILE_BYTES_MAX = 5 * 256 * 1024 * 1024

export const BatchFlag = { NONE: 0, CHECKPOINT: 1, SEAL: 2, END: 4 } as const
export type BatchFlag = (typeof BatchFlag)[keyof typeof BatchFlag]

const FLAGS: ReadonlySet<number> = new Set(Object.values(BatchFlag))

const SEGMENT_MAGIC = 0x4c41_5752
const BATCH_MAGIC = 0xb47c_a11e
const FORMAT = 1
/** CRC-32 (IEEE) by zlib. 1 is kept for CRC-32C. */
const CRC_ALGORITHM = 2
const U32 = 0x1_0000_0000
const HEADER_CRC_AT = 56
const CRC_AT = 24
const ZEROS_4 = new Uint8Array(4)

export interface SegmentHeader {
  readonly seq: number
  readonly nodeUuid: Uint8Array
  /** Of the segment before this one; 0 when there never was one. */
  readonly prevSegmentLastLsn: number
  readonly createdMs: number
  /** 8 random bytes. */
  readonly nonce: Uint8Array
}

export interface BatchHeader {
  readonly lsn: number
  readonly recordCount: number
  readonly prevCrc: number
  readonly flags: number
  readonly crc: number
  readonly bodyBytes: number
  /** With header and padding. */
  readonly sizeBytes: number
}

export function isBatchFlag(flags: number): flags is BatchFlag {
  return FLAGS.has(flags)
}

export function padded(sizeBytes: number): number {
  return Math.ceil(sizeBytes / 8) * 8
}

/** Two u32: many times faster than a BigInt; the value is a safe integer. */
export function putU64(view: DataView, at: number, value: number): void {
  view.setUint32(at, value >>> 0, true)
  view.setUint32(at + 4, Math.floor(value / U32), true)
}

/** May be over the safe integers when the bytes are not ours. */
export function getU64(view: DataView, at: number): number {
  return view.getUint32(at + 4, true) * U32 + view.getUint32(at, true)
}

export function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}

export function segmentFileName(seq: number): string {
  return `wal-${seq.toString(16).padStart(16, '0')}.seg`
}

export function parseSegmentFileName(name: string): number | undefined {
  const match = /^wal-([0-9a-f]{16})\.seg$/.exec(name)
  return match === null ? undefined : Number.parseInt(match[1]!, 16)
}

/** Also returns the salt of the segment's batches. */
export function encodeSegmentHeader(header: SegmentHeader): { bytes: Uint8Array; salt: number } {
  const bytes = new Uint8Array(SEGMENT_HEADER_BYTES)
  const view = viewOf(bytes)
  view.setUint32(0, SEGMENT_MAGIC, true)
  view.setUint16(4, FORMAT, true)
  view.setUint8(6, CRC_ALGORITHM)
  putU64(view, 8, header.seq)
  bytes.set(header.nodeUuid, 16)
  putU64(view, 32, header.prevSegmentLastLsn)
  putU64(view, 40, header.createdMs)
  bytes.set(header.nonce, 48)
  const salt = crc32(bytes.subarray(0, HEADER_CRC_AT))
  view.setUint32(HEADER_CRC_AT, salt, true)
  return { bytes, salt }
}

/**
 * Why the bytes, which are a whole segment header, are one of a later version. Whatever its format, a header
 * begins with magic, format and checksum algorithm and has its checksum where it has it now.
 */
export function unknownFormatOf(bytes: Uint8Array): string | undefined {
  if (bytes.length < SEGMENT_HEADER_BYTES) return undefined
  const view = viewOf(bytes)
  const isWhole =
    view.getUint32(0, true) === SEGMENT_MAGIC &&
    view.getUint32(HEADER_CRC_AT, true) === crc32(bytes.subarray(0, HEADER_CRC_AT))
  if (!isWhole) return undefined
  const [format, algorithm] = [view.getUint16(4, true), view.getUint8(6)]
  if (format !== FORMAT) return `the segment has format ${format}, known is ${FORMAT}`
  return algorithm === CRC_ALGORITHM
    ? undefined
    : `its checksum algorithm is ${algorithm}, known is ${CRC_ALGORITHM}`
}

/** Returns the reason as a string when the bytes are no header that this version reads. */
export function decodeSegmentHeader(bytes: Uint8Array): (SegmentHeader & { salt: number }) | string {
  if (bytes.length < SEGMENT_HEADER_BYTES) return 'the file is shorter than a segment header'
  const view = viewOf(bytes)
  if (view.getUint32(0, true) !== SEGMENT_MAGIC) return 'this is no segment header'
  const salt = crc32(bytes.subarray(0, HEADER_CRC_AT))
  if (view.getUint32(HEADER_CRC_AT, true) !== salt) return 'the checksum of the segment header does not match'
  if (view.getUint16(4, true) !== FORMAT) return `format ${view.getUint16(4, true)} is unknown`
  if (view.getUint8(6) !== CRC_ALGORITHM) return `checksum algorithm ${view.getUint8(6)} is unknown`
  return {
    seq: getU64(view, 8),
    nodeUuid: Uint8Array.from(bytes.subarray(16, 32)),
    prevSegmentLastLsn: getU64(view, 32),
    createdMs: getU64(view, 40),
    nonce: Uint8Array.from(bytes.subarray(48, 56)),
    salt,
  }
}

/** Writes the header in front of a body that is in place and padded; returns the CRC. */
export function finishBatch(
  batch: Uint8Array,
  view: DataView,
  header: Omit<BatchHeader, 'crc' | 'sizeBytes'> & { readonly salt: number },
): number {
  view.setUint32(0, BATCH_MAGIC, true)
  view.setUint32(4, header.bodyBytes, true)
  putU64(view, 8, header.lsn)
  view.setUint32(16, header.recordCount, true)
  view.setUint32(20, header.prevCrc, true)
  view.setUint32(CRC_AT, 0, true)
  view.setUint32(28, header.flags, true)
  const crc = crc32(batch, header.salt)
  view.setUint32(CRC_AT, crc, true)
  return crc
}

/**
 * Reads a batch's header without checking its CRC. Returns the reason as a string when it cannot be one.
 * @param bytesMax what the file holds from `at` on
 */
export function decodeBatchHeader(view: DataView, at: number, bytesMax: number): BatchHeader | string {
  if (bytesMax < BATCH_HEADER_BYTES) return 'the file ends within a batch header'
  if (view.getUint32(at, true) !== BATCH_MAGIC) return 'there is no batch header'
  const bodyBytes = view.getUint32(at + 4, true)
  const sizeBytes = BATCH_HEADER_BYTES + padded(bodyBytes)
  if (bodyBytes > BATCH_BODY_BYTES_MAX) return `a batch body of ${bodyBytes} bytes is over the bound`
  if (sizeBytes > bytesMax) return 'the file ends within a batch'
  return {
    lsn: getU64(view, at + 8),
    recordCount: view.getUint32(at + 16, true),
    prevCrc: view.getUint32(at + 20, true),
    crc: view.getUint32(at + CRC_AT, true),
    flags: view.getUint32(at + 28, true),
    bodyBytes,
    sizeBytes,
  }
}

/** True when the CRC of a whole batch, header to padding, matches. */
export function isBatchIntact(batch: Uint8Array, salt: number): boolean {
  const head = crc32(ZEROS_4, crc32(batch.subarray(0, CRC_AT), salt))
  const crc = crc32(batch.subarray(CRC_AT + 4), head)
  return viewOf(batch).getUint32(CRC_AT, true) === crc
}

/** Position of the next four bytes that start a batch, at a multiple of 8; -1 when there is none. */
export function findBatchMagic(bytes: Buffer, from: number): number {
  const magic = Buffer.alloc(4)
  magic.writeUInt32LE(BATCH_MAGIC)
  let at = bytes.indexOf(magic, from)
  while (at >= 0 && at % 8 !== 0) at = bytes.indexOf(magic, at + 1)
  return at
}
