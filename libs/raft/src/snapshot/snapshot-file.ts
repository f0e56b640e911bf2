import { SnapshotCorruptError } from './errors.js'
import { readFully, type SnapshotFile } from './files.js'
import {
  CHUNK_HEADER_BYTES,
  chunkCountOf,
  chunkDataBytes,
  chunkFault,
  chunkPosition,
  decodeFooter,
  decodeHeader,
  FOOTER_BYTES,
  headerBytesOf,
  type SnapshotFooter,
  type SnapshotHeader,
  type SnapshotLayout,
} from './format.js'

/** Enough for most headers, so that they take one read. */
const FIRST_READ_BYTES = 1024

export interface SnapshotFileInfo extends SnapshotHeader, SnapshotFooter {
  readonly layout: SnapshotLayout
}

/**
 * Reads where a file begins.
 * @throws SnapshotCorruptError
 */
export async function readHeader(
  file: SnapshotFile,
  path: string,
): Promise<SnapshotHeader & { readonly layout: SnapshotLayout }> {
  let bytes = await readUpTo(file, FIRST_READ_BYTES, 0)
  const headerBytes = headerBytesOf(bytes)
  if (headerBytes > bytes.length) bytes = await readUpTo(file, headerBytes, 0)
  const header = decodeHeader(bytes)
  if (typeof header === 'string') throw new SnapshotCorruptError({ file: path, offset: 0, reason: header })
  return header
}

/**
 * Reads where a file begins and ends, and checks that it is whole as far as that tells.
 * @throws SnapshotCorruptError
 */
export async function readInfo(file: SnapshotFile, path: string): Promise<SnapshotFileInfo> {
  const header = await readHeader(file, path)
  const fileBytes = await file.size()
  const offset = Math.max(fileBytes - FOOTER_BYTES, header.layout.headerBytes)
  const footer = decodeFooter(await readUpTo(file, FOOTER_BYTES, offset), header.layout, fileBytes)
  if (typeof footer === 'string') throw new SnapshotCorruptError({ file: path, offset, reason: footer })
  return { ...header, ...footer }
}

/**
 * Data of a whole file from `offset` on, which is within it: `lengthBytes`, or less where the data ends.
 * @throws SnapshotCorruptError when any chunk that has part of it is damaged
 */
export async function readContent(
  file: SnapshotFile,
  path: string,
  info: SnapshotFileInfo,
  range: { readonly offset: number; readonly lengthBytes: number },
): Promise<Uint8Array> {
  const { layout, sizeBytes } = info
  const { chunkBytes } = layout
  const end = Math.min(range.offset + range.lengthBytes, sizeBytes)
  const first = Math.floor(range.offset / chunkBytes)
  const last = Math.min(Math.ceil(end / chunkBytes), chunkCountOf(layout, sizeBytes)) - 1
  const start = chunkPosition(layout, first)
  const stop = chunkPosition(layout, last) + CHUNK_HEADER_BYTES + chunkDataBytes(layout, last, sizeBytes)
  const framed = await readUpTo(file, stop - start, start)
  const data = new Uint8Array(end - range.offset)
  for (let number = first; number <= last; number++) {
    const at = (number - first) * (CHUNK_HEADER_BYTES + chunkBytes)
    const dataBytes = chunkDataBytes(layout, number, sizeBytes)
    const chunk = framed.subarray(at, at + CHUNK_HEADER_BYTES + dataBytes)
    const reason = chunkFault(chunk, layout, number, dataBytes)
    if (reason !== undefined) throw new SnapshotCorruptError({ file: path, offset: start + at, reason })
    const from = Math.max(range.offset - number * chunkBytes, 0)
    const to = Math.min(end - number * chunkBytes, dataBytes)
    data.set(
      chunk.subarray(CHUNK_HEADER_BYTES + from, CHUNK_HEADER_BYTES + to),
      number * chunkBytes + from - range.offset,
    )
  }
  return data
}

async function readUpTo(file: SnapshotFile, lengthBytes: number, position: number): Promise<Uint8Array> {
  const bytes = new Uint8Array(lengthBytes)
  return bytes.subarray(0, await readFully(file, bytes, position))
}
