import { BrokerError, type TopicName } from '@sluice/domain'
import { RequestFields, shown, TOPIC_SPELLINGS } from './request-fields.js'
import { TOPIC_CHANGE_FIELDS, type TopicChangeRequest, topicChangeOf } from './topic-change.js'

export interface CreateTopicRequest {
  readonly topic: TopicName
  readonly topicField: string
  readonly partitions: number
  readonly replicationFactor: number | undefined
  readonly change: TopicChangeRequest
}

export interface TopicRequest {
  readonly topic: TopicName
  readonly topicField: string
}

export interface AddBrokerRequest {
  readonly host: string
  readonly port: number
}

export const PARTITIONS_PER_CREATE_MAX = 64
export const REPLICATION_FACTOR_MAX = 9

const CREATE_FIELDS: ReadonlySet<string> = new Set([
  'topic_name',
  'topic',
  'name',
  'partitions',
  'replication_factor',
  ...TOPIC_CHANGE_FIELDS,
])
const TOPIC_FIELDS: ReadonlySet<string> = new Set(TOPIC_SPELLINGS)
const BROKER_FIELDS: ReadonlySet<string> = new Set(['host', 'port'])
const HOST = /^[A-Za-z0-9._:-]{1,253}$/

export function parseCreateTopic(body: unknown): CreateTopicRequest {
  const fields = new RequestFields(body, CREATE_FIELDS)
  const spellings = [...TOPIC_SPELLINGS, 'name']
  return {
    topic: fields.topic(spellings),
    topicField: fields.pick(spellings).field,
    partitions: fields.integer('partitions', { min: 1, max: PARTITIONS_PER_CREATE_MAX }) ?? 1,
    replicationFactor: fields.integer('replication_factor', { min: 1, max: REPLICATION_FACTOR_MAX }),
    change: topicChangeOf(fields),
  }
}

/** The field of POST /partition and POST /producer/register. */
export function parseTopicRequest(body: unknown): TopicRequest {
  const fields = new RequestFields(body, TOPIC_FIELDS)
  return { topic: fields.topic(), topicField: fields.pick(TOPIC_SPELLINGS).field }
}

export function parseAddBroker(body: unknown): AddBrokerRequest {
  const fields = new RequestFields(body, BROKER_FIELDS)
  const host = fields.value('host') ?? '127.0.0.1'
  if (typeof host !== 'string' || !HOST.test(host))
    throw new BrokerError('INVALID_REQUEST', `host must be a name or an address, not ${shown(host)}`, {
      field: 'host',
    })
  const port = fields.integer('port', { min: 1, max: 65_535 })
  if (port === undefined) throw new BrokerError('INVALID_REQUEST', 'port is missing', { field: 'port' })
  return { host, port }
}
