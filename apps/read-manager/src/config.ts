import { EnvReader, type HostPort, LOG_LEVELS } from '@sluice/service'

/** What a read manager is told when it starts. */
export interface ReadManagerConfig {
  readonly host: string
  /** 0 lets the system choose. */
  readonly port: number
  /** How this process calls itself to the brokers. */
  readonly id: string
  readonly clusterId: string
  /** Some brokers to start from; the others are learnt. */
  readonly brokers: readonly HostPort[]
  /** From a consume call to its answer, beside the time it asks to wait. Milliseconds. */
  readonly consumeTimeoutMs: number
  /** How long a partition whose leader is silent may hold up those that have messages. Milliseconds. */
  readonly partitionPatienceMs: number
  /** Of the messages in one answer, bytes, about. */
  readonly answerBytesMax: number
  readonly logLevel: string
}

const KIB = 1024
const MIB = 1024 * KIB

export function readReadManagerConfig(env: NodeJS.ProcessEnv): ReadManagerConfig {
  const reader = new EnvReader(env)
  const config: ReadManagerConfig = {
    host: reader.string('READ_MANAGER_HOST', { fallback: '127.0.0.1' }),
    port: reader.integer('READ_MANAGER_PORT', { min: 0, max: 65_535, fallback: 7201 }),
    id: reader.string('READ_MANAGER_ID', { fallback: 'read-manager-1' }),
    clusterId: reader.string('SLUICE_CLUSTER_ID'),
    brokers: reader.addresses('SLUICE_BROKERS'),
    consumeTimeoutMs: reader.integer('SLUICE_CONSUME_TIMEOUT_MS', {
      min: 100,
      max: 120_000,
      fallback: 10_000,
    }),
    partitionPatienceMs: reader.integer('SLUICE_PARTITION_PATIENCE_MS', {
      min: 10,
      max: 60_000,
      fallback: 1000,
    }),
    answerBytesMax: reader.integer('SLUICE_ANSWER_BYTES_MAX', { min: KIB, max: 12 * MIB, fallback: 8 * MIB }),
    logLevel: reader.choice('SLUICE_LOG_LEVEL', LOG_LEVELS, 'info'),
  }
  reader.finish()
  return config
}
