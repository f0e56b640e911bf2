import { crc32 } from 'node:zlib'
import { SeededRandom } from '@sluice/foundation'
import { describe, expect, test } from '@jest/globals'
import { WalVersionError, WalError } from '../src/wal/errors.js'
import {
  BATCH_HEADER_BYTES,
  BatchFlag,
  decodeBatchHeader,
  decodeSegmentHeader,
  parseSegmentFileName,
  SEGMENT_HEADER_BYTES,
  segmentFileName,
  viewOf,
} from '../src/wal/format.js'
import { decodeRecords, RecordError, RecordType, type WalRecord } from '../src/wal/record.js'
import { findValidBatch, scanSegment } from '../src/wal/segment-scan.js'
import type { Wal } from '../src/wal/wal.js'
import {
  append,
  describeWal,
  entries,
  groupId,
  hardState,
  openGroup,
  snapshot,
  WalBench,
} from './wal-fixture.js'
import { SimulatedDisk } from './wal-simulated-disk.js'

const bench = new WalBench()
const FIRST = segmentFileName(1)

function randomBytes(random: SeededRandom, sizeBytes: number): Buffer {
  return Buffer.from(Array.from({ length: sizeBytes }, () => random.below(256)))
}

/** Every byte of arrays that the records hold; views of the input count as well. */
function bytesIn(records: readonly WalRecord[]): number {
  let sizeBytes = 0
  const count = (value: unknown): void => {
    if (ArrayBuffer.isView(value)) sizeBytes += value.byteLength
    else if (typeof value === 'object' && value !== null) for (const part of Object.values(value)) count(part)
  }
  count(records)
  return sizeBytes
}

function decode(body: Buffer, recordCount: number): WalRecord[] | RecordError {
  try {
    return [...decodeRecords(body, 0, recordCount, body.length)]
  } catch (error) {
    if (error instanceof RecordError) return error
    throw error
  }
}

function record(type: number, payload: Buffer, payloadBytes = payload.length): Buffer {
  const head = Buffer.alloc(12)
  head.writeUInt32LE(type, 0)
  head.writeUInt32LE(1, 4)
  head.writeUInt32LE(payloadBytes, 8)
  return Buffer.concat([head, payload])
}

describe('records', () => {
  test('of random bytes are decoded or refused, and take no more memory than they have bytes', () => {
    const random = new SeededRandom(11)
    let decoded = 0
    for (let i = 0; i < 60_000; i++) {
      const payload = randomBytes(random, random.below(120))
      // Small numbers are what a decoder believes.
      for (let at = 0; at < payload.length; at++) if (random.below(3) > 0) payload[at] = random.below(4) >> 1
      const body = record(1 + random.below(10), payload)
      const records = decode(body, 1)
      if (records instanceof RecordError) continue
      decoded += 1
      expect(bytesIn(records)).toBeLessThanOrEqual(body.length)
    }
    expect(decoded).toBeGreaterThan(5000)
  })

  test('of random headers are refused', () => {
    const random = new SeededRandom(12)
    for (let i = 0; i < 20_000; i++)
      expect(decode(randomBytes(random, 12 + random.below(60)), 1)).toBeInstanceOf(RecordError)
  })

  test('that count more than they have room for are refused before memory is taken', () => {
    const huge = Buffer.alloc(4, 0xff)
    const zeros = (sizeBytes: number): Buffer => Buffer.alloc(sizeBytes)
    const kinds = Buffer.alloc(64, 0xff)
    const refused: Record<string, Buffer> = {
      entries: record(RecordType.ENTRIES, Buffer.concat([zeros(16), huge, kinds])),
      'entry data': record(
        RecordType.ENTRIES,
        Buffer.concat([zeros(16), Buffer.from([1, 0, 0, 0]), huge, zeros(9)]),
      ),
      copies: record(RecordType.COPIES, Buffer.concat([zeros(8), huge, kinds])),
      'copied data': record(
        RecordType.COPIES,
        Buffer.concat([zeros(8), Buffer.from([1, 0, 0, 0]), zeros(8), huge, zeros(9)]),
      ),
      groups: record(RecordType.CHECKPOINT, Buffer.concat([huge, zeros(300)])),
      payload: record(RecordType.BASE, zeros(20), 0xffff_ffff),
      name: record(RecordType.GROUP_DEF, Buffer.concat([zeros(16), Buffer.from([0xff, 0xff]), zeros(40)])),
    }
    for (const [what, body] of Object.entries(refused)) {
      const before = process.memoryUsage().arrayBuffers
      expect([what, decode(body, 1)]).toEqual([what, expect.any(RecordError)])
      expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(1 << 20)
    }
    // More records than bytes.
    expect(decode(Buffer.alloc(0), 0xffff_ffff)).toBeInstanceOf(RecordError)
  })

  test('with a byte too many or too few are refused', () => {
    for (const [type, sizeBytes] of [
      [RecordType.HARDSTATE, 20],
      [RecordType.TRUNCATE, 8],
      [RecordType.COMPACT, 16],
      [RecordType.GROUP_DEL, 0],
    ] as const) {
      expect(decode(record(type, Buffer.alloc(sizeBytes)), 1)).toHaveLength(1)
      expect(decode(record(type, Buffer.alloc(sizeBytes + 1)), 1)).toBeInstanceOf(RecordError)
      if (sizeBytes > 0)
        expect(decode(record(type, Buffer.alloc(sizeBytes - 1)), 1)).toBeInstanceOf(RecordError)
    }
    expect(decode(record(RecordType.SNAPSHOT, Buffer.alloc(15)), 1)).toBeInstanceOf(RecordError)
    expect(decode(record(11, Buffer.alloc(8)), 1)).toBeInstanceOf(RecordError)
    expect(decode(record(0, Buffer.alloc(8)), 1)).toBeInstanceOf(RecordError)
  })
})

