import { beforeAll, expect, test } from '@jest/globals'
import { WalCorruptError } from '../src/wal/errors.js'
import { BATCH_HEADER_BYTES, decodeSegmentHeader, parseSegmentFileName } from '../src/wal/format.js'
import { decodeRecords, RecordType } from '../src/wal/record.js'
import { scanSegment } from '../src/wal/segment-scan.js'
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
const OPTIONS = { segmentBytes: 1024, slowGroupSegments: 1 }

interface Scanned {
  readonly starts: readonly number[]
  readonly ends: readonly number[]
  readonly lsns: readonly number[]
  readonly types: ReadonlySet<number>
}

/** A log whose files hold records of every type, and what it says after each batch. */
interface Sample {
  readonly files: Map<string, Buffer>
  readonly segments: readonly string[]
  readonly stateAt: (lsn: number) => unknown
  readonly final: unknown
}

function scanFile(name: string, bytes: Buffer): Scanned {
  const header = decodeSegmentHeader(bytes)
  if (typeof header === 'string') throw new Error(header)
  const image = { path: name, bytes, salt: header.salt }
  const { batches } = scanSegment(image, { lsn: header.prevSegmentLastLsn + 1, prevCrc: undefined })
  const types = new Set<number>()
  for (const { header: batch, at } of batches) {
    const whole = bytes.subarray(at, at + batch.sizeBytes)
    for (const { type } of decodeRecords(whole, BATCH_HEADER_BYTES, batch.recordCount, batch.bodyBytes))
      types.add(type)
  }
  return {
    starts: batches.map(({ at }) => at),
    ends: batches.map(({ at, header: batch }) => at + batch.sizeBytes),
    lsns: batches.map(({ header: batch }) => batch.lsn),
    types,
  }
}

async function sample(): Promise<Sample> {
  const disk = new SimulatedDisk()
  const wal = await bench.openOn(disk, OPTIONS)
  const states: { readonly lsn: number; readonly state: unknown }[] = []
  const write = async (...writes: Parameters<Wal['append']>[0]): Promise<void> => {
    await append(wal, ...writes)
    states.push({ lsn: wal.stats().durableLsn, state: await describeWal(wal) })
  }
  openGroup(wal, 2)
  await write({ group: groupId(2), entries: entries(1, 1, 1), hardState: hardState(1, 2, 0) })
  openGroup(wal, 1)
  // The second group holds the first segment until its entry is copied forward.
  for (let i = 1; i <= 4; i++) {
    await write({ group: groupId(1), entries: entries(i, i, 1, 600) })
    wal.compact(groupId(1), i)
  }
  // Too much to be copied: what comes from here on stays.
  openGroup(wal, 5)
  await write({ group: groupId(5), entries: entries(1, 1, 1, 300) })
  openGroup(wal, 3)
  await write(
    { group: groupId(1), entries: entries(5, 7, 2, 20) },
    { group: groupId(3), snapshot: snapshot(40, 3), entries: entries(41, 42, 3) },
  )
  await write({ group: groupId(1), entries: entries(8, 8, 2, 400) })
  openGroup(wal, 4)
  await write({ group: groupId(4), entries: entries(1, 2, 4) }, { group: groupId(1), truncateFrom: 8 })
  await write({ group: groupId(4), snapshot: snapshot(9, 4), hardState: hardState(4, 0, 9) })
  wal.compact(groupId(1), 7)
  wal.removeGroup(groupId(3))
  await write({ group: groupId(4), snapshot: snapshot(12, 5), entries: entries(13, 14, 5) })
  const files = new Map([...disk.contents()].filter(([name]) => parseSegmentFileName(name) !== undefined))
  return {
    files,
    segments: [...files.keys()].sort(),
    stateAt: (lsn) => states.findLast((known) => known.lsn <= lsn)?.state,
    final: states.at(-1)!.state,
  }
}

let whole: Sample
let last: string
let lastScan: Scanned
beforeAll(async () => {
  whole = await sample()
  last = whole.segments.at(-1)!
  lastScan = scanFile(last, whole.files.get(last)!)
})

async function openChanged(name: string, change: (bytes: Buffer) => Buffer): Promise<Wal | WalCorruptError> {
  const files = new Map(whole.files)
  files.set(name, change(Buffer.from(files.get(name)!)))
  try {
    return await bench.openOn(SimulatedDisk.of(files), OPTIONS)
  } catch (error) {
    if (error instanceof WalCorruptError) return error
    throw error
  }
}

test('the files used here hold every type of record, and the first segments are gone', () => {
  const types = new Set<number>()
  for (const name of whole.segments)
    for (const type of scanFile(name, whole.files.get(name)!).types) types.add(type)
  expect([...types].sort((a, b) => a - b)).toEqual(Object.values(RecordType))
  expect(parseSegmentFileName(whole.segments[0]!)).toBeGreaterThan(2)
  expect(whole.segments.length).toBeGreaterThan(1)
})

test('any flipped bit of any file is damage, or changes nothing, or makes the very last batch a torn one', async () => {
  const lastStart = lastScan.starts.at(-1)!
  const lastEnd = lastScan.ends.at(-1)!
  for (const name of whole.segments) {
    const seen = { damage: 0, same: 0, torn: 0 }
    const { ends } = scanFile(name, whole.files.get(name)!)
    for (let bit = 0; bit < whole.files.get(name)!.length * 8; bit++) {
      const at = bit >>> 3
      const wal = await openChanged(name, (bytes) => {
        bytes[at]! ^= 1 << (bit & 7)
        return bytes
      })
      if (wal instanceof WalCorruptError) {
        seen.damage += 1
        continue
      }
      const isInLast = name === last && at >= lastStart && at < lastEnd
      expect(await describeWal(wal)).toEqual(isInLast ? whole.stateAt(lastScan.lsns.at(-2)!) : whole.final)
      seen[isInLast ? 'torn' : 'same'] += 1
    }
    expect(seen.torn).toBe(name === last ? (lastEnd - lastStart) * 8 : 0)
    expect(seen.damage).toBe((ends.at(-1)! - 4) * 8 - seen.torn)
  }
}, 120_000)

test('any file cut short anywhere is damage, or has the batches that are whole', async () => {
  for (const name of whole.segments) {
    for (let size = 0; size < whole.files.get(name)!.length; size++) {
      const wal = await openChanged(name, (bytes) => bytes.subarray(0, size))
      if (wal instanceof WalCorruptError) continue
      const kept = lastScan.ends.filter((end) => end <= size).length
      const state = name === last ? whole.stateAt(lastScan.lsns[kept - 1]!) : whole.final
      expect(await describeWal(wal)).toEqual(state)
    }
  }
}, 60_000)

test('any file that is missing is damage, and named', async () => {
  for (const name of whole.segments) {
    const files = new Map(whole.files)
    files.delete(name)
    await expect(bench.openOn(SimulatedDisk.of(files), OPTIONS)).rejects.toMatchObject({
      name: 'WalCorruptError',
      file: `/simulated/${name}`,
    })
  }
})
