import { createHash } from 'node:crypto'
import { delay } from '@sluice/foundation'
import { isHolder, type PartitionInfo } from '@sluice/metadata'
import type { StoredPartition } from '@sluice/persistence'
import { encodeConfiguration, type NodeId, type RaftGroupId, type RaftHost } from '@sluice/raft'
import type { Logger } from 'pino'
import type { DatabaseRecovery } from './database-recovery.js'
import type { LogRecovery } from './log-recovery.js'
import {
  PartitionReplica,
  type ReplicaLimits,
  type ReplicaOwner,
  type ReplicaSnapshots,
} from './partition-replica.js'
import type { ReplicaRemoval } from './replica-removal.js'

interface ReplicaStore {
  load(groupId: number): Promise<StoredPartition | undefined>
  /** Removes everything of the partition, and remembers at which change of its replicas. */
  drop(groupId: number, moveId: number): Promise<void>
}

export interface ReplicaSetParts {
  readonly brokerId: number
  readonly host: RaftHost
  readonly store: ReplicaStore
  readonly limits: ReplicaLimits
  readonly owner: ReplicaOwner
  readonly snapshots: ReplicaSnapshots
  readonly recovery: DatabaseRecovery
  readonly logRecovery: LogRecovery
  readonly removal: ReplicaRemoval
  /** Removes what arrived of snapshots. */
  readonly removeReceived: (groupId: number) => Promise<void>
  /** Resolves when everything that the log was told is on disk. */
  readonly logDurable: () => Promise<void>
  /** By group: the change of replicas at which this broker dropped its own, as the database remembers it. */
  readonly dropped: Map<number, number>
  readonly clusterId: string
  readonly logger: Logger
}

const RETRY_MS = 500
const LOADS_AT_ONCE = 200
const AGEING_MS = 60_000

/** The replicas that this broker is to hold: opens what the metadata has placed here, drops what it has moved away. */
export class ReplicaSet {
  readonly #parts: ReplicaSetParts
  readonly #replicas = new Map<number, PartitionReplica>()
  /** What is placed here, or still here, as the metadata says last. */
  readonly #placed = new Map<number, PartitionInfo>()
  readonly #toOpen = new Map<number, PartitionInfo>()
  readonly #toDrop = new Map<number, PartitionInfo>()
  /** Nothing is left of them here, and the metadata does not know that yet. */
  readonly #unconfirmed = new Set<number>()
  readonly #closed = new AbortController()
  #working: Promise<void> | undefined
  #ageing: NodeJS.Timeout | undefined

  constructor(parts: ReplicaSetParts) {
    this.#parts = parts
  }

  get(groupId: number): PartitionReplica | undefined {
    return this.#replicas.get(groupId)
  }

  all(): IterableIterator<PartitionReplica> {
    return this.#replicas.values()
  }

  get size(): number {
    return this.#replicas.size
  }

  /** Replicas that are placed here and not open yet. */
  get openingCount(): number {
    return this.#toOpen.size
  }

  /** Placed here, and on its way out of the database and the log. */
  isOpening(groupId: number): boolean {
    return this.#toOpen.has(groupId)
  }

  /** Groups of which nothing is left here, to be told to the metadata. */
  get unconfirmed(): ReadonlySet<number> {
    return this.#unconfirmed
  }

  /** Opens what is placed here and not open, and drops what was moved away; returns at once. */
  place(partitions: Iterable<PartitionInfo>): void {
    this.#ageing ??= setInterval(() => {
      for (const replica of this.#replicas.values()) replica.growOlder()
    }, AGEING_MS).unref()
    for (const info of partitions) if (this.#placed.get(info.groupId) !== info) this.#placeOne(info)
    this.#startWork()
  }

