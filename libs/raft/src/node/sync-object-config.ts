import type { TransportTls } from '../transport/tls.js'
import { ConfigMistakes } from './config-mistakes.js'

type AddressFamily = 'ipv4' | 'ipv6' | 'any'

/**
 * Another way of writing and reading snapshots, for example compressed. As with PySyncObj's serializer,
 * what it is given must come back from the deserializer, byte for byte; it may keep more beside that.
 */
export interface CustomSnapshots {
  /** @param state of the machine, captured already */
  serialize(state: AsyncIterable<Uint8Array>): AsyncIterable<Uint8Array>
  /** The machine's state from what `serialize` gave. Failing stops the node: half a state serves nobody. */
  deserialize(stored: AsyncIterable<Uint8Array>): AsyncIterable<Uint8Array>
}

/**
 * How a replicated object's node behaves: PySyncObj's 37 options under names with units. Times are
 * milliseconds, sizes are bytes. `docs/pysyncobj.md` has PySyncObj's name of each.
 */
export interface SyncObjectConfig {
  /** Nodes of clusters with other names are refused. Default 'default'. */
  readonly clusterName: string
  /** Of the nodes of one cluster alone, at least 8 bytes; peers without it are refused. Default none. */
  readonly secret: string | Uint8Array | undefined
  /** Encrypts every connection and checks both ends' certificates. Default none. */
  readonly tls: TransportTls | undefined
  /** False: nothing happens by itself, `tick()` must be called every `tickMs`. Default true. */
  readonly autoTick: boolean
  /** Resolution of all times below that belong to Raft. Default 50. */
  readonly tickMs: number
  /** Commands of this node that are not settled, count. One more is QUEUE_FULL. Default 100,000. */
  readonly commandsQueueCountMax: number
  /** The same in bytes. Default 64 MiB. */
  readonly commandsQueueBytesMax: number
  /** One command, encoded. Larger is refused with a CommandTooLargeError. Default 16 MiB, at most 64 MiB. */
  readonly commandBytesMax: number
  /**
   * Without a leader for a random time between these, a node stands for election. The random part is as
   * long as the fixed one, so the second is at least twice the first. Default 700 and 1400.
   */
  readonly electionMinMs: number
  readonly electionMaxMs: number
  /** Between two signs of life of a leader; less than a third of `electionMinMs`. Default 100. */
  readonly heartbeatMs: number
  /** A connection on which nothing arrives for so long is dead; at least `electionMaxMs`. Default 3500. */
  readonly connectionTimeoutMs: number
  /** Before the first new attempt to connect; doubles with each, with jitter. Default 100. */
  readonly connectionRetryMs: number
  /** Where the doubling ends. Default 5000. */
  readonly connectionRetryMaxMs: number
  /**
   * How long a command may wait for a leader before MISSING_LEADER. (A leader that a majority does not
   * answer steps down after one election timeout, always.) Default 30,000.
   */
  readonly quorumTimeoutMs: number
  /** Commands of one turn of the event loop travel together: throughput. False: each alone. Default true. */
  readonly appendBatching: boolean
  /** Commands of one batch together; a larger one travels alone. Default 64 KiB. */
  readonly appendBatchBytesMax: number
  /** Address to listen on, when it is not the node's own (NAT). Default the node's own host. */
  readonly bindAddress: string | undefined
  /** Which addresses of a name are preferred. Default 'any'. */
  readonly addressFamily: AddressFamily
  /** Given to the kernel at a time by a connection; what is more urgent may overtake the rest. Default 256 KiB. */
  readonly sendBufferBytes: number
  /** How long a name's address is believed. Default 600,000. */
  readonly dnsCacheMs: number
  /** How long a name's failure to resolve is believed. Default 30,000. */
  readonly dnsFailureCacheMs: number
  /** The log is compacted once it has so many entries, at least 2, … Default 5000. */
  readonly logCompactionMinEntries: number
  /** … or once this time has passed since the last time, if it has any. Default 300,000. */
  readonly logCompactionMinMs: number
  /** Each node compacts in its own window of time only, so that one at a time is slower. Default false. */
  readonly logCompactionSplit: boolean
  /** One piece of a snapshot on its way; at most 128 KiB. Default 64 KiB. */
  readonly snapshotChunkBytesMax: number
  /** Commands wait while there is no leader, instead of MISSING_LEADER at once. Default true. */
  readonly commandsWaitLeader: boolean
  /**
   * Log, snapshots and identity of this node alone; made when it does not exist. Default none: the node
   * forgets all when it ends and must never come back as itself.
   */
  readonly dataDirectory: string | undefined
  /** Between two attempts to listen on an address that is in use. Default 1000. */
  readonly bindRetryMs: number
  /** Attempts after the first one; Infinity never gives up. Default Infinity. */
  readonly bindRetriesMax: number
  /** Nodes may be added and removed while the cluster runs. Default false. */
  readonly dynamicMembership: boolean
  /** Default none: snapshots hold the machine's state as it is. Needs `dataDirectory`. */
  readonly snapshots: CustomSnapshots | undefined
  /** Silence after which the kernel probes a connection. 0 never. Default 16,000. */
  readonly tcpKeepAliveIdleMs: number
}

