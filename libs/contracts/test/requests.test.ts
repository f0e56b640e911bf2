import { describe, expect, test } from '@jest/globals'
import {
  errorBody,
  parseAck,
  parseAddBroker,
  parseConsumeRequest,
  parseConsumerCall,
  parseCreateTopic,
  parseProduceRequest,
  parseRegisterConsumer,
  parseSeek,
  parseTopicRequest,
  PROBLEMS,
  problemDetails,
  toBrokerError,
} from '@sluice/contracts'
import { BrokerError, ERROR_CODES, type ErrorCode } from '@sluice/domain'

const LIMITS = { messageBytesMax: 100 }
const produce = (fields: object): unknown =>
  parseProduceRequest({ producer_id: 1, topic_name: 'a', message: 'm', ...fields }, LIMITS)
const refused = (code: string, field?: string): unknown =>
  expect.objectContaining({ code, ...(field === undefined ? {} : { field }) })

describe('produce', () => {
  test('takes one message, ids as numbers or digits, and both spellings of the topic', () => {
    expect(parseProduceRequest({ producer_id: '7', topic: 'a', message: 'm' }, LIMITS)).toEqual({
      producerId: 7,
      topic: 'a',
      topicField: 'topic',
      single: true,
      messages: [
        { value: 'm', key: undefined, headers: undefined, timestamp: undefined, partition: undefined },
      ],
    })
  })

  test('takes a list of texts and objects', () => {
    const request = parseProduceRequest(
      {
        producer_id: 1,
        topic_name: 'a',
        messages: [
          'x',
          {
            message: 'y',
            key: 'k',
            partition: 'a.2',
            timestamp: '2026-01-01T00:00:00Z',
            headers: { h: '1' },
          },
        ],
      },
      LIMITS,
    )
    expect(request.single).toBe(false)
    expect(request.messages[1]).toEqual({
      value: 'y',
      key: 'k',
      headers: { h: '1' },
      timestamp: Date.UTC(2026, 0, 1),
      partition: 2,
    })
  })

  test('takes bytes as base64', () => {
    const request = produce({ message: undefined, message_base64: 'AAEC' }) as {
      messages: { value: Uint8Array }[]
    }
    expect([...request.messages[0]!.value]).toEqual([0, 1, 2])
  })

  test('measures messages in bytes of UTF-8, with key and headers', () => {
    expect(() => produce({ message: 'x'.repeat(100) })).not.toThrow()
    expect(() => produce({ message: 'x'.repeat(101) })).toThrow(refused('MESSAGE_TOO_LARGE', 'message'))
    expect(() => produce({ message: 'ä'.repeat(51) })).toThrow(refused('MESSAGE_TOO_LARGE', 'message'))
    expect(() => produce({ message: 'x'.repeat(99), key: 'kk' })).toThrow(refused('MESSAGE_TOO_LARGE'))
  })

  test.each([
    [{ producer_id: undefined }, 'producer_id'],
    [{ producer_id: 'x' }, 'producer_id'],
    [{ topic_name: undefined }, 'topic_name'],
    [{ topic_name: 5 }, 'topic_name'],
    [{ message: undefined }, 'message'],
    [{ message: 5 }, 'message'],
    [{ message: null }, 'message'],
    [{ message_base64: 'AAEC' }, 'message_base64'],
    [{ message: undefined, message_base64: 'A' }, 'message_base64'],
    [{ key: 5 }, 'key'],
    [{ headers: [] }, 'headers'],
    [{ headers: { h: 5 } }, 'headers.h'],
    [{ timestamp: 'yesterday' }, 'timestamp'],
    [{ timestamp: -1 }, 'timestamp'],
    [{ partition: 0 }, 'partition'],
    [{ partition: 'b.1' }, 'partition'],
    [{ message_id: '' }, 'message_id'],
    [{ message_id: 5 }, 'message_id'],
    [{ message_id: 'x'.repeat(201) }, 'message_id'],
    [{ message_id: 'x', message: undefined, messages: ['a'] }, 'message_id'],
    [{ headers: { 'sluice.runs': 'mine' } }, 'headers.sluice.runs'],
    [{ messages: ['x'] }, 'message'],
    [{ message: undefined, messages: [] }, 'messages'],
    [{ message: undefined, messages: 'x' }, 'messages'],
    [{ message: undefined, messages: ['x', 5] }, 'messages[1]'],
    [{ message: undefined, messages: [{ message: 5 }] }, 'messages[0].message'],
    [{ message: undefined, messages: [{ message: 'x', colour: 1 }] }, 'messages[0].colour'],
  ])('%j is refused naming %s', (fields, field) => {
    expect(() => produce(fields)).toThrow(refused('INVALID_REQUEST', field))
  })

  test.each([null, 5, 'text', [], undefined])('a body of %j is refused', (body) => {
    expect(() => parseProduceRequest(body, LIMITS)).toThrow(refused('INVALID_REQUEST'))
  })
})

