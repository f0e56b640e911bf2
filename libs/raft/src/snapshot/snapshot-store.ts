import { randomBytes } from 'node:crypto'
import { invariant } from '@sluice/foundation'
import type { RaftGroupId, SnapshotMeta } from '../core/types.js'
import type { SnapshotSource } from '../host/state-machine.js'
import { nodeFiles } from '../wal/files.js'
import { chunksOf, untilAborted } from './chunk-iteration.js'
import type { Draft } from './draft.js'
import {
  SnapshotAbandonedError,
  SnapshotBusyError,
  SnapshotClosedError,
  SnapshotMissingError,
  SnapshotTooLargeError,
} from './errors.js'
import type { SnapshotFiles } from './files.js'
import {
  CHUNK_BYTES_MAX,
  CHUNK_BYTES_MIN,
  CONFIGURATION_BYTES_MAX,
  CONTENT_ID_BYTES,
  type SnapshotHeader,
} from './format.js'
import { Gate } from './gate.js'
import type { IncomingSnapshot } from './incoming-snapshot.js'
import { Receptions } from './receptions.js'
import type { SnapshotContent } from './snapshot-content.js'
import { SnapshotDirectory } from './snapshot-directory.js'
import type { SnapshotStoreEvent } from './snapshot-event.js'
import type { SnapshotFileInfo } from './snapshot-file.js'
import type { StoredSnapshotSource } from './stored-snapshot.js'

export interface SnapshotStoreOptions {
  /** Made when it is not there. One process at a time may have it open: its owner sees to that. */
  readonly directory: string
  readonly files?: SnapshotFiles
  /** Data of one chunk of a file, with a checksum of its own. Bytes, 16 to 1 Mi. Default 64 Ki. */
  readonly chunkBytes?: number
  /** Data of one snapshot, bytes. Default 1 Ti. */
  readonly snapshotBytesMax?: number
  /** Snapshots that are written together; others wait. Default 4. */
  readonly writersMax?: number
  /** Snapshots that are received together; more are refused. Default 16. */
  readonly receptionsMax?: number
  /** Files that are open for reading together; other reads wait. Default 16. */
  readonly readsMax?: number
  /** Makes 16 bytes that nobody else makes. */
  readonly contentId?: () => Uint8Array
  readonly onEvent?: (event: SnapshotStoreEvent) => void
}

const UUID_BYTES = 16
const WAITING_WRITERS_MAX = 100_000
const COPY_BYTES = 256 * 1024

/**
 * Opens a directory of snapshots. A damaged file does not keep it from opening: `latest` of its group says so.
 * @throws what the file system throws
 */
export async function openSnapshotStore(options: SnapshotStoreOptions): Promise<SnapshotStore> {
  const { files = nodeFiles, readsMax = 16, receptionsMax = 16, onEvent = () => undefined } = options
  const directory = new SnapshotDirectory({ directory: options.directory, files, readsMax, onEvent })
  const partials = await directory.scan()
  const receptions = new Receptions({ directory, receptionsMax, onEvent, partials })
  return new SnapshotStore(options, directory, receptions)
}

interface Writing {
  readonly controller: AbortController
  readonly done: Promise<void>
}

/**
 * The snapshots of all groups of a process, in one directory. Only whole ones are ever seen: a file gets its
 * name when all of it is durable. Everything that is read is checked against its checksums.
 */
export class SnapshotStore {
  readonly #directory: SnapshotDirectory
  readonly #receptions: Receptions
  readonly #writers: Gate
  readonly #writing = new Map<RaftGroupId, Writing>()
  readonly #chunkBytes: number
  readonly #contentId: () => Uint8Array
  /** Data of one snapshot, bytes. */
  readonly snapshotBytesMax: number
  #isClosed = false

