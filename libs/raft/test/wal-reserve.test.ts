import { readdir, stat, truncate } from 'node:fs/promises'
import { join } from 'node:path'
import { deferred } from '@sluice/foundation'
import { eventually } from '@sluice/foundation/testing'
import { afterEach, describe, expect, test } from '@jest/globals'
import { type Entry, EntryKind } from '../src/core/types.js'
import { WalDiskFullError } from '../src/wal/errors.js'
import type { Wal } from '../src/wal/wal.js'
import type { WalOptions } from '../src/wal/wal-options.js'
import { checkSurvivors, type Run, stateOf } from './wal-crash-run.js'
import { append, describeWal, entries, groupId, openGroup, WalBench } from './wal-fixture.js'
import { SimulatedDisk } from './wal-simulated-disk.js'

const bench = new WalBench()
afterEach(() => bench.end())
const RESERVE = 'wal-reserve'
const SEGMENT_BYTES = 1024

async function reserveMade(wal: Wal): Promise<void> {
  await eventually(() => expect(wal.stats().hasReserve).toBe(true))
}

describe('the reserve', () => {
  test('is a file of one segment, made when the log is opened and kept when it is closed', async () => {
    const directory = await bench.directory()
    let wal = await bench.open(directory)
    await reserveMade(wal)
    const size = async (): Promise<number> => (await stat(join(directory, RESERVE))).size
    expect(await size()).toBe(4096)
    await wal.close()
    expect(await size()).toBe(4096)
    // One that is too small is made again.
    await truncate(join(directory, RESERVE), 100)
    wal = await bench.open(directory)
    await reserveMade(wal)
    expect(await size()).toBe(4096)
    expect((await readdir(directory)).filter((name) => name.startsWith(RESERVE))).toEqual([RESERVE])
  })

  test('is not made in the room that the next segment needs, and is once segments went', async () => {
    const disk = new SimulatedDisk()
    disk.capacityBytes = 5 * SEGMENT_BYTES
    const wal = await bench.openOn(disk)
    await reserveMade(wal)
    openGroup(wal, 1)
    await append(wal, { group: groupId(1), entries: entries(1, 1, 1, 700) })
    await append(wal, { group: groupId(1), entries: entries(2, 2, 1, 700) })
    await wal.close()
    const full = SimulatedDisk.of([...disk.contents()].filter(([name]) => name !== RESERVE))
    full.capacityBytes = 4 * SEGMENT_BYTES
    const again = await bench.openOn(full)
    await append(again)
    await new Promise((resolve) => setImmediate(resolve))
    expect(again.stats().hasReserve).toBe(false)
    full.capacityBytes = 6 * SEGMENT_BYTES
    again.compact(groupId(1), 2)
    await append(again)
    await append(again)
    await reserveMade(again)
    expect(full.names.get(RESERVE)!.current).toHaveLength(SEGMENT_BYTES)
    await again.close()
  })

  test('that cannot be finished leaves nothing behind, and the log goes on', async () => {
    for (const step of ['write', 'sync', 'rename'] as const) {
      const disk = new SimulatedDisk()
      disk.fault = (asked, name) => (asked === step && name.startsWith(RESERVE) ? 'ENOSPC' : undefined)
      const errors: Error[] = []
      const wal = await bench.openOn(disk, { onFatal: (error) => errors.push(error) })
      openGroup(wal, 1)
      for (let i = 1; i <= 5; i++) await append(wal, { group: groupId(1), entries: entries(i, i, 1, 700) })
      expect(errors).toEqual([])
      expect(wal.stats().hasReserve).toBe(false)
      expect(disk.names.has(RESERVE)).toBe(false)
      await wal.close()
    }
  })

  test('is given up before the full disk is told of, as the process may end there', async () => {
    const disk = new SimulatedDisk()
    const failed = deferred<Error>()
    const seen: boolean[] = []
    const wal = await bench.openOn(disk, {
      onFatal: (error) => {
        seen.push(disk.names.has(RESERVE), wal.stats().hasReserve)
        failed.resolve(error)
      },
    })
    await reserveMade(wal)
    openGroup(wal, 1)
    disk.fault = (step) => (step === 'write' ? 'ENOSPC' : undefined)
    let isAcknowledged = false
    wal.append([{ group: groupId(1), entries: entries(1, 1, 1) }], () => {
      isAcknowledged = true
    })
    const error = await failed.promise
    expect(error).toBeInstanceOf(WalDiskFullError)
    expect(seen).toEqual([false, false])
    expect(() => {
      wal.append([], () => undefined)
    }).toThrow(error)
    expect(() => {
      wal.removeGroup(groupId(1))
    }).toThrow(error)
    await wal.close()
    expect(isAcknowledged).toBe(false)
  })

  test('stays when the disk fails in another way', async () => {
    const disk = new SimulatedDisk()
    const failed = deferred<Error>()
    const wal = await bench.openOn(disk, { onFatal: (error) => failed.resolve(error) })
    await reserveMade(wal)
    disk.fault = (step) => (step === 'sync' ? 'EIO' : undefined)
    wal.append([], () => undefined)
    await failed.promise
    await wal.close()
    expect(disk.names.has(RESERVE)).toBe(true)
  })
})

