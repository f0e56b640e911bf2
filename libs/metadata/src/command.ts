import { BrokerError, toBrokerId, toTopicName } from '@sluice/domain'
import type { PlanReason } from './balance/plan.js'
import type { ActorType, AutoOffsetReset, BrokerState, ClusterSettings, ConsumerStart } from './entities.js'
import { type FeatureRange, toFeatureRange } from './feature-level.js'
import { parseTopicGrowth, type TopicGrowth } from './topic-growth.js'
import { parseSettingsChange, type TopicSettingsChange } from './topic-settings.js'

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

/** What of a topic can be changed; what is absent stays as it is, null is what the cluster does. */
export interface TopicChange {
  readonly growth?: TopicGrowth | null
  readonly growthMax?: number | null
  readonly settings?: TopicSettingsChange
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
      readonly features?: FeatureRange
    }
  | ({
      readonly kind: 'update-broker'
      readonly at: number
      readonly rack?: string
      readonly features?: FeatureRange
    } & BrokerSeat)
  | ({
      readonly kind: 'create-topic'
      readonly at: number
      readonly topic: string
      readonly partitions: number
      readonly replicationFactor?: number
    } & TopicChange)
  | ({ readonly kind: 'alter-topic'; readonly at: number; readonly topic: string } & TopicChange)
  | {
      readonly kind: 'close-partition'
      readonly at: number
      readonly topic: string
      readonly expectedCount?: number
    }
  | {
      readonly kind: 'remove-partition'
      readonly at: number
      readonly groupId: number
      readonly reason: string
      /** Of the topic, as far as the one that asks knows: somebody who came later has not read the partition. */
      readonly newestConsumer?: number
    }
  | { readonly kind: 'delete-topic'; readonly at: number; readonly topic: string }
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
  | { readonly kind: 'raise-feature-level'; readonly at: number; readonly level: number }
  | {
      readonly kind: 'change-settings'
      readonly at: number
      readonly deadAfterMs: Partial<ClusterSettings['deadAfterMs']>
    }
  | MoveCommand
  | BrokerStateCommand
  | PlanCommand

/** About one broker's part in the cluster. */
export type BrokerStateCommand =
  | {
      readonly kind: 'set-broker-state'
      readonly at: number
      readonly brokerId: number
      readonly state: BrokerState
    }
  /** Refused while it holds anything. Its identity is never taken back. */
  | { readonly kind: 'remove-broker'; readonly at: number; readonly brokerId: number }

/** About the plan that moves replicas. */
export type PlanCommand =
  | {
      readonly kind: 'start-plan'
      readonly at: number
      readonly reason: PlanReason
      readonly brokerId?: number
      readonly movesAtOnce: number
      readonly moveTimeoutMs: number
      readonly moves: readonly MoveOrder[]
    }
  /** Groups whose moves begin, are undone, or are given up although they could not be undone. */
  | {
      readonly kind: 'step-plan'
      readonly at: number
      readonly planId: number
      readonly start: readonly number[]
      readonly undo: readonly number[]
      readonly giveUp: readonly number[]
    }
  | { readonly kind: 'cancel-plan'; readonly at: number; readonly planId: number }

export interface MoveOrder {
  readonly groupId: number
  /** The replicas as the plan found them: of others it is not. */
  readonly from: readonly number[]
  readonly to: readonly number[]
  readonly bytes: number
}

/** About one partition's replicas. */
export type MoveCommand =
  | {
      readonly kind: 'move-replicas'
      readonly at: number
      readonly groupId: number
      /** The first is the preferred leader. */
      readonly target: readonly number[]
    }
  /** Said by the partition's leader: the Raft group has the target of this move for its members. */
  | { readonly kind: 'move-done'; readonly at: number; readonly groupId: number; readonly moveId: number }
  /** Said by the partition's leader: every replica knows of the last change. */
  | { readonly kind: 'move-settled'; readonly at: number; readonly groupId: number; readonly moveId: number }
  /** Back to the replicas of before; refused when another move is under way by now. */
  | { readonly kind: 'cancel-move'; readonly at: number; readonly groupId: number; readonly moveId: number }
  /** Said by a broker that was a replica: nothing is left of it there. */
  | {
      readonly kind: 'replica-dropped'
      readonly at: number
      readonly groupId: number
      readonly brokerId: number
    }

/** Of the form of commands. A new kind, or a field that may be left out, needs no other version. */
const COMMAND_VERSION = 1

/** What is written into the log. */
export function encodeMetadataCommand(command: MetadataCommand): Uint8Array {
  return new TextEncoder().encode(JSON.stringify({ v: COMMAND_VERSION, ...command }))
}

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
        ...(fields['rack'] === undefined ? {} : { rack: text(fields['rack'], 'rack') }),
        ...featuresOf(fields),
      }
    case 'create-topic':
      return {
        kind,
        at,
        topic: toTopicName(fields['topic']),
        partitions: positive(fields['partitions'], 'partitions'),
        ...(fields['replicationFactor'] === undefined
          ? {}
          : { replicationFactor: positive(fields['replicationFactor'], 'replicationFactor') }),
        ...topicChange(fields),
      }
    case 'alter-topic':
      return { kind, at, topic: toTopicName(fields['topic']), ...topicChange(fields) }
    case 'close-partition':
      return {
        kind,
        at,
        topic: toTopicName(fields['topic']),
        ...(fields['expectedCount'] === undefined
          ? {}
          : { expectedCount: natural(fields['expectedCount'], 'expectedCount') }),
      }
    case 'remove-partition':
      return {
        kind,
        at,
        groupId: positive(fields['groupId'], 'groupId'),
        reason: text(fields['reason'], 'reason'),
        ...(fields['newestConsumer'] === undefined
          ? {}
          : { newestConsumer: positive(fields['newestConsumer'], 'newestConsumer') }),
      }
    case 'delete-topic':
      return { kind, at, topic: toTopicName(fields['topic']) }
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
        reason: oneOf(fields['reason'], 'reason', [
          'asked-for',
          'broker-added',
          'broker-removed',
          'broker-dead',
        ]),
        ...(fields['brokerId'] === undefined ? {} : { brokerId: toBrokerId(fields['brokerId'], 'brokerId') }),
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
      return { kind, at, planId: positive(fields['planId'], 'planId') }
    case 'raise-feature-level':
      return { kind, at, level: positive(fields['level'], 'level') }
    case 'change-settings':
      return { kind, at, deadAfterMs: someThresholds(fields['deadAfterMs']) }
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
