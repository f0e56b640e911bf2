import { join } from 'node:path'
import { crc32 } from 'node:zlib'
import type { WalFile, WalFiles } from './files.js'

/*
 * The file, little endian: magic u32 | crc32 u32 over what follows | lsn f64 | node uuid 16 bytes.
 */
const FILE_NAME = 'wal-durable'
const MAGIC = 0x4b_52_4d_57
const MARK_BYTES = 32
const HEAD_BYTES = 8
const UUID_BYTES = 16

/**
 * How far the log was durable, noted beside it after every sync and never synced itself: it may lag, but what it
 * says was true. A log that ends before it has lost something; without it that would look like a torn end.
 */
export class DurableMark {
  readonly #directory: string
  readonly #files: WalFiles
  readonly #mark: Buffer
  #file: WalFile | undefined
  #lsn = 0
  #writing: Promise<void> | undefined
  #isClosed = false

  constructor(parts: {
    readonly directory: string
    readonly files: WalFiles
    readonly nodeUuid: Uint8Array
  }) {
    this.#directory = parts.directory
    this.#files = parts.files
    this.#mark = Buffer.alloc(MARK_BYTES)
    this.#mark.writeUInt32LE(MAGIC, 0)
    this.#mark.set(parts.nodeUuid, MARK_BYTES - UUID_BYTES)
  }

  /** What the file says; 0 when there is none that can be believed. */
  async read(): Promise<number> {
    const names = await this.#files.list(this.#directory)
    const path = join(this.#directory, FILE_NAME)
    if (!names.includes(FILE_NAME)) {
      // A disk that has no room for it may yet have some for the log.
      this.#file = await this.#files.open(path, 'create').catch(() => undefined)
      return 0
    }
    this.#file = await this.#files.open(path, 'existing')
    const bytes = Buffer.alloc(MARK_BYTES)
    const length = await this.#file.read(bytes, 0)
    const isWhole = length === MARK_BYTES && bytes.readUInt32LE(0) === MAGIC
    if (!isWhole || bytes.readUInt32LE(4) !== crc32(bytes.subarray(HEAD_BYTES))) return 0
    const isOurs = bytes
      .subarray(MARK_BYTES - UUID_BYTES)
      .equals(this.#mark.subarray(MARK_BYTES - UUID_BYTES))
    return isOurs ? bytes.readDoubleLE(HEAD_BYTES) : 0
  }

  /** Everything up to this batch is durable. Noted in the background; the disk may refuse it without harm. */
  durable(lsn: number): void {
    this.#lsn = lsn
    if (this.#writing === undefined && !this.#isClosed) this.#writing = this.#write()
  }

  async close(): Promise<void> {
    this.#isClosed = true
    await this.#writing
    await this.#file?.close()
  }

  async #write(): Promise<void> {
    try {
      for (let written = -1; written !== this.#lsn;) {
        written = this.#lsn
        this.#mark.writeDoubleLE(written, HEAD_BYTES)
        this.#mark.writeUInt32LE(crc32(this.#mark.subarray(HEAD_BYTES)), 4)
        await this.#file?.write(this.#mark, 0)
      }
    } catch {
      // It only says less than it could.
    } finally {
      this.#writing = undefined
    }
  }
}
