import { WAIT_MS_MAX } from '@sluice/contracts'
import { EnvReader, LOG_LEVELS, type LogLevel } from '@sluice/service'
import { type ManagerAddress, parseManagerAddress } from './address.js'
import type { ForwarderLimits } from './forwarder.js'
import type { ManagerLimits } from './manager.js'

export interface LoadBalancerConfig {
  readonly host: string
  /** 0 lets the system choose. */
  readonly port: number
  /** At least one of each. */
  readonly writeManagers: readonly ManagerAddress[]
  readonly readManagers: readonly ManagerAddress[]
  /** Largest body of a call, bytes. A batch of messages is one body. */
  readonly bodyBytesMax: number
  /** Bodies kept in memory at once, all calls together, bytes; more are refused with OVERLOADED. */
  readonly bodiesBytesMax: number
  readonly calls: ForwarderLimits
  readonly managers: ManagerLimits
  /** How long a stop waits for the calls that are open, milliseconds. */
  readonly drainMs: number
  readonly logLevel: LogLevel
}

const KIB = 1024
const MIB = 1024 * KIB
const MINUTE_MS = 60_000

/** What a manager may need on top of its own time-out until its answer is here, milliseconds. */
const MARGIN_MS = 5000

/**
 * Time-outs and sizes follow those of the managers, so that a manager's own answer arrives before it is
 * given up, and a body that a manager takes is not refused here.
 *
 * @throws ConfigError with every setting that is wrong
 */
export function readLoadBalancerConfig(env: NodeJS.ProcessEnv): LoadBalancerConfig {
  const reader = new EnvReader(env)
  const milliseconds = (name: string, fallback: number): number =>
    reader.integer(name, { min: 10, max: 10 * MINUTE_MS, fallback })
  const bytes = (name: string, min: number, fallback: number): number =>
    reader.integer(name, { min, max: 64 * 1024 * MIB, fallback })
  const produceTimeoutMs = milliseconds('SLUICE_PRODUCE_TIMEOUT_MS', 10_000)
  const consumeTimeoutMs = milliseconds('SLUICE_CONSUME_TIMEOUT_MS', 10_000)
  const messageBytesMax = bytes('SLUICE_MESSAGE_BYTES_MAX', 1, MIB)
  const config: LoadBalancerConfig = {
    host: reader.string('LOAD_BALANCER_HOST', { fallback: '127.0.0.1' }),
    port: reader.integer('LOAD_BALANCER_PORT', { min: 0, max: 65_535, fallback: 8080 }),
    writeManagers: reader.parse(
      'LOAD_BALANCER_WRITE_MANAGERS',
      parseManagers,
      parseManagers('http://127.0.0.1:7101'),
    ),
    readManagers: reader.parse(
      'LOAD_BALANCER_READ_MANAGERS',
      parseManagers,
      parseManagers('http://127.0.0.1:7201'),
    ),
    // A byte of a message takes up to six in JSON (\u0000).
    bodyBytesMax: bytes('SLUICE_BODY_BYTES_MAX', KIB, Math.max(16 * MIB, messageBytesMax * 6 + 64 * KIB)),
    bodiesBytesMax: bytes('LOAD_BALANCER_BODIES_BYTES_MAX', MIB, 256 * MIB),
    calls: {
      callTimeoutMs: milliseconds(
        'LOAD_BALANCER_CALL_TIMEOUT_MS',
        Math.max(produceTimeoutMs, consumeTimeoutMs) + MARGIN_MS,
      ),
      waitTimeoutMs: milliseconds(
        'LOAD_BALANCER_WAIT_TIMEOUT_MS',
        WAIT_MS_MAX + consumeTimeoutMs + MARGIN_MS,
      ),
      callsMax: reader.integer('LOAD_BALANCER_CALLS_MAX', { min: 1, max: 1_000_000, fallback: 4096 }),
      answerBytesMax: bytes('LOAD_BALANCER_ANSWER_BYTES_MAX', KIB, 64 * MIB),
    },
    managers: {
      connectionsMax: reader.integer('LOAD_BALANCER_CONNECTIONS_MAX', {
        min: 1,
        max: 65_535,
        fallback: 1024,
      }),
      connectTimeoutMs: milliseconds('LOAD_BALANCER_CONNECT_TIMEOUT_MS', 1000),
      healthIntervalMs: milliseconds('LOAD_BALANCER_HEALTH_INTERVAL_MS', 500),
      healthTimeoutMs: milliseconds('LOAD_BALANCER_HEALTH_TIMEOUT_MS', 1000),
    },
    drainMs: reader.integer('LOAD_BALANCER_DRAIN_MS', { min: 0, max: MINUTE_MS, fallback: 5000 }),
    logLevel: reader.choice('SLUICE_LOG_LEVEL', LOG_LEVELS, 'info'),
  }
  reader.finish()
  return config
}

function parseManagers(text: string): readonly ManagerAddress[] {
  const parts = text.split(',').map((part) => part.trim())
  const managers = parts.filter((part) => part !== '').map(parseManagerAddress)
  if (managers.length === 0) throw new Error('names no manager')
  return managers
}
