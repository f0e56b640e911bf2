import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from '@jest/globals'
import { WalForeignError } from '../src/wal/errors.js'
import { segmentFileName } from '../src/wal/format.js'
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
