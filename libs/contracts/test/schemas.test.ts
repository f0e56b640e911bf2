import { readFileSync } from 'node:fs'
import { describe, expect, test } from '@jest/globals'
import {
  openApiDocument,
  parseAck,
  parseAddBroker,
  parseConsumeRequest,
  parseCreateTopic,
  parseMaintenance,
  parseProduceRequest,
  parseRebalance,
  parseRegisterConsumer,
  parseRemoveBroker,
  parseSeek,
  SCHEMAS,
} from '@sluice/contracts'
import Value from 'typebox/value'

const root = new URL('../../../', import.meta.url)

const LIMITS = { messageBytesMax: 1000 }
const CASES = [
  {
    name: 'produce',
    schema: SCHEMAS.produce.body,
    parse: (body: unknown): unknown => parseProduceRequest(body, LIMITS),
    taken: [
      { producer_id: 1, topic_name: 'a', message: 'm' },
      {
        producer_id: '1',
        topic: 'a',
        message_base64: 'AAEC',
        key: 'k',
        headers: { h: '1' },
        partition: 'a.1',
      },
      { producer_id: 1, topic: 'a', messages: ['x', { message: 'y', timestamp: 5 }] },
    ],
    refused: [
      { producer_id: 1, topic: 'a', message: 5 },
      { producer_id: 1, topic: 'a', messages: [] },
      { producer_id: 1, topic: 'a', message: 'm', colour: 1 },
      5,
    ],
  },
  {
    name: 'create topic',
    schema: SCHEMAS.createTopic.body,
    parse: parseCreateTopic,
    taken: [{ name: 'a' }, { topic: 'a', partitions: 3, replication_factor: '2' }],
    refused: [{ name: 'a b' }, { name: 'a', partitions: 65 }, { name: 'a', x: 1 }],
  },
  {
    name: 'register consumer',
    schema: SCHEMAS.registerConsumer.body,
    parse: parseRegisterConsumer,
    taken: [{ topic: 'a' }, { topic_name: 'a', start: 'latest', ack: 'manual' }, { topic: 'a', start: 1000 }],
    refused: [{ topic: 'a', ack: 'never' }, { topic: 5 }],
  },
  {
    name: 'consume',
    schema: SCHEMAS.consumeByBody.body,
    parse: parseConsumeRequest,
    taken: [
      { consumer_id: 1, topic: 'a' },
      { consumer_id: '1', topic_name: 'a', max_messages: 10, wait_ms: 0 },
    ],
    refused: [
      { topic: 'a' },
      { consumer_id: 1, topic: 'a', max_messages: 0 },
      { consumer_id: 1, topic: 'a', wait_ms: 30_001 },
    ],
  },
  {
    name: 'acknowledge',
    schema: SCHEMAS.acknowledge.body,
    parse: parseAck,
    taken: [{ consumer_id: 1, topic: 'a', partition: 'a.1', offset: 0 }],
    refused: [
      { consumer_id: 1, topic: 'a', partition: 1 },
      { consumer_id: 1, topic: 'a', partition: 1, offset: -1 },
    ],
  },
  {
    name: 'seek',
    schema: SCHEMAS.seek.body,
    parse: parseSeek,
    taken: [
      { consumer_id: 1, topic: 'a', to: 'earliest' },
      { consumer_id: 1, topic: 'a', partition: 1, offset: 5 },
    ],
    refused: [{ consumer_id: {}, topic: 'a', to: 'earliest' }],
  },
  {
    name: 'add broker',
    schema: SCHEMAS.addBroker.body,
    parse: parseAddBroker,
    taken: [{ port: 7004 }, { port: '7004', host: 'h' }],
    refused: [{}, { port: 70_000 }, { port: 1, host: 5 }],
  },
  {
    name: 'rebalance',
    schema: SCHEMAS.rebalance.querystring,
    parse: parseRebalance,
    taken: [{}, { dry_run: true }, { dry_run: 'false', moves_at_once: '2', move_timeout_ms: 5000 }],
    refused: [{ dry_run: 'yes' }, { moves_at_once: 0 }, { move_timeout_ms: 1 }, { colour: 1 }],
  },
  {
    name: 'remove broker',
    schema: SCHEMAS.removeBrokerByBody.body,
    parse: parseRemoveBroker,
    taken: [{ broker_id: 1 }, { broker_id: '2', force: true }],
    refused: [{}, { broker_id: 'x' }, { broker_id: 1, force: 1 }, { broker_id: 1, now: true }],
  },
  {
    name: 'maintenance',
    schema: SCHEMAS.setMaintenance.body,
    parse: (body: unknown): unknown =>
      parseMaintenance(typeof body === 'object' ? { ...body, broker_id: 1 } : body),
    taken: [{}, { enabled: false }, { enabled: 'true' }],
    refused: [{ enabled: 1 }, { on: true }],
  },
]

describe.each(CASES)('the schema of $name', ({ schema, parse, taken, refused }) => {
  test('takes what the parser takes', () => {
    for (const body of taken) {
      expect(() => parse(body)).not.toThrow()
      expect([body, Value.Check(schema, body)]).toEqual([body, true])
    }
  })

  test('refuses what the parser refuses', () => {
    for (const body of refused) {
      expect(() => parse(body)).toThrow()
      expect([body, Value.Check(schema, body)]).toEqual([body, false])
    }
  })
})

test('the published document is the current one', () => {
  const { version } = JSON.parse(readFileSync(new URL('package.json', root), 'utf8')) as { version: string }
  const published: unknown = JSON.parse(readFileSync(new URL('docs/openapi.json', root), 'utf8'))
  expect(published).toEqual(JSON.parse(JSON.stringify(openApiDocument(version))))
})
