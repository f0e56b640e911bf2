import { crc32 } from 'node:zlib'
import type { LogIndex, RaftGroupId, SnapshotMeta, Term } from '../core/types.js'
import { getU64, putU64, viewOf } from '../wal/format.js'

/*
 * snapshot file  snap-<group>-<index>-<term>.snap, all integers little endian
 *   header : magic "RSNP" | format u16 | crcAlgorithm u8 | flags u8 | group u32 | chunkBytes u32 |
 *            group uuid 16 B | content id 16 B | index u64 | term u64 | configurationBytes u32 (68 B) |
 *            configuration | crc u32
 *   chunk  : length u32 | crc u32 | data         all have `chunkBytes` of data, the last one what is left
 *   footer : magic u32 | chunkCount u32 | sizeBytes u64 | contentCrc u32 | crc u32
 *
 * The CRC of a chunk continues that of the header (the salt) over the chunk's number and length and then its
 * data: a chunk is valid in one place of one file. So does the footer's. `contentCrc` is the CRC-32 of all
 * data, and `contentId` tells the data from any other, also on the nodes that it was sent to.
 *
 * While it is written, the file's name ends in .tmp (made here, worthless after a crash) or .part (received,
 * can be gone on with).
 */

export const CHUNK_BYTES_MIN = 16
export const CHUNK_BYTES_MAX = 1024 * 1024
export const CHUNK_HEADER_BYTES = 8
export const FOOTER_BYTES = 24
/** More than any configuration has. */
export const CONFIGURATION_BYTES_MAX = 128 * 1024
export const CONTENT_ID_BYTES = 16

const HEAD_BYTES = 68
const CRC_BYTES = 4
const HEADER_BYTES_MAX = HEAD_BYTES + CONFIGURATION_BYTES_MAX + CRC_BYTES

const HEADER_MAGIC = 0x504e_5352
const FOOTER_MAGIC = 0x444e_4553
const FORMAT = 1
/** CRC-32 (IEEE) by zlib. */
const CRC_ALGORITHM = 2

export interface SnapshotHeader {
  readonly group: RaftGroupId
  /** 16 bytes: the group's incarnation. */
  readonly uuid: Uint8Array
  readonly meta: SnapshotMeta
  /** 16 bytes, random where the snapshot was made. */
  readonly contentId: Uint8Array
  readonly chunkBytes: number
}

/** Where things are in a snapshot file, and what its CRCs start with. */
export interface SnapshotLayout {
  readonly headerBytes: number
  readonly chunkBytes: number
  readonly salt: number
}

export interface SnapshotFooter {
  readonly sizeBytes: number
  readonly contentCrc: number
}

export function encodeHeader(header: SnapshotHeader): { bytes: Uint8Array; layout: SnapshotLayout } {
  const { configuration, index, term } = header.meta
  const headerBytes = HEAD_BYTES + configuration.length + CRC_BYTES
  const bytes = new Uint8Array(headerBytes)
  const view = viewOf(bytes)
  view.setUint32(0, HEADER_MAGIC, true)
  view.setUint16(4, FORMAT, true)
  view.setUint8(6, CRC_ALGORITHM)
  view.setUint32(8, header.group, true)
  view.setUint32(12, header.chunkBytes, true)
  bytes.set(header.uuid, 16)
  bytes.set(header.contentId, 32)
  putU64(view, 48, index)
  putU64(view, 56, term)
  view.setUint32(64, configuration.length, true)
  bytes.set(configuration, HEAD_BYTES)
  const salt = crc32(bytes.subarray(0, headerBytes - CRC_BYTES))
  view.setUint32(headerBytes - CRC_BYTES, salt, true)
  return { bytes, layout: { headerBytes, chunkBytes: header.chunkBytes, salt } }
}

/** Bytes of the header that begins like this, if it is one; at most `HEADER_BYTES_MAX`. */
export function headerBytesOf(start: Uint8Array): number {
  if (start.length < HEAD_BYTES) return HEAD_BYTES
  const configurationBytes = viewOf(start).getUint32(64, true)
  return Math.min(HEAD_BYTES + configurationBytes + CRC_BYTES, HEADER_BYTES_MAX)
}

/** Returns the reason as a string when the bytes do not begin with a header that this version reads. */
export function decodeHeader(bytes: Uint8Array): (SnapshotHeader & { layout: SnapshotLayout }) | string {
  if (bytes.length < HEAD_BYTES + CRC_BYTES) return 'the file ends within its header'
  const view = viewOf(bytes)
  if (view.getUint32(0, true) !== HEADER_MAGIC) return 'this is no snapshot header'
  const configurationBytes = view.getUint32(64, true)
  if (configurationBytes > CONFIGURATION_BYTES_MAX)
    return `a configuration of ${configurationBytes} bytes is over the bound`
  const headerBytes = HEAD_BYTES + configurationBytes + CRC_BYTES
  if (bytes.length < headerBytes) return 'the file ends within its header'
  const salt = crc32(bytes.subarray(0, headerBytes - CRC_BYTES))
  if (view.getUint32(headerBytes - CRC_BYTES, true) !== salt)
    return 'the checksum of the header does not match'
  if (view.getUint16(4, true) !== FORMAT) return `format ${view.getUint16(4, true)} is unknown`
  if (view.getUint8(6) !== CRC_ALGORITHM) return `checksum algorithm ${view.getUint8(6)} is unknown`
  const chunkBytes = view.getUint32(12, true)
  if (chunkBytes < CHUNK_BYTES_MIN || chunkBytes > CHUNK_BYTES_MAX)
    return `chunks of ${chunkBytes} bytes are out of bounds`
  return {
    group: view.getUint32(8, true) as RaftGroupId,
    uuid: bytes.slice(16, 32),
    contentId: bytes.slice(32, 48),
    meta: {
      index: getU64(view, 48),
      term: getU64(view, 56),
      configuration: bytes.slice(HEAD_BYTES, HEAD_BYTES + configurationBytes),
    },
    chunkBytes,
    layout: { headerBytes, chunkBytes, salt },
  }
}

