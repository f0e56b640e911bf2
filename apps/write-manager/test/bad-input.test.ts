import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import { RpcMethod } from '@sluice/contracts'
import { type Running, runWriteManager } from './running-write-manager.js'

let running: Running
let changesBefore: number

/** Everything that could change something. */
const CHANGING: ReadonlySet<number> = new Set([
  RpcMethod.PRODUCE,
  RpcMethod.META_PROPOSE,
  RpcMethod.NODE_JOIN,
])

beforeEach(async () => {
  running = await runWriteManager({ SLUICE_MESSAGE_BYTES_MAX: '1000', SLUICE_BODY_BYTES_MAX: '5000' })
  await running.call('POST', '/topics', { topic_name: 'A' })
  await running.register('A')
  await running.register('B')
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

async function expectRefusal(
  method: 'GET' | 'POST',
  url: string,
  body: unknown,
  refusal: Refusal,
): Promise<void> {
  const answer = await running.call(method, url, body)
  expect(answer.body).toMatchObject({
    status: 'failure',
    code: refusal.code,
    component: 'write-manager',
    retriable: false,
    message: expect.any(String),
    ...(refusal.field === undefined ? {} : { field: refusal.field }),
  })
  expect(answer.status).toBe(refusal.status)
  expect(changes()).toBe(changesBefore)
}

const invalid = (field: string): Refusal => ({ status: 400, code: 'INVALID_REQUEST', field })

describe('produce refuses, and nothing is stored', () => {
  const good = { producer_id: 1, topic_name: 'A', message: 'm' }

  test.each<[string, unknown, Refusal]>([
    [
      'a topic that does not exist',
      { ...good, topic_name: 'nope' },
      { status: 404, code: 'TOPIC_NOT_FOUND', field: 'topic_name' },
    ],
    [
      'the same, spelt topic',
      { producer_id: 1, topic: 'nope', message: 'm' },
      { status: 404, code: 'TOPIC_NOT_FOUND', field: 'topic' },
    ],
    [
      'a producer that is not registered',
      { ...good, producer_id: 77 },
      { status: 404, code: 'PRODUCER_NOT_FOUND', field: 'producer_id' },
    ],
    [
      'a producer of another topic',
      { ...good, producer_id: 2 },
      { status: 403, code: 'PRODUCER_TOPIC_MISMATCH', field: 'producer_id' },
    ],
    [
      'a partition that does not exist',
      { ...good, partition: 9 },
      { status: 404, code: 'PARTITION_NOT_FOUND', field: 'partition' },
    ],
    ['a partition of the wrong type', { ...good, partition: 'first' }, invalid('partition')],
    ['a missing producer', { topic_name: 'A', message: 'm' }, invalid('producer_id')],
    ['a producer of the wrong type', { ...good, producer_id: 'one' }, invalid('producer_id')],
    ['a missing topic', { producer_id: 1, message: 'm' }, invalid('topic_name')],
    ['a topic of the wrong type', { ...good, topic_name: 7 }, invalid('topic_name')],
    ['a missing message', { producer_id: 1, topic_name: 'A' }, invalid('message')],
    ['a message of the wrong type', { ...good, message: 7 }, invalid('message')],
    ['a key of the wrong type', { ...good, key: 7 }, invalid('key')],
    ['headers of the wrong type', { ...good, headers: { a: 1 } }, invalid('headers.a')],
    ['a time of the wrong type', { ...good, timestamp: 'soon' }, invalid('timestamp')],
    [
      'bytes that are no base64',
      { producer_id: 1, topic_name: 'A', message_base64: '%%%' },
      invalid('message_base64'),
    ],
    ['an unknown field', { ...good, colour: 'red' }, invalid('colour')],
    [
      'a message over the limit',
      { ...good, message: 'x'.repeat(1001) },
      { status: 413, code: 'MESSAGE_TOO_LARGE', field: 'message' },
    ],
    ['an empty list', { producer_id: 1, topic_name: 'A', messages: [] }, invalid('messages')],
    [
      'a list with one bad message',
      { producer_id: 1, topic_name: 'A', messages: ['ok', { message: 7 }] },
      invalid('messages[1].message'),
    ],
    [
      'a list with one partition that does not exist',
      { producer_id: 1, topic_name: 'A', messages: ['ok', { message: 'm', partition: 9 }] },
      { status: 404, code: 'PARTITION_NOT_FOUND' },
    ],
    ['a body that is no object', [1, 2], { status: 400, code: 'INVALID_REQUEST' }],
    ['no body', undefined, { status: 400, code: 'INVALID_REQUEST' }],
    ['malformed JSON', '{"producer_id": 1,', { status: 400, code: 'MALFORMED_JSON' }],
    [
      'a body over the limit',
      { ...good, message: 'x'.repeat(5000) },
      { status: 413, code: 'PAYLOAD_TOO_LARGE' },
    ],
  ])('%s', async (_name, body, refusal) => {
    await expectRefusal('POST', '/producer/produce', body, refusal)
  })

  test('a content type that is not JSON', async () => {
    const response = await running.manager.app.inject({
      method: 'POST',
      url: '/producer/produce',
      headers: { 'content-type': 'text/plain' },
      payload: 'hello',
    })
    expect(response.statusCode).toBe(415)
    expect(response.json()).toMatchObject({ code: 'UNSUPPORTED_MEDIA_TYPE', component: 'write-manager' })
    expect(changes()).toBe(changesBefore)
  })
})

describe('administration refuses, and nothing changes', () => {
  test.each<[string, string, unknown, Refusal]>([
    ['a topic without a name', '/topics', {}, invalid('topic_name')],
    ['a topic name with a slash', '/topics', { name: 'a/b' }, invalid('name')],
    ['no partitions', '/topics', { name: 'C', partitions: 0 }, invalid('partitions')],
    ['partitions that are no number', '/topics', { name: 'C', partitions: 'many' }, invalid('partitions')],
    ['an unknown field', '/topics', { name: 'C', color: 1 }, invalid('color')],
    [
      'a partition of a topic that does not exist',
      '/partition',
      { topic: 'nope' },
      { status: 404, code: 'TOPIC_NOT_FOUND', field: 'topic' },
    ],
    ['a producer without a topic', '/producer/register', {}, invalid('topic_name')],
    ['a producer with a topic of the wrong type', '/producer/register', { topic: {} }, invalid('topic')],
    ['a broker without a port', '/broker', {}, invalid('port')],
    ['a broker with a port that is none', '/broker', { port: 70_000 }, invalid('port')],
    ['a broker with a host of the wrong type', '/broker', { port: 7001, host: 5 }, invalid('host')],
    ['a path that does not exist', '/nowhere', {}, { status: 404, code: 'ROUTE_NOT_FOUND' }],
    ['a method that the path does not take', '/brokers', {}, { status: 405, code: 'METHOD_NOT_ALLOWED' }],
  ])('%s', async (_name, url, body, refusal) => {
    await expectRefusal('POST', url, body, refusal)
  })

  test('a topic that exists', async () => {
    const answer = await running.call('POST', '/topics', { name: 'A' })
    expect(answer).toMatchObject({
      status: 409,
      body: { code: 'TOPIC_EXISTS', field: 'name', outcome: 'no' },
    })
    expect(running.cluster.metadata.state.partitionsOf('A')).toHaveLength(1)
  })

  test('a topic that is asked for and does not exist', async () => {
    await expectRefusal('GET', '/topics/nope', undefined, { status: 404, code: 'TOPIC_NOT_FOUND' })
  })
})
