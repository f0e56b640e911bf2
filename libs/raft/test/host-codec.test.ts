import { BUILD_VERSION, SeededRandom } from '@sluice/foundation'
import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import { BLANK } from '../src/core/message.js'
import { EntryKind, MessageKind, type RaftGroupId } from '../src/core/types.js'
import { decodeFrame, encodeFrame, epochOf, RaftDecodeError, type RoutedMessage } from '../src/host/codec.js'
import { bytesOf, idOf } from './host-cluster.js'

const LINK = { from: idOf(1), to: idOf(2) }

const HEAD_BYTES = 5

const number = fc.nat({ max: Number.MAX_SAFE_INTEGER })
const entryBody = fc.record({
  term: number,
  kind: fc.constantFrom(...Object.values(EntryKind)),
  data: fc.uint8Array({ maxLength: 40 }),
})
const routed: fc.Arbitrary<RoutedMessage> = fc
  .record({
    group: fc.nat({ max: 0xffff_ffff }),
    incarnation: fc.nat({ max: 0xffff_ffff }),
    kind: fc.constantFrom(...Object.values(MessageKind)),
    index: fc.nat({ max: 1e12 }),
    numbers: fc.tuple(number, number, number, number, number, number),
    reject: fc.boolean(),
    bodies: fc.array(entryBody, { maxLength: 4 }),
  })
  .map(({ group, incarnation, kind, index, numbers, reject, bodies }) => {
    const [term, logTerm, commit, hint, hintTerm, context] = numbers
    const entries = bodies.map((body, i) => ({ index: index + 1 + i, ...body }))
    const count = entries.length
    const fields = { kind, index, reject, term, logTerm, commit, hint, hintTerm, context, count }
    return { group: group as RaftGroupId, incarnation, message: { ...BLANK, ...LINK, ...fields }, entries }
  })

function example(): Uint8Array {
  const entry = { index: 8, term: 3, kind: EntryKind.COMMAND, data: bytesOf('hello') }
  const message = { ...BLANK, ...LINK, kind: MessageKind.APPEND, term: 3, index: 7, logTerm: 2, count: 1 }
  return encodeFrame([{ group: 5 as RaftGroupId, incarnation: 9, message, entries: [entry] }], 4)
}

/** Decodes, or says that it is no frame; anything else is a failure. */
function decoded(bytes: Uint8Array): readonly RoutedMessage[] | undefined {
  try {
    return decodeFrame(bytes, LINK)
  } catch (error) {
    expect(error).toBeInstanceOf(RaftDecodeError)
    return undefined
  }
}

describe('frames between hosts', () => {
  test('come out as they went in', () => {
    fc.assert(
      fc.property(fc.array(routed, { maxLength: 5 }), fc.nat({ max: 0xffff_ffff }), (messages, epoch) => {
        const frame = encodeFrame(messages, epoch)
        expect(epochOf(frame)).toBe(epoch)
        expect(decodeFrame(frame, LINK)).toEqual(messages)
      }),
    )
  })

  test('every truncation is refused, but for one that ends between two messages', () => {
    const frame = example()
    for (let length = 0; length < frame.length; length++)
      if (length !== HEAD_BYTES) expect(decoded(frame.subarray(0, length))).toBeUndefined()
    expect(decoded(frame.subarray(0, HEAD_BYTES))).toEqual([])
    for (let length = 0; length < HEAD_BYTES; length++)
      expect(() => epochOf(frame.subarray(0, length))).toThrow(RaftDecodeError)
  })

  test('every flipped bit gives a message or a decode error, never anything else', () => {
    const frame = example()
    for (let bit = 0; bit < frame.length * 8; bit++) {
      const flipped = Uint8Array.from(frame)
      flipped[bit >> 3]! ^= 1 << (bit & 7)
      for (const { entries } of decoded(flipped) ?? [])
        for (const { data } of entries) expect(data.buffer).toBe(flipped.buffer)
    }
  })

  test('random bytes never cost more memory than the frame has', () => {
    const random = new SeededRandom(5)
    for (let run = 0; run < 2000; run++) {
      const bytes = Uint8Array.from({ length: random.below(300) }, () => random.below(256))
      if (bytes.length > 0) bytes[0] = 3
      for (const { entries } of decoded(bytes) ?? [])
        expect(entries.length * 13).toBeLessThanOrEqual(bytes.length)
    }
  })

  test('a frame cannot claim more entries than it can hold', () => {
    const frame = example()
    new DataView(frame.buffer).setUint32(HEAD_BYTES + 68, 0xffff_ffff, true)
    expect(decoded(frame)).toBeUndefined()
  })

  test('a message of a kind that is not known is refused', () => {
    const frame = example()
    frame[HEAD_BYTES + 8] = 99
    expect(decoded(frame)).toBeUndefined()
  })

  test('another version is refused', () => {
    for (const version of [0, 1, 2, 4, 255]) {
      const frame = example()
      frame[0] = version
      expect(decoded(frame)).toBeUndefined()
      for (const read of [() => decodeFrame(frame, LINK), () => epochOf(frame)])
        expect(read).toThrow(
          expect.objectContaining({
            code: 'UNSUPPORTED_VERSION',
            message: `a Raft frame of version ${version}: version ${BUILD_VERSION} reads 3`,
          }),
        )
    }
  })

  test('version 3 has the bytes that it always had: another form takes another version', () => {
    expect(Buffer.from(example()).toString('hex')).toBe(
      '030400000005000000090000000500000000000000000008400000000000001c4000000000000000400000000000000000000000000000000000000000000000000000000000000000010000000000000000000840000500000068656c6c6f',
    )
  })
})
