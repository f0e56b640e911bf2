import { delay } from '@sluice/foundation'
import type { MetadataState } from '@sluice/metadata'
import type { RaftGroupId, RaftHost } from '@sluice/raft'
import type { Logger } from 'pino'
import type { PartitionReplica, ReplicaOwner } from './partition-replica.js'

interface RemovalStore {
  /** Deletes everything of the partitions, and notes that they are never to come back. */
  remove(groupIds: readonly number[]): Promise<void>
  removed(): Promise<ReadonlySet<number>>
  forget(groupIds: readonly number[]): Promise<void>
  stored(): Promise<readonly number[]>
}

interface RemovalParts {
  readonly host: RaftHost
  readonly owner: ReplicaOwner
  readonly store: RemovalStore
  /** Groups that the write-ahead log knows. */
  readonly logged: () => readonly number[]
  /** Removes what arrived of snapshots. */
  readonly removeReceived: (groupId: number) => Promise<void>
  readonly logger: Logger
}

const RETRY_MS = 500
const AT_ONCE = 200

/**
 * Deletes replicas of partitions that do not exist any more. The database first, with a note that outlives a
 * crash: from then on older metadata cannot bring the replica back. Then the log. Half-way, it is begun again.
 */
export class ReplicaRemoval {
  readonly #parts: RemovalParts
  readonly #waiting = new Map<number, PartitionReplica | undefined>()
  #removed = new Set<number>()
  readonly #closed = new AbortController()
  #working: Promise<void> | undefined

  constructor(parts: RemovalParts) {
    this.#parts = parts
  }

  /** Reads the notes of earlier removals. */
  async open(): Promise<void> {
    this.#removed = new Set(await this.#parts.store.removed())
  }

  /** True for a group that must not be opened: it is deleted, or about to be. */
  has(groupId: number): boolean {
    return this.#removed.has(groupId) || this.#waiting.has(groupId)
  }

  /** Stops the replica at once, if there is one, and deletes what there is of it; returns before that is done. */
  add(groupId: number, replica: PartitionReplica | undefined): void {
    if (this.#waiting.has(groupId)) return
    this.#parts.host.closeGroup(groupId as RaftGroupId)
    replica?.close()
    this.#waiting.set(groupId, replica)
    this.#start()
  }

  /**
   * Finishes what a crash interrupted. `isOwn`: the state is what this broker would start from once more, so
   * that a note about a group that it does not have is not needed any more.
   */
  async sweep(state: MetadataState, isOwn: boolean): Promise<void> {
    const found = new Set([...(await this.#parts.store.stored()), ...this.#parts.logged()])
    for (const groupId of found) if (state.wasRemoved(groupId)) this.add(groupId, undefined)
    if (!isOwn) return
    const outlived = [...this.#removed].filter((groupId) => state.wasRemoved(groupId) && !found.has(groupId))
    await this.#parts.store.forget(outlived)
    for (const groupId of outlived) this.#removed.delete(groupId)
  }

  async close(): Promise<void> {
    this.#closed.abort(new Error('the broker stops'))
    await this.#working
  }

  #start(): void {
    if (this.#working !== undefined || this.#closed.signal.aborted) return
    this.#working = this.#work().finally(() => {
      this.#working = undefined
    })
  }

  async #work(): Promise<void> {
    const { signal } = this.#closed
    while (this.#waiting.size > 0 && !signal.aborted) {
      try {
        await this.#removeSome()
      } catch (err) {
        this.#parts.logger.error({ err }, 'the database does not delete a partition; trying again')
        await delay(RETRY_MS, signal).catch(() => undefined)
      }
    }
  }

  async #removeSome(): Promise<void> {
    const { host, owner, store, logged, removeReceived, logger } = this.#parts
    const some = [...this.#waiting].slice(0, AT_ONCE)
    const ids = some.map(([groupId]) => groupId)
    for (const groupId of ids) await removeReceived(groupId)
    // Nothing of them is on its way to the database when they are deleted there.
    for (const [, replica] of some) {
      await replica?.restored()
      if (replica !== undefined) await owner.exclusively(replica, () => Promise.resolve())
    }
    await store.remove(ids)
    const inLog = new Set(logged())
    for (const groupId of ids) {
      if (inLog.has(groupId)) host.removeGroup(groupId as RaftGroupId)
      this.#removed.add(groupId)
      this.#waiting.delete(groupId)
    }
    logger.info({ groupIds: ids }, 'deleted partitions whose topic is gone')
  }
}