test('a disk that is full while the log is opened gives up the reserve, and says so', async () => {
  const disk = new SimulatedDisk()
  const wal = await bench.openOn(disk)
  await reserveMade(wal)
  openGroup(wal, 1)
  await append(wal, { group: groupId(1), entries: entries(1, 1, 1) })
  await wal.close()
  const full = disk.crashed()
  full.fault = (step) => (step === 'write' ? 'ENOSPC' : undefined)
  await expect(bench.openOn(full)).rejects.toThrow(WalDiskFullError)
  expect(full.names.has(RESERVE)).toBe(false)
  expect(full.openFiles).toBe(0)
})

describe('on a disk of any size', () => {
  function command(index: number, term: number): Entry {
    return { index, term, kind: EntryKind.COMMAND, data: Buffer.alloc(350, index) }
  }

  interface Filled {
    readonly failure: Error | undefined
    /** There was a reserve when the last append began. */
    readonly hadReserve: boolean
  }

  /** Appends until the disk is full or all is done; compacts nothing. */
  async function fill(disk: SimulatedDisk, run: Run): Promise<Filled> {
    const failed = deferred<Error>()
    const options: Partial<WalOptions> = { onFatal: (error) => failed.resolve(error) }
    const wal = await bench.openOn(disk, options).catch((error: unknown) => error as Error)
    if (wal instanceof Error) return { failure: wal, hadReserve: false }
    openGroup(wal, 1)
    let hadReserve = false
    for (let i = 1; i <= 8; i++) {
      hadReserve = disk.names.has(RESERVE)
      const state = run.states.length
      const done = append(wal, { group: groupId(1), entries: [command(i, 1)] })
      run.states.push(JSON.stringify(await describeWal(wal)))
      const failure = await Promise.race([done, failed.promise])
      if (failure instanceof Error) {
        await wal.close()
        return { failure, hadReserve }
      }
      run.acknowledged = state
    }
    await wal.close()
    return { failure: undefined, hadReserve }
  }

  /** Compacts all there is, and goes on for long. */
  async function compactAndGoOn(disk: SimulatedDisk): Promise<void> {
    const failed = deferred<Error>()
    const wal = await bench.openOn(disk, { onFatal: (error) => failed.resolve(error) })
    const log = wal.group(groupId(1))!
    for (let i = 0; i < 12; i++) {
      wal.compact(groupId(1), log.lastIndex)
      const next = log.lastIndex + 1
      const done = append(wal, { group: groupId(1), entries: [command(next, 2)] })
      expect(await Promise.race([done, failed.promise])).toBeUndefined()
      await new Promise((resolve) => setImmediate(resolve)) // old segments go
    }
    const state = await stateOf(wal)
    await wal.close()
    expect(await stateOf(await bench.openOn(disk.crashed()))).toBe(state)
  }

  test('the log ends when there is no room, keeps what was acknowledged, and can be compacted then', async () => {
    const outcomes = { done: 0, full: 0, compacted: 0 }
    for (let capacityBytes = 256; capacityBytes <= 13 * SEGMENT_BYTES; capacityBytes += 128) {
      const disk = new SimulatedDisk()
      disk.capacityBytes = capacityBytes
      const run: Run = { states: ['[]'], acknowledged: 0, order: [] }
      const { failure, hadReserve } = await fill(disk, run)
      await checkSurvivors(disk.crashed(), run)
      if (failure === undefined) {
        outcomes.done += 1
        continue
      }
      outcomes.full += 1
      expect(failure).toBeInstanceOf(WalDiskFullError)
      expect(disk.names.has(RESERVE)).toBe(false)
      if (!hadReserve) continue
      const again = disk.crashed()
      again.capacityBytes = capacityBytes
      await compactAndGoOn(again)
      outcomes.compacted += 1
    }
    expect(outcomes.done).toBeGreaterThan(5)
    expect(outcomes.full).toBeGreaterThan(20)
    expect(outcomes.compacted).toBeGreaterThan(10)
  })
})