describe('headers and file names', () => {
  test('of random bytes are told with a reason', () => {
    const random = new SeededRandom(13)
    for (let i = 0; i < 20_000; i++) {
      const bytes = randomBytes(random, random.below(100))
      expect(typeof decodeSegmentHeader(bytes)).toBe('string')
      expect(typeof decodeBatchHeader(viewOf(bytes), 0, bytes.length)).toBe('string')
    }
  })

  test('a batch that claims more than its file has is none', () => {
    const bytes = Buffer.alloc(64)
    bytes.writeUInt32LE(0xb47c_a11e, 0)
    for (const bodyBytes of [33, 1 << 20, 256 * 1024 * 1024, 0xffff_ffff]) {
      bytes.writeUInt32LE(bodyBytes, 4)
      expect(typeof decodeBatchHeader(viewOf(bytes), 0, bytes.length)).toBe('string')
    }
    bytes.writeUInt32LE(32, 4)
    expect(decodeBatchHeader(viewOf(bytes), 0, bytes.length)).toMatchObject({ bodyBytes: 32, sizeBytes: 64 })
  })

  test('only names that the log gives are segments', () => {
    for (const name of [
      'wal-1.seg',
      'wal-000000000000000G.seg',
      'wal-0000000000000001.seg.old',
      'wal-spare.tmp',
      '',
    ])
      expect(parseSegmentFileName(name)).toBeUndefined()
    expect(parseSegmentFileName(segmentFileName(0xabc))).toBe(0xabc)
  })

  test('random segments are scanned and searched to their end', () => {
    const random = new SeededRandom(14)
    for (let i = 0; i < 300; i++) {
      const bytes = randomBytes(random, 64 + random.below(2000))
      for (let at = 64; at + 8 < bytes.length; at += 8 * (1 + random.below(8)))
        bytes.writeUInt32LE(0xb47c_a11e, at)
      const image = { path: FIRST, bytes, salt: random.below(1000) }
      expect(scanSegment(image, { lsn: 1, prevCrc: undefined }).batches).toEqual([])
      expect(findValidBatch(image, SEGMENT_HEADER_BYTES, 1)).toBe(-1)
    }
  })
})

/** A log of one file with records of most types in it. */
async function sampleFiles(): Promise<Map<string, Buffer>> {
  const disk = new SimulatedDisk()
  const wal = await bench.openOn(disk, { segmentBytes: 4096 })
  for (const id of [1, 2, 3]) openGroup(wal, id)
  await append(wal, { group: groupId(1), entries: entries(1, 8, 1), hardState: hardState(1, 1, 0) })
  await append(wal, { group: groupId(2), snapshot: snapshot(5, 2), entries: entries(6, 9, 2) })
  wal.compact(groupId(1), 7)
  await append(wal, { group: groupId(1), truncateFrom: 8 }, { group: groupId(3), entries: entries(1, 1, 1) })
  wal.removeGroup(groupId(3))
  await append(wal, { group: groupId(2), hardState: hardState(4, 2, 8) })
  await wal.close()
  return disk.contents()
}

