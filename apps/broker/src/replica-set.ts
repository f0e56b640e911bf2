import { createHash } from 'node:crypto'
import { delay } from '@sluice/foundation'
import type { PartitionInfo } from '@sluice/metadata'
import type { StoredPartition } from '@sluice/persistence'
import type { NodeId, RaftGroupId, RaftHost } from '@sluice/raft'
import type { Logger } from 'pino'
import type { DatabaseRecovery } from './database-recovery.js'
import {
  PartitionReplica,
  type ReplicaLimits,
  type ReplicaOwner,
  type ReplicaSnapshots,
} from './partition-replica.js'

export interface ReplicaStore {
  load(groupId: number): Promise<StoredPartition | undefined>
}

const LOAD_RETRY_MS = 500
const LOADS_AT_ONCE = 4
const AGEING_MS = 60_000

/** The replicas that this broker is to hold: opens those that the metadata has placed here. */
export class ReplicaSet {
  readonly #parts: {
    readonly brokerId: number
    readonly host: RaftHost
    readonly store: ReplicaStore
    readonly limits: ReplicaLimits
    readonly owner: ReplicaOwner
    readonly snapshots: ReplicaSnapshots
    readonly recovery: DatabaseRecovery
    readonly clusterId: string
    readonly logger: Logger
  }
  readonly #replicas = new Map<number, PartitionReplica>()
  readonly #wanted = new Map<number, PartitionInfo>()
  readonly #closed = new AbortController()
  #opening: Promise<void> | undefined
  #ageing: NodeJS.Timeout | undefined

  constructor(parts: {
    readonly brokerId: number
    readonly host: RaftHost
    readonly store: ReplicaStore
    readonly limits: ReplicaLimits
    readonly owner: ReplicaOwner
    readonly snapshots: ReplicaSnapshots
    readonly recovery: DatabaseRecovery
    readonly clusterId: string
    readonly logger: Logger
  }) {
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
    return this.#wanted.size
  }

  /** Opens what is placed here and not open; returns at once. */
  place(partitions: Iterable<PartitionInfo>): void {
    this.#ageing ??= setInterval(() => {
      for (const replica of this.#replicas.values()) replica.growOlder()
    }, AGEING_MS).unref()
    for (const info of partitions)
      if (
        info.replicas.includes(this.#parts.brokerId as PartitionInfo['replicas'][number]) &&
        !this.#replicas.has(info.groupId)
      )
        this.#wanted.set(info.groupId, info)
    if (this.#wanted.size > 0 && this.#opening === undefined && !this.#closed.signal.aborted)
      this.#opening = this.#openAll().finally(() => {
        this.#opening = undefined
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
    this.place([replica.info])
  }

  async close(): Promise<void> {
    clearInterval(this.#ageing)
    this.#closed.abort(new Error('the broker stops'))
    await this.#opening
    for (const replica of this.#replicas.values()) replica.close()
  }

  async #openAll(): Promise<void> {
    const { signal } = this.#closed
    while (this.#wanted.size > 0 && !signal.aborted) {
      const batch = [...this.#wanted.values()].slice(0, LOADS_AT_ONCE)
      try {
        await Promise.all(batch.map((info) => this.#open(info)))
      } catch (err) {
        this.#parts.logger.error(
          { err },
          'the state of a partition cannot be read from the database; trying again',
        )
        await delay(LOAD_RETRY_MS, signal).catch(() => undefined)
      }
    }
  }

  async #open(info: PartitionInfo): Promise<void> {
    const { host, store, limits, owner, snapshots, recovery, brokerId, clusterId } = this.#parts
    const snapshot = await store.load(info.groupId)
    const configuration = snapshot?.configuration
    if (this.#closed.signal.aborted) return
    if (!recovery.fitsLog(info.groupId, snapshot)) {
      this.#wanted.delete(info.groupId)
      recovery.start(info, snapshot, () => this.place([info]))
      return
    }
    const replica = new PartitionReplica({ info, snapshot, limits, owner, snapshots })
    const group = host.openGroup({
      id: info.groupId as number as RaftGroupId,
      uuid: groupUuid(clusterId, info.groupId),
      name: info.name,
      voters: info.replicas as readonly number[] as readonly NodeId[],
      applied: snapshot?.appliedIndex ?? 0,
      ...(snapshot === undefined || configuration === undefined
        ? {}
        : { snapshot: { index: snapshot.appliedIndex, term: snapshot.appliedTerm, configuration } }),
      machine: replica,
    })
    replica.attach(group)
    this.#replicas.set(info.groupId, replica)
    this.#wanted.delete(info.groupId)
    // A new partition need not wait for an election timeout: its preferred leader stands at once.
    if (group.log.lastIndex === 0 && info.replicas[0] === brokerId) group.campaign()
  }
}

/** Group ids are never used again in a cluster, so cluster and id tell a group from every other. */
export function groupUuid(clusterId: string, groupId: number): Uint8Array {
  return new Uint8Array(createHash('sha256').update(`${clusterId}/${groupId}`).digest().subarray(0, 16))
}