export const DEFAULT_SYNC_OBJECT_CONFIG: SyncObjectConfig = {
  clusterName: 'default',
  secret: undefined,
  tls: undefined,
  autoTick: true,
  tickMs: 50,
  commandsQueueCountMax: 100_000,
  commandsQueueBytesMax: 64 * 1024 * 1024,
  commandBytesMax: 16 * 1024 * 1024,
  electionMinMs: 700,
  electionMaxMs: 1400,
  heartbeatMs: 100,
  connectionTimeoutMs: 3500,
  connectionRetryMs: 100,
  connectionRetryMaxMs: 5000,
  quorumTimeoutMs: 30_000,
  appendBatching: true,
  appendBatchBytesMax: 64 * 1024,
  bindAddress: undefined,
  addressFamily: 'any',
  sendBufferBytes: 256 * 1024,
  dnsCacheMs: 600_000,
  dnsFailureCacheMs: 30_000,
  logCompactionMinEntries: 5000,
  logCompactionMinMs: 300_000,
  logCompactionSplit: false,
  snapshotChunkBytesMax: 64 * 1024,
  commandsWaitLeader: true,
  dataDirectory: undefined,
  bindRetryMs: 1000,
  bindRetriesMax: Number.POSITIVE_INFINITY,
  dynamicMembership: false,
  snapshots: undefined,
  tcpKeepAliveIdleMs: 16_000,
}

const SECRET_BYTES_MIN = 8
const MIB = 1024 * 1024
/** Longest delay that a timer of Node takes. */
const DELAY_MS_MAX = 2_147_483_647
const FAMILIES: ReadonlySet<unknown> = new Set<AddressFamily>(['ipv4', 'ipv6', 'any'])

/**
 * The whole configuration from the parts that differ from the defaults.
 * @throws InvalidConfigError that lists every mistake
 */
export function validateConfig(given: Partial<SyncObjectConfig> = {}): SyncObjectConfig {
  const mistakes = new ConfigMistakes()
  const known = new Set(Object.keys(DEFAULT_SYNC_OBJECT_CONFIG))
  for (const field of Object.keys(given)) if (!known.has(field)) mistakes.add(field, 'is no option')
  const chosen = Object.entries(given).filter(([, value]) => value !== undefined)
  const config = {
    ...DEFAULT_SYNC_OBJECT_CONFIG,
    ...(Object.fromEntries(chosen) as Partial<SyncObjectConfig>),
  }
  checkTimes(config, mistakes)
  checkSizes(config, mistakes)
  checkKinds(config, mistakes)
  mistakes.throwIfAny()
  return config
}

function checkTimes(config: SyncObjectConfig, mistakes: ConfigMistakes): void {
  const positive = { min: 1, max: DELAY_MS_MAX }
  const notNegative = { min: 0, max: DELAY_MS_MAX }
  mistakes.number('tickMs', config.tickMs, positive)
  mistakes.number('heartbeatMs', config.heartbeatMs, positive)
  mistakes.number('electionMinMs', config.electionMinMs, positive)
  mistakes.number('electionMaxMs', config.electionMaxMs, positive)
  mistakes.number('connectionTimeoutMs', config.connectionTimeoutMs, positive)
  mistakes.number('connectionRetryMs', config.connectionRetryMs, notNegative)
  mistakes.number('connectionRetryMaxMs', config.connectionRetryMaxMs, notNegative)
  mistakes.number('quorumTimeoutMs', config.quorumTimeoutMs, positive)
  mistakes.number('dnsCacheMs', config.dnsCacheMs, notNegative)
  mistakes.number('dnsFailureCacheMs', config.dnsFailureCacheMs, notNegative)
  mistakes.number('logCompactionMinMs', config.logCompactionMinMs, positive)
  mistakes.number('bindRetryMs', config.bindRetryMs, positive)
  mistakes.number('tcpKeepAliveIdleMs', config.tcpKeepAliveIdleMs, notNegative)
  const { tickMs, heartbeatMs, electionMinMs, electionMaxMs } = config
  mistakes.rule('heartbeatMs', heartbeatMs >= tickMs, 'must be at least tickMs')
  mistakes.rule('electionMinMs', electionMinMs > 3 * heartbeatMs, 'must be more than three times heartbeatMs')
  mistakes.rule('electionMaxMs', electionMaxMs >= 2 * electionMinMs, 'must be at least twice electionMinMs')
  mistakes.rule(
    'connectionTimeoutMs',
    config.connectionTimeoutMs >= electionMaxMs,
    'must be at least electionMaxMs',
  )
  mistakes.rule(
    'connectionRetryMaxMs',
    config.connectionRetryMaxMs >= config.connectionRetryMs,
    'must be at least connectionRetryMs',
  )
  mistakes.rule('quorumTimeoutMs', config.quorumTimeoutMs >= heartbeatMs, 'must be at least heartbeatMs')
}

