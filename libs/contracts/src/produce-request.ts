import {
  BrokerError,
  OWN_HEADER_PREFIX,
  parsePartitionName,
  type ProducerId,
  toProducerId,
  type TopicName,
} from '@sluice/domain'
import { RequestFields, shown, toInteger, toTimestamp } from './request-fields.js'

/** A message as a client sent it, not yet bytes. */
export interface MessageInput {
  readonly value: string | Uint8Array
  readonly key: string | Uint8Array | undefined
  readonly headers: Readonly<Record<string, string>> | undefined
  /** Milliseconds since 1970. */
  readonly timestamp: number | undefined
  readonly partition: number | undefined
  /** The producer's name for this message: sent again, it is not stored again. */
  readonly messageId: string | undefined
}

export interface ProduceRequest {
  readonly producerId: ProducerId
  readonly topic: TopicName
  /** How the caller spelt the topic's field, for errors. */
  readonly topicField: string
  readonly messages: readonly MessageInput[]
  /** The form with `message`, which is answered with one offset. */
  readonly single: boolean
}

export interface MessageLimits {
  readonly messageBytesMax: number
}

export const MESSAGES_PER_CALL_MAX = 10_000
const HEADERS_MAX = 100
export const MESSAGE_ID_CHARACTERS_MAX = 200

const MESSAGE_FIELDS = [
  'message',
  'message_base64',
  'key',
  'key_base64',
  'headers',
  'timestamp',
  'partition',
  'message_id',
] as const
const IN_LIST: ReadonlySet<string> = new Set(MESSAGE_FIELDS)
const SINGLE: ReadonlySet<string> = new Set([
  'producer_id',
  'topic_name',
  'topic',
  'messages',
  ...MESSAGE_FIELDS,
])

/** @throws BrokerError INVALID_REQUEST, MESSAGE_TOO_LARGE; with the field */
export function parseProduceRequest(body: unknown, limits: MessageLimits): ProduceRequest {
  const fields = new RequestFields(body, SINGLE)
  const topic = fields.topic()
  const producerId = toProducerId(fields.value('producer_id'))
  const common = { producerId, topic, topicField: fields.pick(['topic_name', 'topic']).field }
  const list = fields.value('messages')
  if (list === undefined) {
    return { ...common, messages: [parseMessage(fields, topic, limits, '')], single: true }
  }
  for (const field of MESSAGE_FIELDS)
    if (fields.value(field) !== undefined)
      throw new BrokerError('INVALID_REQUEST', `${field} and messages exclude each other`, { field })
  if (!Array.isArray(list) || list.length === 0 || list.length > MESSAGES_PER_CALL_MAX)
    throw new BrokerError(
      'INVALID_REQUEST',
      `messages must be a list of 1 to ${MESSAGES_PER_CALL_MAX} messages`,
      {
        field: 'messages',
      },
    )
  const messages = list.map((entry: unknown, i) => {
    const path = `messages[${i}]`
    if (typeof entry === 'string')
      return parseMessage(new RequestFields({ message: entry }, IN_LIST), topic, limits, `${path}.`)
    return at(path, () => parseMessage(new RequestFields(entry, IN_LIST), topic, limits, `${path}.`))
  })
  return { ...common, messages, single: false }
}

/** Puts the place in the list in front of an unknown field's name. */
function at<T>(path: string, parse: () => T): T {
  try {
    return parse()
  } catch (error) {
    if (!(error instanceof BrokerError) || error.field?.startsWith(path) === true) throw error
    const field = error.field === undefined ? path : `${path}.${error.field}`
    throw new BrokerError(error.code, `${path}: ${error.message}`, { field })
  }
}

