import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import { AdminUsageError, parseAdminArguments } from '../src/node/admin-command-line.js'
import {
  ADMIN_REQUEST_BYTES_MAX,
  type AdminRequest,
  type AdminResponse,
  decodeAdminRequest,
  decodeAdminResponse,
  encodeAdminRequest,
  encodeAdminResponse,
} from '../src/node/admin-protocol.js'
import { AdminProtocolError } from '../src/node/errors.js'

const bytesOf = (value: unknown): Uint8Array => new TextEncoder().encode(JSON.stringify(value))

describe('the admin protocol', () => {
  test.each<AdminRequest>([
    { kind: 'status' },
    { kind: 'compact' },
    { kind: 'add', address: 'a:1' },
    { kind: 'remove', address: 'a:1' },
    { kind: 'transfer', address: 'a:1' },
    { kind: 'set-version', version: 3 },
  ])('brings the request $kind over', (request) => {
    expect(decodeAdminRequest(encodeAdminRequest(request))).toEqual(request)
  })

  test.each<AdminResponse>([
    { kind: 'ok', message: 'done', values: { term: 3, leader: 'a:1', ready: true, nobody: null } },
    { kind: 'refused', code: 'REQUEST_DENIED', outcome: 'no', message: 'not now' },
  ])('brings the answer $kind over', (response) => {
    expect(decodeAdminResponse(encodeAdminResponse(response))).toEqual(response)
  })

  test.each<[string, unknown]>([
    ['another format', { format: 2, kind: 'status' }],
    ['no kind', { format: 1 }],
    ['an unknown kind', { format: 1, kind: 'format-disk' }],
    ['add without an address', { format: 1, kind: 'add' }],
    ['an endless address', { format: 1, kind: 'add', address: 'a'.repeat(513) }],
    ['a version with a fraction', { format: 1, kind: 'set-version', version: 1.5 }],
    ['a negative version', { format: 1, kind: 'set-version', version: -1 }],
    ['a list', [1]],
    ['nothing', null],
  ])('refuses %s', (_name, value) => {
    expect(() => decodeAdminRequest(bytesOf(value))).toThrow(AdminProtocolError)
  })

  test('refuses a request over its bound before reading it', () => {
    expect(() => decodeAdminRequest(new Uint8Array(ADMIN_REQUEST_BYTES_MAX + 1))).toThrow(/over the bound/)
  })

  test.each<[string, unknown]>([
    ['no message', { format: 1, kind: 'ok', values: {} }],
    ['nested values', { format: 1, kind: 'ok', message: 'm', values: { a: {} } }],
    ['a refusal without a code', { format: 1, kind: 'refused', outcome: 'no', message: 'm' }],
    ['a refusal that leaves the outcome open', { format: 1, kind: 'refused', code: 'C', message: 'm' }],
  ])('refuses an answer with %s', (_name, value) => {
    expect(() => decodeAdminResponse(bytesOf(value))).toThrow(AdminProtocolError)
  })

  test('answers random bytes with its own error only', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        expect(() => decodeAdminRequest(bytes)).toThrow(AdminProtocolError)
        expect(() => decodeAdminResponse(bytes)).toThrow(AdminProtocolError)
      }),
    )
  })
})

describe('the command line', () => {
  const parse = (line: string) => parseAdminArguments(line.split(' ').filter((word) => word !== ''))

  test('reads a request with all its options', () => {
    const line =
      '--connect Host:1 --cluster c --secret-file s --tls-ca a --tls-cert b --tls-key k --timeout-ms 5 --json add B:2'
    expect(parse(line)).toMatchObject({
      kind: 'request',
      connect: { text: 'host:1' },
      request: { kind: 'add', address: 'b:2' },
      clusterName: 'c',
      secretFile: 's',
      tls: { ca: 'a', cert: 'b', key: 'k' },
      timeoutMs: 5,
      json: true,
    })
  })

  test('takes defaults for what is not said', () => {
    expect(parse('status --connect host:1')).toMatchObject({
      request: { kind: 'status' },
      clusterName: 'default',
      secretFile: undefined,
      tls: undefined,
      timeoutMs: 10_000,
      json: false,
    })
  })

  test('reads a version', () => {
    expect(parse('--connect host:1 set-version 12')).toMatchObject({
      request: { kind: 'set-version', version: 12 },
    })
  })

  test('reads a recovery by force, with and without its confirmation', () => {
    const line = '--data d force-recovery --survivors a:1,b:2'
    expect(parse(line)).toMatchObject({
      kind: 'force-recovery',
      dataDirectory: 'd',
      survivors: [{ text: 'a:1' }, { text: 'b:2' }],
      accepted: false,
    })
    expect(parse(`${line} --i-accept-that-acknowledged-entries-may-be-lost`)).toMatchObject({
      accepted: true,
    })
  })

  test('asks for help', () => {
    expect(parse('-h')).toEqual({ kind: 'help' })
  })

  test.each([
    ['', 'a command is missing'],
    ['--connect host:1', 'a command is missing'],
    ['status', '--connect'],
    ['--connect host status', 'no address'],
    ['--connect host:1 status extra', 'no argument'],
    ['--connect host:1 add', 'one argument'],
    ['--connect host:1 add a:1 b:2', 'one argument'],
    ['--connect host:1 remove nonsense', 'no address'],
    ['--connect host:1 set-version x', 'no code version'],
    ['--connect host:1 set-version -1', '-1'],
    ['--connect host:1 explode', "'explode' is no command"],
    ['--connect host:1 --bogus status', 'bogus'],
    ['--connect host:1 --tls-ca a status', 'go together'],
    ['--connect host:1 --timeout-ms 0 status', 'timeout-ms'],
    ['--connect host:1 --data d status', 'force-recovery only'],
    ['--connect host:1 --i-accept-that-acknowledged-entries-may-be-lost status', 'force-recovery only'],
    ['force-recovery', '--data'],
    ['--data d force-recovery', '--survivors'],
    ['--data d --connect a:1 force-recovery --survivors a:1', 'stopped node'],
    ['--data d force-recovery --survivors a', 'no address'],
    ['--data d force-recovery --survivors a:1 more', 'no argument'],
  ])('refuses %j and says why', (line, reason) => {
    expect(() => parse(line)).toThrow(AdminUsageError)
    expect(() => parse(line)).toThrow(reason)
  })
})
