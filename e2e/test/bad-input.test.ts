import { afterAll, beforeAll, expect, test } from '@jest/globals'
import { freePort, LocalCluster } from '../src/index.js'

let cluster: LocalCluster
let producer: number
let consumer: number

beforeAll(async () => {
  cluster = await LocalCluster.start()
  producer = await cluster.api.registerProducer('good')
  consumer = await cluster.api.registerConsumer('good')
  await cluster.api.must('POST', '/topics', { name: 'other' })
})

afterAll(async () => {
  await cluster.destroy()
})

interface Case {
  readonly name: string
  readonly call: () => readonly [method: string, path: string, body: unknown]
  readonly status: number
  readonly code: string
  readonly component: string
  readonly field?: string
}

const produce = (fields: object) => (): readonly [string, string, unknown] =>
  [
    'POST',
    '/producer/produce',
    { producer_id: producer, topic_name: 'good', message: 'm', ...fields },
  ] as const
const consume = (fields: object) => (): readonly [string, string, unknown] =>
  ['GET', '/consumer/consume', { consumer_id: consumer, topic_name: 'good', ...fields }] as const

const CASES: readonly Case[] = [
  {
    name: 'unknown topic',
    call: produce({ topic_name: 'nowhere' }),
    status: 404,
    code: 'TOPIC_NOT_FOUND',
    component: 'write-manager',
    field: 'topic_name',
  },
  {
    name: 'unknown producer',
    call: produce({ producer_id: 999_999 }),
    status: 404,
    code: 'PRODUCER_NOT_FOUND',
    component: 'write-manager',
    field: 'producer_id',
  },
  {
    name: 'a producer of another topic',
    call: produce({ topic_name: 'other' }),
    status: 403,
    code: 'PRODUCER_TOPIC_MISMATCH',
    component: 'write-manager',
    field: 'producer_id',
  },
  {
    name: 'a partition that does not exist',
    call: produce({ partition: 77 }),
    status: 404,
    code: 'PARTITION_NOT_FOUND',
    component: 'write-manager',
    field: 'partition',
  },
  {
    name: 'a message that is a number',
    call: produce({ message: 5 }),
    status: 400,
    code: 'INVALID_REQUEST',
    component: 'write-manager',
    field: 'message',
  },
  {
    name: 'a missing message',
    call: produce({ message: undefined }),
    status: 400,
    code: 'INVALID_REQUEST',
    component: 'write-manager',
    field: 'message',
  },
  {
    name: 'an unknown field',
    call: produce({ colour: 'red' }),
    status: 400,
    code: 'INVALID_REQUEST',
    component: 'write-manager',
    field: 'colour',
  },
  {
    name: 'a message over the limit',
    call: produce({ message: 'x'.repeat(1024 * 1024 + 1) }),
    status: 413,
    code: 'MESSAGE_TOO_LARGE',
    component: 'write-manager',
    field: 'message',
  },
  {
    name: 'a bad topic name',
    call: () => ['POST', '/topics', { topic_name: 'a b' }],
    status: 400,
    code: 'INVALID_REQUEST',
    component: 'write-manager',
    field: 'topic_name',
  },
  {
    name: 'a topic that exists',
    call: () => ['POST', '/topics', { topic_name: 'good' }],
    status: 409,
    code: 'TOPIC_EXISTS',
    component: 'write-manager',
    field: 'topic_name',
  },
  {
    name: 'unknown consumer',
    call: consume({ consumer_id: 999_999 }),
    status: 404,
    code: 'CONSUMER_NOT_FOUND',
    component: 'read-manager',
    field: 'consumer_id',
  },
  {
    name: 'a consumer of another topic',
    call: consume({ topic_name: 'other' }),
    status: 403,
    code: 'CONSUMER_TOPIC_MISMATCH',
    component: 'read-manager',
    field: 'consumer_id',
  },
  {
    name: 'a consumer without a topic',
    call: () => ['POST', '/consumer/register', {}],
    status: 400,
    code: 'INVALID_REQUEST',
    component: 'read-manager',
    field: 'topic_name',
  },
  {
    name: 'a consumer of an unknown topic',
    call: () => ['POST', '/consumer/register', { topic_name: 'nowhere' }],
    status: 404,
    code: 'TOPIC_NOT_FOUND',
    component: 'read-manager',
    field: 'topic_name',
  },
  {
    name: 'unknown path',
    call: () => ['POST', '/produce', {}],
    status: 404,
    code: 'ROUTE_NOT_FOUND',
    component: 'load-balancer',
  },
  {
    name: 'wrong method',
    call: () => ['POST', '/size', {}],
    status: 405,
    code: 'METHOD_NOT_ALLOWED',
    component: 'load-balancer',
  },
]

test.each(CASES)('$name: $code from the $component', async ({ call, status, code, component, field }) => {
  const before = await cluster.api.must('GET', '/topics')
  const [method, path, body] = call()
  const answer = await cluster.api.raw(method, path, JSON.stringify(body))
  expect(answer.body).toMatchObject({
    status: 'failure',
    code,
    component,
    ...(field === undefined ? {} : { field }),
  })
  expect(answer.status).toBe(status)
  expect(await cluster.api.must('GET', '/topics')).toEqual(before)
  expect((await cluster.api.get('/size', { consumer_id: consumer, topic_name: 'good' })).body['size']).toBe(0)
})

test('malformed JSON names the component', async () => {
  const answer = await cluster.api.raw('POST', '/producer/produce', '{"producer_id": 1,', {
    'content-type': 'application/json',
  })
  expect(answer).toMatchObject({ status: 400, body: { code: 'MALFORMED_JSON', component: 'write-manager' } })
})

test('a broker address where nothing listens: nothing is added', async () => {
  const before = await cluster.api.must('GET', '/brokers')
  const answer = await cluster.api.post('/broker', { port: await freePort() })
  expect(answer.body).toMatchObject({ status: 'failure', code: 'BROKER_UNREACHABLE', field: 'port' })
  const after = await cluster.api.must('GET', '/brokers')
  expect((after['brokers'] as unknown[]).length).toBe((before['brokers'] as unknown[]).length)
})
