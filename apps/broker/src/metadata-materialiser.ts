import { delay } from '@sluice/foundation'
import type { MetadataChanges, Removal } from '@sluice/metadata'
import { MetadataLostError } from '@sluice/persistence'
import type { Logger } from 'pino'
import { allOf } from './metadata-snapshot.js'
import type { MetadataReplica } from './metadata-replica.js'

export interface MetadataDelta {
  readonly appliedIndex: number
  readonly appliedTerm: number
  readonly snapshot?: unknown
  readonly changes: MetadataChanges
  readonly previousIndex?: number
  readonly whole?: boolean
}

export interface MetadataDeltaStore {
  /** All of it in one transaction, or none. */
  materialise(delta: MetadataDelta): Promise<void>
}

const GATHER_MS = 100
/**
 * A snapshot, from which a restart begins, is written when so many entries came since the last, and at least
 * so many for each thing that it holds: what it costs is spread over changes, however large it is.
 */
const SNAPSHOT_ENTRIES_MIN = 1000
const SNAPSHOT_ENTRIES_PER_ROW = 0.25
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
  /** The database has confirmed everything up to here. */
  #writtenIndex = 0
  /** The database has lost something: everything is written anew. */
  #lost = false
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
    parts.replica.onChange((changes) => {
      for (const change of changes ?? []) this.#gather(change)
    })
  }

  /** The log is not needed up to here: a restart begins with the snapshot of this index. */
  get snapshotIndex(): number {
    return this.#snapshotIndex
  }

  get writtenIndex(): number {
    return this.#writtenIndex
  }

  /** Writes everything anew: the database has lost something of what it confirmed. */
  rewrite(): void {
    this.#logger.error('the database has lost metadata: all of it is written anew')
    this.#lost = true
    this.#wake()
  }

  async stop(): Promise<void> {
    this.#stopped.abort(new Error('the materialiser stops'))
    await this.#running
  }

  #gather(changes: MetadataChanges): void {
    for (const removal of changes.removed) this.#remove(removal)
    for (const broker of changes.brokers) this.#changes.brokers.set(String(broker.id), broker)
    for (const topic of changes.topics) this.#changes.topics.set(topic.name, topic)
    for (const partition of changes.partitions)
      this.#changes.partitions.set(String(partition.groupId), partition)
    for (const producer of changes.producers) this.#changes.producers.set(String(producer.id), producer)
    for (const consumer of changes.consumers) this.#changes.consumers.set(String(consumer.id), consumer)
    for (const check of changes.healthChecks)
      this.#changes.healthChecks.set(`${check.type} ${check.id}`, check)
    for (const id of changes.removedBrokers) {
      this.#changes.brokers.delete(String(id))
      this.#changes.healthChecks.delete(`broker ${id}`)
      this.#changes.removedBrokers.set(String(id), id)
    }
    for (const event of changes.auditEvents) this.#changes.auditEvents.set(String(event.id), event)
    this.#wake()
  }

  #wake(): void {
    this.#waiting = true
    if (this.#running === undefined && !this.#stopped.signal.aborted)
      this.#running = this.#run().finally(() => {
        this.#running = undefined
      })
  }

  /** What is gone is not written first: the tables take removals before rows. */
  #remove(removal: Removal): void {
    const { topics, partitions, healthChecks, removed } = this.#changes
    const id =
      removal.kind === 'topic' ? removal.name : String('id' in removal ? removal.id : removal.groupId)
    if (removal.kind === 'topic') topics.delete(id)
    else if (removal.kind === 'partition') partitions.delete(id)
    else {
      this.#changes[`${removal.kind}s`].delete(id)
      healthChecks.delete(`${removal.kind} ${id}`)
    }
    removed.set(`${removal.kind} ${id}`, removal)
  }

  async #run(): Promise<void> {
    while (this.#waiting && !this.#isStopped()) {
      await delay(GATHER_MS, this.#stopped.signal).catch(() => undefined)
      if (this.#isStopped()) return
      this.#waiting = false
      const gathered = this.#changes
      this.#changes = empty()
      const { appliedIndex, appliedTerm } = this.#replica
      const whole = this.#lost
      const entriesMin = Math.max(SNAPSHOT_ENTRIES_MIN, this.#replica.state.size * SNAPSHOT_ENTRIES_PER_ROW)
      const withSnapshot = whole || appliedIndex - this.#snapshotIndex >= entriesMin
      const snapshot = withSnapshot ? this.#replica.state.toJSON() : undefined
      const written = await this.#write({
        appliedIndex,
        appliedTerm,
        ...(snapshot === undefined ? {} : { snapshot }),
        ...(snapshot !== undefined && whole
          ? { changes: allOf(snapshot), whole }
          : { changes: rowsOf(gathered), previousIndex: this.#writtenIndex }),
      })
      if (!written) continue
      this.#writtenIndex = appliedIndex
      if (whole) this.#lost = false
      if (withSnapshot) this.#snapshotIndex = appliedIndex
    }
  }

  /** False when it was not written: the broker stops, or everything is to be written anew. */
  async #write(delta: MetadataDelta): Promise<boolean> {
    for (let attempt = 0; !this.#isStopped(); attempt++) {
      try {
        await this.#store.materialise(delta)
        return true
      } catch (err) {
        if (err instanceof MetadataLostError) {
          this.rewrite()
          return false
        }
        if (attempt === 0)
          this.#logger.error({ err }, 'the database does not take the metadata; trying again')
        const waitMs = Math.min(RETRY_MS_MAX, 50 * 2 ** Math.min(attempt, 10))
        await delay(waitMs, this.#stopped.signal).catch(() => undefined)
      }
    }
    return false
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
    removedBrokers: new Map(),
    auditEvents: new Map(),
    removed: new Map(),
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
    removedBrokers: [...gathered.removedBrokers.values()],
    auditEvents: [...gathered.auditEvents.values()],
    removed: [...gathered.removed.values()],
  }
}
