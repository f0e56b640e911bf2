import { BrokerError, toBrokerId, toTopicName } from '@sluice/domain'
import {
  type BrokerSeat,
  COMMAND_VERSION,
  type Mark,
  type MetadataCommand,
  type MoveOrder,
  type RecoveredPartition,
  type Seen,
  type TopicChange,
} from './command.js'
import { PLAN_REASONS } from './balance/plan.js'
import { invalid, list, natural, oneOf, positive, record, text } from './command-fields.js'
import type { ActorType, ClusterSettings, ConsumerStart } from './entities.js'
import { type FeatureRange, toFeatureRange } from './feature-level.js'
import { parseTopicGrowth } from './topic-growth.js'
import { parseSettingsChange } from './topic-settings.js'

/**
 * The gate for commands from the log or another process.
 * @throws BrokerError INVALID_REQUEST; UNSUPPORTED_VERSION when a newer version wrote it
 */
export function parseMetadataCommand(value: unknown): MetadataCommand {
  const fields = record(value, 'command')
  const version = fields['v'] ?? COMMAND_VERSION
  if (version !== COMMAND_VERSION)
    throw new BrokerError(
      'UNSUPPORTED_VERSION',
      `a metadata command of another version than ${COMMAND_VERSION}`,
      { field: 'v' },
    )
  const command = kindFields(fields)
  return fields['by'] === undefined ? command : { ...command, by: text(fields['by'], 'by') }
}

function kindFields(fields: Record<string, unknown>): MetadataCommand {
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
      return { kind, at, host, port, uuid, ...featuresOf(fields) }
    }
    case 'update-broker':
      return {
        kind,
        at,
        ...seat(fields),
        ...optional(fields, 'rack', text),
        ...featuresOf(fields),
      }
    case 'create-topic':
      return {
        kind,
        at,
        topic: toTopicName(fields['topic']),
        partitions: positive(fields['partitions'], 'partitions'),
        ...optional(fields, 'replicationFactor', positive),
        ...topicChange(fields),
      }
    case 'alter-topic':
      return { kind, at, topic: toTopicName(fields['topic']), ...topicChange(fields) }
    case 'remove-partition':
      return {
        kind,
        at,
        groupId: positive(fields['groupId'], 'groupId'),
        reason: text(fields['reason'], 'reason'),
        ...optional(fields, 'newestConsumer', positive),
      }
    case 'delete-topic':
      return { kind, at, topic: toTopicName(fields['topic']), ...optional(fields, 'groupId', positive) }
    case 'close-partition':
    case 'add-partition':
      return {
        kind,
        at,
        topic: toTopicName(fields['topic']),
        ...optional(fields, 'expectedCount', natural),
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
    case 'move-replicas':
      return {
        kind,
        at,
        groupId: positive(fields['groupId'], 'groupId'),
        target: brokerIds(fields['target'], 'target'),
      }
    case 'move-done':
    case 'move-settled':
    case 'cancel-move':
      return {
        kind,
        at,
        groupId: positive(fields['groupId'], 'groupId'),
        moveId: positive(fields['moveId'], 'moveId'),
      }
    case 'replica-dropped':
      return {
        kind,
        at,
        groupId: positive(fields['groupId'], 'groupId'),
        brokerId: toBrokerId(fields['brokerId'], 'brokerId'),
      }
    case 'set-broker-state':
      return {
        kind,
        at,
        brokerId: toBrokerId(fields['brokerId'], 'brokerId'),
        state: oneOf(fields['state'], 'state', ['joining', 'active', 'maintenance', 'removing', 'evicted']),
      }
    case 'remove-broker':
      return { kind, at, brokerId: toBrokerId(fields['brokerId'], 'brokerId') }
    case 'start-plan':
      return {
        kind,
        at,
        reason: oneOf(fields['reason'], 'reason', PLAN_REASONS),
        ...optional(fields, 'brokerId', toBrokerId),
        movesAtOnce: positive(fields['movesAtOnce'], 'movesAtOnce'),
        moveTimeoutMs: positive(fields['moveTimeoutMs'], 'moveTimeoutMs'),
        moves: list(fields['moves'], 'moves').map(moveOrder),
      }
    case 'step-plan':
      return {
        kind,
        at,
        planId: positive(fields['planId'], 'planId'),
        start: groupIds(fields['start'], 'start'),
        undo: groupIds(fields['undo'], 'undo'),
        giveUp: groupIds(fields['giveUp'], 'giveUp'),
      }
    case 'cancel-plan':
      return {
        kind,
        at,
        planId: positive(fields['planId'], 'planId'),
        ...optional(fields, 'reason', text),
      }
    case 'begin-recovery':
      return {
        kind,
        at,
        planId: text(fields['planId'], 'planId'),
        operator: text(fields['operator'], 'operator'),
        lost: brokerIds(fields['lost'], 'lost'),
        skipsIds: fields['skipsIds'] === true,
        summary: text(fields['summary'], 'summary'),
      }
    case 'recover-partitions':
      return {
        kind,
        at,
        planId: text(fields['planId'], 'planId'),
        partitions: list(fields['partitions'], 'partitions').map(recoveredPartition),
      }
    case 'end-recovery':
      return {
        kind,
        at,
        planId: text(fields['planId'], 'planId'),
        summary: text(fields['summary'], 'summary'),
      }
    case 'raise-feature-level':
      return { kind, at, level: positive(fields['level'], 'level') }
    case 'change-settings':
      return {
        kind,
        at,
        deadAfterMs: someThresholds(fields['deadAfterMs']),
        ...optional(fields, 'rebuildAfterMs', positive),
      }
    default:
      throw new BrokerError(
        'UNSUPPORTED_VERSION',
        `a metadata command of a kind that this version does not know: ${String(kind).slice(0, 100)}`,
        { field: 'kind' },
      )
  }
}

