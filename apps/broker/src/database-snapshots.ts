import type { PartitionInfo } from '@sluice/metadata'
import type { PartitionSnapshot, StoredBatch } from '@sluice/partition'
import { CopiedBatches, type Database, PartitionSnapshots, type PartitionStore } from '@sluice/persistence'
import type { SnapshotMeta, SnapshotSource } from '@sluice/raft'
import { BrokerError } from '@sluice/domain'
import { PreparedSnapshot } from './partition-catch-up.js'
import { PartitionHeadSource, PartitionSnapshotSource, readPartitionSnapshot } from './partition-snapshot.js'
import type { ReplicaSnapshots } from './partition-replica.js'

/** Snapshots of partitions as the database has them: what waits for it is still in the log. */
export class DatabaseSnapshots implements ReplicaSnapshots {
  readonly #database: Database
  readonly #store: PartitionStore
  readonly #mayOmitBatches: () => boolean
  readonly #snapshots = new PartitionSnapshots()
  readonly #copied = new CopiedBatches()

  /** @param mayOmitBatches every broker of the cluster can get batches by itself */
  constructor(database: Database, store: PartitionStore, mayOmitBatches: () => boolean) {
    this.#database = database
    this.#store = store
    this.#mayOmitBatches = mayOmitBatches
  }

  async open(info: PartitionInfo, configurationAt: (index: number) => Uint8Array): Promise<SnapshotSource> {
    if (!this.#mayOmitBatches()) return this.openWhole(info, configurationAt)
    const { state, meta } = await this.#load(info, configurationAt)
    return new PartitionHeadSource(meta, state)
  }

  /** With all its batches. */
  async openWhole(
    info: PartitionInfo,
    configurationAt: (index: number) => Uint8Array,
  ): Promise<SnapshotSource> {
    const { groupId } = info
    const { state, meta } = await this.#load(info, configurationAt)
    const { nextOffset } = state
    return new PartitionSnapshotSource({
      meta,
      state,
      content: await this.#snapshots.measure(this.#database, groupId, state),
      readBatches: (fromOffset) => this.#snapshots.read(this.#database, { groupId, fromOffset, nextOffset }),
    })
  }

  async restore(info: PartitionInfo, source: SnapshotSource): Promise<PartitionSnapshot> {
    const { groupId, topic, number } = info
    const { configuration } = source.meta
    try {
      const { state, keepTo, batches } = await this.#contentOf(source)
      const partition = { groupId, topic, number, state, configuration }
      await this.#snapshots.replace(this.#database, partition, { keepTo, batches })
      return { ...state, runs: await this.#store.runs(this.#database, groupId) }
    } finally {
      await source.close()
    }
  }

  async #load(
    { groupId, name }: PartitionInfo,
    configurationAt: (index: number) => Uint8Array,
  ): Promise<{ readonly state: PartitionSnapshot; readonly meta: SnapshotMeta }> {
    const state = await this.#store.load(this.#database, groupId)
    if (state === undefined)
      throw new BrokerError('INTERNAL', `the database has nothing of ${name} yet`, { component: 'broker' })
    const { appliedIndex, appliedTerm } = state
    return {
      state,
      meta: { index: appliedIndex, term: appliedTerm, configuration: configurationAt(appliedIndex) },
    }
  }

  async #contentOf(source: SnapshotSource): Promise<{
    readonly state: PartitionSnapshot
    readonly keepTo: number | undefined
    readonly batches: (transaction: Database) => AsyncIterable<readonly StoredBatch[]>
  }> {
    if (source instanceof PreparedSnapshot) {
      const { state, keepTo, copied } = source
      return { state, keepTo, batches: (transaction) => this.#copied.read(transaction, copied) }
    }
    const { state, batches } = await readPartitionSnapshot(source)
    return { state, keepTo: undefined, batches: () => batches }
  }
}
