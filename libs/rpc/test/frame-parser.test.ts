import { describe, expect, test } from '@jest/globals'
import { type Frame, FrameKind, FrameParser } from '@sluice/rpc'
import fc from 'fast-check'
import { frameSizeBytes, writeFrame } from '../src/frame.js'
import { PROTOCOL_VERSIONS } from '../src/protocol.js'

function encode(frames: readonly Frame[]): Uint8Array {
  const bytes = new Uint8Array(frames.reduce((sum, frame) => sum + frameSizeBytes(frame.payload), 0))
  let at = 0
  for (const frame of frames) at = writeFrame(bytes, at, frame, 2)
  return bytes
}

const frameArbitrary: fc.Arbitrary<Frame> = fc.record({
  kind: fc.constantFrom(...Object.values(FrameKind)),
  method: fc.integer({ min: 0, max: 65_535 }),
  id: fc.integer({ min: 0, max: 2 ** 32 - 1 }),
  payload: fc.uint8Array({ maxLength: 60 }),
})

describe('a stream of frames', () => {
  test('comes out the same however it is cut', () => {
    fc.assert(
      fc.property(
        fc.array(frameArbitrary, { maxLength: 8 }),
        fc.array(fc.integer({ min: 1, max: 40 })),
        (frames, cuts) => {
          const bytes = encode(frames)
          const got: Frame[] = []
          const parser = new FrameParser(1000, 2, (frame) =>
            got.push({ ...frame, payload: frame.payload.slice() }),
          )
          let at = 0
          for (const cut of cuts) {
            parser.push(bytes.slice(at, at + cut))
            at += cut
          }
          parser.push(bytes.slice(at))
          expect(got).toEqual(frames)
        },
      ),
    )
  })

  test('comes out the same byte by byte', () => {
    const frames: Frame[] = [
      { kind: FrameKind.REQUEST, method: 1, id: 7, payload: new Uint8Array([1, 2, 3]) },
      { kind: FrameKind.PING, method: 0, id: 0, payload: new Uint8Array(0) },
    ]
    const got: Frame[] = []
    const parser = new FrameParser(1000, 2, (frame) => got.push({ ...frame, payload: frame.payload.slice() }))
    for (const byte of encode(frames)) parser.push(new Uint8Array([byte]))
    expect(got).toEqual(frames)
  })

  test('of random bytes is refused with PROTOCOL and never takes more than a frame', () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 50 }), { maxLength: 10 }), (chunks) => {
        const parser = new FrameParser(64, 2, () => undefined)
        try {
          for (const chunk of chunks) parser.push(chunk)
        } catch (error) {
          expect(error).toMatchObject({ code: 'PROTOCOL' })
        }
      }),
      { numRuns: 1000 },
    )
  })
})

const FRAME: Frame = { kind: FrameKind.REQUEST, method: 0x0102, id: 0x03040506, payload: Uint8Array.of(7, 8) }

/** As each version has it on the wire, for ever. */
const GOLDEN: readonly (readonly [version: number, hex: string])[] = [
  [1, '0a0000000100020106050403' + '0708'],
  [2, '0a0000000102020106050403' + '0708'],
]

test.each(GOLDEN)('version %i of the frame has the bytes that it always had', (version, hex) => {
  const bytes = new Uint8Array(frameSizeBytes(FRAME.payload))
  writeFrame(bytes, 0, FRAME, version)
  expect(Buffer.from(bytes).toString('hex')).toBe(hex)
  const got: Frame[] = []
  new FrameParser(1000, version, (frame) => got.push({ ...frame, payload: frame.payload.slice() })).push(
    bytes,
  )
  expect(got).toEqual([FRAME])
})

test('the golden frames are those of every version that is spoken', () => {
  expect(GOLDEN.map(([version]) => version)).toEqual([...PROTOCOL_VERSIONS].reverse())
})

test.each([0, 1, 3, 255])(
  'a frame of version %i on a connection of version 2 is UNSUPPORTED_VERSION',
  (byte) => {
    const bytes = new Uint8Array(frameSizeBytes(FRAME.payload))
    writeFrame(bytes, 0, FRAME, 2)
    bytes[5] = byte
    expect(() => new FrameParser(1000, 2, () => undefined).push(bytes)).toThrow(
      expect.objectContaining({
        code: 'UNSUPPORTED_VERSION',
        message: `a frame of version ${byte} on a connection of sluice-rpc/2`,
      }),
    )
  },
)
