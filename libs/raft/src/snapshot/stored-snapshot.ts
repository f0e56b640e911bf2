import { join } from 'node:path'
import { toError } from '@sluice/foundation'
import type { RaftGroupId, SnapshotMeta } from '../core/types.js'
import { SnapshotClosedError, SnapshotCorruptError, SnapshotMissingError } from './errors.js'
import type { SnapshotFiles } from './files.js'
import { snapshotFileName } from './format.js'
import type { Gate } from './gate.js'
import type { ContentSource, SnapshotContent } from './snapshot-content.js'
import { readContent, readInfo, type SnapshotFileInfo } from './snapshot-file.js'
import type { Turns } from './turns.js'

/** One read gives no more than this. */
const READ_BYTES_MAX = 1024 * 1024

/** How the files of a store are read: a few at a time, and open no longer than a read takes. */
export interface SnapshotReading {
  readonly directory: string
  readonly files: SnapshotFiles
  readonly gate: Gate
  /** Names of a group's files change in these only. */
  readonly turns: Turns<RaftGroupId>
  readonly onDamaged: (error: SnapshotCorruptError) => void
  readonly onNotRemoved: (path: string, error: Error) => void
  /** The file is removed, or cannot be. */
  readonly onGone: (snapshot: StoredSnapshot) => void
}

/** A whole snapshot file. It stays while somebody uses it, also when it is no longer wanted. */
export class StoredSnapshot {
  readonly info: SnapshotFileInfo
  readonly path: string
  readonly #reading: SnapshotReading
  #users = 0
  /** The name is another file's now, or nobody's. */
  #isReplaced = false
  #isUnwanted = false
  #damage: SnapshotCorruptError | undefined

  constructor(info: SnapshotFileInfo, reading: SnapshotReading) {
    this.info = info
    this.path = join(reading.directory, snapshotFileName({ group: info.group, ...info.meta, kind: 'snap' }))
    this.#reading = reading
  }

  /**
   * Reads where a file begins and ends.
   * @throws SnapshotCorruptError
   */
  static async load(path: string, reading: SnapshotReading): Promise<StoredSnapshot> {
    const info = await reading.gate.run(async () => {
      const file = await reading.files.open(path, 'existing')
      try {
        return await readInfo(file, path)
      } finally {
        await file.close()
      }
    })
    const snapshot = new StoredSnapshot(info, reading)
    if (snapshot.path !== path)
      throw new SnapshotCorruptError({ file: path, offset: 0, reason: 'it is the file of another snapshot' })
    return snapshot
  }

  get group(): RaftGroupId {
    return this.info.group
  }

  get meta(): SnapshotMeta {
    return this.info.meta
  }

  /** What is known to be wrong with it, since it was read. */
  get damage(): SnapshotCorruptError | undefined {
    return this.#damage
  }

  open(): StoredSnapshotSource {
    this.#users++
    return new StoredSnapshotSource(this, () => {
      this.#users--
      if (this.#isUnwanted) void this.#reading.turns.run(this.group, () => this.#removeUnused())
    })
  }

  /** @throws SnapshotCorruptError, SnapshotMissingError, SnapshotBusyError */
  async read(offset: number, lengthBytes: number): Promise<Uint8Array> {
    const { gate, files, onDamaged } = this.#reading
    try {
      return await gate.run(async () => {
        if (this.#isReplaced) throw new SnapshotMissingError(`${this.path} is gone`)
        const file = await files.open(this.path, 'existing')
        try {
          return await readContent(file, this.path, this.info, { offset, lengthBytes })
        } finally {
          await file.close()
        }
      })
    } catch (error) {
      if (error instanceof SnapshotCorruptError && !this.#isReplaced) {
        this.#damage ??= error
        onDamaged(error)
      }
      throw error
    }
  }

  /** Its name is given to another file. */
  replace(): void {
    this.#isReplaced = true
  }

  /** Removes the file, now or when nobody uses it any more. Within a turn of the group. */
  async discard(): Promise<void> {
    this.#isUnwanted = true
    await this.#removeUnused()
  }

  async #removeUnused(): Promise<void> {
    if (!this.#isUnwanted || this.#isReplaced || this.#users > 0) return
    this.#isReplaced = true
    try {
      await this.#reading.files.remove(this.path)
    } catch (error) {
      // It is found again, and removed, after the next start.
      this.#reading.onNotRemoved(this.path, toError(error))
    }
    this.#reading.onGone(this)
  }
}

/** Reads a stored snapshot. Positions count its data only. */
export class StoredSnapshotSource implements ContentSource {
  readonly meta: SnapshotMeta
  readonly content: SnapshotContent
  readonly #snapshot: StoredSnapshot
  readonly #release: () => void
  #isClosed = false

  constructor(snapshot: StoredSnapshot, release: () => void) {
    const { meta, contentId, sizeBytes, contentCrc } = snapshot.info
    this.meta = meta
    this.content = { id: contentId, sizeBytes, crc: contentCrc }
    this.#snapshot = snapshot
    this.#release = release
  }

  get sizeBytes(): number {
    return this.content.sizeBytes
  }

  /**
   * Up to `lengthMax` bytes, no more than 1 MiB; none only at the end.
   * @throws SnapshotCorruptError when what is on disk is not what was written
   * @throws SnapshotClosedError, SnapshotBusyError
   */
  async read(offset: number, lengthMax: number): Promise<Uint8Array> {
    if (this.#isClosed) throw new SnapshotClosedError('the snapshot source is closed')
    if (!Number.isSafeInteger(offset) || offset < 0 || !(lengthMax >= 0))
      throw new RangeError(`${offset} and ${lengthMax} are no range of a snapshot`)
    const lengthBytes = Math.min(lengthMax, READ_BYTES_MAX, this.sizeBytes - offset)
    return lengthBytes > 0 ? this.#snapshot.read(offset, lengthBytes) : new Uint8Array(0)
  }

  close(): Promise<void> {
    if (!this.#isClosed) {
      this.#isClosed = true
      this.#release()
    }
    return Promise.resolve()
  }
}