function checkSizes(config: SyncObjectConfig, mistakes: ConfigMistakes): void {
  const anySize = { min: 1, max: 1024 * MIB, integer: true }
  mistakes.number('commandsQueueCountMax', config.commandsQueueCountMax, { min: 0, max: 1e7, integer: true })
  mistakes.number('commandsQueueBytesMax', config.commandsQueueBytesMax, { ...anySize, min: 0 })
  mistakes.number('commandBytesMax', config.commandBytesMax, { min: 1, max: 64 * MIB, integer: true })
  mistakes.number('appendBatchBytesMax', config.appendBatchBytesMax, anySize)
  mistakes.number('sendBufferBytes', config.sendBufferBytes, anySize)
  mistakes.number('snapshotChunkBytesMax', config.snapshotChunkBytesMax, {
    min: 1024,
    max: 128 * 1024,
    integer: true,
  })
  mistakes.number('logCompactionMinEntries', config.logCompactionMinEntries, {
    min: 2,
    max: Number.MAX_SAFE_INTEGER,
    integer: true,
  })
  const { bindRetriesMax } = config
  mistakes.rule(
    'bindRetriesMax',
    bindRetriesMax === Number.POSITIVE_INFINITY ||
      (Number.isSafeInteger(bindRetriesMax) && bindRetriesMax >= 0),
    'must be a whole number of at least 0, or Infinity',
  )
}

function checkKinds(config: SyncObjectConfig, mistakes: ConfigMistakes): void {
  const { secret, tls, bindAddress, dataDirectory, snapshots } = config
  mistakes.text('clusterName', config.clusterName)
  mistakes.boolean('autoTick', config.autoTick)
  mistakes.boolean('appendBatching', config.appendBatching)
  mistakes.boolean('logCompactionSplit', config.logCompactionSplit)
  mistakes.boolean('commandsWaitLeader', config.commandsWaitLeader)
  mistakes.boolean('dynamicMembership', config.dynamicMembership)
  mistakes.rule('addressFamily', FAMILIES.has(config.addressFamily), "must be 'ipv4', 'ipv6' or 'any'")
  if (secret !== undefined)
    mistakes.rule(
      'secret',
      isSecret(secret),
      `must be a string or bytes, at least ${SECRET_BYTES_MIN} bytes long`,
    )
  if (tls !== undefined)
    for (const part of ['ca', 'cert', 'key'] as const)
      mistakes.rule(
        `tls.${part}`,
        isPem((tls as TransportTls | null)?.[part]),
        'must be PEM, a text or bytes',
      )
  if (bindAddress !== undefined) mistakes.text('bindAddress', bindAddress)
  if (dataDirectory !== undefined) mistakes.text('dataDirectory', dataDirectory)
  if (snapshots === undefined) return
  const custom = snapshots as Partial<Record<keyof CustomSnapshots, unknown>>
  mistakes.rule(
    'snapshots',
    typeof custom.serialize === 'function' && typeof custom.deserialize === 'function',
    'must have both serialize and deserialize',
  )
  mistakes.rule('snapshots', dataDirectory !== undefined, 'needs a dataDirectory')
}

function isSecret(secret: unknown): boolean {
  if (typeof secret === 'string') return Buffer.byteLength(secret) >= SECRET_BYTES_MIN
  return secret instanceof Uint8Array && secret.length >= SECRET_BYTES_MIN
}

function isPem(value: unknown): boolean {
  return (typeof value === 'string' || value instanceof Uint8Array) && value.length > 0
}
