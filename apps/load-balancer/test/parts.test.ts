import { describe, expect, test } from '@jest/globals'
import { errors } from 'undici'
import { parseManagerAddress } from '../src/address.js'
import { defectOf, isRefusal, passedOnHeaders } from '../src/answer.js'
import { readLoadBalancerConfig } from '../src/config.js'
import { givenRequestId, RequestIds } from '../src/request-id.js'
import { classify } from '../src/upstream-failure.js'

describe('the configuration', () => {
  test('has defaults for everything', () => {
    expect(readLoadBalancerConfig({})).toMatchObject({
      host: '127.0.0.1',
      port: 8080,
      writeManagers: [{ origin: 'http://127.0.0.1:7101', label: '127.0.0.1:7101' }],
      bodyBytesMax: 16 * 1024 * 1024,
      calls: { callTimeoutMs: 15_000, waitTimeoutMs: 45_000 },
    })
  })

  test('waits longer than the managers do, and takes what they take', () => {
    const config = readLoadBalancerConfig({
      SLUICE_PRODUCE_TIMEOUT_MS: '60000',
      SLUICE_MESSAGE_BYTES_MAX: '8388608',
    })
    expect(config.calls.callTimeoutMs).toBe(65_000)
    expect(config.bodyBytesMax).toBeGreaterThan(6 * 8_388_608)
  })

  test('tells every mistake at once', () => {
    const read = (): unknown =>
      readLoadBalancerConfig({
        LOAD_BALANCER_PORT: '70000',
        LOAD_BALANCER_WRITE_MANAGERS: ',',
        LOAD_BALANCER_READ_MANAGERS: 'ftp://x',
      })
    expect(read).toThrow(
      /LOAD_BALANCER_PORT.*LOAD_BALANCER_WRITE_MANAGERS: names no manager.*LOAD_BALANCER_READ_MANAGERS: "ftp:/s,
    )
  })
})

describe('the address of a manager', () => {
  test('may leave out the scheme', () => {
    expect(parseManagerAddress('localhost:7101')).toEqual({
      origin: 'http://localhost:7101',
      label: 'localhost:7101',
    })
    expect(parseManagerAddress('http://manager')).toEqual({ origin: 'http://manager', label: 'manager:80' })
  })

  test.each(['', 'http://', 'http://a/path', 'http://u:p@a', 'https://a', 'a b'])('refuses "%s"', (text) => {
    expect(() => parseManagerAddress(text)).toThrow('is not an address')
  })
})

describe('request ids', () => {
  test('are 32 hex digits and differ, also when the counter overflows', () => {
    const ids = new RequestIds(Buffer.from('0102030405060708ffffffff', 'hex'))
    expect(ids.next()).toBe('0102030405060708ffffffff00000001')
    expect(ids.next()).toBe('0102030405060708ffffffff00000002')
    expect(new RequestIds().next()).not.toBe(new RequestIds().next())
  })

  test('of the caller are taken when they are valid', () => {
    expect(givenRequestId('A'.repeat(32))).toBe('a'.repeat(32))
    for (const text of ['a'.repeat(31), 'g'.repeat(32), '', ['a'.repeat(32)], undefined]) {
      expect(givenRequestId(text)).toBeUndefined()
    }
  })
})

describe('an answer', () => {
  test('loses the headers of its connection, and keeps repeated ones', () => {
    const headers = { 'set-cookie': ['a=1', 'b=2'], connection: 'close', 'content-length': '3', allow: 'GET' }
    expect(passedOnHeaders(headers)).toEqual(['set-cookie', 'a=1', 'set-cookie', 'b=2', 'allow', 'GET'])
  })

  test('is a JSON object', () => {
    expect(defectOf('application/json; charset=utf-8', Buffer.from('{"a":1}'))).toBeUndefined()
    expect(defectOf('application/problem+json', Buffer.from('{}'))).toBeUndefined()
    expect(defectOf('application/jsonp', Buffer.from('{}'))).toMatch(/not JSON/)
    expect(defectOf(undefined, Buffer.from('{}'))).toMatch(/not JSON/)
    expect(defectOf('application/json', Buffer.from('{"a":1'))).toMatch(/not a JSON object/)
  })

  test('is a refusal only when nothing can have been done', () => {
    const body = (fields: object): Buffer => Buffer.from(JSON.stringify({ status: 'failure', ...fields }))
    expect(isRefusal(503, body({ code: 'SHUTTING_DOWN', outcome: 'no' }))).toBe(true)
    expect(isRefusal(503, body({ code: 'SHUTTING_DOWN', outcome: 'unknown' }))).toBe(false)
    expect(isRefusal(503, body({ code: 'NO_QUORUM', outcome: 'no' }))).toBe(false)
    expect(isRefusal(500, body({ code: 'SHUTTING_DOWN', outcome: 'no' }))).toBe(false)
  })
})

describe('an error of the HTTP client', () => {
  const at = 'a:1'

  test('before the call was sent leaves no doubt', () => {
    const failure = classify(new errors.ConnectTimeoutError('slow'), at, { sent: false, answered: false })
    expect(failure).toMatchObject({ kind: 'refused', address: at })
  })

  test.each([
    [new errors.HeadersTimeoutError(), 'time-out'],
    [new errors.HeadersOverflowError(), 'broken'],
    [new errors.HTTPParserError('bad'), 'broken'],
    [new errors.ResponseExceededMaxSizeError(), 'too-large'],
    [new Error('ECONNRESET'), 'lost'],
    [new errors.InvalidArgumentError('invalid request path'), 'unsendable'],
  ])('afterwards says what happened: %s', (error, kind) => {
    expect(classify(error, at, { sent: true, answered: false }).kind).toBe(kind)
  })
})
