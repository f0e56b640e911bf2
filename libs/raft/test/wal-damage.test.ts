import { beforeAll, describe, expect, test } from '@jest/globals'
import { WalCorruptError } from '../src/wal/errors.js'
import { decodeSegmentHeader, SEGMENT_HEADER_BYTES, segmentFileName } from '../src/wal/format.js'
import { endOfData, scanSegment } from '../src/wal/segment-scan.js'
import type { Wal } from '../src/wal/wal.js'
import { append, describeWal, entries, groupId, hardState, openGroup, WalBench } from './wal-fixture.js'
import { SimulatedDisk } from './wal-simulated-disk.js'

const bench = new WalBench()
const FIRST = segmentFileName(1)
const MARK = 'wal-durable'

interface Sample {
  /** Without the mark of how far it was durable, which may not have reached the disk. */
  readonly files: Map<string, Buffer>
  readonly mark: Buffer
  /** What the log says after 0, 1, … batches of entries. */
  readonly states: readonly unknown[]
  /** Where the batches of the first segment start, the checkpoint left out, and where the last one ends. */
  readonly starts: readonly number[]
  readonly end: number
}

/** Batches of a few entries, one after the other, in segments of 1 KiB. */
async function sample(counts: { batches: number; sizeBytes: number; close: boolean }): Promise<Sample> {
  const disk = new SimulatedDisk()
  const wal = await bench.openOn(disk)
  for (const id of [1, 2]) openGroup(wal, id)
  const states: unknown[] = [[]]
  for (let i = 1; i <= counts.batches; i++) {
    await append(
      wal,
      { group: groupId(1), entries: entries(i, i, i, counts.sizeBytes), hardState: hardState(i, 1, 0) },
      ...(i === 2 ? [{ group: groupId(2), hardState: hardState(5, 2, 0) }] : []),
    )
    const defined = (await describeWal(wal)) as { id: number }[]
    states.push(defined.filter(({ id }) => id === 1 || i >= 2))
  }
  if (counts.close) await wal.close()
  const files = disk.contents()
  const mark = files.get(MARK)!
  files.delete(MARK)
  const bytes = files.get(FIRST)!
  const header = decodeSegmentHeader(bytes)
  if (typeof header === 'string') throw new Error(header)
  const scan = scanSegment({ path: FIRST, bytes, salt: header.salt }, { lsn: 1, prevCrc: undefined })
  return { files, mark, states, starts: scan.batches.slice(1).map((batch) => batch.at), end: scan.end }
}

/** The log as it is after somebody changed the first file; or the error. */
async function openChanged(from: Sample, change: (bytes: Buffer) => Buffer): Promise<Wal | WalCorruptError> {
  const files = new Map(from.files)
  files.set(FIRST, change(Buffer.from(files.get(FIRST)!)))
  try {
    return await bench.openOn(SimulatedDisk.of(files))
  } catch (error) {
    if (error instanceof WalCorruptError) return error
    throw error
  }
}

function flip(bit: number): (bytes: Buffer) => Buffer {
  return (bytes) => {
    bytes[bit >>> 3]! ^= 1 << (bit & 7)
    return bytes
  }
}

