import { copyFile, readdir, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { deferred } from '@sluice/foundation'
import { eventually } from '@sluice/foundation/testing'
import { afterEach, describe, expect, test } from '@jest/globals'
import {
  WalClosedError,
  WalCorruptError,
  WalForeignError,
  WalRangeError,
  WalWriteTooLargeError,
} from '../src/wal/errors.js'
import { segmentFileName } from '../src/wal/format.js'
import type { Wal } from '../src/wal/wal.js'
import type { WalEvent } from '../src/wal/wal-options.js'
import {
  append,
  describeLog,
  describeWal,
  entries,
  groupId,
  hardState,
  openGroup,
  uuidOf,
  WalBench,
} from './wal-fixture.js'
import { SimulatedDisk } from './wal-simulated-disk.js'

const bench = new WalBench()
afterEach(() => bench.end())

async function reopen(wal: Wal, directory: string, options = {}): Promise<Wal> {
  await wal.close()
  return bench.open(directory, options)
}

describe('a log that is closed and opened again', () => {
  test('has the entries, terms, kinds and hard states of every group', async () => {
    const directory = await bench.directory()
    let wal = await bench.open(directory, { segmentBytes: 65_536 })
    for (const id of [1, 2, 70_000]) openGroup(wal, id)
    await append(wal, { group: groupId(1), entries: entries(1, 5, 1), hardState: hardState(1, 3, 0) })
    await append(
      wal,
      { group: groupId(2), entries: [...entries(1, 2, 1), ...entries(3, 4, 4)] },
      { group: groupId(70_000), hardState: hardState(7, 2, 0) },
      { group: groupId(1), entries: entries(6, 9, 2, 1000), hardState: hardState(2, 0, 5) },
    )
    const before = await describeWal(wal)
    wal = await reopen(wal, directory)
    expect(await describeWal(wal)).toEqual(before)
    expect(wal.report).toEqual({ segments: 1, batches: 4, tornBytesCut: 0 })
    expect(wal.group(groupId(1))!.hardState).toEqual(hardState(2, 0, 5))
    await append(wal, { group: groupId(2), entries: entries(5, 6, 4) })
    const grown = await describeWal(wal)
    wal = await reopen(wal, directory)
    expect(await describeWal(wal)).toEqual(grown)
  })

  test('keeps the newest of many hard states', async () => {
    const directory = await bench.directory()
    let wal = await bench.open(directory)
    openGroup(wal, 1)
    for (let term = 1; term <= 200; term++)
      await append(wal, { group: groupId(1), hardState: hardState(term, 1 + (term % 3), term * 3) })
    expect(wal.stats().segments).toBeLessThan(4)
    wal = await reopen(wal, directory)
    expect(wal.group(groupId(1))!.hardState).toEqual(hardState(200, 3, 600))
  })

  test('has the entries that replaced truncated ones, also of several terms and in one write', async () => {
    const directory = await bench.directory()
    let wal = await bench.open(directory)
    const log = openGroup(wal, 1)
    await append(wal, { group: groupId(1), entries: entries(1, 10, 1) })
    await append(wal, {
      group: groupId(1),
      truncateFrom: 4,
      entries: [...entries(4, 5, 2), ...entries(6, 6, 5)],
    })
    await append(wal, { group: groupId(1), truncateFrom: 7 })
    expect([3, 4, 6, 7].map((index) => log.term(index))).toEqual([1, 2, 5, undefined])
    await append(wal, { group: groupId(1), truncateFrom: 6 })
    await append(wal, { group: groupId(1), truncateFrom: 6, entries: entries(6, 8, 9) })
    // A leader's entry of an earlier term may replace one of a later term that never was committed.
    await append(wal, { group: groupId(1), truncateFrom: 6 })
    await append(wal, { group: groupId(1), entries: entries(6, 8, 3) })
    const before = await describeWal(wal)
    wal = await reopen(wal, directory)
    expect(await describeWal(wal)).toEqual(before)
    expect(wal.group(groupId(1))!.lastIndex).toBe(8)
  })

  test('does not have a group that was removed, and a new one with its id starts empty', async () => {
    const directory = await bench.directory()
    let wal = await bench.open(directory)
    for (const id of [1, 2]) openGroup(wal, id)
    await append(wal, { group: groupId(1), entries: entries(1, 3, 1), hardState: hardState(1, 1, 1) })
    await append(wal, { group: groupId(2), entries: entries(1, 3, 1) })
    wal.removeGroup(groupId(1))
    wal = await reopen(wal, directory)
    expect(wal.groups()).toEqual([2])
    const again = wal.createGroup(groupId(1), uuidOf(99), 'again')
    expect(again.lastIndex).toBe(0)
    await append(wal, { group: groupId(1), entries: entries(1, 1, 8) })
    wal.removeGroup(groupId(1))
    wal.createGroup(groupId(1), uuidOf(100), 'third')
    await append(wal, { group: groupId(1), entries: entries(1, 2, 9) })
    wal = await reopen(wal, directory)
    expect(await describeLog(wal.group(groupId(1))!)).toMatchObject({
      name: 'third',
      lastIndex: 2,
      terms: [0, 9, 9],
    })
  })
})

describe('completion', () => {
  test('comes in the order of the calls, with far fewer syncs than calls', async () => {
    const wal = await bench.open(await bench.directory(), { segmentBytes: 1 << 20 })
    openGroup(wal, 1)
    const order: number[] = []
    await new Promise<void>((resolve) => {
      for (let i = 1; i <= 2000; i++)
        wal.append([{ group: groupId(1), entries: entries(i, i, 1) }], () => order.push(i))
      wal.append([], resolve)
    })
    expect(order).toEqual(Array.from({ length: 2000 }, (_, i) => i + 1))
    expect(wal.stats().syncs).toBeLessThan(10)
  })

  test('is given for appends made while another completes, and by close', async () => {
    const wal = await bench.open(await bench.directory())
    openGroup(wal, 1)
    let done = 0
    const next = (index: number) => (): void => {
      done = index
      if (index < 20)
        wal.append([{ group: groupId(1), entries: entries(index + 1, index + 1, 1) }], next(index + 1))
    }
    next(0)()
    await eventually(() => expect(done).toBe(20))
    wal.append([{ group: groupId(1), entries: entries(21, 21, 1) }], next(21))
    await wal.close()
    expect(done).toBe(21)
  })

  test('a closed log refuses appends and reads', async () => {
    const wal = await bench.open(await bench.directory(), { cacheBytesMax: 0 })
    const log = openGroup(wal, 1)
    await append(wal, { group: groupId(1), entries: entries(1, 1, 1) })
    await wal.close()
    await wal.close()
    expect(() => wal.append([], () => undefined)).toThrow(WalClosedError)
    await expect(log.read(1, 1, 1)).rejects.toThrow(WalClosedError)
  })

  test('a write that breaks the order of the log ends it instead of being half stored', async () => {
    const errors: Error[] = []
    const wal = await bench.open(await bench.directory(), { onFatal: (error) => errors.push(error) })
    openGroup(wal, 1)
    const gap = { group: groupId(1), entries: entries(2, 2, 1) }
    expect(() => wal.append([gap], () => undefined)).toThrow('entry 2 does not follow entry 0')
    expect(errors).toHaveLength(1)
    expect(() => wal.append([], () => undefined)).toThrow('entry 2 does not follow entry 0')
  })
})

describe('segments', () => {
  test('follow each other, and keep everything over many roll-overs', async () => {
    const directory = await bench.directory()
    let wal = await bench.open(directory)
    for (const id of [1, 2]) openGroup(wal, id)
    for (let i = 1; i <= 60; i++)
      await append(
        wal,
        { group: groupId(1), entries: entries(i, i, 1, 300), hardState: hardState(1, 1, i - 1) },
        { group: groupId(2), entries: entries(i * 2 - 1, i * 2, i) },
      )
    const { segments } = wal.stats()
    expect(segments).toBeGreaterThan(5)
    const before = await describeWal(wal)
    wal = await reopen(wal, directory)
    expect(wal.report.segments).toBe(segments)
    expect(await describeWal(wal)).toEqual(before)
  })

  test('are as large as one large batch needs', async () => {
    const directory = await bench.directory()
    let wal = await bench.open(directory)
    openGroup(wal, 1)
    await append(wal, { group: groupId(1), entries: entries(1, 2, 1) })
    await append(wal, { group: groupId(1), entries: entries(3, 4, 1, 3_000_000) })
    await append(wal, { group: groupId(1), entries: entries(5, 5, 1) })
    expect(wal.stats().segments).toBe(3)
    expect((await stat(join(directory, segmentFileName(2)))).size).toBeGreaterThan(6_000_000)
    const before = await describeWal(wal)
    wal = await reopen(wal, directory)
    expect(await describeWal(wal)).toEqual(before)
  })

  test('have their full size from the start, so that appends do not change it', async () => {
    const directory = await bench.directory()
    const wal = await bench.open(directory, { segmentBytes: 100_000 })
    openGroup(wal, 1)
    const size = async (): Promise<number> => (await stat(join(directory, segmentFileName(1)))).size
    expect(await size()).toBe(100_000)
    await append(wal, { group: groupId(1), entries: entries(1, 1, 1, 50_000) })
    expect(await size()).toBe(100_000)
  })

  test('a call over 32 MiB and one over the bound of a write', async () => {
    const directory = await bench.directory()
    let wal = await bench.open(directory)
    for (const id of [1, 2]) openGroup(wal, id)
    const data = Buffer.alloc(20 << 20, 7)
    const large = [{ index: 1, term: 1, kind: 0, data } as const]
    await append(wal, { group: groupId(1), entries: large }, { group: groupId(2), entries: large })
    const huge = Array.from({ length: 13 }, (_, i) => ({ index: i + 2, term: 1, kind: 0, data }) as const)
    expect(() => wal.append([{ group: groupId(1), entries: huge }], () => undefined)).toThrow(
      WalWriteTooLargeError,
    )
    expect(wal.group(groupId(1))!.lastIndex).toBe(1)
    wal = await reopen(wal, directory)
    const [read] = await wal.group(groupId(2))!.read(1, 1, 1)
    expect(Buffer.compare(read!.data, data)).toBe(0)
  })

  test('a segment that is missing between others, at the start or at the end is noticed', async () => {
    for (const [missing, reason] of [
      [2, 'between two others'],
      [1, 'earlier segment'],
      [4, 'the last segment is missing'],
    ] as const) {
      const directory = await bench.directory()
      const wal = await bench.open(directory)
      openGroup(wal, 1)
      for (let i = 1; i <= 4; i++) await append(wal, { group: groupId(1), entries: entries(i, i, 1, 3500) })
      await wal.close()
      expect(wal.stats().segments).toBe(4)
      await rm(join(directory, segmentFileName(missing)))
      const opening = bench.open(directory)
      await expect(opening).rejects.toThrow(WalCorruptError)
      await expect(opening).rejects.toThrow(reason)
    }
  })

  test('a log of another node is refused', async () => {
    const directory = await bench.directory()
    await (await bench.open(directory)).close()
    await expect(bench.open(directory, { nodeUuid: uuidOf(9) })).rejects.toThrow(WalForeignError)
  })

  test("another node's segment among our own is refused, and named", async () => {
    const [ours, theirs] = [await bench.directory(), await bench.directory()]
    for (const [directory, nodeUuid] of [
      [ours, uuidOf(1)],
      [theirs, uuidOf(2)],
    ] as const) {
      const wal = await bench.open(directory, { nodeUuid })
      openGroup(wal, 1)
      for (let i = 1; i <= 4; i++) await append(wal, { group: groupId(1), entries: entries(i, i, 1, 3500) })
      await wal.close()
    }
    const name = segmentFileName(3)
    await copyFile(join(theirs, name), join(ours, name))
    const opening = bench.open(ours, { nodeUuid: uuidOf(1) })
    await expect(opening).rejects.toThrow(WalForeignError)
    await expect(opening).rejects.toMatchObject({ file: join(ours, name) })
  })

  test('a segment of an earlier time in place of a newer one is refused, and named', async () => {
    const directory = await bench.directory()
    let wal = await bench.open(directory)
    openGroup(wal, 1)
    await append(wal, { group: groupId(1), entries: entries(1, 1, 1, 3500) })
    await append(wal, { group: groupId(1), entries: entries(2, 2, 1, 1000) })
    await wal.close()
    const [second, third] = [2, 3].map((seq) => join(directory, segmentFileName(seq)))
    await copyFile(second!, `${second!}.old`)
    wal = await bench.open(directory)
    for (let i = 3; i <= 5; i++) await append(wal, { group: groupId(1), entries: entries(i, i, 1, 1300) })
    await wal.close()
    const [newer, newest] = [`${second!}.new`, `${third!}.new`]
    await copyFile(second!, newer)
    await copyFile(third!, newest)
    await copyFile(`${second!}.old`, second!)
    await expect(bench.open(directory)).rejects.toMatchObject({ name: 'WalCorruptError', file: second! })
    await copyFile(newer, second!)
    await (await bench.open(directory)).close()
    // The other way round: what is stale is the later one.
    const other = await bench.directory()
    wal = await bench.open(other)
    openGroup(wal, 1)
    await append(wal, { group: groupId(1), entries: entries(1, 1, 1, 3500) })
    await append(wal, { group: groupId(1), entries: entries(2, 2, 1, 3500) })
    await append(wal, { group: groupId(1), entries: entries(3, 3, 1, 100) })
    await wal.close()
    await copyFile(join(other, segmentFileName(2)), third!)
    await expect(bench.open(directory)).rejects.toMatchObject({ name: 'WalCorruptError', file: third! })
  })

  test('a stale segment that says to follow an earlier batch is named as the stale one', async () => {
    const disk = new SimulatedDisk()
    const wal = await bench.openOn(disk)
    openGroup(wal, 1)
    await append(wal, { group: groupId(1), entries: entries(1, 1, 1, 400) })
    const early = SimulatedDisk.of(disk.contents())
    const second = await bench.openOn(early)
    await append(second, { group: groupId(1), entries: entries(2, 2, 1, 700) })
    await append(wal, { group: groupId(1), entries: entries(2, 2, 1, 100) })
    await append(wal, { group: groupId(1), entries: entries(3, 3, 1, 700) })
    const files = disk.contents()
    const name = segmentFileName(2)
    files.set(name, early.contents().get(name)!)
    const opening = bench.openOn(SimulatedDisk.of(files))
    await expect(opening).rejects.toThrow('a stale segment')
    await expect(opening).rejects.toMatchObject({ file: `/simulated/${name}` })
  })
})

describe('compaction', () => {
  test('forgets entries, also after opening again, and keeps the term at its end', async () => {
    const directory = await bench.directory()
    let wal = await bench.open(directory)
    let log = openGroup(wal, 1)
    await append(wal, { group: groupId(1), entries: [...entries(1, 5, 1), ...entries(6, 10, 2)] })
    wal.compact(groupId(1), 7)
    wal.compact(groupId(1), 3)
    expect([6, 7, 8].map((index) => log.term(index))).toEqual([undefined, 2, 2])
    expect(log.slice(7, 8)).toBeUndefined()
    await expect(log.read(7, 8, 100)).rejects.toThrow(WalRangeError)
    expect(() => log.sizeBytes(7)).toThrow('holds no entry 7')
    const before = await describeWal(wal)
    wal = await reopen(wal, directory)
    log = wal.group(groupId(1))!
    expect(await describeWal(wal)).toEqual(before)
    wal.compact(groupId(1), 10)
    expect(log).toMatchObject({ compactedIndex: 10, compactedTerm: 2, lastIndex: 10 })
    await append(wal, { group: groupId(1), entries: entries(11, 12, 3) })
    const grown = await describeWal(wal)
    wal = await reopen(wal, directory)
    expect(await describeWal(wal)).toEqual(grown)
    expect(() => {
      wal.compact(groupId(1), 13)
    }).toThrow('not to 13')
  })

  test('lets segments go that no group needs, oldest first, whatever is opened again in between', async () => {
    const directory = await bench.directory()
    const removed: number[] = []
    const onEvent = (event: WalEvent): void => {
      if (event.kind === 'segment-removed') removed.push(event.segmentSeq)
    }
    const options = { onEvent, slowGroupSegments: 1000 }
    let wal = await bench.open(directory, options)
    for (const id of [1, 2]) openGroup(wal, id)
    await append(wal, { group: groupId(2), entries: entries(1, 2, 1), hardState: hardState(4, 2, 0) })
    for (let i = 1; i <= 20; i++) {
      await append(wal, { group: groupId(1), entries: entries(i, i, 1, 3000) })
      wal.compact(groupId(1), i - 1)
      if (i % 3 === 0) {
        const before = await describeWal(wal)
        wal = await reopen(wal, directory, options)
        expect(await describeWal(wal)).toEqual(before)
      }
    }
    expect(removed).toEqual([]) // the second group's entries are in the first segment
    const grown = wal.stats().segments
    expect(grown).toBeGreaterThan(15)
    await append(wal, { group: groupId(2), truncateFrom: 2, entries: entries(2, 3, 2) })
    wal.compact(groupId(2), 1)
    await append(wal, { group: groupId(1), entries: entries(21, 21, 1) })
    await eventually(() => expect(wal.stats().segments).toBeLessThan(4))
    expect(removed).toEqual(Array.from({ length: removed.length }, (_, i) => i + 1))
    const before = await describeWal(wal)
    wal = await reopen(wal, directory, options)
    expect(await describeWal(wal)).toEqual(before)
    expect(wal.group(groupId(2))!.hardState).toEqual(hardState(4, 2, 0))
    const files = (await readdir(directory)).filter((name) => name.endsWith('.seg'))
    expect(files).toHaveLength(wal.report.segments)
    expect(files.sort()[0]).toBe(segmentFileName(removed.length + 1))
  })

  test('happens without further appends once the log is idle', async () => {
    const wal = await bench.open(await bench.directory(), { sealAfterMs: 5 })
    openGroup(wal, 1)
    for (let i = 1; i <= 5; i++) await append(wal, { group: groupId(1), entries: entries(i, i, 1, 3000) })
    expect(wal.stats().segments).toBe(5)
    wal.compact(groupId(1), 5)
    await eventually(() => expect(wal.stats().segments).toBe(1))
  })

  test('removing the group that holds a segment lets it go', async () => {
    const wal = await bench.open(await bench.directory(), { sealAfterMs: 5 })
    for (const id of [1, 2]) openGroup(wal, id)
    await append(wal, { group: groupId(2), entries: entries(1, 2, 1) })
    for (let i = 1; i <= 3; i++) await append(wal, { group: groupId(1), entries: entries(i, i, 1, 3000) })
    wal.compact(groupId(1), 3)
    wal.removeGroup(groupId(2))
    await eventually(() => expect(wal.stats().segments).toBe(1))
  })

  test('a segment can be read to the end of a read that began before it was removed', async () => {
    const wal = await bench.open(await bench.directory(), { cacheBytesMax: 0, sealAfterMs: 5 })
    const log = openGroup(wal, 1)
    for (let i = 1; i <= 4; i++) await append(wal, { group: groupId(1), entries: entries(i, i, 1, 3000) })
    const reading = log.read(1, 4, 1 << 20)
    wal.compact(groupId(1), 4)
    expect((await reading).map((one) => one.index)).toEqual([1, 2, 3, 4])
    await eventually(() => expect(wal.stats().segments).toBe(1))
  })
})

test('a removed segment is closed once nobody reads it any more', async () => {
  const disk = new SimulatedDisk()
  const wal = await bench.openOn(disk, { cacheBytesMax: 0, sealAfterMs: 5 })
  const log = openGroup(wal, 1)
  for (let i = 1; i <= 4; i++) await append(wal, { group: groupId(1), entries: entries(i, i, 1, 700) })
  const read = deferred<undefined>()
  disk.beforeRead = () => read.promise
  const reading = log.read(1, 4, 1 << 20)
  wal.compact(groupId(1), 4)
  await eventually(() => expect(wal.stats().segments).toBe(1))
  expect(disk.openFiles).toBe(7)
  read.resolve(undefined)
  expect(await reading).toHaveLength(4)
  expect(disk.openFiles).toBe(3) // the segment, the next one and the mark
  await wal.close()
  expect(disk.openFiles).toBe(0)
})

describe('entries', () => {
  test('leave memory, oldest first, over the bound, and are read from disk then', async () => {
    const wal = await bench.open(await bench.directory(), { segmentBytes: 65_536, cacheBytesMax: 20_000 })
    const logs = [1, 2].map((id) => openGroup(wal, id))
    for (let i = 1; i <= 100; i++)
      await append(wal, ...[1, 2].map((id) => ({ group: groupId(id), entries: entries(i, i, 1, 200) })))
    expect(wal.stats().cacheBytes).toBeLessThanOrEqual(20_000)
    expect(wal.stats().cacheBytes).toBeGreaterThan(15_000)
    for (const log of logs) {
      expect(log.slice(1, 1)).toBeUndefined()
      expect(log.slice(60, 100)).toBeUndefined()
      expect(log.slice(80, 100)).toEqual(entries(80, 100, 1, 200))
      expect((await log.read(1, 100, 1 << 20)).map((one) => Buffer.from(one.data))).toEqual(
        entries(1, 100, 1, 200).map((one) => one.data),
      )
    }
  })

  test('are read up to a number of bytes, and at least one', async () => {
    const wal = await bench.open(await bench.directory(), { segmentBytes: 65_536, cacheBytesMax: 3000 })
    const log = openGroup(wal, 1)
    await append(wal, { group: groupId(1), entries: entries(1, 20, 1, 100) })
    await append(wal, { group: groupId(1), entries: entries(21, 30, 1, 100) })
    const count = async (from: number, bytesMax: number): Promise<number> =>
      (await log.read(from, 30, bytesMax)).length
    expect(await count(1, 0)).toBe(1)
    expect(await count(1, 399)).toBe(3)
    expect(await count(1, 400)).toBe(4)
    expect(await count(18, 700)).toBe(7)
    expect(await count(29, 10_000)).toBe(2)
    await expect(log.read(30, 31, 100)).rejects.toThrow(WalRangeError)
    await expect(log.read(2, 1, 100)).rejects.toThrow(WalRangeError)
  })

  test('stay in memory until they are durable, whatever the bound', async () => {
    const wal = await bench.open(await bench.directory(), { segmentBytes: 65_536, cacheBytesMax: 0 })
    const log = openGroup(wal, 1)
    const done = append(wal, { group: groupId(1), entries: entries(1, 50, 1, 100) })
    expect(log.slice(1, 50)).toHaveLength(50)
    await done
    expect(log.slice(50, 50)).toBeUndefined()
    expect(wal.stats().cacheBytes).toBe(0)
    const again = append(wal, { group: groupId(1), truncateFrom: 40, entries: entries(40, 41, 2) })
    expect(log.slice(40, 41)).toEqual(entries(40, 41, 2))
    expect((await log.read(38, 41, 10_000)).map((one) => one.term)).toEqual([1, 1, 2, 2])
    await again
  })

  test('stay in memory when an earlier batch completes, and when entries before or behind them are cut', async () => {
    const wal = await bench.open(await bench.directory(), { segmentBytes: 65_536, cacheBytesMax: 2000 })
    const [first, second] = [1, 2].map((id) => openGroup(wal, id))
    await append(wal, { group: groupId(1), entries: entries(1, 10, 1) })
    expect(first!.slice(1, 10)).toHaveLength(10)
    const seen: unknown[] = []
    wal.append([{ group: groupId(2), entries: entries(1, 1, 1, 4000) }], () => {
      seen.push(first!.slice(5, 12), second!.slice(2, 5))
    })
    const last = append(
      wal,
      { group: groupId(1), truncateFrom: 5, entries: entries(5, 12, 2) },
      { group: groupId(2), entries: entries(2, 9, 1) },
    )
    wal.append([{ group: groupId(2), truncateFrom: 6 }], () => undefined)
    await last
    expect(seen).toEqual([entries(5, 12, 2), entries(2, 5, 1)])
  })

  test('stay in memory when entries behind them are cut before they are durable', async () => {
    const wal = await bench.open(await bench.directory(), { segmentBytes: 65_536, cacheBytesMax: 0 })
    const [log] = [1, 2].map((id) => openGroup(wal, id))
    let seen: unknown
    wal.append([{ group: groupId(2), entries: entries(1, 1, 1) }], () => {
      seen = log!.slice(1, 5)
    })
    wal.append([{ group: groupId(1), entries: entries(1, 9, 1) }], () => undefined)
    await append(wal, { group: groupId(1), truncateFrom: 6 })
    expect(seen).toEqual(entries(1, 5, 1))
  })

  test('that no longer are what was written are not handed out', async () => {
    const directory = await bench.directory()
    const wal = await bench.open(directory, { segmentBytes: 65_536, cacheBytesMax: 0 })
    const log = openGroup(wal, 1)
    await append(wal, { group: groupId(1), entries: entries(1, 50, 1, 100) })
    const { open } = await import('node:fs/promises')
    const file = await open(join(directory, segmentFileName(1)), 'r+')
    await file.write(Buffer.from('rot'), 0, 3, 3000)
    await file.close()
    await expect(log.read(1, 1, 1)).rejects.toThrow(WalCorruptError)
  })
})

test('a log makes its directory, and those above it', async () => {
  const directory = join(await bench.directory(), 'of', 'this node', 'log')
  const wal = await bench.open(directory)
  openGroup(wal, 1)
  await append(wal, { group: groupId(1), entries: entries(1, 1, 1) })
  await wal.close()
  expect((await bench.open(directory)).group(groupId(1))!.lastIndex).toBe(1)
  expect((await stat(directory)).mode & 0o777).toBe(0o700)
})

test('an idle log ends with one seal', async () => {
  const directory = await bench.directory()
  let wal = await bench.open(directory, { sealAfterMs: 5 })
  openGroup(wal, 1)
  await append(wal, { group: groupId(1), entries: entries(1, 1, 1) })
  await eventually(() => expect(wal.stats().lastLsn).toBe(3))
  await append(wal, { group: groupId(1), entries: entries(2, 2, 1) })
  await eventually(() => expect(wal.stats()).toMatchObject({ lastLsn: 5, durableLsn: 5 }))
  wal = await reopen(wal, directory, { sealAfterMs: 5 })
  await wal.close()
  expect(wal.stats().lastLsn).toBe(5)
})
