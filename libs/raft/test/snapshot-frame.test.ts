import { crc32 } from 'node:zlib'
import { describe, expect, test } from '@jest/globals'
import { BUILD_VERSION, SeededRandom } from '@sluice/foundation'
import { isMessageFrame, RaftDecodeError } from '../src/host/codec.js'
import {
  CHUNK_FRAME_BYTES_MAX,
  decodeSnapshotFrame,
  encodeSnapshotFrame,
  type SnapshotFrame,
  SnapshotFrameKind,
  SnapshotRefusal,
} from '../src/snapshot/frame.js'
import { dataOf, GROUP, metaOf, UUID } from './snapshot-fixture.js'

const HEAD = { group: GROUP, transfer: { epoch: 0xffff_fffe, sequence: 3 } }
const CONTENT = { id: dataOf(16), sizeBytes: 2 ** 40, crc: 0xdead_beef }
const OFFER: SnapshotFrame = {
  kind: SnapshotFrameKind.OFFER,
  ...HEAD,
  uuid: UUID,
  term: 9,
  meta: metaOf(2 ** 50, 7),
  content: CONTENT,
}
const CHUNK: SnapshotFrame = {
  kind: SnapshotFrameKind.CHUNK,
  ...HEAD,
  offset: 2 ** 45,
  data: dataOf(100),
}
const FRAMES: readonly SnapshotFrame[] = [
  OFFER,
  { ...OFFER, meta: metaOf(1, 1, ''), content: { ...CONTENT, sizeBytes: 0, crc: undefined } },
  { ...OFFER, content: { ...CONTENT, crc: 0 } },
  CHUNK,
  { ...CHUNK, offset: 0, data: dataOf(1) },
  { kind: SnapshotFrameKind.CANCEL, ...HEAD },
  { kind: SnapshotFrameKind.ACCEPT, ...HEAD, offset: 5 },
  { kind: SnapshotFrameKind.ACK, ...HEAD, offset: 6, isGap: false },
  { kind: SnapshotFrameKind.ACK, ...HEAD, offset: 7, isGap: true },
  ...Object.values(SnapshotRefusal).map((reason) => ({ kind: SnapshotFrameKind.REFUSE, ...HEAD, reason })),
  { kind: SnapshotFrameKind.DONE, ...HEAD },
]

/** With text in place of arrays of different classes. */
function plain(frame: SnapshotFrame): unknown {
  return JSON.parse(
    JSON.stringify(frame, (_, value: unknown) => {
      if (value instanceof Uint8Array) return [...value]
      if (typeof value !== 'object' || value === null || !('type' in value)) return value
      return (value as unknown as { data: number[] }).data
    }),
  )
}

/** The bytes with something else at a place, and with a checksum that is right all the same. */
function changed(frame: SnapshotFrame, change: (bytes: Buffer) => Uint8Array | undefined): Uint8Array {
  const bytes = Buffer.from(encodeSnapshotFrame(frame))
  const result = Buffer.from(change(bytes) ?? bytes)
  if (result.length >= 8) result.writeUInt32LE(crc32(result.subarray(8), crc32(result.subarray(0, 4))), 4)
  return result
}

function isRefused(bytes: Uint8Array): boolean {
  try {
    decodeSnapshotFrame(bytes)
    return false
  } catch (error) {
    if (error instanceof RaftDecodeError) return true
    throw error
  }
}

