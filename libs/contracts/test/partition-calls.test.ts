import { describe, expect, test } from '@jest/globals'
import * as contracts from '@sluice/contracts'
import fc from 'fast-check'

const u32 = fc.integer({ min: 0, max: 2 ** 32 - 1 })
const natural = fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER })
const requestId = fc
  .uint8Array({ minLength: 16, maxLength: 16 })
  .map((bytes) => Buffer.from(bytes).toString('hex'))
const bytes = fc.uint8Array({ maxLength: 80 })

const earlierRun = fc.oneof(
  fc.record({ kind: fc.constant('stored' as const), baseOffset: natural, at: natural }),
  fc.record({ kind: fc.constant('void' as const) }),
)

function roundTrip<T>(
  arbitrary: fc.Arbitrary<T>,
  encode: (value: T) => Uint8Array,
  decode: (bytes: Uint8Array) => T,
): void {
  fc.assert(fc.property(arbitrary, (value) => expect(decode(encode(value))).toEqual(value)))
}

describe('calls survive the wire', () => {
  test('produce', () => {
    roundTrip(
      fc.record({ groupId: u32, batch: bytes }),
      contracts.encodeProduceCall,
      contracts.decodeProduceCall,
    )
    const answer = fc.record({ baseOffset: natural, endOffset: natural, duplicate: fc.boolean() })
    roundTrip(answer, contracts.encodeProduceAnswer, contracts.decodeProduceAnswer)
    const repeated = fc
      .array(fc.tuple(u32, earlierRun), { maxLength: 5 })
      .map((entries) => ({ repeated: new Map(entries) }))
    roundTrip(repeated, contracts.encodeProduceAnswer, contracts.decodeProduceAnswer)
  })

  test('claim', () => {
    const call = fc.record({ groupId: u32, ids: fc.array(requestId, { maxLength: 5 }) })
    roundTrip(call, contracts.encodeClaimCall, contracts.decodeClaimCall)
    const answer = fc.array(earlierRun, { maxLength: 5 })
    roundTrip(answer, contracts.encodeClaimAnswer, contracts.decodeClaimAnswer)
  })

  test('fetch', () => {
    const call = fc.record({
      groupId: u32,
      consumerId: u32,
      requestId,
      messagesMax: u32,
      bytesMax: u32,
      holder: natural,
      autoAck: fc.boolean(),
      lookupOnly: fc.boolean(),
      skipDeleted: fc.boolean(),
    })
    roundTrip(call, contracts.encodeFetchCall, contracts.decodeFetchCall)
    const answer = fc.record({
      from: natural,
      to: natural,
      cursor: natural,
      end: natural,
      logStart: natural,
      granted: fc.boolean(),
      skipped: natural,
      batches: fc.array(bytes, { maxLength: 4 }),
    })
    roundTrip(answer, contracts.encodeFetchAnswer, contracts.decodeFetchAnswer)
  })

  test('release', () => {
    const call = fc.record({
      groupId: u32,
      consumerId: u32,
      requestId,
      from: natural,
      holder: natural,
      orEarlier: fc.boolean(),
    })
    roundTrip(call, contracts.encodeReleaseCall, contracts.decodeReleaseCall)
  })

  test('offsets, seek, await and positions', () => {
    roundTrip(
      fc.record({ groupId: u32, consumerId: u32 }),
      contracts.encodeOffsetsCall,
      contracts.decodeOffsetsCall,
    )
    const offsets = fc.record({ logStart: natural, end: natural, cursor: natural })
    roundTrip(offsets, contracts.encodeOffsetsAnswer, contracts.decodeOffsetsAnswer)
    const target: fc.Arbitrary<contracts.SeekTarget> = fc.oneof(
      fc.record({ kind: fc.constantFrom('offset' as const, 'acknowledge' as const), offset: natural }),
      fc.record({ kind: fc.constantFrom('earliest' as const, 'latest' as const) }),
      fc.record({ kind: fc.constant('time' as const), ms: natural }),
    )
    roundTrip(
      fc.record({ groupId: u32, consumerId: u32, requestId, target }),
      contracts.encodeSeekCall,
      contracts.decodeSeekCall,
    )
    roundTrip(
      fc.record({ groupId: u32, offset: natural, waitMs: u32 }),
      contracts.encodeAwaitCall,
      contracts.decodeAwaitCall,
    )
    roundTrip(natural, contracts.encodePosition, contracts.decodePosition)
  })
})

test('random bytes are refused with INVALID_REQUEST or read, never anything else', () => {
  const decoders = [
    contracts.decodeProduceCall,
    contracts.decodeProduceAnswer,
    contracts.decodeFetchCall,
    contracts.decodeFetchAnswer,
    contracts.decodeOffsetsCall,
    contracts.decodeOffsetsAnswer,
    contracts.decodeSeekCall,
    contracts.decodeAwaitCall,
    contracts.decodePosition,
    contracts.decodeJson,
  ]
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 120 }), (noise) => {
      for (const decode of decoders) {
        try {
          decode(noise)
        } catch (error) {
          expect(error).toMatchObject({ code: 'INVALID_REQUEST' })
        }
      }
    }),
    { numRuns: 500 },
  )
})
