import { EnvReader, type HostPort, LOG_LEVELS } from '@sluice/service'

/** What a write manager is told when it starts. */
export interface WriteManagerConfig {
  readonly host: string
  /** 0 lets the system choose. */
  readonly port: number
  /** How this process calls itself to the brokers. */
  readonly id: string
  readonly clusterId: string
  /** Some brokers to start from; the others are learnt. */
  readonly brokers: readonly HostPort[]
  /** Of one message with key and headers, bytes. */
  readonly messageBytesMax: number
  /** Of one request, bytes: many messages, or one in base64. */
  readonly bodyBytesMax: number
  /** A topic gets another partition when it holds this many messages per partition. */
  readonly partitionMessagesMax: number
  readonly topicPartitionsMax: number
  /** From a produce call to its answer, milliseconds. Longer rides out slower elections. */
  readonly produceTimeoutMs: number
  /** Of the records in one batch, bytes. */
  readonly batchBytesMax: number
  readonly batchRecordsMax: number
  /** What may wait for one partition, and in this process, bytes; more is refused with OVERLOADED. */
  readonly partitionQueueBytesMax: number
  readonly queueBytesMax: number
  readonly logLevel: string
}

const MIB = 1024 * 1024

export function readWriteManagerConfig(env: NodeJS.ProcessEnv): WriteManagerConfig {
  const reader = new EnvReader(env)
  const messageBytesMax = reader.integer('SLUICE_MESSAGE_BYTES_MAX', { min: 1, max: 8 * MIB, fallback: MIB })
  const config: WriteManagerConfig = {
    host: reader.string('WRITE_MANAGER_HOST', { fallback: '127.0.0.1' }),
    port: reader.integer('WRITE_MANAGER_PORT', { min: 0, max: 65_535, fallback: 7101 }),
    id: reader.string('WRITE_MANAGER_ID', { fallback: 'write-manager-1' }),
    clusterId: reader.string('SLUICE_CLUSTER_ID'),
    brokers: reader.addresses('SLUICE_BROKERS'),
    messageBytesMax,
    bodyBytesMax: reader.integer('SLUICE_BODY_BYTES_MAX', {
      min: 1024,
      max: 64 * MIB,
      // A byte takes up to six in JSON (\u0000).
      fallback: Math.max(16 * MIB, messageBytesMax * 6 + 64 * 1024),
    }),
    partitionMessagesMax: reader.integer('SLUICE_PARTITION_MESSAGES_MAX', {
      min: 1,
      max: Number.MAX_SAFE_INTEGER,
      fallback: 100_000,
    }),
    topicPartitionsMax: reader.integer('SLUICE_TOPIC_PARTITIONS_MAX', { min: 1, max: 1000, fallback: 64 }),
    produceTimeoutMs: reader.integer('SLUICE_PRODUCE_TIMEOUT_MS', {
      min: 100,
      max: 120_000,
      fallback: 10_000,
    }),
    batchBytesMax: reader.integer('SLUICE_BATCH_BYTES_MAX', { min: 1024, max: 8 * MIB, fallback: MIB }),
    batchRecordsMax: reader.integer('SLUICE_BATCH_RECORDS_MAX', { min: 1, max: 100_000, fallback: 10_000 }),
    partitionQueueBytesMax: reader.integer('SLUICE_PARTITION_QUEUE_BYTES_MAX', {
      min: MIB,
      max: 1024 * MIB,
      fallback: 32 * MIB,
    }),
    queueBytesMax: reader.integer('SLUICE_QUEUE_BYTES_MAX', {
      min: MIB,
      max: 4096 * MIB,
      fallback: 128 * MIB,
    }),
    logLevel: reader.choice('SLUICE_LOG_LEVEL', LOG_LEVELS, 'info'),
  }
  reader.finish()
  return config
}
