import { delay } from '@sluice/foundation'
import type { MetadataChanges } from '@sluice/metadata'
import type { Logger } from 'pino'
import type { MetadataReplica } from './metadata-replica.js'

export interface MetadataDelta {
  readonly appliedIndex: number
  readonly appliedTerm: number
  readonly snapshot?: unknown
  readonly changes: MetadataChanges
}

export interface MetadataDeltaStore {
  /** All of it in one transaction, or none. */
  materialise(delta: MetadataDelta): Promise<void>
}

const GATHER_MS = 100
/** A snapshot, from which a restart begins, is written when this many entries came since the last. */
const SNAPSHOT_ENTRIES = 1000
const RETRY_MS_MAX = 2000

type Gathered = { -readonly [K in keyof MetadataChanges]: Map<string, MetadataChanges[K][number]> }

/** Brings the metadata into PostgreSQL: rows for whoever asks in SQL, and snapshots for restarts. */
export class MetadataMaterialiser {
  readonly #replica: MetadataReplica
  readonly #store: MetadataDeltaStore
  readonly #logger: Logger
  readonly #stopped = new AbortController()
  #changes = empty()
  #snapshotIndex: number
  #running: Promise<void> | undefined
  #waiting = false

  constructor(parts: {
    readonly replica: MetadataReplica
    readonly store: MetadataDeltaStore
    readonly logger: Logger
  }) {
    this.#replica = parts.replica
    this.#store = parts.store
    this.#logger = parts.logger.child({ part: 'metadata-materialiser' })
    this.#snapshotIndex = parts.replica.appliedIndex
    parts.replica.onChange((changes) => this.#gather(changes))
  }

  /** The log is not needed up to here: a restart begins with the snapshot of this index. */
  get snapshotIndex(): number {
    return this.#snapshotIndex
  }

  async stop(): Promise<void> {
    this.#stopped.abort(new Error('the materialiser stops'))
    await this.#running
  }

  #gather(changes: MetadataChanges): void {
    for (const broker of changes.brokers) this.#changes.brokers.set(String(broker.id), broker)
    for (const topic of changes.topics) this.#changes.topics.set(topic.name, topic)
    for (const partition of changes.partitions) this.#changes.partitions.set(partition.name, partition)
    for (const producer of changes.producers) this.#changes.producers.set(String(producer.id), producer)
    for (const consumer of changes.consumers) this.#changes.consumers.set(String(consumer.id), consumer)
    for (const check of changes.healthChecks)
      this.#changes.healthChecks.set(`${check.type} ${check.id}`, check)
    this.#waiting = true
    if (this.#running === undefined && !this.#stopped.signal.aborted)
      this.#running = this.#run().finally(() => {
        this.#running = undefined
      })
  }

  async #run(): Promise<void> {
    while (this.#waiting && !this.#isStopped()) {
      await delay(GATHER_MS, this.#stopped.signal).catch(() => undefined)
      if (this.#isStopped()) return
      this.#waiting = false
      const gathered = this.#changes
      this.#changes = empty()
      const { appliedIndex, appliedTerm } = this.#replica
      const withSnapshot = appliedIndex - this.#snapshotIndex >= SNAPSHOT_ENTRIES
      await this.#write({
        appliedIndex,
        appliedTerm,
        changes: rowsOf(gathered),
        ...(withSnapshot ? { snapshot: this.#replica.state.toJSON() } : {}),
      })
      if (withSnapshot && !this.#isStopped()) this.#snapshotIndex = appliedIndex
    }
  }

  async #write(delta: MetadataDelta): Promise<void> {
    for (let attempt = 0; !this.#isStopped(); attempt++) {
      try {
        await this.#store.materialise(delta)
        return
      } catch (err) {
        if (attempt === 0)
          this.#logger.error({ err }, 'the database does not take the metadata; trying again')
        const waitMs = Math.min(RETRY_MS_MAX, 50 * 2 ** Math.min(attempt, 10))
        await delay(waitMs, this.#stopped.signal).catch(() => undefined)
      }
    }
  }

  #isStopped(): boolean {
    return this.#stopped.signal.aborted
  }
}

function empty(): Gathered {
  return {
    brokers: new Map(),
    topics: new Map(),
    partitions: new Map(),
    producers: new Map(),
    consumers: new Map(),
    healthChecks: new Map(),
  }
}

function rowsOf(gathered: Gathered): MetadataChanges {
  return {
    brokers: [...gathered.brokers.values()],
    topics: [...gathered.topics.values()],
    partitions: [...gathered.partitions.values()],
    producers: [...gathered.producers.values()],
    consumers: [...gathered.consumers.values()],
    healthChecks: [...gathered.healthChecks.values()],
  }
}
