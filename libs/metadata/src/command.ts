import { BrokerError, toBrokerId, toTopicName } from '@sluice/domain'
import type { ActorType, AutoOffsetReset, ClusterSettings, ConsumerStart, TopicSettings } from './entities.js'
import { parseTopicSettings } from './topic-settings.js'

/** Id and time last seen, milliseconds since 1970. */
export type Seen = readonly [id: number, at: number]

export interface Mark {
  readonly type: ActorType
  readonly id: number
  readonly status: 'alive' | 'dead'
  readonly reason: string
}

interface BrokerSeat {
  readonly id: number
  readonly host: string
  readonly port: number
  readonly uuid: string
}

/** What the cluster's log says. `at` is stamped by the proposer: milliseconds since 1970. */
export type MetadataCommand =
  | {
      readonly kind: 'bootstrap'
      readonly at: number
      readonly clusterId: string
      readonly brokers: readonly BrokerSeat[]
      readonly settings: ClusterSettings
    }
  | {
      readonly kind: 'add-broker'
      readonly at: number
      readonly host: string
      readonly port: number
      readonly uuid: string
    }
  | ({ readonly kind: 'update-broker'; readonly at: number } & BrokerSeat)
  | {
      readonly kind: 'create-topic'
      readonly at: number
      readonly topic: string
      readonly partitions: number
      readonly replicationFactor?: number
      readonly settings?: TopicSettings
    }
  | {
      readonly kind: 'add-partition'
      readonly at: number
      readonly topic: string
      readonly expectedCount?: number
    }
  | { readonly kind: 'register-producer'; readonly at: number; readonly topic: string }
  | {
      readonly kind: 'register-consumer'
      readonly at: number
      readonly topic: string
      readonly start: ConsumerStart
      readonly ack: 'auto' | 'manual'
      /** Default `earliest`. */
      readonly autoOffsetReset?: AutoOffsetReset
    }
  | {
      readonly kind: 'activity'
      readonly at: number
      readonly producers: readonly Seen[]
      readonly consumers: readonly Seen[]
      readonly brokers: readonly Seen[]
    }
  | { readonly kind: 'mark'; readonly at: number; readonly marks: readonly Mark[] }

/** The gate for commands from the log or another process. @throws BrokerError INVALID_REQUEST */
export function parseMetadataCommand(value: unknown): MetadataCommand {
  const fields = record(value, 'command')
  const at = natural(fields['at'], 'at')
  const kind = fields['kind']
  switch (kind) {
    case 'bootstrap':
      return {
        kind,
        at,
        clusterId: text(fields['clusterId'], 'clusterId'),
        brokers: list(fields['brokers'], 'brokers').map(seat),
        settings: settings(fields['settings']),
      }
    case 'add-broker': {
      const { host, port, uuid } = address(fields)
      return { kind, at, host, port, uuid }
    }
    case 'update-broker':
      return { kind, at, ...seat(fields) }
    case 'create-topic':
      return {
        kind,
        at,
        topic: toTopicName(fields['topic']),
        partitions: positive(fields['partitions'], 'partitions'),
        ...(fields['replicationFactor'] === undefined
          ? {}
          : { replicationFactor: positive(fields['replicationFactor'], 'replicationFactor') }),
        settings: parseTopicSettings(fields['settings']),
      }
    case 'add-partition':
      return {
        kind,
        at,
        topic: toTopicName(fields['topic']),
        ...(fields['expectedCount'] === undefined
          ? {}
          : { expectedCount: natural(fields['expectedCount'], 'expectedCount') }),
      }
    case 'register-producer':
      return { kind, at, topic: toTopicName(fields['topic']) }
    case 'register-consumer':
      return {
        kind,
        at,
        topic: toTopicName(fields['topic']),
        start: start(fields['start']),
        ack: oneOf(fields['ack'], 'ack', ['auto', 'manual']),
        autoOffsetReset: oneOf(fields['autoOffsetReset'] ?? 'earliest', 'autoOffsetReset', [
          'earliest',
          'none',
        ]),
      }
    case 'activity':
      return {
        kind,
        at,
        producers: seen(fields['producers'], 'producers'),
        consumers: seen(fields['consumers'], 'consumers'),
        brokers: seen(fields['brokers'], 'brokers'),
      }
    case 'mark':
      return { kind, at, marks: list(fields['marks'], 'marks').map(mark) }
    default:
      throw invalid('kind', 'a known command')
  }
}

function seat(value: unknown): BrokerSeat {
  const fields = record(value, 'broker')
  return { id: toBrokerId(fields['id'], 'id'), ...address(fields) }
}

function address(fields: Record<string, unknown>): { host: string; port: number; uuid: string } {
  const port = natural(fields['port'], 'port')
  if (port < 1 || port > 65_535) throw invalid('port', 'a port')
  return { host: text(fields['host'], 'host'), port, uuid: text(fields['uuid'] ?? '', 'uuid') }
}

function settings(value: unknown): ClusterSettings {
  const fields = record(value, 'settings')
  return {
    replicationFactor: positive(fields['replicationFactor'], 'replicationFactor'),
    deadAfterMs: positive(fields['deadAfterMs'], 'deadAfterMs'),
    partitionsPerTopicMax: positive(fields['partitionsPerTopicMax'], 'partitionsPerTopicMax'),
  }
}

function start(value: unknown): ConsumerStart {
  if (value === 'earliest' || value === 'latest') return value
  return { time: natural(record(value, 'start')['time'], 'start') }
}

function mark(value: unknown): Mark {
  const fields = record(value, 'mark')
  return {
    type: oneOf(fields['type'], 'type', ['producer', 'consumer', 'broker']),
    id: positive(fields['id'], 'id'),
    status: oneOf(fields['status'], 'status', ['alive', 'dead']),
    reason: text(fields['reason'], 'reason'),
  }
}

function seen(value: unknown, field: string): readonly Seen[] {
  return list(value, field).map((entry) => {
    const pair = list(entry, field)
    return [positive(pair[0], field), natural(pair[1], field)]
  })
}

function record(value: unknown, field: string): Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw invalid(field, 'an object')
  return value as Record<string, unknown>
}

function list(value: unknown, field: string): readonly unknown[] {
  if (!Array.isArray(value)) throw invalid(field, 'a list')
  return value
}

function text(value: unknown, field: string): string {
  if (typeof value !== 'string' || value.length > 1000) throw invalid(field, 'text')
  return value
}

function natural(value: unknown, field: string): number {
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 0)
    throw invalid(field, 'a natural number')
  return value
}

function positive(value: unknown, field: string): number {
  const number = natural(value, field)
  if (number < 1) throw invalid(field, 'positive')
  return number
}

function oneOf<const T extends string>(value: unknown, field: string, choices: readonly T[]): T {
  const found = choices.find((choice) => choice === value)
  if (found === undefined) throw invalid(field, choices.join(' or '))
  return found
}

function invalid(field: string, expected: string): BrokerError {
  return new BrokerError('INVALID_REQUEST', `${field} of a metadata command must be ${expected}`, { field })
}
