import { inflateRawSync } from 'node:zlib'
import { expect, test } from '@jest/globals'
import { decodeSegmentHeader, parseSegmentFileName, BATCH_HEADER_BYTES } from '../src/wal/format.js'
import { decodeRecords, RecordType } from '../src/wal/record.js'
import { scanSegment } from '../src/wal/segment-scan.js'
import type { Wal } from '../src/wal/wal.js'
import { append, describeWal, entries, groupId, hardState, WalBench } from './wal-fixture.js'
import { FIRST_LAYOUT, SECOND_LAYOUT } from './wal-golden-logs.js'
import { SimulatedDisk } from './wal-simulated-disk.js'

const bench = new WalBench()

function diskOf(layout: Readonly<Record<string, string>>): SimulatedDisk {
  return SimulatedDisk.of(
    Object.entries(layout).map(
      ([name, text]) => [name, inflateRawSync(Buffer.from(text, 'base64'))] as const,
    ),
  )
}

/** The types of all records, each once, in ascending order. */
function typesIn(disk: SimulatedDisk): number[] {
  const types = new Set<number>()
  for (const [name, bytes] of disk.contents()) {
    const header = decodeSegmentHeader(bytes)
    if (parseSegmentFileName(name) === undefined || typeof header === 'string') continue
    const start = { lsn: header.prevSegmentLastLsn + 1, prevCrc: undefined }
    for (const { header: batch, at } of scanSegment({ path: name, bytes, salt: header.salt }, start)
      .batches) {
      const whole = bytes.subarray(at, at + batch.sizeBytes)
      for (const { type } of decodeRecords(whole, BATCH_HEADER_BYTES, batch.recordCount, batch.bodyBytes))
        types.add(type)
    }
  }
  return [...types].sort((a, b) => a - b)
}

/** Goes on with the log, and opens it once more: old files and new ones side by side. */
async function goesOn(disk: SimulatedDisk, wal: Wal): Promise<void> {
  const log = wal.group(groupId(1))!
  const next = log.lastIndex + 1
  await append(wal, { group: groupId(1), entries: entries(next, next + 5, 99, 300) })
  wal.compact(groupId(1), next + 3)
  await append(wal, { group: groupId(1), entries: entries(next + 6, next + 6, 99) })
  const state = await describeWal(wal)
  await wal.close()
  expect(await describeWal(await bench.openOn(disk.crashed()))).toEqual(state)
}

test('a log that was written before there were snapshots opens, and goes on', async () => {
  const disk = diskOf(FIRST_LAYOUT)
  const { GROUP_DEF, HARDSTATE, ENTRIES, TRUNCATE, COMPACT, GROUP_DEL, CHECKPOINT } = RecordType
  expect(typesIn(disk)).toEqual([GROUP_DEF, HARDSTATE, ENTRIES, TRUNCATE, COMPACT, GROUP_DEL, CHECKPOINT])
  const wal = await bench.openOn(disk)
  expect(wal.report).toEqual({ segments: 8, batches: 21, tornBytesCut: 0 })
  expect(await describeWal(wal)).toMatchObject([
    {
      name: 'one',
      uuid: '01'.repeat(16),
      state: hardState(8, 1, 7),
      compactedIndex: 6,
      terms: [6, 9, 10, 10],
      texts: ['7 9 0 7/9:....', '8 10 0 8/10:...', '9 10 0 9/10:...'],
      base: undefined,
      configurations: [],
    },
    {
      name: 'zwei – ü',
      uuid: '02'.repeat(16),
      state: hardState(2, 0, 1),
      compactedIndex: 1,
      terms: [2, 2, 2 ** 40],
      texts: ['2 2 0 2/2:....', '3 1099511627776 0 3/1099511627776:'],
      // It was in the log, as the newest configuration up to where that is compacted.
      base: '1/2:'.padEnd(40, '.'),
      configurations: [],
    },
    {
      name: 'gone and back',
      uuid: '21'.repeat(16),
      state: hardState(4, 0xffff_ffff, 0),
      terms: [0, 5],
      texts: ['1 5 0 1/5:....'],
      base: undefined,
    },
  ])
  await goesOn(disk, wal)
})

test('a log with snapshots, base configurations and copied entries opens, and goes on', async () => {
  const disk = diskOf(SECOND_LAYOUT)
  expect(typesIn(disk)).toEqual(
    expect.arrayContaining([RecordType.SNAPSHOT, RecordType.BASE, RecordType.COPIES]),
  )
  const wal = await bench.openOn(disk)
  expect(await describeWal(wal)).toMatchObject([
    { compactedIndex: 7, terms: [2, 2, 2], base: '7/2:................', sizes: [1000, 50] },
    { state: hardState(1, 2, 0), terms: [0, 1], texts: ['1 1 0 1/1:....'], base: undefined },
    {
      compactedIndex: 40,
      terms: [3, 3, 3, 6, 6],
      texts: ['41 3 0 41/3:...', '42 3 2 42/3:...', '43 6 0 43/6:...', '44 6 0 44/6:...'],
      base: 'members at 40/3',
      configurations: ['42 3 42/3:...'],
    },
  ])
  await goesOn(disk, wal)
})
