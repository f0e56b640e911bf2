import { join } from 'node:path'
import { toError } from '@sluice/foundation'
import type { RaftGroupId } from '../core/types.js'
import { Catalogue } from './catalogue.js'
import { Draft } from './draft.js'
import { SnapshotCorruptError, toWriteError } from './errors.js'
import type { SnapshotFile, SnapshotFiles } from './files.js'
import {
  parseSnapshotFileName,
  type SnapshotHeader,
  type SnapshotFileName,
  snapshotFileName,
} from './format.js'
import { Gate } from './gate.js'
import type { SnapshotStoreEvent } from './snapshot-event.js'
import type { SnapshotFileInfo } from './snapshot-file.js'
import { type SnapshotReading, StoredSnapshot } from './stored-snapshot.js'
import { Turns } from './turns.js'

/** Reads that may wait for their turn. */
const WAITING_READS_MAX = 100_000
/** Files that are looked at together when the directory is opened. */
const SCAN_BATCH = 64

/** The files of a snapshot directory: their names, how they come to be, and how they go. */
export class SnapshotDirectory {
  readonly files: SnapshotFiles
  readonly catalogue = new Catalogue()
  /** Names of a group's files change in these only. */
  readonly turns = new Turns<RaftGroupId>()
  readonly #directory: string
  readonly #reading: SnapshotReading
  readonly #onEvent: (event: SnapshotStoreEvent) => void

  constructor(options: {
    readonly directory: string
    readonly files: SnapshotFiles
    readonly readsMax: number
    readonly onEvent: (event: SnapshotStoreEvent) => void
  }) {
    this.files = options.files
    this.#directory = options.directory
    this.#onEvent = options.onEvent
    this.#reading = {
      directory: options.directory,
      files: options.files,
      gate: new Gate({ roomMax: options.readsMax, waitingMax: WAITING_READS_MAX }),
      turns: this.turns,
      onDamaged: (error) => this.#reportDamage(error),
      onGone: (snapshot) => this.catalogue.gone(snapshot),
      onNotRemoved: (file, error) => this.#onEvent({ kind: 'file-not-removed', file, error }),
    }
  }

  /**
   * Makes itself acquainted with what is there, and removes what is worthless. Returns the files of
   * snapshots that were being received.
   */
  async scan(): Promise<readonly SnapshotFileName[]> {
    await this.files.makeDirectory(this.#directory)
    const names = (await this.files.list(this.#directory))
      .map(parseSnapshotFileName)
      .filter((name) => name !== undefined)
    for (const name of names)
      if (name.kind === 'tmp') {
        await this.remove(name)
        this.#onEvent({ kind: 'leftover-removed', file: this.path(name) })
      }
    // A name that a process gave before it was killed need not be durable yet.
    await this.files.syncDirectory(this.#directory)
    const whole = names.filter(({ kind }) => kind === 'snap')
    for (let i = 0; i < whole.length; i += SCAN_BATCH)
      await Promise.all(whole.slice(i, i + SCAN_BATCH).map((name) => this.#load(name)))
    return names.filter(({ kind }) => kind === 'part')
  }

  path(name: SnapshotFileName): string {
    return join(this.#directory, snapshotFileName(name))
  }

  /**
   * Begins a file that is no snapshot yet.
   * @throws SnapshotWriteError
   */
  async begin(kind: 'tmp' | 'part', header: SnapshotHeader, sizeBytesMax: number): Promise<Draft> {
    const path = this.path({ group: header.group, ...header.meta, kind })
    let file: SnapshotFile
    try {
      file = await this.files.open(path, 'create')
    } catch (error) {
      throw toWriteError(path, error)
    }
    try {
      return await Draft.begin(file, path, { header, sizeBytesMax })
    } catch (error) {
      await file.close()
      throw error
    }
  }

  /**
   * Gives a file that is whole, synced and closed its name, durably. Within a turn of the group.
   * @throws SnapshotWriteError: then there is no file of either name
   */
  async commit(kind: 'tmp' | 'part', info: SnapshotFileInfo): Promise<StoredSnapshot> {
    const { group, meta } = info
    const draft: SnapshotFileName = { group, index: meta.index, term: meta.term, kind }
    const name: SnapshotFileName = { ...draft, kind: 'snap' }
    try {
      await this.files.rename(this.path(draft), this.path(name))
    } catch (error) {
      await this.remove(draft)
      throw toWriteError(this.path(name), error)
    }
    try {
      await this.files.syncDirectory(this.#directory)
    } catch (error) {
      await this.remove(name)
      throw toWriteError(this.path(name), error)
    }
    const snapshot = new StoredSnapshot(info, this.#reading)
    this.catalogue.add(snapshot)
    return snapshot
  }

  /** Does what it can. */
  async remove(name: SnapshotFileName): Promise<void> {
    try {
      await this.files.remove(this.path(name))
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return
      this.#onEvent({ kind: 'file-not-removed', file: this.path(name), error: toError(error) })
    }
  }

  /** Makes removals durable, if it can: a file that comes back is removed again, or belongs to nobody. */
  async syncRemovals(): Promise<void> {
    await this.files.syncDirectory(this.#directory).catch(() => undefined)
  }

  async #load(name: SnapshotFileName): Promise<void> {
    const path = this.path(name)
    try {
      this.catalogue.add(await StoredSnapshot.load(path, this.#reading))
    } catch (cause) {
      const error =
        cause instanceof SnapshotCorruptError
          ? cause
          : new SnapshotCorruptError({ file: path, offset: 0, reason: `it cannot be read: ${String(cause)}` })
      this.catalogue.addDamaged({ name, path, error })
      this.#reportDamage(error)
    }
  }

  #reportDamage({ file, offset, reason }: SnapshotCorruptError): void {
    this.#onEvent({ kind: 'snapshot-damaged', file, offset, reason })
  }
}