/** The file with its batches' checksums as they would be if somebody had written just these bytes. */
function sealed(bytes: Buffer): Buffer {
  const salt = bytes.readUInt32LE(56)
  const view = viewOf(bytes)
  let prevCrc: number | undefined
  for (let at = SEGMENT_HEADER_BYTES; ;) {
    const header = decodeBatchHeader(view, at, bytes.length - at)
    if (typeof header === 'string') return bytes
    if (prevCrc !== undefined) bytes.writeUInt32LE(prevCrc, at + 20)
    bytes.writeUInt32LE(0, at + 24)
    prevCrc = crc32(bytes.subarray(at, at + header.sizeBytes), salt)
    bytes.writeUInt32LE(prevCrc, at + 24)
    at += header.sizeBytes
  }
}

test('a log whose batches are changed and given right checksums is opened or refused, never anything else', async () => {
  const files = await sampleFiles()
  const whole = files.get(FIRST)!
  const end = whole.findLastIndex((byte) => byte !== 0) + 8
  const random = new SeededRandom(15)
  const seen = { refused: 0, opened: 0 }
  for (let i = 0; i < 6000; i++) {
    const bytes = Buffer.from(whole)
    const changes = 1 + random.below(3)
    for (let change = 0; change < changes; change++) {
      const at = SEGMENT_HEADER_BYTES + random.below(end - SEGMENT_HEADER_BYTES)
      bytes[at] = [0, 1, 2, 10, 255, random.below(256)][random.below(6)]!
    }
    let wal: Wal
    try {
      wal = await bench.openOn(SimulatedDisk.of([[FIRST, sealed(bytes)]]), { segmentBytes: 4096 })
    } catch (error) {
      expect(error).toBeInstanceOf(WalError)
      seen.refused += 1
      continue
    }
    // Whatever it says, it says it of every group, and can be closed.
    await describeWal(wal)
    await wal.close()
    seen.opened += 1
  }
  expect(seen.refused).toBeGreaterThan(1000)
  expect(seen.opened).toBeGreaterThan(100)
}, 60_000)

test('a batch with flags of a later version is refused', async () => {
  const files = await sampleFiles()
  const bytes = Buffer.from(files.get(FIRST)!)
  const first = decodeBatchHeader(viewOf(bytes), SEGMENT_HEADER_BYTES, 4000)
  if (typeof first === 'string') throw new Error(first)
  const second = SEGMENT_HEADER_BYTES + first.sizeBytes
  bytes.writeUInt32LE(64, second + 28)
  const opening = bench.openOn(SimulatedDisk.of([[FIRST, sealed(bytes)]]), { segmentBytes: 4096 })
  await expect(opening).rejects.toThrow(WalVersionError)
  await expect(opening).rejects.toThrow('batch flags 64 are unknown')
  expect(Object.values(BatchFlag)).not.toContain(64)
})

test('a cold read of a large batch takes no memory for what its file does not have', async () => {
  const disk = new SimulatedDisk()
  const wal = await bench.openOn(disk, { segmentBytes: 4096, cacheBytesMax: 0 })
  const log = openGroup(wal, 1)
  await append(wal, { group: groupId(1), entries: entries(1, 1, 1) })
  const { current } = disk.names.get(FIRST)!
  const first = decodeBatchHeader(viewOf(current), SEGMENT_HEADER_BYTES, 4000)
  if (typeof first === 'string') throw new Error(first)
  current.writeUInt32LE(200 * 1024 * 1024, SEGMENT_HEADER_BYTES + first.sizeBytes + 4)
  const before = process.memoryUsage().arrayBuffers
  await expect(log.read(1, 1, 100)).rejects.toThrow('the file ends within a batch')
  expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(4 << 20)
  expect(BATCH_HEADER_BYTES).toBe(32)
  await wal.close()
})