function parseMessage(
  fields: RequestFields,
  topic: string,
  limits: MessageLimits,
  path: string,
): MessageInput {
  const value = textOrBytes(fields, 'message', path)
  if (value === undefined)
    throw new BrokerError('INVALID_REQUEST', `${path}message is missing`, { field: `${path}message` })
  const key = textOrBytes(fields, 'key', path)
  const headers = parseHeaders(fields.value('headers'), `${path}headers`)
  const timestamp = fields.value('timestamp')
  const message: MessageInput = {
    value,
    key,
    headers,
    timestamp: timestamp === undefined ? undefined : toTimestamp(timestamp, `${path}timestamp`),
    partition: parsePartitionField(fields.value('partition'), topic, `${path}partition`),
    messageId: parseMessageId(fields.value('message_id'), `${path}message_id`),
  }
  const sizeBytes = sizeOf(value) + (key === undefined ? 0 : sizeOf(key)) + headersSize(headers)
  if (sizeBytes > limits.messageBytesMax)
    throw new BrokerError(
      'MESSAGE_TOO_LARGE',
      `${path}message has ${sizeBytes} bytes with key and headers; the limit is ${limits.messageBytesMax}`,
      { field: `${path}message` },
    )
  return message
}

function textOrBytes(fields: RequestFields, name: string, path: string): string | Uint8Array | undefined {
  const text = fields.value(name)
  const base64 = fields.value(`${name}_base64`)
  if (text !== undefined && base64 !== undefined)
    throw new BrokerError('INVALID_REQUEST', `${path}${name} and ${path}${name}_base64 exclude each other`, {
      field: `${path}${name}_base64`,
    })
  if (text !== undefined) {
    if (typeof text !== 'string')
      throw new BrokerError('INVALID_REQUEST', `${path}${name} must be text, not ${shown(text)}`, {
        field: `${path}${name}`,
      })
    return text
  }
  if (base64 === undefined) return undefined
  if (typeof base64 !== 'string' || base64.length % 4 !== 0 || !/^[A-Za-z0-9+/]*={0,2}$/.test(base64))
    throw new BrokerError('INVALID_REQUEST', `${path}${name}_base64 must be base64, not ${shown(base64)}`, {
      field: `${path}${name}_base64`,
    })
  return Buffer.from(base64, 'base64')
}

function parseMessageId(value: unknown, field: string): string | undefined {
  if (value === undefined) return undefined
  if (typeof value !== 'string' || value === '' || value.length > MESSAGE_ID_CHARACTERS_MAX)
    throw new BrokerError(
      'INVALID_REQUEST',
      `${field} must be a text of 1 to ${MESSAGE_ID_CHARACTERS_MAX} characters, not ${shown(value)}`,
      { field },
    )
  return value
}

function parseHeaders(value: unknown, field: string): Readonly<Record<string, string>> | undefined {
  if (value === undefined) return undefined
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new BrokerError('INVALID_REQUEST', `${field} must be an object of texts, not ${shown(value)}`, {
      field,
    })
  const entries = Object.entries(value)
  if (entries.length > HEADERS_MAX)
    throw new BrokerError('INVALID_REQUEST', `${field} has more than ${HEADERS_MAX} entries`, { field })
  for (const [name, text] of entries) {
    if (name.startsWith(OWN_HEADER_PREFIX))
      throw new BrokerError(
        'INVALID_REQUEST',
        `headers that begin with ${OWN_HEADER_PREFIX} are Sluice's own`,
        {
          field: `${field}.${name}`,
        },
      )
    if (typeof text !== 'string')
      throw new BrokerError('INVALID_REQUEST', `${field}.${name} must be text, not ${shown(text)}`, {
        field: `${field}.${name}`,
      })
  }
  return value as Record<string, string>
}

/** A number, digits, or the partition's whole name. */
export function parsePartitionField(value: unknown, topic: string, field: string): number | undefined {
  if (value === undefined) return undefined
  if (typeof value === 'string') {
    const named = parsePartitionName(value)
    if (named?.topic === topic) return named.number
  }
  return toInteger(value, field, { min: 1, max: 1_000_000_000 })
}

function sizeOf(value: string | Uint8Array): number {
  return typeof value === 'string' ? Buffer.byteLength(value) : value.length
}

function headersSize(headers: Readonly<Record<string, string>> | undefined): number {
  if (headers === undefined) return 0
  let size = 0
  for (const name in headers) size += Buffer.byteLength(name) + Buffer.byteLength(headers[name]!)
  return size
}
