import { invariant, systemClock } from '@sluice/foundation'
import type { LogIndex, RaftGroupId } from '../core/types.js'
import type { LogStore, LogWrite } from '../storage/log-store.js'
import { BatchReader } from './batch-reader.js'
import { CopyForward } from './copy-forward.js'
import { DiskReserve } from './disk-reserve.js'
import { DurableMark } from './durable-mark.js'
import { EntryCache } from './entry-cache.js'
import { WalClosedError, WalCorruptError, WalDiskFullError } from './errors.js'
import { toFailure } from './failure.js'
import { nodeFiles } from './files.js'
import { checkedDefinition, UUID_BYTES } from './group-definition.js'
import { GroupLog } from './group-log.js'
import type { DirectoryLock } from './lock.js'
import { addWrite, measureWrite } from './log-write.js'
import { Purger } from './purge.js'
import { baseBytes, RECORD_HEADER_BYTES } from './record.js'
import { type RecoveredLog, recoverLog } from './recovery.js'
import { SegmentStore } from './segment-store.js'
import type { WalOptions, WalReport, WalStats } from './wal-options.js'
import { LogWriter } from './writer.js'

const MIB = 1024 * 1024
const SEGMENT_BYTES = 64 * MIB
const SEGMENT_BYTES_MIN = 1024
const SEGMENT_BYTES_MAX = 1024 * MIB
const CACHE_BYTES_MAX = 256 * MIB
const SEAL_AFTER_MS = 50
/** A call with more than this is split between its writes. */
const CALL_BYTES_MAX = 32 * MIB
const SLOW_GROUP_SEGMENTS = 8
const COMPACT_BYTES = RECORD_HEADER_BYTES + 16

/**
 * Opens the log of a directory, alone: another process is kept out by a lock file.
 *
 * @throws WalCorruptError when data that may have been acknowledged is damaged or gone; a torn tail is cut
 * @throws WalForeignError when it is another node's
 * @throws WalLockedError when it is open already
 * @throws WalFailedError when the disk fails; `onFatal` is told as well once the log is being written
 * @throws WalDiskFullError when it is full
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
  const reserve = new DiskReserve({ directory, files, sizeBytes: segmentBytes })
  try {
    await files.makeDirectory(directory)
    const lock = await files.lock(directory)
    const store = new SegmentStore({ directory, nodeUuid, segmentBytes, files, clock })
    const mark = new DurableMark({ directory, files, nodeUuid })
    try {
      const cache = new EntryCache(options.cacheBytesMax ?? CACHE_BYTES_MAX)
      const reader = new BatchReader(store)
      const recovered = await recoverLog({ directory, nodeUuid, files, store, cache, reader })
      refuseLostEnd(directory, recovered, await mark.read())
      if (recovered.tornTail !== undefined)
        options.onEvent?.({ kind: 'torn-tail-cut', ...recovered.tornTail })
      await lock.verify()
      const wal = new Wal(options, { store, cache, reader, reserve, lock, mark, recovered, segmentBytes })
      await wal.start()
      return wal
    } catch (error) {
      await store.close()
      await mark.close()
      await lock.release()
      throw error
    }
  } catch (error) {
    const failure = toFailure(error)
    if (failure instanceof WalDiskFullError) await reserve.free()
    throw failure
  }
}

/** @throws WalCorruptError when the log ends before what was durable once */
function refuseLostEnd(directory: string, { position, tornTail }: RecoveredLog, durableLsn: number): void {
  const lastLsn = position?.lastLsn ?? 0
  if (durableLsn <= lastLsn) return
  throw new WalCorruptError({
    file: tornTail?.file ?? directory,
    offset: tornTail?.offset ?? position?.offset ?? 0,
    reason: `batches ${lastLsn + 1} to ${durableLsn} were durable, and are gone`,
  })
}

export type { WalOptions }