describe('consumers', () => {
  test('queries and bodies mean the same', () => {
    const expected = { consumerId: 3, topic: 'a', topicField: 'topic_name', messagesMax: 10, waitMs: 500 }
    expect(parseConsumeRequest({ consumer_id: 3, topic_name: 'a', max_messages: 10, wait_ms: 500 })).toEqual(
      expected,
    )
    expect(
      parseConsumeRequest({ consumer_id: '3', topic_name: 'a', max_messages: '10', wait_ms: '500' }),
    ).toEqual(expected)
    expect(parseConsumeRequest({ consumer_id: 3, topic: 'a' })).toMatchObject({
      messagesMax: undefined,
      waitMs: 0,
    })
    expect(parseConsumerCall({ consumer_id: 3, topic: 'a' })).toMatchObject({
      consumerId: 3,
      topicField: 'topic',
    })
  })

  test.each([
    [{ max_messages: 0 }, 'max_messages'],
    [{ max_messages: 10_001 }, 'max_messages'],
    [{ wait_ms: 30_001 }, 'wait_ms'],
    [{ wait_ms: 'soon' }, 'wait_ms'],
    [{ consumer_id: {} }, 'consumer_id'],
    [{ colour: 1 }, 'colour'],
  ])('%j is refused naming %s', (fields, field) => {
    expect(() => parseConsumeRequest({ consumer_id: 1, topic_name: 'a', ...fields })).toThrow(
      refused('INVALID_REQUEST', field),
    )
  })

  test('register from a start, with a way to acknowledge', () => {
    expect(parseRegisterConsumer({ topic_name: 'a' })).toMatchObject({
      start: { kind: 'earliest' },
      ack: 'auto',
    })
    expect(parseRegisterConsumer({ topic: 'a', start: 'latest', ack: 'manual' })).toMatchObject({
      start: { kind: 'latest' },
      ack: 'manual',
    })
    expect(parseRegisterConsumer({ topic: 'a', start: 1000 })).toMatchObject({
      start: { kind: 'time', ms: 1000 },
    })
    expect(parseRegisterConsumer({ topic: 'a' }).autoOffsetReset).toBe('earliest')
    expect(parseRegisterConsumer({ topic: 'a', auto_offset_reset: 'none' }).autoOffsetReset).toBe('none')
    expect(() => parseRegisterConsumer({ topic: 'a', auto_offset_reset: 'latest' })).toThrow(
      refused('INVALID_REQUEST', 'auto_offset_reset'),
    )
    expect(() => parseRegisterConsumer({ topic: 'a', start: 'middle' })).toThrow(
      refused('INVALID_REQUEST', 'start'),
    )
    expect(() => parseRegisterConsumer({ topic: 'a', ack: 'never' })).toThrow(
      refused('INVALID_REQUEST', 'ack'),
    )
  })

  test('acknowledge and seek name a partition and an offset, or a place', () => {
    const of = { consumer_id: 1, topic_name: 'a' }
    expect(parseAck({ ...of, partition: 'a.2', offset: 7 })).toMatchObject({ partition: 2, offset: 7 })
    expect(() => parseAck({ ...of, partition: 1 })).toThrow(refused('INVALID_REQUEST', 'offset'))
    expect(() => parseAck({ ...of, offset: 1 })).toThrow(refused('INVALID_REQUEST', 'partition'))
    expect(parseSeek({ ...of, to: 'latest' })).toMatchObject({
      partition: undefined,
      target: { kind: 'latest' },
    })
    expect(parseSeek({ ...of, partition: 1, offset: 3 })).toMatchObject({
      target: { kind: 'offset', offset: 3 },
    })
    expect(() => parseSeek({ ...of, offset: 3 })).toThrow(refused('INVALID_REQUEST', 'partition'))
    expect(() => parseSeek({ ...of, partition: 1, offset: 3, to: 'latest' })).toThrow(
      refused('INVALID_REQUEST', 'to'),
    )
    expect(() => parseSeek(of)).toThrow(refused('INVALID_REQUEST', 'offset'))
  })
})

