import { crc32 } from 'node:zlib'
import { invariant } from '@sluice/foundation'
import { SnapshotCorruptError, SnapshotTooLargeError, SnapshotWriteError, toWriteError } from './errors.js'
import { readFully, type SnapshotFile } from './files.js'
import {
  CHUNK_HEADER_BYTES,
  chunkDataBytes,
  chunkFault,
  chunkPosition,
  encodeFooter,
  encodeHeader,
  finishChunk,
  footerPosition,
  type SnapshotHeader,
  type SnapshotLayout,
} from './format.js'
import type { SnapshotFileInfo } from './snapshot-file.js'

/** What is written goes to the disk in steps, so that no sync has gigabytes to write while the log waits. */
const SYNC_BYTES = 8 * 1024 * 1024

/** What is whole in a file that was not finished. */
interface Salvage {
  readonly sizeBytes: number
  readonly contentCrc: number
}

/** A snapshot file that is being written, one call after the other. After an error it is worthless. */
export class Draft {
  readonly path: string
  readonly #file: SnapshotFile
  readonly #header: SnapshotHeader
  readonly #layout: SnapshotLayout
  readonly #sizeBytesMax: number
  /** One chunk with its header; data is gathered until it is full. */
  readonly #chunk: Uint8Array
  #chunkNumber: number
  #gathered = 0
  #contentCrc: number
  #unsyncedBytes = 0

  private constructor(
    file: SnapshotFile,
    parts: {
      readonly path: string
      readonly header: SnapshotHeader
      readonly layout: SnapshotLayout
      readonly sizeBytesMax: number
      readonly salvage: Salvage
    },
  ) {
    this.path = parts.path
    this.#file = file
    this.#header = parts.header
    this.#layout = parts.layout
    this.#sizeBytesMax = parts.sizeBytesMax
    this.#chunk = new Uint8Array(CHUNK_HEADER_BYTES + parts.layout.chunkBytes)
    this.#chunkNumber = parts.salvage.sizeBytes / parts.layout.chunkBytes
    this.#contentCrc = parts.salvage.contentCrc
  }

  /**
   * In an empty file.
   * @throws SnapshotWriteError
   */
  static async begin(
    file: SnapshotFile,
    path: string,
    options: { readonly header: SnapshotHeader; readonly sizeBytesMax: number },
  ): Promise<Draft> {
    const { header, sizeBytesMax } = options
    const { bytes, layout } = encodeHeader(header)
    const salvage = { sizeBytes: 0, contentCrc: 0 }
    const draft = new Draft(file, { path, header, layout, sizeBytesMax, salvage })
    await draft.#write(bytes, 0)
    return draft
  }

  /**
   * Goes on with a file that has a header already, behind the last chunk before the first one that is
   * damaged or not full.
   */
  static async goOn(
    file: SnapshotFile,
    path: string,
    options: {
      readonly header: SnapshotHeader & { readonly layout: SnapshotLayout }
      readonly sizeBytes: number
    },
  ): Promise<Draft> {
    const { header, sizeBytes } = options
    const { layout } = header
    const chunk = new Uint8Array(CHUNK_HEADER_BYTES + layout.chunkBytes)
    let contentCrc = 0
    let number = 0
    for (; chunkDataBytes(layout, number, sizeBytes) === layout.chunkBytes; number++) {
      const have = await readFully(file, chunk, chunkPosition(layout, number))
      if (chunkFault(chunk.subarray(0, have), layout, number, layout.chunkBytes) !== undefined) break
      contentCrc = crc32(chunk.subarray(CHUNK_HEADER_BYTES), contentCrc)
    }
    const salvage = { sizeBytes: number * layout.chunkBytes, contentCrc }
    return new Draft(file, { path, header, layout, sizeBytesMax: sizeBytes, salvage })
  }

  /** Data taken so far, bytes. */
  get sizeBytes(): number {
    return this.#chunkNumber * this.#layout.chunkBytes + this.#gathered
  }

  /**
   * Takes data of any length; it may change once the promise resolves.
   * @throws SnapshotTooLargeError, SnapshotWriteError
   */
  async append(bytes: Uint8Array): Promise<void> {
    const sizeBytes = this.sizeBytes + bytes.length
    if (sizeBytes > this.#sizeBytesMax)
      throw new SnapshotTooLargeError('a snapshot', { sizeBytes, sizeBytesMax: this.#sizeBytesMax })
    let taken = 0
    while (taken < bytes.length) {
      const part = bytes.subarray(taken, taken + this.#layout.chunkBytes - this.#gathered)
      this.#chunk.set(part, CHUNK_HEADER_BYTES + this.#gathered)
      this.#gathered += part.length
      taken += part.length
      if (this.#gathered === this.#layout.chunkBytes) await this.#flush()
    }
  }

  /**
   * Writes what makes the file whole, and syncs it.
   * @param expectedCrc of all data, where it is known
   * @throws SnapshotCorruptError when the data has another one, SnapshotWriteError
   */
  async finish(expectedCrc: number | undefined): Promise<SnapshotFileInfo> {
    const { sizeBytes } = this
    if (this.#gathered > 0) await this.#flush()
    const contentCrc = this.#contentCrc
    if (expectedCrc !== undefined && expectedCrc !== contentCrc)
      throw new SnapshotCorruptError({
        file: this.path,
        offset: 0,
        reason: 'the checksum of all data is not that of the snapshot it was to be',
      })
    const position = footerPosition(this.#layout, sizeBytes)
    await this.#write(encodeFooter({ sizeBytes, contentCrc }, this.#layout), position)
    await this.#sync()
    return { ...this.#header, layout: this.#layout, sizeBytes, contentCrc }
  }

  close(): Promise<void> {
    return this.#file.close()
  }

  async #flush(): Promise<void> {
    const chunk = this.#chunk.subarray(0, CHUNK_HEADER_BYTES + this.#gathered)
    finishChunk(chunk, this.#layout, this.#chunkNumber)
    await this.#write(chunk, chunkPosition(this.#layout, this.#chunkNumber))
    this.#contentCrc = crc32(chunk.subarray(CHUNK_HEADER_BYTES), this.#contentCrc)
    invariant(this.#gathered > 0, 'no chunk is empty')
    if (this.#gathered === this.#layout.chunkBytes) {
      this.#chunkNumber++
      this.#gathered = 0
    }
    if (this.#unsyncedBytes >= SYNC_BYTES) await this.#sync()
  }

  async #write(bytes: Uint8Array, position: number): Promise<void> {
    let written: number
    try {
      written = await this.#file.write(bytes, position)
    } catch (error) {
      throw toWriteError(this.path, error)
    }
    if (written !== bytes.length)
      throw new SnapshotWriteError(`the disk took ${written} of ${bytes.length} bytes for ${this.path}`)
    this.#unsyncedBytes += bytes.length
  }

  async #sync(): Promise<void> {
    try {
      await this.#file.sync()
    } catch (error) {
      throw toWriteError(this.path, error)
    }
    this.#unsyncedBytes = 0
  }
}
