import { type Clock, invariant, systemClock } from '@sluice/foundation'
import type { LogIndex, RaftGroupId } from '../core/types.js'
import type { LogStore, LogWrite } from '../storage/log-store.js'
import type { Batch } from './batch.js'
import { BatchReader } from './batch-reader.js'
import { EntryCache } from './entry-cache.js'
import { WalClosedError, WalWriteTooLargeError } from './errors.js'
import { type WalFiles, nodeFiles } from './files.js'
import { BATCH_BODY_BYTES_MAX } from './format.js'
import { checkedDefinition, UUID_BYTES } from './group-definition.js'
import { GroupLog } from './group-log.js'
import type { DirectoryLock } from './lock.js'
import { Purger } from './purge.js'
import {
  baseBytes,
  definitionBytes,
  entriesBytes,
  HARD_STATE_BYTES,
  RECORD_HEADER_BYTES,
  SNAPSHOT_HEAD_BYTES,
} from './record.js'
import { type RecoveredLog, recoverLog } from './recovery.js'
import { SegmentStore } from './segment-store.js'
import { LogWriter } from './writer.js'

type WalEvent =
  /** A crash left bytes behind the last whole batch; they were never acknowledged, and are zeros now. */
  | {
      readonly kind: 'torn-tail-cut'
      readonly file: string
      readonly offset: number
      readonly sizeBytes: number
    }
  | { readonly kind: 'segment-removed'; readonly segmentSeq: number }

export interface WalOptions {
  /** Made when it does not exist. Of this node alone. */
  readonly directory: string
  /** 16 bytes; a log of another node is refused. */
  readonly nodeUuid: Uint8Array
  /** Size of a segment's file, bytes, 1 KiB to 1 GiB; one that holds a larger batch is larger. Default 64 MiB. */
  readonly segmentBytes?: number
  /** Entries kept in memory over all groups, bytes; what is not durable yet may exceed it. Default 256 MiB. */
  readonly cacheBytesMax?: number
  /** An idle log ends with an empty batch after this, milliseconds. Default 50. */
  readonly sealAfterMs?: number
  /**
   * A write or a sync failed: nothing is acknowledged any more and the process must end. Called once,
   * with a WalDiskFullError when there is no space.
   */
  readonly onFatal: (error: Error) => void
  readonly onEvent?: (event: WalEvent) => void
  readonly files?: WalFiles
  readonly clock?: Clock
}

export interface WalReport {
  readonly segments: number
  readonly batches: number
  readonly tornBytesCut: number
}

export interface WalStats {
  readonly segments: number
  readonly syncs: number
  readonly batches: number
  /** Written since the log was opened, with headers and padding. */
  readonly bytes: number
  /** Of the entries in memory. */
  readonly cacheBytes: number
  /** Batches are counted from 1 since the log was made. */
  readonly lastLsn: number
  readonly durableLsn: number
}

const MIB = 1024 * 1024
const SEGMENT_BYTES = 64 * MIB
const SEGMENT_BYTES_MIN = 1024
const SEGMENT_BYTES_MAX = 1024 * MIB
const CACHE_BYTES_MAX = 256 * MIB
const SEAL_AFTER_MS = 50
/** A call with more than this is split between its writes. */
const CALL_BYTES_MAX = 32 * MIB
const TRUNCATE_BYTES = RECORD_HEADER_BYTES + 8
const COMPACT_BYTES = RECORD_HEADER_BYTES + 16

/**
 * Opens the log of a directory, alone: another process is kept out by a lock file.
 *
 * @throws WalCorruptError when data that may have been acknowledged is damaged or gone; a torn tail is cut
 * @throws WalForeignError when it is another node's
 * @throws WalLockedError when it is open already
 * @throws WalFailedError when the first segment cannot be made; `onFatal` is told as well
 */
export async function openWal(options: WalOptions): Promise<Wal> {
  const {
    directory,
    nodeUuid,
    files = nodeFiles,
    segmentBytes = SEGMENT_BYTES,
    clock = systemClock,
  } = options
  invariant(nodeUuid.length === UUID_BYTES, 'a node uuid has 16 bytes')
  invariant(
    segmentBytes >= SEGMENT_BYTES_MIN && segmentBytes <= SEGMENT_BYTES_MAX,
    'a segment has 1 KiB to 1 GiB',
  )
  await files.makeDirectory(directory)
  const lock = await files.lock(directory)
  const store = new SegmentStore({ directory, nodeUuid, segmentBytes, files, clock })
  try {
    const cache = new EntryCache(options.cacheBytesMax ?? CACHE_BYTES_MAX)
    const reader = new BatchReader(store)
    const recovered = await recoverLog({ directory, nodeUuid, files, store, cache, reader })
    if (recovered.tornTail !== undefined) options.onEvent?.({ kind: 'torn-tail-cut', ...recovered.tornTail })
    await lock.verify()
    const wal = new Wal(options, { store, cache, reader, lock, recovered, segmentBytes })
    await wal.start()
    return wal
  } catch (error) {
    await store.close()
    await lock.release()
    throw error
  }
}