function moveOrder(value: unknown): MoveOrder {
  const fields = record(value, 'move')
  return {
    groupId: positive(fields['groupId'], 'groupId'),
    from: brokerIds(fields['from'], 'from'),
    to: brokerIds(fields['to'], 'to'),
    bytes: natural(fields['bytes'], 'bytes'),
  }
}

function recoveredPartition(value: unknown): RecoveredPartition {
  const fields = record(value, 'partition')
  const replicas = brokerIds(fields['replicas'], 'replicas')
  if (replicas.length === 0 || new Set(replicas).size !== replicas.length)
    throw invalid('replicas', 'one broker or more, each once')
  return {
    groupId: positive(fields['groupId'], 'groupId'),
    moveId: positive(fields['moveId'], 'moveId'),
    replicas,
    loss: text(fields['loss'], 'loss'),
  }
}

function brokerIds(value: unknown, field: string): readonly number[] {
  return list(value, field).map((id) => toBrokerId(id, field))
}

function groupIds(value: unknown, field: string): readonly number[] {
  return list(value, field).map((id) => positive(id, field))
}

function featuresOf(fields: Record<string, unknown>): { readonly features?: FeatureRange } {
  if (fields['features'] === undefined) return {}
  const features = toFeatureRange(fields['features'])
  if (features === undefined) throw invalid('features', 'a range of levels')
  return { features }
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
    deadAfterMs: toThresholds(fields['deadAfterMs']),
    partitionsPerTopicMax: positive(fields['partitionsPerTopicMax'], 'partitionsPerTopicMax'),
    // The first version had none.
    featureLevel: positive(fields['featureLevel'] ?? 1, 'featureLevel'),
  }
}

function topicChange(fields: Record<string, unknown>): TopicChange {
  const { growth, growthMax, settings } = fields
  return {
    ...(growth === undefined ? {} : { growth: growth === null ? null : parseTopicGrowth(growth) }),
    ...(growthMax === undefined
      ? {}
      : { growthMax: growthMax === null ? null : positive(growthMax, 'growthMax') }),
    ...(settings === undefined ? {} : { settings: parseSettingsChange(settings) }),
  }
}

/** One number is for all types. @throws BrokerError INVALID_REQUEST */
export function toThresholds(value: unknown): ClusterSettings['deadAfterMs'] {
  const fields =
    typeof value === 'number'
      ? { broker: value, producer: value, consumer: value }
      : record(value, 'deadAfterMs')
  return {
    broker: positive(fields['broker'], 'deadAfterMs'),
    producer: positive(fields['producer'], 'deadAfterMs'),
    consumer: positive(fields['consumer'], 'deadAfterMs'),
  }
}

function someThresholds(value: unknown): Partial<ClusterSettings['deadAfterMs']> {
  const fields = record(value, 'deadAfterMs')
  const given: Partial<Record<ActorType, number>> = {}
  for (const type of ['broker', 'producer', 'consumer'] as const)
    if (fields[type] !== undefined) given[type] = positive(fields[type], 'deadAfterMs')
  return given
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

/** The field when it is there; absent stays absent. */
function optional<K extends string, T>(
  fields: Record<string, unknown>,
  name: K,
  read: (value: unknown, field: string) => T,
): { readonly [P in K]?: T } {
  const value = fields[name]
  return (value === undefined ? {} : { [name]: read(value, name) }) as { readonly [P in K]?: T }
}
