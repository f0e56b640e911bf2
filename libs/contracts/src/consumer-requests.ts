import { BrokerError, type ConsumerId, type TopicName } from '@sluice/domain'
import { parsePartitionField } from './produce-request.js'
import { RequestFields, toTimestamp } from './request-fields.js'

/** Where a new consumer begins. */
export type ConsumerStart =
  { readonly kind: 'earliest' } | { readonly kind: 'latest' } | { readonly kind: 'time'; readonly ms: number }

export interface RegisterConsumerRequest {
  readonly topic: TopicName
  readonly topicField: string
  readonly start: ConsumerStart
  /** `auto`: delivery moves the position. `manual`: only POST /consumer/ack does. */
  readonly ack: 'auto' | 'manual'
  /** When messages were deleted before they were read: `earliest` goes on behind them, `none` is an error. */
  readonly autoOffsetReset: 'earliest' | 'none'
}

export interface ConsumerCall {
  readonly consumerId: ConsumerId
  readonly topic: TopicName
  readonly topicField: string
}

export interface ConsumeRequest extends ConsumerCall {
  /** Absent: the form with one message. */
  readonly messagesMax: number | undefined
  readonly waitMs: number
}

export interface AckRequest extends ConsumerCall {
  readonly partition: number
  /** Of the message that is done with; everything before it is, too. */
  readonly offset: number
}

export interface SeekRequest extends ConsumerCall {
  /** Absent: every partition. */
  readonly partition: number | undefined
  readonly target: ConsumerStart | { readonly kind: 'offset'; readonly offset: number }
}

export const CONSUMED_MESSAGES_MAX = 10_000
export const WAIT_MS_MAX = 30_000

const CALL = ['consumer_id', 'topic_name', 'topic']
const REGISTER_FIELDS: ReadonlySet<string> = new Set([
  'topic_name',
  'topic',
  'start',
  'ack',
  'auto_offset_reset',
])
const CALL_FIELDS: ReadonlySet<string> = new Set(CALL)
const CONSUME_FIELDS: ReadonlySet<string> = new Set([...CALL, 'max_messages', 'wait_ms'])
const POSITION_FIELDS: ReadonlySet<string> = new Set([...CALL, 'partition', 'offset'])
const SEEK_FIELDS: ReadonlySet<string> = new Set([...CALL, 'partition', 'offset', 'to'])
const OFFSET_BOUNDS = { min: 0, max: Number.MAX_SAFE_INTEGER }

export function parseRegisterConsumer(body: unknown): RegisterConsumerRequest {
  const fields = new RequestFields(body, REGISTER_FIELDS)
  return {
    topic: fields.topic(),
    topicField: fields.pick(['topic_name', 'topic']).field,
    start: toStart(fields.value('start') ?? 'earliest', 'start'),
    ack: fields.choice('ack', ['auto', 'manual'], 'auto'),
    autoOffsetReset: fields.choice('auto_offset_reset', ['earliest', 'none'], 'earliest'),
  }
}

/** The fields of GET /size and GET /consumer/lag. */
export function parseConsumerCall(input: unknown): ConsumerCall {
  return callOf(new RequestFields(input, CALL_FIELDS))
}

export function parseConsumeRequest(input: unknown): ConsumeRequest {
  const fields = new RequestFields(input, CONSUME_FIELDS)
  return {
    ...callOf(fields),
    messagesMax: fields.integer('max_messages', { min: 1, max: CONSUMED_MESSAGES_MAX }),
    waitMs: fields.integer('wait_ms', { min: 0, max: WAIT_MS_MAX }) ?? 0,
  }
}

export function parseAck(body: unknown): AckRequest {
  const fields = new RequestFields(body, POSITION_FIELDS)
  const call = callOf(fields)
  const partition = parsePartitionField(fields.value('partition'), call.topic, 'partition')
  const offset = fields.integer('offset', OFFSET_BOUNDS)
  if (partition === undefined) throw missing('partition')
  if (offset === undefined) throw missing('offset')
  return { ...call, partition, offset }
}

export function parseSeek(body: unknown): SeekRequest {
  const fields = new RequestFields(body, SEEK_FIELDS)
  const call = callOf(fields)
  const partition = parsePartitionField(fields.value('partition'), call.topic, 'partition')
  const offset = fields.integer('offset', OFFSET_BOUNDS)
  const to = fields.value('to')
  if (offset === undefined) {
    if (to === undefined) throw missing('offset')
    return { ...call, partition, target: toStart(to, 'to') }
  }
  if (to !== undefined)
    throw new BrokerError('INVALID_REQUEST', 'offset and to exclude each other', { field: 'to' })
  if (partition === undefined) throw missing('partition')
  return { ...call, partition, target: { kind: 'offset', offset } }
}

function callOf(fields: RequestFields): ConsumerCall {
  return {
    consumerId: fields.consumerId(),
    topic: fields.topic(),
    topicField: fields.pick(['topic_name', 'topic']).field,
  }
}

function toStart(value: unknown, field: string): ConsumerStart {
  if (value === 'earliest' || value === 'latest') return { kind: value }
  try {
    return { kind: 'time', ms: toTimestamp(value, field) }
  } catch (cause) {
    throw new BrokerError('INVALID_REQUEST', `${field} must be earliest, latest or a time`, { field, cause })
  }
}

function missing(field: string): BrokerError {
  return new BrokerError('INVALID_REQUEST', `${field} is missing`, { field })
}
