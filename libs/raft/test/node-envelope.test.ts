import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import type { RaftGroupId } from '../src/core/types.js'
import {
  decodeEnvelope,
  decodeForwarded,
  encodeEnvelope,
  encodeForwarded,
  EnvelopeError,
  U48,
} from '../src/node/command-envelope.js'
import {
  decodeNodeRequest,
  encodeNodeRequest,
  NodeRequestError,
  NodeRequestKind,
} from '../src/node/node-request.js'

const u48 = fc.integer({ min: 0, max: U48 - 1 })
const payload = fc.uint8Array({ maxLength: 50 })

describe('a command envelope', () => {
  test('comes back as it was', () => {
    fc.assert(
      fc.property(fc.record({ instance: u48, sequence: u48, timeMs: u48, payload }), (envelope) => {
        expect(decodeEnvelope(encodeEnvelope(envelope))).toEqual(envelope)
      }),
    )
  })

  test('of another version, or cut off in its head, is refused', () => {
    const bytes = encodeEnvelope({ instance: 1, sequence: 2, timeMs: 3, payload: new Uint8Array(0) })
    for (let size = 0; size < bytes.length; size++)
      expect(() => decodeEnvelope(bytes.subarray(0, size))).toThrow(EnvelopeError)
    expect(() => decodeEnvelope(Uint8Array.of(2, ...bytes.subarray(1)))).toThrow(EnvelopeError)
  })
})

describe('forwarded commands', () => {
  const commands = fc.array(fc.record({ sequence: u48, payload }), { maxLength: 10 })

  test('come back as they were', () => {
    fc.assert(
      fc.property(fc.record({ instance: u48, term: u48, commands }), (forwarded) => {
        expect(decodeForwarded(encodeForwarded(forwarded))).toEqual(forwarded)
      }),
    )
  })

  test('that are cut off anywhere, or go on after their end, are refused', () => {
    const bytes = encodeForwarded({
      instance: 1,
      term: 2,
      commands: [
        { sequence: 1, payload: Uint8Array.of(1, 2, 3) },
        { sequence: 2, payload: Uint8Array.of(4) },
      ],
    })
    for (let size = 0; size < bytes.length; size++)
      expect(() => decodeForwarded(bytes.subarray(0, size))).toThrow(EnvelopeError)
    expect(() => decodeForwarded(Uint8Array.of(...bytes, 0))).toThrow(EnvelopeError)
  })

  test('that claim to be many are refused before memory is taken for them', () => {
    const bytes = encodeForwarded({ instance: 1, term: 2, commands: [] })
    new DataView(bytes.buffer).setUint32(13, 0xffff_ffff, true)
    expect(() => decodeForwarded(bytes)).toThrow(EnvelopeError)
  })

  test('random bytes give their own error only', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 100 }), (bytes) => {
        try {
          decodeForwarded(bytes)
        } catch (error) {
          expect(error).toBeInstanceOf(EnvelopeError)
        }
      }),
    )
  })
})

describe('a request between nodes', () => {
  test('comes back as it was', () => {
    const request = { kind: NodeRequestKind.ADMIN, group: 7 as RaftGroupId, body: Uint8Array.of(1, 2) }
    expect(decodeNodeRequest(encodeNodeRequest(request))).toEqual(request)
  })

  test.each([[[]], [[1, 1, 0, 0, 0]], [[2, 1, 0, 0, 0, 0]], [[1, 9, 0, 0, 0, 0]]])(
    '%j is refused',
    (bytes) => {
      expect(() => decodeNodeRequest(Uint8Array.from(bytes))).toThrow(NodeRequestError)
    },
  )
})
