import { afterEach, beforeEach, expect, test } from '@jest/globals'
import { RpcMethod } from '@sluice/contracts'
import { publish, type Running, runReadManager } from './running-read-manager.js'

let running: Running
let changesBefore: number

/** Everything that could change something. */
const CHANGING: ReadonlySet<number> = new Set([RpcMethod.FETCH, RpcMethod.SEEK, RpcMethod.META_PROPOSE])

beforeEach(async () => {
  running = await runReadManager()
  await running.createTopic('A')
  await running.createTopic('B')
  await publish(running.cluster, { topic: 'A' }, ['m'])
  changesBefore = changes()
})

afterEach(() => running.stop())

function changes(): number {
  return running.cluster.calls.filter(({ method }) => CHANGING.has(method)).length
}

interface Refusal {
  readonly status: number
  readonly code: string
  readonly field?: string
}

const invalid = (field: string): Refusal => ({ status: 400, code: 'INVALID_REQUEST', field })
const good = { consumer_id: 1, topic_name: 'A' }
const unknownTopic = { status: 404, code: 'TOPIC_NOT_FOUND', field: 'topic_name' }
const unknownConsumer = { status: 404, code: 'CONSUMER_NOT_FOUND', field: 'consumer_id' }
const otherTopic = { status: 403, code: 'CONSUMER_TOPIC_MISMATCH', field: 'consumer_id' }
const unknownPartition = { status: 404, code: 'PARTITION_NOT_FOUND', field: 'partition' }

test.each<['GET' | 'POST', string, string, unknown, Refusal]>([
  ['POST', '/consumer/register', 'a topic that does not exist', { topic_name: 'nope' }, unknownTopic],
  [
    'POST',
    '/consumer/register',
    'the same, spelt topic',
    { topic: 'nope' },
    { ...unknownTopic, field: 'topic' },
  ],
  ['POST', '/consumer/register', 'no topic', {}, invalid('topic_name')],
  ['POST', '/consumer/register', 'a topic of the wrong type', { topic: 5 }, invalid('topic')],
  ['POST', '/consumer/register', 'a start that is none', { topic: 'A', start: 'middle' }, invalid('start')],
  [
    'POST',
    '/consumer/register',
    'an acknowledgement that is none',
    { topic: 'A', ack: 'no' },
    invalid('ack'),
  ],
  ['POST', '/consumer/register', 'an unknown field', { topic: 'A', colour: 1 }, invalid('colour')],
  ['POST', '/consumer/register', 'no body', undefined, { status: 400, code: 'INVALID_REQUEST' }],
  ['POST', '/consumer/register', 'malformed JSON', '{"topic"', { status: 400, code: 'MALFORMED_JSON' }],
  ['POST', '/consumer/consume', 'a topic that does not exist', { ...good, topic_name: 'nope' }, unknownTopic],
  ['POST', '/consumer/consume', 'an unknown consumer', { ...good, consumer_id: 99 }, unknownConsumer],
  ['POST', '/consumer/consume', 'a consumer of another topic', { ...good, consumer_id: 2 }, otherTopic],
  ['POST', '/consumer/consume', 'no consumer', { topic_name: 'A' }, invalid('consumer_id')],
  [
    'POST',
    '/consumer/consume',
    'a consumer of the wrong type',
    { ...good, consumer_id: 'me' },
    invalid('consumer_id'),
  ],
  ['POST', '/consumer/consume', 'no topic', { consumer_id: 1 }, invalid('topic_name')],
  ['POST', '/consumer/consume', 'too many messages', { ...good, max_messages: 1e9 }, invalid('max_messages')],
  [
    'POST',
    '/consumer/consume',
    'messages that are no number',
    { ...good, max_messages: 'all' },
    invalid('max_messages'),
  ],
  ['POST', '/consumer/consume', 'too long a wait', { ...good, wait_ms: 1e9 }, invalid('wait_ms')],
  ['POST', '/consumer/consume', 'an unknown field', { ...good, color: 'red' }, invalid('color')],
  [
    'GET',
    '/consumer/consume?consumer_id=1&topic_name=A&color=red',
    'an unknown field',
    undefined,
    invalid('color'),
  ],
  ['GET', '/consumer/consume?consumer_id=99&topic_name=A', 'an unknown consumer', undefined, unknownConsumer],
  ['GET', '/consumer/consume', 'malformed JSON in a GET', '{', { status: 400, code: 'MALFORMED_JSON' }],
  ['POST', '/consumer/ack', 'no partition', { ...good, offset: 0 }, invalid('partition')],
  ['POST', '/consumer/ack', 'no offset', { ...good, partition: 1 }, invalid('offset')],
  ['POST', '/consumer/ack', 'a negative offset', { ...good, partition: 1, offset: -1 }, invalid('offset')],
  [
    'POST',
    '/consumer/ack',
    'a partition that does not exist',
    { ...good, partition: 9, offset: 0 },
    unknownPartition,
  ],
  [
    'POST',
    '/consumer/ack',
    'a consumer of another topic',
    { ...good, consumer_id: 2, partition: 1, offset: 0 },
    otherTopic,
  ],
  ['POST', '/consumer/seek', 'no place', { ...good, partition: 1 }, invalid('offset')],
  ['POST', '/consumer/seek', 'two places', { ...good, partition: 1, offset: 0, to: 'latest' }, invalid('to')],
  [
    'POST',
    '/consumer/seek',
    'a partition that does not exist',
    { ...good, partition: 9, offset: 0 },
    unknownPartition,
  ],
  [
    'POST',
    '/consumer/seek',
    'an unknown consumer',
    { ...good, consumer_id: 99, to: 'latest' },
    unknownConsumer,
  ],
  ['GET', '/size', 'an unknown consumer', { ...good, consumer_id: 99 }, unknownConsumer],
  ['GET', '/size', 'a topic that does not exist', { ...good, topic_name: 'nope' }, unknownTopic],
  ['GET', '/size', 'nothing', undefined, invalid('consumer_id')],
  ['GET', '/consumer/lag', 'a consumer of another topic', { ...good, consumer_id: 2 }, otherTopic],
  ['GET', '/nowhere', 'a path that does not exist', undefined, { status: 404, code: 'ROUTE_NOT_FOUND' }],
  [
    'GET',
    '/consumer/ack',
    'a method that the path does not take',
    undefined,
    { status: 405, code: 'METHOD_NOT_ALLOWED' },
  ],
])('%s %s refuses %s, and nothing changes', async (method, url, _name, body, refusal) => {
  const answer = await running.call(method, url, body)
  expect(answer.body).toMatchObject({
    status: 'failure',
    code: refusal.code,
    component: 'read-manager',
    retriable: false,
    ...(refusal.field === undefined ? {} : { field: refusal.field }),
  })
  expect(answer.status).toBe(refusal.status)
  expect(changes()).toBe(changesBefore)
  expect(running.cluster.partition('A').cursor(1)).toBe(0)
})