export function chunkCountOf(layout: SnapshotLayout, sizeBytes: number): number {
  return Math.ceil(sizeBytes / layout.chunkBytes)
}

/** Position of a chunk in the file; that of the footer, if it is the number of chunks and the last one is full. */
export function chunkPosition(layout: SnapshotLayout, number: number): number {
  return layout.headerBytes + number * (CHUNK_HEADER_BYTES + layout.chunkBytes)
}

/** Data bytes of a chunk. */
export function chunkDataBytes(layout: SnapshotLayout, number: number, sizeBytes: number): number {
  return Math.min(layout.chunkBytes, sizeBytes - number * layout.chunkBytes)
}

/** Position of the footer. */
export function footerPosition(layout: SnapshotLayout, sizeBytes: number): number {
  return layout.headerBytes + chunkCountOf(layout, sizeBytes) * CHUNK_HEADER_BYTES + sizeBytes
}

/** Of the whole file. */
export function fileSizeBytes(layout: SnapshotLayout, sizeBytes: number): number {
  return footerPosition(layout, sizeBytes) + FOOTER_BYTES
}

/** Writes the header of a chunk whose data is in place behind it. */
export function finishChunk(chunk: Uint8Array, layout: SnapshotLayout, number: number): void {
  const view = viewOf(chunk)
  view.setUint32(0, chunk.length - CHUNK_HEADER_BYTES, true)
  view.setUint32(4, chunkCrc(chunk, layout, number), true)
}

/** Returns the reason when the bytes are not the chunk of this number with so much data. */
export function chunkFault(
  chunk: Uint8Array,
  layout: SnapshotLayout,
  number: number,
  dataBytes: number,
): string | undefined {
  if (chunk.length !== CHUNK_HEADER_BYTES + dataBytes) return `the file ends within chunk ${number}`
  const view = viewOf(chunk)
  if (view.getUint32(0, true) !== dataBytes) return `chunk ${number} has another length`
  if (view.getUint32(4, true) !== chunkCrc(chunk, layout, number))
    return `the checksum of chunk ${number} does not match`
  return undefined
}

function chunkCrc(chunk: Uint8Array, layout: SnapshotLayout, number: number): number {
  const place = new Uint8Array(8)
  const view = viewOf(place)
  view.setUint32(0, number, true)
  view.setUint32(4, chunk.length - CHUNK_HEADER_BYTES, true)
  return crc32(chunk.subarray(CHUNK_HEADER_BYTES), crc32(place, layout.salt))
}

export function encodeFooter(footer: SnapshotFooter, layout: SnapshotLayout): Uint8Array {
  const bytes = new Uint8Array(FOOTER_BYTES)
  const view = viewOf(bytes)
  view.setUint32(0, FOOTER_MAGIC, true)
  view.setUint32(4, chunkCountOf(layout, footer.sizeBytes), true)
  putU64(view, 8, footer.sizeBytes)
  view.setUint32(16, footer.contentCrc, true)
  view.setUint32(20, crc32(bytes.subarray(0, FOOTER_BYTES - CRC_BYTES), layout.salt), true)
  return bytes
}

/** Returns the reason as a string when the bytes are not the footer of a file of this size. */
export function decodeFooter(
  bytes: Uint8Array,
  layout: SnapshotLayout,
  fileBytes: number,
): SnapshotFooter | string {
  if (bytes.length !== FOOTER_BYTES) return 'the file ends within its footer'
  const view = viewOf(bytes)
  if (view.getUint32(0, true) !== FOOTER_MAGIC) return 'there is no footer'
  const crc = crc32(bytes.subarray(0, FOOTER_BYTES - CRC_BYTES), layout.salt)
  if (view.getUint32(20, true) !== crc) return 'the checksum of the footer does not match'
  const sizeBytes = getU64(view, 8)
  if (fileSizeBytes(layout, sizeBytes) !== fileBytes) return 'the file has another size than its footer says'
  return { sizeBytes, contentCrc: view.getUint32(16, true) }
}

type SnapshotFileKind = 'snap' | 'part' | 'tmp'

export interface SnapshotFileName {
  readonly group: RaftGroupId
  readonly index: LogIndex
  readonly term: Term
  readonly kind: SnapshotFileKind
}

export function snapshotFileName(name: SnapshotFileName): string {
  return `snap-${name.group}-${name.index}-${name.term}.${name.kind}`
}

/** `undefined` for a file that is none of the store's. */
export function parseSnapshotFileName(text: string): SnapshotFileName | undefined {
  const match = /^snap-(\d{1,10})-(\d{1,16})-(\d{1,16})\.(snap|part|tmp)$/.exec(text)
  if (match === null) return undefined
  const [group, index, term] = match.slice(1, 4).map(Number) as [RaftGroupId, LogIndex, Term]
  const name = { group, index, term, kind: match[4] as SnapshotFileKind }
  return snapshotFileName(name) === text ? name : undefined
}