describe('a snapshot frame', () => {
  test('is read as it was written', () => {
    for (const frame of FRAMES)
      expect(plain(decodeSnapshotFrame(encodeSnapshotFrame(frame)))).toEqual(plain(frame))
  })

  test('is never taken for a message between cores', () => {
    for (const frame of FRAMES) expect(isMessageFrame(encodeSnapshotFrame(frame))).toBe(false)
  })

  test('with any bit flipped, cut short, or with a byte more is refused', () => {
    for (const frame of FRAMES) {
      const bytes = encodeSnapshotFrame(frame)
      const taken: string[] = []
      for (let bit = 0; bit < bytes.length * 8; bit++) {
        const damaged = Uint8Array.from(bytes)
        damaged[bit >> 3]! ^= 1 << (bit & 7)
        if (!isRefused(damaged)) taken.push(`bit ${bit}`)
      }
      for (let size = 0; size < bytes.length; size++)
        if (!isRefused(bytes.subarray(0, size))) taken.push(`${size} bytes`)
      expect(taken).toEqual([])
      expect(() => decodeSnapshotFrame(Buffer.concat([bytes, Buffer.from([0])]))).toThrow(RaftDecodeError)
    }
  })

  test.each([
    ['another version', OFFER, (bytes: Buffer) => void bytes.writeUInt8(0x22, 0)],
    ['an unknown kind', OFFER, (bytes: Buffer) => void bytes.writeUInt8(8, 1)],
    ['kind 0', OFFER, (bytes: Buffer) => void bytes.writeUInt8(0, 1)],
    ['unknown flags', CHUNK, (bytes: Buffer) => void bytes.writeUInt8(1, 2)],
    ['unknown flags of an offer', OFFER, (bytes: Buffer) => void bytes.writeUInt8(2, 2)],
    ['a checksum that is said to be unknown', OFFER, (bytes: Buffer) => void bytes.writeUInt8(0, 2)],
    ['something in the empty byte', CHUNK, (bytes: Buffer) => void bytes.writeUInt8(1, 3)],
    ['a negative offset', CHUNK, (bytes: Buffer) => void bytes.writeDoubleLE(-1, 20)],
    ['half an offset', CHUNK, (bytes: Buffer) => void bytes.writeDoubleLE(0.5, 20)],
    ['an offset that is no number', CHUNK, (bytes: Buffer) => void bytes.writeDoubleLE(Number.NaN, 20)],
    ['an offset over the safe integers', CHUNK, (bytes: Buffer) => void bytes.writeDoubleLE(2 ** 53, 20)],
    ['a chunk without data', CHUNK, (bytes: Buffer) => bytes.subarray(0, 28)],
    ['half an offset field', CHUNK, (bytes: Buffer) => bytes.subarray(0, 24)],
    ['too much data', CHUNK, () => changedChunk(CHUNK_FRAME_BYTES_MAX + 1)],
    ['a longer configuration than it has', OFFER, (bytes: Buffer) => void bytes.writeUInt32LE(1000, 88)],
    ['a configuration of 4 GiB', OFFER, (bytes: Buffer) => void bytes.writeUInt32LE(0xffff_ffff, 88)],
    ['an offer that ends early', OFFER, (bytes: Buffer) => bytes.subarray(0, 80)],
    ['a size of infinity', OFFER, (bytes: Buffer) => void bytes.writeDoubleLE(Number.POSITIVE_INFINITY, 76)],
    ['an unknown reason', FRAMES[9]!, (bytes: Buffer) => void bytes.writeUInt8(10, 2)],
    ['no reason', FRAMES[9]!, (bytes: Buffer) => void bytes.writeUInt8(0, 2)],
  ])('with %s is refused', (_, frame, change) => {
    expect(() => decodeSnapshotFrame(changed(frame, () => undefined))).not.toThrow()
    expect(() => decodeSnapshotFrame(changed(frame, (bytes) => change(bytes) ?? undefined))).toThrow(
      RaftDecodeError,
    )
  })

  test('of random bytes, also with a head and a checksum that are right, is refused or bounded by them', () => {
    const random = new SeededRandom(11)
    for (let round = 0; round < 20_000; round++) {
      const size = random.below(160)
      const bytes = Buffer.from(Uint8Array.from({ length: size }, () => random.below(256)))
      const frame = changed(OFFER, () => {
        if (size < 20 || round % 3 === 0) return bytes
        bytes.writeUInt8(0x21, 0)
        bytes.writeUInt8(1 + random.below(7), 1)
        bytes.writeUInt8(random.below(3), 2)
        bytes.writeUInt8(0, 3)
        if (size >= 28 && random.below(2) === 0) bytes.writeDoubleLE(random.below(1000), 20)
        return bytes
      })
      if (!isRefused(frame))
        expect(encodeSnapshotFrame(decodeSnapshotFrame(frame))).toEqual(Uint8Array.from(frame))
    }
  })
})

function changedChunk(sizeBytes: number): Uint8Array {
  return Buffer.concat([encodeSnapshotFrame(CHUNK).subarray(0, 28), Buffer.alloc(sizeBytes)])
}

test('a snapshot frame of another version is refused as such, both versions named', () => {
  const bytes = encodeSnapshotFrame(CHUNK)
  bytes[0] = 0x22
  expect(() => decodeSnapshotFrame(bytes)).toThrow(
    expect.objectContaining({
      code: 'UNSUPPORTED_VERSION',
      message: `a snapshot frame of version 34: version ${BUILD_VERSION} reads 33`,
    }),
  )
})

test('snapshot frames have the bytes that they always had: another form takes another version', () => {
  const small: SnapshotFrame = { ...CHUNK, data: Uint8Array.of(1, 2, 3) }
  const hex = [OFFER, small, ...FRAMES.slice(5)].map((frame) =>
    Buffer.from(encodeSnapshotFrame(frame)).toString('hex'),
  )
  expect(hex).toEqual([
    '210101008b98ad1507000000feffffff03000000a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a11781e37c6f81bfaa21caf073f31da6e9000000000000224000000000000010430000000000001c400000000000007042efbeadde1b0000006d656d62657273206f662031313235383939393036383432363234',
    '210200004a31713a07000000feffffff03000000000000000000c042010203',
    '21030000a9adcb7407000000feffffff03000000',
    '210400007337eaaf07000000feffffff030000000000000000001440',
    '21050000ab922c9807000000feffffff030000000000000000001840',
    '210501006f3368eb07000000feffffff030000000000000000001c40',
    '2106010054f243da07000000feffffff03000000',
    '210602008fd722a607000000feffffff03000000',
    '21060300f9362d3b07000000feffffff03000000',
    '21060400399ce05e07000000feffffff03000000',
    '210605004f7defc307000000feffffff03000000',
    '2106060094588ebf07000000feffffff03000000',
    '21060700e2b9812207000000feffffff03000000',
    '21060800140d157407000000feffffff03000000',
    '2106090062ec1ae907000000feffffff03000000',
    '21070000cac8b7fe07000000feffffff03000000',
  ])
})
