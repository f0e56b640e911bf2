import { delay, invariant } from '@sluice/foundation'
import type { PartitionDelta } from '@sluice/partition'
import { type LoadBatches, StaleDeltaError } from '@sluice/persistence'
import type { Logger } from 'pino'
import type { PartitionReplica } from './partition-replica.js'

export interface DeltaStore {
  /** All of it in one transaction, or none. */
  materialise(deltas: readonly PartitionDelta[], load: LoadBatches): Promise<void>
}

/** Bytes of batches that one transaction takes, unless a single partition's share is larger. */
const TRANSACTION_BYTES = 8 * 1024 * 1024
/** A transaction waits this long for company. */
const GATHER_MS = 100
const RETRY_MS_MAX = 2000

interface Share {
  readonly replica: PartitionReplica
  readonly delta: PartitionDelta
  readonly bytes: number
}

/**
 * Brings what was applied into PostgreSQL, behind the acknowledgement: many partitions share a
 * transaction, and one that fails is tried again unchanged until the database takes it.
 */
export class Materialiser {
  readonly #store: DeltaStore
  readonly #logger: Logger
  readonly #onStale: (replica: PartitionReplica) => void
  readonly #dirty = new Set<PartitionReplica>()
  readonly #stopped = new AbortController()
  /** Those that are part of the transaction under way. */
  #writing: ReadonlySet<PartitionReplica> = new Set()
  #written: Promise<void> = Promise.resolve()
  #running: Promise<void> | undefined
  #bytes = 0
  #failing = false

  constructor(parts: {
    readonly store: DeltaStore
    readonly logger: Logger
    /** The database is not where it was left: it was emptied, or restored, or somebody else writes to it. */
    readonly onStale?: (replica: PartitionReplica) => void
  }) {
    this.#store = parts.store
    this.#onStale = parts.onStale ?? (() => undefined)
    this.#logger = parts.logger.child({ component: 'materialiser' })
  }

  /** Bytes of batches that the database does not have yet. */
  get unmaterialisedBytes(): number {
    return this.#bytes
  }

  /** True while the database refuses or cannot be reached. */
  get failing(): boolean {
    return this.#failing
  }

  /** The replica applied something; `bytes` is the size of the batches among it. */
  dirty(replica: PartitionReplica, bytes: number): void {
    this.#dirty.add(replica)
    this.#bytes += bytes
    if (this.#running === undefined && !this.#stopped.signal.aborted)
      this.#running = this.#run().finally(() => {
        this.#running = undefined
      })
  }

  /** Runs while nothing of the replica is on its way to the database; what waits for it is dropped. */
  async exclusively<T>(replica: PartitionReplica, run: () => Promise<T>): Promise<T> {
    this.#dirty.delete(replica)
    while (this.#writing.has(replica)) await this.#written
    this.#bytes -= replica.undrainedBytes
    replica.drain()
    return run()
  }

  /** Writes what waits, unless the database refuses, and takes nothing more. */
  async stop(): Promise<void> {
    this.#stopped.abort(new Error('the materialiser stops'))
    await this.#running
    if (this.#failing) return
    while (this.#dirty.size > 0) {
      const shares = this.#gather()
      if (shares.length === 0) return
      await this.#materialise(shares)
    }
  }

  async #run(): Promise<void> {
    while (this.#dirty.size > 0 && !this.#isStopped()) {
      await delay(GATHER_MS, this.#stopped.signal).catch(() => undefined)
      const shares = this.#gather()
      if (shares.length === 0) continue
      this.#writing = new Set(shares.map(({ replica }) => replica))
      this.#written = this.#write(shares).finally(() => {
        this.#writing = new Set()
      })
      await this.#written
    }
  }

  #gather(): readonly Share[] {
    const shares: Share[] = []
    let bytes = 0
    for (const replica of this.#dirty) {
      const size = replica.undrainedBytes
      if (shares.length > 0 && bytes + size > TRANSACTION_BYTES) break
      this.#dirty.delete(replica)
      const delta = replica.drain()
      if (delta === undefined) continue
      shares.push({ replica, delta, bytes: size })
      bytes += size
    }
    return shares
  }

  async #write(gathered: readonly Share[]): Promise<void> {
    let shares = gathered
    for (let attempt = 0; shares.length > 0; attempt++) {
      try {
        await this.#materialise(shares)
        if (this.#failing) this.#logger.info('the database takes messages again')
        this.#failing = false
        break
      } catch (err) {
        const stale =
          err instanceof StaleDeltaError
            ? shares.find(({ delta }) => delta.groupId === err.groupId)
            : undefined
        if (stale !== undefined) {
          this.#logger.error(
            { err, partition: stale.replica.info.name },
            'the database is not where it was left',
          )
          this.#bytes -= stale.bytes
          shares = shares.filter((share) => share !== stale)
          this.#onStale(stale.replica)
          continue
        }
        if (!this.#failing) this.#logger.error({ err }, 'the database does not take messages; trying again')
        this.#failing = true
        await delay(Math.min(RETRY_MS_MAX, 50 * 2 ** Math.min(attempt, 10)), this.#stopped.signal).catch(
          () => undefined,
        )
        if (this.#isStopped()) return
      }
    }
    for (const { replica, delta, bytes } of shares) {
      invariant(delta.appliedIndex > replica.materialisedIndex, 'the database only moves forward')
      replica.materialised(delta)
      this.#bytes -= bytes
    }
  }

  #materialise(shares: readonly Share[]): Promise<void> {
    const replicas = new Map(shares.map(({ replica }) => [replica.info.groupId as number, replica]))
    return this.#store.materialise(
      shares.map(({ delta }) => delta),
      (groupId, batches) => replicas.get(groupId)!.withBytes(batches),
    )
  }

  #isStopped(): boolean {
    return this.#stopped.signal.aborted
  }
}
