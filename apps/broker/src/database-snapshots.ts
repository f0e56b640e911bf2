import type { PartitionInfo } from '@sluice/metadata'
import type { PartitionSnapshot } from '@sluice/partition'
import { type Database, PartitionSnapshots, type PartitionStore } from '@sluice/persistence'
import type { SnapshotSource } from '@sluice/raft'
import { BrokerError } from '@sluice/domain'
import { PartitionSnapshotSource, readPartitionSnapshot } from './partition-snapshot.js'
import type { ReplicaSnapshots } from './partition-replica.js'

/** Snapshots of partitions as the database has them: what waits for it is still in the log. */
export class DatabaseSnapshots implements ReplicaSnapshots {
  readonly #database: Database
  readonly #store: PartitionStore
  readonly #snapshots = new PartitionSnapshots()

  constructor(database: Database, store: PartitionStore) {
    this.#database = database
    this.#store = store
  }

  async open(info: PartitionInfo, configurationAt: (index: number) => Uint8Array): Promise<SnapshotSource> {
    const { groupId, name } = info
    const state = await this.#store.load(this.#database, groupId)
    if (state === undefined)
      throw new BrokerError('INTERNAL', `the database has nothing of ${name} yet`, { component: 'broker' })
    const { appliedIndex, appliedTerm, nextOffset } = state
    const content = await this.#snapshots.measure(this.#database, groupId, state)
    return new PartitionSnapshotSource({
      meta: { index: appliedIndex, term: appliedTerm, configuration: configurationAt(appliedIndex) },
      state,
      content,
      readBatches: (fromOffset) => this.#snapshots.read(this.#database, { groupId, fromOffset, nextOffset }),
    })
  }

  async restore(info: PartitionInfo, source: SnapshotSource): Promise<PartitionSnapshot> {
    const { groupId, topic, number } = info
    try {
      const { state, batches } = await readPartitionSnapshot(source)
      const { configuration } = source.meta
      await this.#snapshots.replace(this.#database, { groupId, topic, number, state, configuration }, batches)
      return { ...state, runs: await this.#store.runs(this.#database, groupId) }
    } finally {
      await source.close()
    }
  }
}