  /** Use `openSnapshotStore`. */
  constructor(options: SnapshotStoreOptions, directory: SnapshotDirectory, receptions: Receptions) {
    const { chunkBytes = 64 * 1024, snapshotBytesMax = 1024 ** 4, writersMax = 4 } = options
    if (!(chunkBytes >= CHUNK_BYTES_MIN && chunkBytes <= CHUNK_BYTES_MAX))
      throw new RangeError(`chunks of ${chunkBytes} bytes are out of bounds`)
    this.#directory = directory
    this.#receptions = receptions
    this.#writers = new Gate({ roomMax: writersMax, waitingMax: WAITING_WRITERS_MAX })
    this.#chunkBytes = chunkBytes
    this.#contentId = options.contentId ?? (() => randomBytes(CONTENT_ID_BYTES))
    this.snapshotBytesMax = snapshotBytesMax
  }

  /**
   * The newest snapshot of this incarnation of the group.
   * @throws SnapshotCorruptError when it is known to be damaged: the group is not empty, and an older
   * snapshot may lack what the log has given up since
   */
  latest(group: RaftGroupId, uuid: Uint8Array): SnapshotMeta | undefined {
    return this.#directory.catalogue.latest(group, uuid)?.meta
  }

  /**
   * Makes a snapshot of the chunks, whatever their lengths; durable when the promise resolves. One that is
   * there already, and not known to be damaged, stays as it is, and the chunks are not asked for.
   * @throws SnapshotWriteError, SnapshotTooLargeError, SnapshotBusyError when one of the group is being
   * written, SnapshotAbandonedError by the signal or when the group is removed, and what `chunks` throws:
   * nothing is left of it then
   */
  async write(
    group: RaftGroupId,
    uuid: Uint8Array,
    meta: SnapshotMeta,
    chunks: AsyncIterable<Uint8Array>,
    options: { readonly signal?: AbortSignal } = {},
  ): Promise<void> {
    const header = this.#header(group, uuid, meta, this.#contentId())
    const known = this.#directory.catalogue.find(group, uuid, meta)
    if (known !== undefined && known.damage === undefined) return
    if (this.#writing.has(group))
      throw new SnapshotBusyError(`a snapshot of group ${group} is being written already`)
    const controller = new AbortController()
    const signals = [controller.signal, ...(options.signal === undefined ? [] : [options.signal])]
    const done = this.#writers.run(() => this.#write(header, chunks, AbortSignal.any(signals)))
    this.#writing.set(group, { controller, done })
    try {
      await done
    } finally {
      this.#writing.delete(group)
    }
  }

  /** Keeps a snapshot that came from elsewhere; one that was received by this store is here already. */
  async adopt(group: RaftGroupId, uuid: Uint8Array, source: SnapshotSource): Promise<void> {
    await this.write(group, uuid, source.meta, chunksOf(source, COPY_BYTES))
  }

  /**
   * Opens a snapshot that `latest` told of. Its file stays until the source is closed.
   * @throws SnapshotMissingError, SnapshotCorruptError when it is known to be damaged
   */
  open(
    group: RaftGroupId,
    uuid: Uint8Array,
    meta: Pick<SnapshotMeta, 'index' | 'term'>,
  ): Promise<StoredSnapshotSource> {
    return this.#directory.turns.run(group, () => {
      this.#checkOpen()
      const snapshot = this.#directory.catalogue.find(group, uuid, meta)
      if (snapshot === undefined)
        throw new SnapshotMissingError(`there is no snapshot ${meta.index}/${meta.term} of group ${group}`)
      if (snapshot.damage !== undefined) throw snapshot.damage
      return snapshot.open()
    })
  }

  /**
   * Begins to take in a snapshot that another node sends, or goes on where it ended. When this one or a newer
   * one is here already, nothing is missing, and `finish` gives that.
   * @throws SnapshotBusyError, SnapshotTooLargeError, SnapshotWriteError
   */
  receive(
    group: RaftGroupId,
    uuid: Uint8Array,
    meta: SnapshotMeta,
    content: SnapshotContent,
  ): Promise<IncomingSnapshot> {
    return this.#directory.turns.run(group, async () => {
      const { sizeBytes } = content
      if (!Number.isSafeInteger(sizeBytes) || sizeBytes < 0) throw new RangeError(`${sizeBytes} is no size`)
      if (sizeBytes > this.snapshotBytesMax)
        throw new SnapshotTooLargeError('a snapshot', { sizeBytes, sizeBytesMax: this.snapshotBytesMax })
      return this.#receptions.receive(this.#header(group, uuid, meta, content.id), content)
    })
  }

  /**
   * Removes what is older than the newest `keepCount` snapshots of this incarnation of the group, everything
   * of other incarnations, and what was received of snapshots that nobody needs any more. Those that are
   * in use go when they are closed.
   */
  prune(group: RaftGroupId, uuid: Uint8Array, keepCount: number): Promise<void> {
    invariant(Number.isInteger(keepCount) && keepCount >= 1, 'the newest snapshot is kept')
    return this.#directory.turns.run(group, async () => {
      const { catalogue } = this.#directory
      const { whole, damaged, newest } = catalogue.takeSuperfluous(group, uuid, keepCount)
      for (const snapshot of whole) await snapshot.discard()
      for (const { name } of damaged) await this.#directory.remove(name)
      if (newest !== undefined) await this.#receptions.prune(group, newest.index)
    })
  }

  /** Removes everything of a group, of all its incarnations, and ends what goes on. */
  removeGroup(group: RaftGroupId): Promise<void> {
    this.#writing.get(group)?.controller.abort(new SnapshotAbandonedError(`group ${group} was removed`))
    return this.#directory.turns.run(group, async () => {
      await this.#receptions.removeGroup(group)
      const { whole, damaged } = this.#directory.catalogue.takeGroup(group)
      for (const snapshot of whole) await snapshot.discard()
      for (const { name } of damaged) await this.#directory.remove(name)
      await this.#directory.syncRemovals()
    })
  }

  /** Ends what goes on; what was received is gone on with after the next start. May be called twice. */
  async close(): Promise<void> {
    this.#isClosed = true
    const writing = [...this.#writing.values()]
    for (const { controller } of writing)
      controller.abort(new SnapshotClosedError('the snapshot store is closed'))
    await Promise.allSettled(writing.map(({ done }) => done))
    await this.#directory.turns.idle()
    await this.#receptions.suspendAll()
    await this.#directory.turns.idle()
  }

  async #write(
    header: SnapshotHeader,
    chunks: AsyncIterable<Uint8Array>,
    signal: AbortSignal,
  ): Promise<void> {
    const { group, meta } = header
    const name = { group, index: meta.index, term: meta.term, kind: 'tmp' } as const
    let draft: Draft | undefined
    let info: SnapshotFileInfo
    try {
      throwIfAborted(signal)
      draft = await this.#directory.begin('tmp', header, this.snapshotBytesMax)
      for await (const chunk of untilAborted(chunks, signal)) await draft.append(chunk)
      info = await draft.finish(undefined)
      await draft.close()
    } catch (error) {
      await draft?.close().catch(() => undefined)
      await this.#directory.remove(name)
      throw error
    }
    await this.#directory.turns.run(group, async () => {
      if (signal.aborted) await this.#directory.remove(name)
      throwIfAborted(signal)
      await this.#directory.commit('tmp', info)
    })
  }

  #header(group: RaftGroupId, uuid: Uint8Array, meta: SnapshotMeta, contentId: Uint8Array): SnapshotHeader {
    this.#checkOpen()
    invariant(uuid.length === UUID_BYTES, 'the uuid of a group has 16 bytes')
    invariant(contentId.length === CONTENT_ID_BYTES, 'the id of a content has 16 bytes')
    invariant(Number.isSafeInteger(meta.index) && meta.index >= 0, 'an index is a natural number')
    invariant(Number.isSafeInteger(meta.term) && meta.term >= 0, 'a term is a natural number')
    const sizeBytes = meta.configuration.length
    if (sizeBytes > CONFIGURATION_BYTES_MAX)
      throw new SnapshotTooLargeError('a configuration', { sizeBytes, sizeBytesMax: CONFIGURATION_BYTES_MAX })
    return { group, uuid, meta, contentId, chunkBytes: this.#chunkBytes }
  }

  #checkOpen(): void {
    if (this.#isClosed) throw new SnapshotClosedError('the snapshot store is closed')
  }
}

function throwIfAborted(signal: AbortSignal): void {
  if (signal.aborted)
    throw new SnapshotAbandonedError('the snapshot is not wanted any more', { cause: signal.reason })
}