describe('three small batches, with the mark of how far they were durable', () => {
  let marked: Sample
  beforeAll(async () => {
    const { mark, ...rest } = await sample({ batches: 3, sizeBytes: 20, close: false })
    marked = { ...rest, mark, files: new Map([...rest.files, [MARK, mark]]) }
  })

  test('cut short anywhere before their end, they are damaged: a torn end was never durable', async () => {
    for (let size = 0; size < marked.end; size++)
      expect(await openChanged(marked, (bytes) => bytes.subarray(0, size))).toBeInstanceOf(WalCorruptError)
    const wal = await openChanged(marked, (bytes) => bytes.subarray(0, marked.end))
    expect(await describeWal(wal as Wal)).toEqual(marked.states[3])
  })

  test('any flipped bit of what was durable is damage, in the last batch too', async () => {
    for (let bit = marked.starts[2]! * 8; bit < marked.end * 8; bit++)
      expect(await openChanged(marked, flip(bit))).toBeInstanceOf(WalCorruptError)
  })

  test('a mark that is damaged says nothing', async () => {
    for (let bit = 0; bit < marked.mark.length * 8; bit++) {
      const files = new Map([...marked.files, [MARK, flip(bit)(Buffer.from(marked.mark))]])
      const cut = { ...marked, files }
      const wal = await openChanged(cut, (bytes) => bytes.subarray(0, marked.starts[2]))
      expect(await describeWal(wal as Wal)).toEqual(marked.states[2])
    }
  })

  test('without any segment, the mark says that there were some', async () => {
    await expect(bench.openOn(SimulatedDisk.of(new Map([[MARK, marked.mark]])))).rejects.toThrow(
      'were durable',
    )
  })
})

describe('three small batches, the last one the end of the log', () => {
  let open: Sample
  beforeAll(async () => {
    open = await sample({ batches: 3, sizeBytes: 20, close: false })
  })

  test('any flipped bit is damage, or changes nothing, or makes the very last batch a torn one', async () => {
    const seen = { damage: 0, nothing: 0, torn: 0 }
    for (let bit = 0; bit < open.files.get(FIRST)!.length * 8; bit++) {
      const at = bit >>> 3
      const wal = await openChanged(open, flip(bit))
      if (wal instanceof WalCorruptError) {
        expect(at).toBeLessThan(open.starts[2]!)
        seen.damage += 1
        continue
      }
      const state = await describeWal(wal)
      if (at >= open.starts[2]! && at < open.end) {
        expect(state).toEqual(open.states[2])
        expect(wal.report.tornBytesCut).toBeGreaterThan(0)
        seen.torn += 1
      } else {
        // Only the header's padding and the zeros behind the last batch mean nothing.
        expect(at >= open.end || (at >= 60 && at < SEGMENT_HEADER_BYTES)).toBe(true)
        expect(state).toEqual(open.states[3])
        seen.nothing += 1
      }
    }
    expect(seen.damage).toBe((open.starts[2]! - 4) * 8)
    expect(seen.torn).toBe((open.end - open.starts[2]!) * 8)
  })

  test('cut short anywhere, it has the batches that are whole', async () => {
    for (let size = 0; size < open.files.get(FIRST)!.length; size++) {
      const wal = await openChanged(open, (bytes) => bytes.subarray(0, size))
      if (wal instanceof WalCorruptError) {
        expect(size).toBeLessThan(open.starts[0]!) // the checkpoint is never torn
        continue
      }
      const whole = [...open.starts.slice(1), open.end].filter((end) => end <= size).length
      expect(await describeWal(wal)).toEqual(open.states[whole])
      const isAtEnd = [...open.starts, open.end].includes(size) || size > open.end
      expect(wal.report.tornBytesCut > 0).toBe(!isAtEnd)
    }
  })

  test('after a cut the log goes on, and stays whole', async () => {
    for (const size of [open.starts[1]! + 5, open.starts[2]! - 1, open.end - 9]) {
      const files = new Map(open.files)
      files.set(FIRST, files.get(FIRST)!.subarray(0, size))
      const disk = SimulatedDisk.of(files)
      const wal = await bench.openOn(disk)
      const log = wal.group(groupId(1))!
      const next = log.lastIndex + 1
      await append(wal, { group: groupId(1), entries: entries(next, next, 9, 1) }) // shorter than what was torn
      const state = await describeWal(wal)
      const again = await bench.openOn(disk.crashed())
      expect(again.report.tornBytesCut).toBe(0)
      expect(await describeWal(again)).toEqual(state)
    }
  })
})

