import type { SnapshotSource } from '@sluice/raft'
import type { Logger } from 'pino'
import type { PartitionCatchUp } from './partition-catch-up.js'
import type { PartitionReplica } from './partition-replica.js'
import { readPartitionHead } from './partition-snapshot.js'

export interface SnapshotArrivalsParts {
  readonly brokerId: number
  readonly replica: (groupId: number) => PartitionReplica | undefined
  readonly catchUp: PartitionCatchUp
  /** Hands a snapshot to its group, which closes it. */
  readonly deliver: (groupId: number, source: SnapshotSource) => void
  readonly logger: Logger
}

/** Snapshots of partitions that have arrived, on their way to their groups: first comes what is missing of them. */
export class SnapshotArrivals {
  readonly #parts: SnapshotArrivalsParts
  readonly #preparing = new Map<number, { readonly controller: AbortController; ended: Promise<void> }>()

  constructor(parts: SnapshotArrivalsParts) {
    this.#parts = parts
  }

  /** At most one for a group at a time. */
  arrived(groupId: number, from: number, source: SnapshotSource): void {
    const { replica, deliver } = this.#parts
    const found = replica(groupId)
    // That of the metadata has everything.
    if (found === undefined) {
      deliver(groupId, source)
      return
    }
    const controller = new AbortController()
    const ended = this.#prepare(found, from, source, controller.signal).finally(() =>
      this.#preparing.delete(groupId),
    )
    this.#preparing.set(groupId, { controller, ended })
  }

  /** The replica goes; resolves when nothing of it goes into the database. */
  async cancel(groupId: number): Promise<void> {
    const preparing = this.#preparing.get(groupId)
    preparing?.controller.abort(new Error('the replica is not needed here any more'))
    await preparing?.ended
  }

  async stop(): Promise<void> {
    await Promise.all(Array.from(this.#preparing.keys(), (groupId) => this.cancel(groupId)))
  }

  async #prepare(
    replica: PartitionReplica,
    from: number,
    source: SnapshotSource,
    signal: AbortSignal,
  ): Promise<void> {
    const { brokerId, catchUp, deliver, logger } = this.#parts
    const { info } = replica
    try {
      const { isWhole } = await readPartitionHead(source)
      const others = info.replicas.filter((id) => id !== brokerId && id !== from)
      const brokers = [from, ...others]
      const complete = isWhole ? source : await catchUp.prepare(info, source, { brokers, signal })
      // Opened again meanwhile: the database was not what it was compared as.
      if (this.#parts.replica(info.groupId) === replica) deliver(info.groupId, complete)
      else await source.close()
    } catch (err) {
      // The leader sends another one, with what has changed; what came already stays.
      if (!signal.aborted)
        logger.warn({ err, partition: info.name }, 'a snapshot could not be completed; another one comes')
      await source.close()
    }
  }
}