/** One write-ahead log for all Raft groups of a process. Made by `openWal`. */
export class Wal implements LogStore {
  /** What recovery found. */
  readonly report: WalReport
  readonly #groups: Map<RaftGroupId, GroupLog>
  readonly #store: SegmentStore
  readonly #cache: EntryCache
  readonly #reader: BatchReader
  readonly #lock: DirectoryLock
  readonly #mark: DurableMark
  readonly #writer: LogWriter
  readonly #purger: Purger
  readonly #copyForward: CopyForward
  readonly #reserve: DiskReserve
  #reserving: Promise<void> = Promise.resolve()
  #closing: Promise<void> | undefined

  constructor(
    options: WalOptions,
    parts: {
      readonly store: SegmentStore
      readonly cache: EntryCache
      readonly reader: BatchReader
      readonly reserve: DiskReserve
      readonly lock: DirectoryLock
      readonly mark: DurableMark
      readonly recovered: RecoveredLog
      readonly segmentBytes: number
    },
  ) {
    const { store, cache, reader, reserve, lock, mark, recovered, segmentBytes } = parts
    const { onEvent = () => undefined, slowGroupSegments = SLOW_GROUP_SEGMENTS } = options
    invariant(slowGroupSegments >= 1, 'a slow group is at least one segment behind')
    this.#store = store
    this.#cache = cache
    this.#reader = reader
    this.#reserve = reserve
    this.#lock = lock
    this.#mark = mark
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
      onRemoved: (segmentSeq) => {
        reserve.prepare()
        onEvent({ kind: 'segment-removed', segmentSeq })
      },
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
          mark.durable(lsn)
          this.#cache.durable(lsn)
          this.#purger.durable(lsn)
          this.#copyForward.durable()
        },
        freeReserve: () => reserve.free(),
        onFatal: options.onFatal,
      },
      recovered.position,
    )
    this.#copyForward = new CopyForward({
      store,
      writer: this.#writer,
      groups: this.#groups,
      segmentBytes,
      slowGroupSegments,
      onEvent,
      onCopied: () => {
        this.#purger.wantNow()
      },
    })
  }

  /** For `openWal`. */
  async start(): Promise<void> {
    await this.#writer.start()
    this.#reserving = this.#reserveAfterSpare()
  }

  /** The next segment is what room is needed for first. */
  async #reserveAfterSpare(): Promise<void> {
    await this.#store.sparePrepared()
    this.#reserve.prepare()
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
   * order of the calls, and never after a failure; it must not throw. Without it they go to disk with the next
   * that somebody waits for, or once the log is idle. After a crash all the writes of a
   * call are there or none, except for a call of more than 32 MiB: there that holds for each write.
   *
   * @throws WalWriteTooLargeError when one write is over 256 MiB; nothing took effect
   * @throws WalClosedError, or the error that `onFatal` was called with
   */
  append(writes: readonly LogWrite[], done?: () => void): void {
    this.#refuseWhenUnusable()
    let callBytes = 0
    for (const write of writes) callBytes += measureWrite(this.#known(write.group), write)
    const isSplit = callBytes > CALL_BYTES_MAX
    try {
      let batch = isSplit ? undefined : this.#writer.reserve(callBytes)
      for (const write of writes) {
        const log = this.#known(write.group)
        if (isSplit) batch = this.#writer.reserve(measureWrite(log, write))
        addWrite(batch!, log, write)
        if (write.snapshot !== undefined) this.#purger.want()
      }
    } catch (error) {
      // Half of the call may be in the batch: nothing may be built on this log any more.
      this.#writer.fail(error)
      throw error
    }
    if (done === undefined) this.#writer.commitLater()
    else this.#writer.commit(done)
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
    if (base !== undefined && base !== log.baseConfiguration) batch.addBase(id, base)
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

  /** How long the oldest write or sync under way has been waiting for the disk; 0 when none is. Milliseconds. */
  get stalledMs(): number {
    return this.#writer.stalledMs
  }

  stats(): WalStats {
    return {
      segments: this.#store.count,
      ...this.#writer.stats,
      hasReserve: this.#reserve.isThere,
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
    await this.#copyForward.close()
    await this.#writer.close()
    await this.#purger.close()
    await this.#mark.close()
    try {
      await this.#store.close()
      await this.#reserving
      await this.#reserve.close()
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
}