describe('administration', () => {
  test('a topic may be spelt in three ways when it is created', () => {
    for (const field of ['topic_name', 'topic', 'name'])
      expect(parseCreateTopic({ [field]: 'a' })).toEqual({
        topic: 'a',
        topicField: field,
        partitions: 1,
        change: {},
        replicationFactor: undefined,
      })
    expect(
      parseCreateTopic({ name: 'a', retention_ms: 5, retention_bytes: '6', retention_messages: 7 }).change
        .settings,
    ).toEqual({ retentionMs: 5, retentionBytes: 6, retentionMessages: 7 })
    for (const field of ['retention_ms', 'retention_bytes', 'retention_messages'])
      expect(() => parseCreateTopic({ name: 'a', [field]: 0 })).toThrow(refused('INVALID_REQUEST', field))
    expect(() => parseCreateTopic({ name: 'a', partitions: 0 })).toThrow(
      refused('INVALID_REQUEST', 'partitions'),
    )
    expect(() => parseCreateTopic({ name: 'a', replication_factor: 10 })).toThrow(
      refused('INVALID_REQUEST', 'replication_factor'),
    )
    expect(parseTopicRequest({ topic: 'a' })).toEqual({ topic: 'a', topicField: 'topic' })
  })

  test('a broker has a port, and a host that may be left out', () => {
    expect(parseAddBroker({ port: 7004 })).toEqual({ host: '127.0.0.1', port: 7004 })
    expect(() => parseAddBroker({})).toThrow(refused('INVALID_REQUEST', 'port'))
    expect(() => parseAddBroker({ port: 70_000 })).toThrow(refused('INVALID_REQUEST', 'port'))
    expect(() => parseAddBroker({ port: 1, host: 'a b' })).toThrow(refused('INVALID_REQUEST', 'host'))
  })
})

describe('failures', () => {
  test('every code has an HTTP answer, and none that can be tried again is a 400', () => {
    for (const [code, { retriable }] of Object.entries(ERROR_CODES)) {
      const { status } = PROBLEMS[code as ErrorCode]
      expect(status).toBeGreaterThanOrEqual(400)
      if (retriable) expect(status).not.toBe(400)
    }
  })

  test('come through another process as they were', () => {
    const error = new BrokerError('NOT_LEADER', 'elsewhere', {
      component: 'broker',
      leaderId: 3,
      outcome: 'unknown',
      field: 'f',
    })
    const again = toBrokerError(JSON.parse(JSON.stringify(errorBody(error, 'write-manager'))))
    expect({ ...errorBody(again, 'client') }).toEqual(errorBody(error, 'client'))
  })

  test('of a kind unknown here become INTERNAL, with an outcome that promises nothing', () => {
    expect(toBrokerError({ code: 'FROM_THE_FUTURE', message: 'x' })).toMatchObject({
      code: 'INTERNAL',
      outcome: 'unknown',
    })
    expect(toBrokerError(null)).toMatchObject({ code: 'INTERNAL', outcome: 'unknown' })
  })

  test('can be said as problem details', () => {
    const body = errorBody(new BrokerError('TOPIC_NOT_FOUND', 'no a', { field: 'topic' }), 'write-manager')
    expect(problemDetails(body, '/topics/a')).toMatchObject({
      status: 404,
      code: 'TOPIC_NOT_FOUND',
      detail: 'no a',
      instance: '/topics/a',
      field: 'topic',
    })
  })
})
