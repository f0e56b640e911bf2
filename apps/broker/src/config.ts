import type { ClusterSettings } from '@sluice/metadata'
import { EnvReader, LOG_LEVELS } from '@sluice/service'
import type { BrokerAddress } from './broker-address.js'

/** What a broker is told when it starts. */
export interface BrokerConfig {
  readonly host: string
  /** For HTTP and for binary connections; 0 lets the system choose. */
  readonly port: number
  /** The name under which others reach this broker. */
  readonly advertisedHost: string
  /** Holds the identity and the write-ahead log. */
  readonly dataDirectory: string
  readonly databaseUrl: string
  /** Connections to the database. */
  readonly databasePoolMax: number
  /** Set with `brokerId` and `bootstrap`: a member of the first brokers. All absent: waits to be added. */
  readonly clusterId: string
  readonly brokerId: number
  readonly bootstrap: readonly BrokerAddress[]
  /** Size of a log segment, bytes. Larger means fewer files, smaller means log space is freed sooner. */
  readonly segmentBytes: number
  /** Beyond it the log is given up although a member that is away may need it: it gets a snapshot. Bytes. */
  readonly logBytesMax: number
  /** Entries kept in memory for followers, all partitions together, bytes. */
  readonly logCacheBytesMax: number
  /** Recent batches kept in memory for readers, all partitions together, bytes. */
  readonly recentBytesMax: number
  /** Batches kept in memory that the database does not have; the others of them are in the log only. Bytes. */
  readonly heldBytesMax: number
  /** What may wait for the database before produce is answered with OVERLOADED, bytes. */
  readonly unmaterialisedBytesMax: number
  /** Copied from other brokers' databases to this one, all partitions together, bytes a second. */
  readonly copyBytesPerSecond: number
  /** Between two looks at what topics no longer keep. Milliseconds. */
  readonly retentionCheckMs: number
  /**
   * Silence after which a broker, producer or consumer is dead. Milliseconds. What a cluster is founded with;
   * afterwards `PATCH /settings` changes it.
   */
  readonly deadAfterMs: ClusterSettings['deadAfterMs']
  /** From the last message read in a closed partition to its end: lost answers may be asked for again. Milliseconds. */
  readonly closedPartitionGraceMs: number
  /** Between two ranges that replicas compare. Milliseconds. Less finds damage sooner and costs more reading. */
  readonly replicaCheckMs: number
  /**
   * A group must have been without a leader, and a broker silent, for so long before an operator may give it up.
   * Milliseconds.
   */
  readonly recoveryQuietMs: number
  readonly replicationFactor: number
  /** Replicas of a partition are put on different racks where possible; empty: no matter. */
  readonly rack: string
  readonly logLevel: string
}

const MIB = 1024 * 1024

