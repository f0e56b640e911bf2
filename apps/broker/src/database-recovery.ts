import { delay } from '@sluice/foundation'
import type { PartitionInfo } from '@sluice/metadata'
import type { StoredPartition } from '@sluice/persistence'
import type { SnapshotSource } from '@sluice/raft'
import type { RpcLink } from '@sluice/rpc'
import type { Logger } from 'pino'
import { openRemoteCopy } from './database-copies.js'
import type { PartitionCatchUp } from './partition-catch-up.js'
import type { ReplicaSnapshots } from './partition-replica.js'

export interface Recovery {
  readonly partition: string
  /** Up to where the database has the partition; 0 when it has nothing. */
  readonly storedIndex: number
  /** The log has entries from behind here on only. */
  readonly compactedIndex: number
  /** Milliseconds since 1970. */
  readonly since: number
  /** Why the last peer asked could not help. */
  readonly failure: string | undefined
}

interface GroupLogView {
  readonly compactedIndex: number
  readonly lastIndex: number
  term(index: number): number | undefined
}

export interface DatabaseRecoveryParts {
  readonly brokerId: number
  readonly linkTo: (brokerId: number) => Pick<RpcLink, 'request'> | undefined
  readonly snapshots: Pick<ReplicaSnapshots, 'restore'>
  readonly catchUp: {
    prepare(...of: Parameters<PartitionCatchUp['prepare']>): Promise<SnapshotSource>
  }
  /** A group's log, which holds what is behind `compactedIndex`; undefined when it has none yet. */
  readonly logOf: (groupId: number) => GroupLogView | undefined
  readonly now: () => number
  readonly logger: Logger
}

const RETRY_MS = 500

/**
 * A database that was emptied, or restored from a backup, lacks what it had confirmed and the log was then
 * relieved of. A partition with such a hole is copied from a peer before this broker takes part in it again:
 * its log and its votes are kept, so nothing that it acknowledged is in danger meanwhile.
 */
export class DatabaseRecovery {
  readonly #parts: DatabaseRecoveryParts
  readonly #stopped = new AbortController()
  readonly #recoveries = new Map<number, Recovery>()
  /** What was copied last of each partition since this broker was started. */
  readonly #copied = new Map<number, { readonly index: number; readonly term: number }>()
  readonly #running = new Map<
    number,
    { readonly controller: AbortController; readonly ended: Promise<void> }
  >()

  constructor(parts: DatabaseRecoveryParts) {
    this.#parts = parts
  }

  /** What is being recovered. */
  get recoveries(): readonly Recovery[] {
    return [...this.#recoveries.values()]
  }

  /**
   * True when the log goes on from what the database has. Else there would be a hole between the two, or the
   * database is not this broker's, or of another time. One that a snapshot has just put behind the log's end says
   * what the log is to follow; where the log has another entry, only what this process copied itself is believed:
   * a crash may have come before the log followed, but a backup of another history looks the same.
   */
  fitsLog(groupId: number, stored: StoredPartition | undefined): boolean {
    const log = this.#parts.logOf(groupId)
    if (log === undefined) return true
    const index = stored?.appliedIndex ?? 0
    if (index < log.compactedIndex) return false
    if (index > log.lastIndex) return stored?.configuration !== undefined
    return index === 0 || log.term(index) === stored?.appliedTerm || this.#isCopied(groupId, stored)
  }

  /** Copies the partition from a peer, however long it takes to find one; then calls `done`. */
  start(info: PartitionInfo, stored: StoredPartition | undefined, done: () => void): void {
    const { groupId, name } = info
    if (this.#recoveries.has(groupId)) return
    const { logOf, now, logger } = this.#parts
    const recovery = {
      partition: name,
      storedIndex: stored?.appliedIndex ?? 0,
      compactedIndex: logOf(groupId)?.compactedIndex ?? 0,
      since: now(),
      failure: undefined,
    }
    this.#recoveries.set(groupId, recovery)
    logger.error(recovery, 'the database has lost data: the partition is copied from another broker')
    const controller = new AbortController()
    const signal = AbortSignal.any([controller.signal, this.#stopped.signal])
    const ended = this.#recover(info, signal).then((isDone) => {
      this.#recoveries.delete(groupId)
      this.#running.delete(groupId)
      if (isDone) done()
    })
    this.#running.set(groupId, { controller, ended })
  }

  /** The partition is not needed here any more; resolves when nothing of it goes into the database. */
  async cancel(groupId: number): Promise<void> {
    const running = this.#running.get(groupId)
    running?.controller.abort(new Error('the partition was moved away'))
    await running?.ended
  }

  async stop(): Promise<void> {
    this.#stopped.abort(new Error('the broker stops'))
    await Promise.all(Array.from(this.#running.values(), ({ ended }) => ended))
  }

  #isCopied(groupId: number, stored: StoredPartition | undefined): boolean {
    const copied = this.#copied.get(groupId)
    return copied?.index === stored?.appliedIndex && copied?.term === stored?.appliedTerm
  }

  async #recover(info: PartitionInfo, signal: AbortSignal): Promise<boolean> {
    const peers = info.replicas.filter((id) => id !== this.#parts.brokerId)
    for (let attempt = 0; !signal.aborted; attempt++) {
      const peer = peers[attempt % peers.length]
      try {
        if (peer === undefined) throw new Error('the partition has no other replica')
        await this.#copyFrom(peer, info, signal)
        return true
      } catch (error) {
        const failure = error instanceof Error ? error.message : String(error)
        const recovery = this.#recoveries.get(info.groupId)!
        this.#recoveries.set(info.groupId, { ...recovery, failure })
        this.#parts.logger.warn(
          { partition: info.name, peer, err: error },
          'the partition could not be copied; another broker is asked',
        )
        await delay(RETRY_MS, signal).catch(() => undefined)
      }
    }
    return false
  }

  async #copyFrom(peer: number, info: PartitionInfo, signal: AbortSignal): Promise<void> {
    const { linkTo, snapshots, catchUp, logOf, logger } = this.#parts
    const link = linkTo(peer)
    if (link === undefined) throw new Error(`the address of broker ${peer} is not known`)
    const source = await openRemoteCopy(link, info.groupId, signal)
    const needed = logOf(info.groupId)?.compactedIndex ?? 0
    if (source.meta.index < needed)
      throw new Error(`broker ${peer} has it up to ${source.meta.index}, the log begins behind ${needed}`)
    const prepared = await catchUp.prepare(info, source, { brokers: [peer], signal })
    const { appliedIndex, appliedTerm, nextOffset } = await snapshots.restore(info, prepared)
    this.#copied.set(info.groupId, { index: appliedIndex, term: appliedTerm })
    logger.info(
      { partition: info.name, from: peer, appliedIndex, nextOffset },
      'the partition is whole again in the database',
    )
  }
}
