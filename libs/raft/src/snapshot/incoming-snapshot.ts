import { SnapshotAbandonedError, SnapshotClosedError } from './errors.js'
import type { Draft } from './draft.js'
import type { ContentSource } from './snapshot-content.js'
import type { SnapshotFileInfo } from './snapshot-file.js'

/** A snapshot that another node sends, as far as it has arrived. Its calls are made one after the other. */
export interface IncomingSnapshot {
  /** What is here already; the next write goes here. */
  readonly receivedBytes: number
  /**
   * @throws RangeError when `offset` is not `receivedBytes`: then nothing changed
   * @throws SnapshotTooLargeError, SnapshotWriteError: then what was received is gone
   * @throws SnapshotAbandonedError when the group was removed meanwhile
   */
  write(offset: number, bytes: Uint8Array): Promise<void>
  /**
   * Makes it a snapshot of the store, durably, once all of it is here.
   * @throws SnapshotCorruptError when it is not what its sender announced, SnapshotWriteError: then what was
   * received is gone
   */
  finish(): Promise<ContentSource>
  /** Stops for now: another `receive` of the same content goes on from here, also after a restart. */
  suspend(): Promise<void>
  /** Stops for good: what was received is gone. */
  abort(): Promise<void>
}

/** One whose data goes into a file. */
export class ReceivingSnapshot implements IncomingSnapshot {
  readonly #draft: Draft
  readonly #sizeBytes: number
  readonly #crc: number | undefined
  readonly #commit: (info: SnapshotFileInfo, checkWanted: () => void) => Promise<ContentSource>
  readonly #remove: () => Promise<void>
  readonly #ended: () => void
  #isOpen = true
  #isAbandoned = false

  constructor(parts: {
    readonly draft: Draft
    readonly sizeBytes: number
    readonly crc: number | undefined
    /** The file is whole and closed: gives it its name, in a turn of the group, if it is wanted then. */
    readonly commit: (info: SnapshotFileInfo, checkWanted: () => void) => Promise<ContentSource>
    /** Removes what was received. */
    readonly remove: () => Promise<void>
    /** Called once, whatever comes of it. */
    readonly ended: () => void
  }) {
    this.#draft = parts.draft
    this.#sizeBytes = parts.sizeBytes
    this.#crc = parts.crc
    this.#commit = parts.commit
    this.#remove = parts.remove
    this.#ended = parts.ended
  }

  get receivedBytes(): number {
    return this.#draft.sizeBytes
  }

  async write(offset: number, bytes: Uint8Array): Promise<void> {
    this.#checkOpen()
    if (offset !== this.receivedBytes)
      throw new RangeError(
        `the next bytes of the snapshot are those from ${this.receivedBytes}, not ${offset}`,
      )
    await this.#orRemove(() => this.#draft.append(bytes))
  }

  async finish(): Promise<ContentSource> {
    this.#checkOpen()
    if (this.receivedBytes !== this.#sizeBytes)
      throw new RangeError(`${this.receivedBytes} of ${this.#sizeBytes} bytes of the snapshot are here`)
    const info = await this.#orRemove(() => this.#draft.finish(this.#crc))
    await this.#close()
    try {
      return await this.#commit(info, () => this.#checkWanted())
    } finally {
      this.#ended()
    }
  }

  async suspend(): Promise<void> {
    if (!this.#isOpen) return
    await this.#close()
    this.#ended()
  }

  async abort(): Promise<void> {
    if (!this.#isOpen) return
    await this.#close()
    try {
      await this.#remove()
    } finally {
      this.#ended()
    }
  }

  /** The group is being removed: whatever is under way, or called next, fails. */
  async abandon(): Promise<void> {
    this.#isAbandoned = true
    await this.abort()
  }

  async #orRemove<T>(work: () => Promise<T>): Promise<T> {
    try {
      const result = await work()
      this.#checkOpen()
      return result
    } catch (error) {
      this.#checkWanted()
      await this.abort()
      throw error
    }
  }

  async #close(): Promise<void> {
    this.#isOpen = false
    // What was not synced yet is not relied on.
    await this.#draft.close().catch(() => undefined)
  }

  #checkWanted(): void {
    if (this.#isAbandoned) throw new SnapshotAbandonedError('the group of the snapshot was removed')
  }

  #checkOpen(): void {
    this.#checkWanted()
    if (!this.#isOpen) throw new SnapshotClosedError('the incoming snapshot is closed')
  }
}

/** One that the store has already, or a newer one: nothing needs to be sent. */
export class PresentSnapshot implements IncomingSnapshot {
  readonly receivedBytes: number
  readonly #open: () => ContentSource

  constructor(receivedBytes: number, open: () => ContentSource) {
    this.receivedBytes = receivedBytes
    this.#open = open
  }

  write(): Promise<void> {
    return Promise.reject(new RangeError('nothing of the snapshot is missing'))
  }

  finish(): Promise<ContentSource> {
    return Promise.resolve(this.#open())
  }

  suspend(): Promise<void> {
    return Promise.resolve()
  }

  abort(): Promise<void> {
    return Promise.resolve()
  }
}