export function readBrokerConfig(env: NodeJS.ProcessEnv): BrokerConfig {
  const reader = new EnvReader(env)
  const host = reader.string('BROKER_HOST', { fallback: '127.0.0.1' })
  const config: BrokerConfig = {
    host,
    port: reader.integer('BROKER_PORT', { min: 0, max: 65_535, fallback: 7001 }),
    advertisedHost: reader.string('BROKER_ADVERTISED_HOST', { fallback: host }),
    dataDirectory: reader.string('BROKER_DATA_DIR'),
    databaseUrl: reader.string('BROKER_DATABASE_URL'),
    databasePoolMax: reader.integer('BROKER_DATABASE_POOL_MAX', { min: 2, max: 100, fallback: 6 }),
    clusterId: reader.string('SLUICE_CLUSTER_ID', { fallback: '' }),
    brokerId: reader.integer('BROKER_ID', { min: 0, max: 2 ** 31, fallback: 0 }),
    bootstrap: reader.parse('SLUICE_BOOTSTRAP_BROKERS', parseBootstrap, []),
    segmentBytes: reader.integer('BROKER_LOG_SEGMENT_BYTES', {
      min: MIB,
      max: 1024 * MIB,
      fallback: 64 * MIB,
    }),
    logBytesMax: reader.integer('BROKER_LOG_BYTES', {
      min: MIB,
      max: 1024 * 1024 * MIB,
      fallback: 2048 * MIB,
    }),
    logCacheBytesMax: reader.integer('BROKER_LOG_CACHE_BYTES', {
      min: MIB,
      max: 64 * 1024 * MIB,
      fallback: 64 * MIB,
    }),
    recentBytesMax: reader.integer('BROKER_RECENT_BYTES', {
      min: 0,
      max: 64 * 1024 * MIB,
      fallback: 32 * MIB,
    }),
    heldBytesMax: reader.integer('BROKER_UNMATERIALISED_MEMORY_BYTES', {
      min: 0,
      max: 64 * 1024 * MIB,
      fallback: 64 * MIB,
    }),
    unmaterialisedBytesMax: reader.integer('BROKER_UNMATERIALISED_BYTES', {
      min: MIB,
      max: 64 * 1024 * MIB,
      fallback: 256 * MIB,
    }),
    copyBytesPerSecond: reader.integer('BROKER_COPY_BYTES_PER_SECOND', {
      min: 64 * 1024,
      max: 64 * 1024 * MIB,
      fallback: 32 * MIB,
    }),
    retentionCheckMs: reader.integer('BROKER_RETENTION_CHECK_MS', {
      min: 100,
      max: 3_600_000,
      fallback: 10_000,
    }),
    deadAfterMs: readThresholds(reader),
    closedPartitionGraceMs: reader.integer('SLUICE_CLOSED_PARTITION_GRACE_MS', {
      min: 0,
      max: 86_400_000,
      // For so long it is known which messages were stored under which ids.
      fallback: 600_000,
    }),
    replicaCheckMs: reader.integer('BROKER_REPLICA_CHECK_MS', { min: 10, max: 3_600_000, fallback: 1000 }),
    recoveryQuietMs: reader.integer('BROKER_RECOVERY_QUIET_MS', {
      min: 1000,
      max: 3_600_000,
      fallback: 10_000,
    }),
    replicationFactor: reader.integer('SLUICE_REPLICATION_FACTOR', { min: 1, max: 9, fallback: 3 }),
    rack: reader.string('BROKER_RACK', { fallback: '' }),
    logLevel: reader.choice('SLUICE_LOG_LEVEL', LOG_LEVELS, 'info'),
  }
  const given = [config.clusterId !== '', config.brokerId !== 0, config.bootstrap.length > 0]
  if (given.some(Boolean) && !given.every(Boolean))
    reader.reject('SLUICE_CLUSTER_ID, BROKER_ID and SLUICE_BOOTSTRAP_BROKERS go together')
  if (config.brokerId !== 0 && !config.bootstrap.some((broker) => broker.id === config.brokerId))
    reader.reject(`BROKER_ID ${config.brokerId} is not in SLUICE_BOOTSTRAP_BROKERS`)
  reader.finish()
  return config
}

/** One setting for all types of actors, and one for each type. */
function readThresholds(reader: EnvReader): ClusterSettings['deadAfterMs'] {
  const bounds = { min: 1000, max: 86_400_000 }
  const fallback = reader.integer('SLUICE_DEAD_AFTER_MS', { ...bounds, fallback: 300_000 })
  return {
    broker: reader.integer('SLUICE_BROKER_DEAD_AFTER_MS', { ...bounds, fallback }),
    producer: reader.integer('SLUICE_PRODUCER_DEAD_AFTER_MS', { ...bounds, fallback }),
    consumer: reader.integer('SLUICE_CONSUMER_DEAD_AFTER_MS', { ...bounds, fallback }),
  }
}

/** `1=127.0.0.1:7001,2=127.0.0.1:7002`: the first brokers of a cluster, the same list for each of them. */
function parseBootstrap(text: string): readonly BrokerAddress[] {
  const brokers = text.split(',').map((part) => {
    const match = /^([1-9][0-9]*)=(.+):([0-9]{1,5})$/.exec(part.trim())
    if (match === null) throw new Error(`"${part}" is not id=host:port`)
    return { id: Number(match[1]), host: match[2]!, port: Number(match[3]) }
  })
  if (new Set(brokers.map((broker) => broker.id)).size !== brokers.length)
    throw new Error('an id is there twice')
  return brokers
}