  /** As `place` would for the first time: it was closed, or copied, meanwhile. */
  #placeAgain(groupId: number): void {
    const info = this.#placed.get(groupId)
    if (info !== undefined) this.#placeOne(info)
    this.#startWork()
  }

  #startWork(): void {
    const hasWork = this.#toOpen.size > 0 || this.#toDrop.size > 0
    if (hasWork && this.#working === undefined && !this.#closed.signal.aborted)
      this.#working = this.#work().finally(() => {
        this.#working = undefined
      })
  }

  /** Closes a replica that is not what the database has, and opens it again from what there is. */
  async reopen(replica: PartitionReplica): Promise<void> {
    const { groupId } = replica.info
    if (this.#replicas.get(groupId) !== replica || this.#closed.signal.aborted) return
    this.#replicas.delete(groupId)
    this.#parts.host.closeGroup(groupId as number as RaftGroupId)
    replica.close()
    await this.#parts.owner.exclusively(replica, () => Promise.resolve())
    this.#placeAgain(groupId)
  }

  /** The partition is gone for good: so is its replica here, if there is one. */
  remove({ groupId, replicas }: PartitionInfo): void {
    const replica = this.#replicas.get(groupId)
    const isHolder =
      (replicas as readonly number[]).includes(this.#parts.brokerId) || this.#placed.has(groupId)
    this.#replicas.delete(groupId)
    this.#placed.delete(groupId)
    this.#toOpen.delete(groupId)
    this.#toDrop.delete(groupId)
    this.#unconfirmed.delete(groupId)
    if (isHolder || replica !== undefined) this.#parts.removal.add(groupId, replica)
  }

  /** Those of which `isGone` holds are gone for good. */
  removeAll(isGone: (groupId: number) => boolean): void {
    for (const replica of this.#replicas.values()) if (isGone(replica.info.groupId)) this.remove(replica.info)
  }

  async close(): Promise<void> {
    clearInterval(this.#ageing)
    this.#closed.abort(new Error('the broker stops'))
    await this.#working
    for (const replica of this.#replicas.values()) replica.close()
  }

  #placeOne(info: PartitionInfo): void {
    const { groupId } = info
    if (this.#parts.removal.has(groupId)) return
    const { brokerId, dropped } = this.#parts
    const replica = this.#replicas.get(groupId)
    replica?.changed(info)
    this.#unconfirmed.delete(groupId)
    this.#toOpen.delete(groupId)
    this.#toDrop.delete(groupId)
    this.#placed.delete(groupId)
    if (isHolder(info, brokerId)) {
      this.#placed.set(groupId, info)
      // Metadata from before the replica was dropped says nothing about now.
      const isNews = info.moveId > (dropped.get(groupId) ?? -1)
      if (replica === undefined && isNews) this.#toOpen.set(groupId, info)
    } else if (info.departing.includes(brokerId as PartitionInfo['departing'][number])) {
      this.#placed.set(groupId, info)
      this.#toDrop.set(groupId, info)
    }
  }

  async #work(): Promise<void> {
    const { signal } = this.#closed
    while ((this.#toOpen.size > 0 || this.#toDrop.size > 0) && !signal.aborted) {
      try {
        await Promise.all([...this.#toOpen.values()].slice(0, LOADS_AT_ONCE).map((info) => this.#open(info)))
        for (const info of [...this.#toDrop.values()].slice(0, LOADS_AT_ONCE)) await this.#drop(info)
      } catch (err) {
        this.#parts.logger.error({ err }, 'the database does not give or drop a partition; trying again')
        await delay(RETRY_MS, signal).catch(() => undefined)
      }
    }
  }

  async #open(info: PartitionInfo): Promise<void> {
    const { host, store, limits, owner, snapshots, recovery, logRecovery, brokerId, clusterId } = this.#parts
    const snapshot = await store.load(info.groupId)
    const isRecovering = logRecovery.concerns(info.groupId)
    // A log that begins anew follows what the database has.
    const configuration =
      snapshot?.configuration ??
      (isRecovering ? (snapshot?.logConfiguration ?? firstConfiguration(info)) : undefined)
    // Moved away, or changed, while the database was asked.
    if (this.#closed.signal.aborted || this.#toOpen.get(info.groupId) !== info) return
    if (!recovery.fitsLog(info.groupId, snapshot)) {
      this.#toOpen.delete(info.groupId)
      recovery.start(info, snapshot, () => this.#placeAgain(info.groupId))
      return
    }
    const replica = new PartitionReplica({ info, snapshot, limits, owner, snapshots })
    const group = host.openGroup({
      id: info.groupId as number as RaftGroupId,
      uuid: groupUuid(clusterId, info.groupId),
      name: info.name,
      voters: firstVoters(info, brokerId) as readonly NodeId[],
      applied: snapshot?.appliedIndex ?? 0,
      ...(snapshot === undefined || configuration === undefined
        ? {}
        : { snapshot: { index: snapshot.appliedIndex, term: snapshot.appliedTerm, configuration } }),
      isRecovering,
      machine: replica,
    })
    replica.attach(group)
    this.#replicas.set(info.groupId, replica)
    this.#toOpen.delete(info.groupId)
    // A new partition need not wait for an election timeout: its preferred leader stands at once.
    if (group.log.lastIndex === 0 && info.moveId === 0 && info.replicas[0] === brokerId) group.campaign()
  }

  /**
   * The database first, with a note that outlives a crash: from then on older metadata cannot open the
   * replica. Then the log, then the word to the metadata. Half-way, it is begun again.
   */
  async #drop(info: PartitionInfo): Promise<void> {
    const { host, owner, store, recovery, removeReceived, logDurable, dropped, logger } = this.#parts
    const { groupId, moveId, name } = info
    const id = groupId as number as RaftGroupId
    const replica = this.#replicas.get(groupId)
    host.closeGroup(id)
    replica?.close()
    this.#replicas.delete(groupId)
    await recovery.cancel(groupId)
    await removeReceived(groupId)
    await replica?.restored()
    if (replica === undefined) await store.drop(groupId, moveId)
    else await owner.exclusively(replica, () => store.drop(groupId, moveId))
    dropped.set(groupId, moveId)
    if (this.#closed.signal.aborted) return
    host.removeGroup(id)
    await logDurable()
    if (this.#toDrop.get(groupId) === info) this.#toDrop.delete(groupId)
    this.#unconfirmed.add(groupId)
    logger.info({ partition: name, groupId }, 'dropped the replica of a partition that was moved away')
  }
}

/** Who comes later gets to know the members from the log. */
function firstVoters({ founders, replicas }: PartitionInfo, brokerId: number): readonly number[] {
  const isFounder = [founders, replicas].every((ids) => (ids as readonly number[]).includes(brokerId))
  return isFounder ? founders : []
}

/** Of a partition whose members never changed since it was made. */
function firstConfiguration({ founders }: PartitionInfo): Uint8Array {
  return encodeConfiguration({
    voters: founders as readonly number[] as readonly NodeId[],
    votersOutgoing: [],
    learners: [],
    promotable: [],
    context: new Uint8Array(0),
  })
}

/** Group ids are never used again in a cluster, so cluster and id tell a group from every other. */
export function groupUuid(clusterId: string, groupId: number): Uint8Array {
  return new Uint8Array(createHash('sha256').update(`${clusterId}/${groupId}`).digest().subarray(0, 16))
}
