import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { crc32 } from 'node:zlib'
import { afterEach, beforeEach, expect, test } from '@jest/globals'
import { BUILD_VERSION } from '@sluice/foundation'
import { WalForeignError, WalVersionError } from '../src/wal/errors.js'
import { BATCH_HEADER_BYTES, padded, SEGMENT_HEADER_BYTES, segmentFileName } from '../src/wal/format.js'
import { type OpenedLog, openOrReplaceWal } from '../src/wal/open-or-replace.js'
import { append, entries, groupId, hardState, openGroup } from './wal-fixture.js'

const FIRST = segmentFileName(1)
const NODE = new Uint8Array(16).fill(7)

let parent: string
let directory: string

beforeEach(() => {
  parent = mkdtempSync(join(tmpdir(), 'raft-wal-'))
  directory = join(parent, 'log')
})

afterEach(() => {
  rmSync(parent, { recursive: true, force: true })
})

function open(isUsed = true, nodeUuid = NODE): Promise<OpenedLog> {
  return openOrReplaceWal({
    directory,
    nodeUuid,
    isUsed,
    segmentBytes: 4096,
    onFatal: (error) => {
      throw error
    },
  })
}

/** A log with a group of three entries, closed. */
async function makeLog(): Promise<void> {
  const { wal, lost } = await open(false)
  expect(lost).toBeUndefined()
  openGroup(wal, 1)
  for (let i = 1; i <= 3; i++)
    await append(wal, { group: groupId(1), entries: entries(i, i, i, 20), hardState: hardState(i, 1, 0) })
  await wal.close()
}

test('a log that is whole is opened as it is', async () => {
  await makeLog()
  const { wal, lost } = await open()
  expect([lost, wal.group(groupId(1))?.lastIndex]).toEqual([undefined, 3])
  await wal.close()
  expect(readdirSync(parent)).toEqual(['log'])
})

test('a damaged log is set aside whole, and the loss is remembered until all is recovered', async () => {
  await makeLog()
  const bytes = readFileSync(join(directory, FIRST))
  bytes[200]! ^= 1
  writeFileSync(join(directory, FIRST), bytes)
  const first = await open()
  expect(first.lost).toContain('is damaged at byte')
  expect(first.wal.groups()).toEqual([])
  await first.wal.close()
  expect(readFileSync(join(`${directory}.damaged`, FIRST)).equals(bytes)).toBe(true)

  // Damaged again before that, the first one is kept: it may hold what no other disk does.
  const second = readFileSync(join(directory, FIRST))
  second[70]! ^= 1
  writeFileSync(join(directory, FIRST), second)
  const again = await open()
  expect(again.lost).toContain(first.lost)
  expect(readFileSync(join(`${directory}.damaged`, FIRST)).equals(bytes)).toBe(true)
  expect(readFileSync(join(`${directory}.damaged-2`, FIRST)).equals(second)).toBe(true)
  await again.recovered()
  await again.wal.close()
  const whole = await open()
  expect(whole.lost).toBeUndefined()
  await whole.wal.close()
})

test('a log that ends before what was durable has lost something', async () => {
  await makeLog()
  const bytes = readFileSync(join(directory, FIRST))
  writeFileSync(join(directory, FIRST), bytes.subarray(0, 300))
  const { wal, lost } = await open()
  expect(lost).toContain('were durable, and are gone')
  await wal.close()
})

test('a log that was there and is gone is missed; one that never was is not', async () => {
  await makeLog()
  rmSync(directory, { recursive: true })
  const { wal, lost } = await open()
  expect(lost).toContain('is gone')
  await wal.close()
})

test('another node’s log is no damage', async () => {
  await makeLog()
  await expect(open(true, new Uint8Array(16).fill(8))).rejects.toThrow(WalForeignError)
  expect(readdirSync(parent)).toEqual(['log'])
})

const HEADER_CRC_AT = 56
const BATCH_AT = SEGMENT_HEADER_BYTES
const BATCH_CRC_AT = BATCH_AT + 24

/** The header says so, and its checksum is right. */
function withHeaderByte(bytes: Buffer, at: number, value: number): Buffer {
  bytes[at] = value
  bytes.writeUInt32LE(crc32(bytes.subarray(0, HEADER_CRC_AT)), HEADER_CRC_AT)
  return bytes
}

/** The only batch says so, and its checksum is right. */
function withBatchByte(bytes: Buffer, at: number, value: number): Buffer {
  bytes[BATCH_AT + at] = value
  bytes.writeUInt32LE(0, BATCH_CRC_AT)
  const sizeBytes = padded(BATCH_HEADER_BYTES + bytes.readUInt32LE(BATCH_AT + 4))
  const salt = bytes.readUInt32LE(HEADER_CRC_AT)
  bytes.writeUInt32LE(crc32(bytes.subarray(BATCH_AT, BATCH_AT + sizeBytes), salt), BATCH_CRC_AT)
  return bytes.fill(0, BATCH_AT + sizeBytes)
}

test.each([
  ['the format of the segment', (bytes: Buffer) => withHeaderByte(bytes, 4, 2), 'format 2, known is 1'],
  [
    'the checksums of the segment',
    (bytes: Buffer) => withHeaderByte(bytes, 6, 9),
    'algorithm is 9, known is 2',
  ],
  ['a batch', (bytes: Buffer) => withBatchByte(bytes, 28, 64), 'batch flags 64 are unknown'],
  ['a record', (bytes: Buffer) => withBatchByte(bytes, BATCH_HEADER_BYTES, 99), 'record type 99 is unknown'],
])(
  'a log of a later version, by %s, is no damage: it is refused and left where it is',
  async (_what, change, reason) => {
    await makeLog()
    const file = join(directory, FIRST)
    const bytes = change(readFileSync(file))
    writeFileSync(file, bytes)
    const opening = open()
    await expect(opening).rejects.toBeInstanceOf(WalVersionError)
    await expect(opening).rejects.toMatchObject({ code: 'UNSUPPORTED_VERSION', file })
    await expect(opening).rejects.toThrow(reason)
    await expect(opening).rejects.toThrow(`a later version than ${BUILD_VERSION}`)
    expect(readFileSync(file).equals(bytes)).toBe(true)
    expect(readdirSync(parent)).toEqual(['log'])
  },
)

test('a format that is not known is damage when the checksum of the header does not match', async () => {
  await makeLog()
  const bytes = readFileSync(join(directory, FIRST))
  bytes[4] = 2
  writeFileSync(join(directory, FIRST), bytes)
  const opened = await open()
  expect(opened.lost).toContain('is damaged')
  await opened.wal.close()
})
