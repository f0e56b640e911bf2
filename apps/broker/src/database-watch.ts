import type { Logger } from 'pino'
import type { PartitionReplica } from './partition-replica.js'
import { RepeatedTask } from './repeated-task.js'

export interface DatabaseWatchParts {
  readonly replicas: () => Iterable<PartitionReplica>
  /** Up to where the database has each partition, by group. */
  readonly appliedIndexes: () => Promise<ReadonlyMap<number, number>>
  /** Makes database and tables anew where they are gone. */
  readonly repairSchema: () => Promise<void>
  /** The replica is to be opened again from what there is. */
  readonly lost: (replica: PartitionReplica) => void
  /** The metadata is to be looked at, too. */
  readonly checkMetadata: () => Promise<void>
  readonly checkMs: number
  readonly logger: Logger
}

const UNDEFINED_TABLE = '42P01'
const INVALID_CATALOG_NAME = '3D000'

/**
 * Looks now and then whether the database still has what it confirmed. Who writes to it finds out by itself;
 * this is for partitions to which nobody writes.
 */
export class DatabaseWatch extends RepeatedTask {
  readonly #parts: DatabaseWatchParts

  constructor(parts: DatabaseWatchParts) {
    super(parts.checkMs, () => this.#look())
    this.#parts = parts
  }

  async #look(): Promise<void> {
    try {
      await this.#check()
    } catch (err) {
      await this.#failed(err)
    }
  }

  async #check(): Promise<void> {
    const { replicas, appliedIndexes, lost, checkMetadata } = this.#parts
    // Before the database is asked: what is confirmed meanwhile is not what it must have.
    const confirmed = Array.from(replicas(), (replica) => ({ replica, index: replica.materialisedIndex }))
    const stored = await appliedIndexes()
    for (const { replica, index } of confirmed)
      if ((stored.get(replica.info.groupId) ?? 0) < index) lost(replica)
    await checkMetadata()
  }

  async #failed(err: unknown): Promise<void> {
    const { repairSchema, logger } = this.#parts
    const { code } = err as { code?: unknown }
    if (code !== UNDEFINED_TABLE && code !== INVALID_CATALOG_NAME) {
      logger.debug({ err }, 'the database could not be looked at')
      return
    }
    logger.error({ err }, 'the database has lost its tables: they are made anew')
    await repairSchema().catch((error: unknown) => {
      logger.warn({ err: error }, 'the tables could not be made; it is tried again')
    })
  }
}