/** One write-ahead log for all Raft groups of a process. Made by `openWal`. */
export class Wal implements LogStore {
  /** What recovery found. */
  readonly report: WalReport
  readonly #groups: Map<RaftGroupId, GroupLog>
  readonly #store: SegmentStore
  readonly #cache: EntryCache
  readonly #reader: BatchReader
  readonly #lock: DirectoryLock
  readonly #writer: LogWriter
  readonly #purger: Purger
  #closing: Promise<void> | undefined

  constructor(
    options: WalOptions,
    parts: {
      readonly store: SegmentStore
      readonly cache: EntryCache
      readonly reader: BatchReader
      readonly lock: DirectoryLock
      readonly recovered: RecoveredLog
      readonly segmentBytes: number
    },
  ) {
    const { store, cache, reader, lock, recovered, segmentBytes } = parts
    this.#store = store
    this.#cache = cache
    this.#reader = reader
    this.#lock = lock
    this.#groups = recovered.groups
    this.report = {
      segments: store.count,
      batches: recovered.batches,
      tornBytesCut: recovered.tornTail?.sizeBytes ?? 0,
    }
    this.#purger = new Purger({
      store,
      groups: () => this.#groups.values(),
      currentSegmentSeq: () => this.#writer.segmentSeq,
      lastLsn: () => this.#writer.lastLsn,
      onRemoved: (segmentSeq) => options.onEvent?.({ kind: 'segment-removed', segmentSeq }),
      onFailure: (error) => {
        this.#writer.fail(error)
      },
    })
    this.#writer = new LogWriter(
      {
        store,
        segmentBytes,
        clock: options.clock ?? systemClock,
        sealAfterMs: options.sealAfterMs ?? SEAL_AFTER_MS,
        summaries: () => [...this.#groups.values()].filter((log) => log.isDefined).map((log) => log.summary),
        onDurable: (lsn) => {
          this.#cache.durable(lsn)
          this.#purger.durable(lsn)
        },
        onFatal: options.onFatal,
      },
      recovered.position,
    )
  }

  /** For `openWal`. */
  async start(): Promise<void> {
    await this.#writer.start()
  }

  groups(): RaftGroupId[] {
    return [...this.#groups.keys()]
  }

  group(id: RaftGroupId): GroupLog | undefined {
    return this.#groups.get(id)
  }

  /**
   * A new, empty group. It is on disk once a first write of it is.
   * @param uuid 16 bytes that tell it from any other group that ever had its id
   * @param name at most 1024 bytes of UTF-8
   */
  createGroup(id: RaftGroupId, uuid: Uint8Array, name: string): GroupLog {
    invariant(!this.#groups.has(id), `group ${id} is new`)
    const parts = { cache: this.#cache, reader: this.#reader }
    const log = new GroupLog(checkedDefinition({ id, uuid, name }), parts)
    this.#groups.set(id, log)
    return log
  }

  /**
   * Stores the writes; the groups' logs show them at once. `done` is called when they are durable, in the
   * order of the calls, and never after a failure; it must not throw. After a crash all the writes of a
   * call are there or none, except for a call of more than 32 MiB: there that holds for each write.
   *
   * @throws WalWriteTooLargeError when one write is over 256 MiB; nothing took effect
   * @throws WalClosedError, or the error that `onFatal` was called with
   */
  append(writes: readonly LogWrite[], done: () => void): void {
    this.#refuseWhenUnusable()
    let callBytes = 0
    for (const write of writes) callBytes += this.#measure(write)
    const isSplit = callBytes > CALL_BYTES_MAX
    try {
      let batch = isSplit ? undefined : this.#writer.reserve(callBytes)
      for (const write of writes) {
        if (isSplit) batch = this.#writer.reserve(this.#measure(write))
        this.#add(batch!, write)
      }
    } catch (error) {
      // Half of the call may be in the batch: nothing may be built on this log any more.
      this.#writer.fail(error)
      throw error
    }
    this.#writer.commit(done)
  }

  /** Forgets a group's entries up to `index`, at most the last one; less than what is gone already is ignored. */
  compact(id: RaftGroupId, index: LogIndex): void {
    this.#refuseWhenUnusable()
    const log = this.#known(id)
    if (index <= log.compactedIndex) return
    const term = log.term(index)
    invariant(term !== undefined, `a log is compacted to an entry it has, not to ${index}`)
    const base = log.baseAt(index)
    const batch = this.#writer.reserve(COMPACT_BYTES + baseBytes(base))
    batch.addCompact(id, index, term)
    if (base !== undefined && base !== log.baseConfiguration) {
      batch.addBase(id, base)
      log.setBase(base)
    }
    log.compactTo(index, term)
    this.#purger.want()
    this.#writer.commitLater()
  }

  /** Forgets a group; its id may come back only with another uuid. */
  removeGroup(id: RaftGroupId): void {
    this.#refuseWhenUnusable()
    const log = this.#known(id)
    if (log.isDefined) this.#writer.reserve(RECORD_HEADER_BYTES).addDelete(id)
    this.#groups.delete(id)
    log.release()
    this.#purger.want()
    this.#writer.commitLater()
  }

  get stalledMs(): number {
    return this.#writer.stalledMs
  }

  stats(): WalStats {
    return {
      segments: this.#store.count,
      ...this.#writer.stats,
      cacheBytes: this.#cache.bytes,
      lastLsn: this.#writer.lastLsn,
      durableLsn: this.#writer.durableLsn,
    }
  }

  /** Takes no more writes, makes those it has durable and lets go of the directory. May be called twice. */
  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    await this.#writer.close()
    await this.#purger.close()
    try {
      await this.#store.close()
    } finally {
      await this.#lock.release()
    }
  }

  #refuseWhenUnusable(): void {
    if (this.#writer.failure !== undefined) throw this.#writer.failure
    if (this.#closing !== undefined) throw new WalClosedError()
  }

  #known(id: RaftGroupId): GroupLog {
    const log = this.#groups.get(id)
    invariant(log !== undefined, `the log has a group ${id}`)
    return log
  }

  /** What a write takes in a batch, bytes. */
  #measure(write: LogWrite): number {
    const log = this.#known(write.group)
    let sizeBytes = log.isDefined ? 0 : definitionBytes(log.name)
    if (write.snapshot !== undefined)
      sizeBytes += RECORD_HEADER_BYTES + SNAPSHOT_HEAD_BYTES + write.snapshot.configuration.length
    if (write.truncateFrom !== undefined) sizeBytes += TRUNCATE_BYTES
    if (write.entries !== undefined) sizeBytes += entriesBytes(write.entries)
    if (write.hardState !== undefined) sizeBytes += RECORD_HEADER_BYTES + HARD_STATE_BYTES
    if (sizeBytes > BATCH_BODY_BYTES_MAX)
      throw new WalWriteTooLargeError({ sizeBytes, sizeBytesMax: BATCH_BODY_BYTES_MAX })
    return sizeBytes
  }

  #add(batch: Batch, write: LogWrite): void {
    const log = this.#known(write.group)
    if (!log.isDefined) {
      batch.addDefinition(log)
      log.markDefined()
    }
    const { snapshot, truncateFrom, entries, hardState } = write
    if (snapshot !== undefined) {
      batch.addSnapshot(log.id, snapshot)
      log.restart(snapshot, batch.lsn)
      this.#purger.want()
    }
    if (truncateFrom !== undefined && truncateFrom <= log.lastIndex) {
      const refusal = log.refusalOfTruncate(truncateFrom)
      invariant(refusal === undefined, `group ${log.id}: ${refusal ?? ''}`)
      batch.addTruncate(log.id, truncateFrom)
      log.truncateFrom(truncateFrom, batch.lsn)
    }
    if (entries !== undefined) addEntries(batch, log, entries)
    if (hardState !== undefined) {
      batch.addHardState(log.id, hardState)
      log.setHardState(hardState)
    }
  }
}

/** A record per term. */
function addEntries(batch: Batch, log: GroupLog, entries: LogWrite['entries'] & object): void {
  let start = 0
  while (start < entries.length) {
    const { index, term } = entries[start]!
    const refusal = log.refusalOfEntry(index, term)
    invariant(refusal === undefined, `group ${log.id}: ${refusal ?? ''}`)
    let end = start + 1
    while (end < entries.length && entries[end]!.term === term) {
      invariant(entries[end]!.index === index + end - start, `group ${log.id}: entries have no gaps`)
      end += 1
    }
    const dataAt = batch.addEntries(log.id, entries, start, end)
    log.append(
      entries,
      start,
      end,
      { segmentSeq: batch.segmentSeq, batchAt: batch.offset, dataAt },
      batch.lsn,
    )
    start = end
  }
}
