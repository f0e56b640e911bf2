import type { Brand } from '@sluice/foundation'
import { BrokerError } from './errors.js'

/** 1 to 200 characters of letters, digits, `.`, `_` and `-`; not `.` or `..`. */
export type TopicName = Brand<string, 'TopicName'>
export type BrokerId = Brand<number, 'BrokerId'>
export type ProducerId = Brand<number, 'ProducerId'>
export type ConsumerId = Brand<number, 'ConsumerId'>
/** The id of a Raft group: cluster-wide unique, below 2^32, never used again. */
export type GroupId = Brand<number, 'GroupId'>

/** The group that replicates topics, partitions, producers, consumers and brokers. */
export const METADATA_GROUP = 1 as GroupId

const TOPIC_NAME = /^[A-Za-z0-9._-]{1,200}$/
const ID_MAX = 0xffff_ffff

/** @throws BrokerError INVALID_REQUEST naming `field` */
export function toTopicName(value: unknown, field = 'topic_name'): TopicName {
  if (typeof value !== 'string' || !TOPIC_NAME.test(value) || value === '.' || value === '..')
    throw new BrokerError(
      'INVALID_REQUEST',
      `${field} must be 1 to 200 letters, digits, dots, underscores or hyphens, not ${shown(value)}`,
      { field },
    )
  return value as TopicName
}

export function toBrokerId(value: unknown, field = 'broker_id'): BrokerId {
  return toId(value, field) as BrokerId
}

export function toProducerId(value: unknown, field = 'producer_id'): ProducerId {
  return toId(value, field) as ProducerId
}

export function toConsumerId(value: unknown, field = 'consumer_id'): ConsumerId {
  return toId(value, field) as ConsumerId
}

export function toGroupId(value: unknown, field = 'group_id'): GroupId {
  return toId(value, field) as GroupId
}

/** Numbers and numeric strings: clients send either. */
function toId(value: unknown, field: string): number {
  const id = typeof value === 'string' && /^[0-9]{1,10}$/.test(value) ? Number(value) : value
  if (typeof id !== 'number' || !Number.isInteger(id) || id < 1 || id > ID_MAX)
    throw new BrokerError('INVALID_REQUEST', `${field} must be a positive integer, not ${shown(value)}`, {
      field,
    })
  return id
}

function shown(value: unknown): string {
  if (value === undefined) return 'nothing'
  const text = JSON.stringify(value) as string | undefined
  return text === undefined ? typeof value : text.length > 60 ? `${text.slice(0, 60)}…` : text
}

/** `orders.1`: partitions are numbered from 1. */
export function partitionName(topic: string, number: number): string {
  return `${topic}.${number}`
}

/** The parts of `orders.1`; `undefined` when the text is no partition name. */
export function parsePartitionName(
  name: string,
): { readonly topic: TopicName; readonly number: number } | undefined {
  const dot = name.lastIndexOf('.')
  const digits = name.slice(dot + 1)
  const topic = name.slice(0, Math.max(dot, 0))
  if (!/^[1-9][0-9]{0,8}$/.test(digits) || !TOPIC_NAME.test(topic) || topic === '.' || topic === '..')
    return undefined
  return { topic: topic as TopicName, number: Number(digits) }
}