test('behind a seal no flipped bit loses anything: it is damage, or nothing', async () => {
  const sealed = await sample({ batches: 3, sizeBytes: 20, close: true })
  for (let bit = 0; bit < sealed.end * 8; bit++) {
    const wal = await openChanged(sealed, flip(bit))
    if (wal instanceof WalCorruptError) expect(bit >>> 3).toBeLessThan(sealed.starts[3]!)
    else expect(await describeWal(wal)).toEqual(sealed.states[3])
  }
})

test('in a segment that is not the last no flipped bit and no lost end loses anything', async () => {
  const two = await sample({ batches: 5, sizeBytes: 150, close: false })
  expect(two.files.has(segmentFileName(2))).toBe(true)
  const outcomes = { damage: 0, whole: 0 }
  const check = async (wal: Wal | WalCorruptError): Promise<void> => {
    if (wal instanceof WalCorruptError) {
      outcomes.damage += 1
      expect(wal.file).toContain(FIRST)
    } else {
      outcomes.whole += 1
      expect(await describeWal(wal)).toEqual(two.states[5])
    }
  }
  for (let bit = 0; bit < two.files.get(FIRST)!.length * 8; bit++)
    await check(await openChanged(two, flip(bit)))
  for (let size = 0; size < two.end; size++)
    await check(await openChanged(two, (bytes) => bytes.subarray(0, size)))
  expect(outcomes.damage).toBeGreaterThan((two.end - 4) * 8)
})

test('the error names the file, the position and what is wrong there', async () => {
  const sealed = await sample({ batches: 3, sizeBytes: 20, close: true })
  const error = await openChanged(sealed, flip((sealed.starts[1]! + 40) * 8))
  expect(error).toMatchObject({ file: `/simulated/${FIRST}`, offset: sealed.starts[1]! })
  expect((error as Error).message).toContain(
    'the checksum of the batch does not match, yet a later batch is whole',
  )
})

test('a whole batch that followed another one is damage', async () => {
  const before = await sample({ batches: 3, sizeBytes: 20, close: false })
  const cut = new Map(before.files)
  cut.set(FIRST, cut.get(FIRST)!.subarray(0, before.starts[1]! + 8))
  const disk = SimulatedDisk.of(cut)
  const wal = await bench.openOn(disk)
  const log = wal.group(groupId(1))!
  openGroup(wal, 2)
  const write = { group: groupId(1), entries: entries(2, 2, 7, 20), hardState: hardState(7, 1, 0) }
  await append(wal, write, { group: groupId(2), hardState: hardState(7, 2, 0) })
  expect(log.lastIndex).toBe(2)
  const changed = disk.contents()
  const old = before.files.get(FIRST)!.subarray(before.starts[2], before.end)
  changed.set(FIRST, Buffer.concat([changed.get(FIRST)!.subarray(0, before.starts[2]), old]))
  await expect(bench.openOn(SimulatedDisk.of(changed))).rejects.toThrow('does not follow the one before it')
})

test('entries that hold the bytes of a batch do not turn a torn tail into damage', async () => {
  const inner = await sample({ batches: 3, sizeBytes: 20, close: false })
  const bytes = inner.files.get(FIRST)!
  const disk = new SimulatedDisk()
  const wal = await bench.openOn(disk, { segmentBytes: 65_536 })
  openGroup(wal, 1)
  await append(wal, { group: groupId(1), entries: entries(1, 1, 1) })
  const whole = await describeWal(wal)
  const shifted = [0, 1, 2, 3, 4, 5, 6, 7].map((shift) => Buffer.concat([Buffer.alloc(shift), bytes]))
  const data = Buffer.concat(shifted)
  await append(wal, { group: groupId(1), entries: [{ index: 2, term: 1, kind: 0, data }] })
  const files = disk.contents()
  const end = endOfData(files.get(FIRST)!, 0)
  files.set(FIRST, files.get(FIRST)!.subarray(0, end - 8))
  const opened = await bench.openOn(SimulatedDisk.of(files), { segmentBytes: 65_536 })
  expect(await describeWal(opened)).toEqual(whole)
  expect(opened.report.tornBytesCut).toBeGreaterThan(7000)
})
