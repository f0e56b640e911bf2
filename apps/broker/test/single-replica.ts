import { randomBytes } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { encodeRecordBatch, type GroupId, type BrokerId, type TopicName } from '@sluice/domain'
import { SeededRandom } from '@sluice/foundation'
import { eventually } from '@sluice/foundation/testing'
import { FEATURES, type PartitionInfo } from '@sluice/metadata'
import { type PartitionDelta, RecentBudget } from '@sluice/partition'
import {
  type Database,
  ensureDatabase,
  type LoadBatches,
  migrate,
  openDatabase,
  PartitionStore,
} from '@sluice/persistence'
import { type NodeId, openWal, type RaftGroupId, RaftHost, type Wal } from '@sluice/raft'
import { pino } from 'pino'
import { DatabaseSnapshots } from '../src/database-snapshots.js'
import { Materialiser } from '../src/materialiser.js'
import { PartitionReader } from '../src/partition-reader.js'
import { PartitionReplica, type ReplicaLimits } from '../src/partition-replica.js'
import { PartitionService } from '../src/partition-service.js'

const INFO: PartitionInfo = {
  groupId: 2 as GroupId,
  topic: 'orders' as TopicName,
  number: 1,
  name: 'orders.1',
  replicas: [1 as BrokerId],
  founders: [1 as BrokerId],
  moveId: 0,
  departing: [],
  departed: [],
  createdAt: 0,
}

/** Of the replica, the recent batches in bytes. */
interface Limits extends Omit<ReplicaLimits, 'recent'> {
  readonly recentBytesMax: number
  readonly heldBytesMax: number
}

export const LIMITS: Limits = {
  unmaterialisedBytesMax: 1_000_000,
  recentBytesMax: 1_000_000,
  heldBytesMax: 1_000_000,
  featureLevel: () => FEATURES.max,
}

/** A partition of one replica over a real log and a real database, which can be closed and opened again. */
export class SingleReplica {
  readonly directory: string
  readonly database: Database
  readonly store = new PartitionStore()
  /** Set: every transaction fails with it. */
  databaseFault: Error | undefined
  /** Replicas that the database was found not to be where they left it. */
  readonly stale: PartitionReplica[] = []
  replica!: PartitionReplica
  service!: PartitionService
  materialiser!: Materialiser
  #host!: RaftHost
  #wal!: Wal

  private constructor(directory: string, database: Database) {
    this.directory = directory
    this.database = database
  }

  static async start(limits: Limits = LIMITS): Promise<SingleReplica> {
    const url = new URL(process.env['SLUICE_TEST_POSTGRES_URL'] ?? '')
    url.pathname = `/broker_${randomBytes(6).toString('hex')}`
    await ensureDatabase(url.href)
    const database = await openDatabase({ url: url.href, poolMax: 3, applicationName: 'test' })
    await migrate(database)
    const made = new SingleReplica(await mkdtemp(path.join(os.tmpdir(), 'sluice-broker-')), database)
    await made.open(limits)
    return made
  }

  /** From the log and the database, as after a restart. */
  async open(limits: Limits = LIMITS): Promise<void> {
    this.#wal = await openWal({
      directory: this.directory,
      nodeUuid: new Uint8Array(16).fill(7),
      // What is read back comes from the disk.
      cacheBytesMax: 0,
      onFatal: (error) => {
        throw error
      },
    })
    this.#host = new RaftHost({
      nodeId: 1 as NodeId,
      store: this.#wal,
      transport: { send: () => false },
      random: new SeededRandom(1),
      timings: { tickMs: 5, electionTicks: 3, heartbeatTicks: 1 },
      onFatal: (error) => {
        throw error
      },
    })
    this.materialiser = new Materialiser({
      store: { materialise: (deltas, load) => this.#materialise(deltas, load) },
      logger: pino({ level: 'silent' }),
      onStale: (replica) => this.stale.push(replica),
    })
    this.service = new PartitionService(
      new PartitionReader({
        readBatches: (groupId, offset, bytesMax) =>
          this.store.readBatches(this.database, groupId, offset, bytesMax),
        offsetAtTime: (groupId, ms) => this.store.offsetAtTime(this.database, groupId, ms),
      }),
    )
    const snapshot = await this.store.load(this.database, INFO.groupId)
    this.replica = new PartitionReplica({
      info: INFO,
      snapshot,
      limits: {
        ...limits,
        recent: new RecentBudget({ bytesMax: limits.recentBytesMax, heldBytesMax: limits.heldBytesMax }),
      },
      owner: this.materialiser,
      snapshots: new DatabaseSnapshots(this.database, this.store, () => false),
    })
    const group = this.#host.openGroup({
      id: INFO.groupId as number as RaftGroupId,
      uuid: new Uint8Array(16).fill(9),
      name: INFO.name,
      voters: [1 as NodeId],
      applied: snapshot?.appliedIndex ?? 0,
      machine: this.replica,
    })
    this.replica.attach(group)
    this.#host.start()
    await eventually(() => this.replica.projection())
  }

  /** Stops everything but the database. What waits for the database is left to the log. */
  async close(): Promise<void> {
    this.#host.stop()
    this.replica.close()
    await this.materialiser.stop()
    await this.#wal.close()
  }

  async destroy(): Promise<void> {
    await this.close()
    await this.database.destroy()
    await rm(this.directory, { recursive: true })
  }

  /** As if the database had been emptied. */
  async emptyDatabase(): Promise<void> {
    for (const table of ['record_batches', 'partition_state'] as const)
      await this.database.deleteFrom(table).execute()
  }

  /** As if it had been restored from a backup, or written to by another. */
  async shiftDatabase(entries: number): Promise<void> {
    await this.database
      .updateTable('partition_state')
      .set((row) => ({ applied_index: row('applied_index', '+', entries) }))
      .execute()
  }

  /** Frees the log of what the database has. */
  freeLog(): void {
    this.#host.compact(this.replica.group, this.replica.materialisedIndex)
  }

  async messagesInDatabase(): Promise<string[]> {
    const batches = await this.database
      .selectFrom('messages' as never)
      .selectAll()
      .execute()
    return (batches as { value: string }[]).map((row) => row.value)
  }

  async #materialise(deltas: readonly PartitionDelta[], load: LoadBatches): Promise<void> {
    if (this.databaseFault !== undefined) throw this.databaseFault
    await this.store.materialise(this.database, deltas, load)
  }
}

export function batchOf(
  values: readonly string[],
  producer?: { readonly sequence: number; readonly epoch?: number },
): Uint8Array {
  const records = values.map((value) => ({
    timestamp: 1_700_000_000_000,
    key: null,
    value: new TextEncoder().encode(value),
    headers: [],
  }))
  if (producer === undefined) return encodeRecordBatch({ records })
  const { sequence, epoch = 0 } = producer
  return encodeRecordBatch({ records, producerId: 5n, producerEpoch: epoch, baseSequence: sequence })
}

export function requestId(n: number): string {
  return n.toString(16).padStart(32, '0')
}
