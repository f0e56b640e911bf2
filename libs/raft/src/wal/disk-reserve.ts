import { join } from 'node:path'
import type { WalDisk } from './files.js'
import { fillWithZeros } from './zero-fill.js'

export interface DiskReserveOptions {
  readonly directory: string
  readonly files: WalDisk
  readonly sizeBytes: number
}

const RESERVE_FILE = 'wal-reserve'
/** Until the file is whole. */
const DRAFT_FILE = 'wal-reserve.tmp'

/**
 * A file that only takes up room. A log that met a full disk gives it up as it ends, so that the next
 * start has room for one more segment: enough to recover, to compact and so to let old segments go.
 */
export class DiskReserve {
  readonly #options: DiskReserveOptions
  #isThere = false
  #isClosed = false
  #work: Promise<void> = Promise.resolve()

  constructor(options: DiskReserveOptions) {
    this.#options = options
  }

  get isThere(): boolean {
    return this.#isThere
  }

  /** Makes the file, in the background, unless it is there or the disk lacks room for it. */
  prepare(): void {
    this.#work = this.#work.then(() => this.#prepare()).catch(() => undefined)
  }

  /** Lets go of the room for good; what cannot be removed stays. */
  async free(): Promise<void> {
    this.#isClosed = true
    await this.#work
    const { directory, files } = this.#options
    try {
      await files.remove(join(directory, RESERVE_FILE))
      this.#isThere = false
      await files.syncDirectory(directory)
    } catch {
      // The log is about to say that the disk is full, which is what matters.
    }
  }

  /** Ends what is under way. */
  async close(): Promise<void> {
    this.#isClosed = true
    await this.#work
  }

  /**
   * With room for one segment only, that is for the log's next one: a reserve in its place would make
   * the disk full.
   */
  async #prepare(): Promise<void> {
    const { directory, files, sizeBytes } = this.#options
    if (this.#isThere || this.#isClosed) return
    const names = await files.list(directory)
    const path = join(directory, RESERVE_FILE)
    if (names.includes(RESERVE_FILE)) {
      this.#isThere = (await this.#sizeOf(path)) >= sizeBytes
      if (this.#isThere) return
      await files.remove(path)
    }
    const draft = join(directory, DRAFT_FILE)
    if (names.includes(DRAFT_FILE)) await files.remove(draft)
    if ((await files.freeBytes(directory)) < 2 * sizeBytes) return
    if (!(await this.#fill(draft))) {
      await files.remove(draft)
      return
    }
    await files.rename(draft, path)
    await files.syncDirectory(directory)
    this.#isThere = true
  }

  async #sizeOf(path: string): Promise<number> {
    const file = await this.#options.files.open(path, 'existing')
    try {
      return await file.size()
    } finally {
      await file.close()
    }
  }

  async #fill(draft: string): Promise<boolean> {
    const { files, sizeBytes } = this.#options
    const file = await files.open(draft, 'create')
    try {
      return await fillWithZeros(file, sizeBytes, () => this.#isClosed)
    } catch {
      return false
    } finally {
      await file.close()
    }
  }
}
