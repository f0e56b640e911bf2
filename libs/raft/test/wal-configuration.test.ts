import { eventually } from '@sluice/foundation/testing'
import { afterEach, describe, expect, test } from '@jest/globals'
import { type Entry, EntryKind } from '../src/core/types.js'
import type { GroupLog } from '../src/wal/group-log.js'
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

const bench = new WalBench()
afterEach(() => bench.end())
const GROUP = groupId(1)

function configuration(index: number, term: number, text: string): Entry {
  return { index, term, kind: EntryKind.CONFIGURATION, data: Buffer.from(text) }
}

function command(index: number, term: number): Entry {
  return { index, term, kind: EntryKind.COMMAND, data: Buffer.from('x') }
}

function baseOf(log: GroupLog): string | undefined {
  return log.baseConfiguration === undefined ? undefined : Buffer.from(log.baseConfiguration).toString()
}

function configurationsOf(log: GroupLog): string[] {
  return log.configurationEntries().map(({ index, data }) => `${index} ${Buffer.from(data).toString()}`)
}

/** What the log says is the same after opening it again. */
async function reopened(wal: Wal, directory: string): Promise<{ readonly wal: Wal; readonly log: GroupLog }> {
  const before = await describeWal(wal)
  await wal.close()
  const again = await bench.open(directory, { cacheBytesMax: 0 })
  expect(await describeWal(again)).toEqual(before)
  return { wal: again, log: again.group(GROUP)! }
}

describe('the configurations of a log', () => {
  test('are in memory, also when everything else is read from disk', async () => {
    const directory = await bench.directory()
    const wal = await bench.open(directory, { cacheBytesMax: 0 })
    const log = openGroup(wal, 1)
    await append(wal, { group: GROUP, entries: [configuration(1, 1, 'a'), command(2, 1), command(3, 1)] })
    await append(wal, { group: GROUP, entries: [configuration(4, 2, 'b')] })
    expect(log.slice(4, 4)).toBeUndefined()
    expect(configurationsOf(log)).toEqual(['1 a', '4 b'])
    expect(baseOf(log)).toBeUndefined()
    const { log: again } = await reopened(wal, directory)
    expect(again.slice(4, 4)).toBeUndefined()
    expect(configurationsOf(again)).toEqual(['1 a', '4 b'])
    expect(again.configurationEntries().every(({ data }) => data.buffer.byteLength === data.length)).toBe(
      true,
    )
  })

  test('go when they are truncated, and come back with what replaces them', async () => {
    const directory = await bench.directory()
    let wal = await bench.open(directory)
    let log = openGroup(wal, 1)
    await append(wal, { group: GROUP, entries: [configuration(1, 1, 'a'), configuration(2, 1, 'b')] })
    await append(wal, { group: GROUP, truncateFrom: 2, entries: [command(2, 2), configuration(3, 2, 'c')] })
    expect(configurationsOf(log)).toEqual(['1 a', '3 c'])
    ;({ wal, log } = await reopened(wal, directory))
    await append(wal, { group: GROUP, truncateFrom: 1 })
    expect(configurationsOf(log)).toEqual([])
    expect(baseOf(log)).toBeUndefined()
    await reopened(wal, directory)
  })

  test('become the base when they are compacted, the newest up to there', async () => {
    const directory = await bench.directory()
    let wal = await bench.open(directory)
    let log = openGroup(wal, 1)
    await append(wal, {
      group: GROUP,
      entries: [command(1, 1), configuration(2, 1, 'a'), configuration(3, 1, 'b'), command(4, 1)],
    })
    await append(wal, { group: GROUP, entries: [configuration(5, 1, 'c'), command(6, 1)] })
    for (const [index, base, rest] of [
      [1, undefined, ['2 a', '3 b', '5 c']],
      [2, 'a', ['3 b', '5 c']],
      [4, 'b', ['5 c']],
      [5, 'c', []],
      [6, 'c', []],
    ] as const) {
      wal.compact(GROUP, index)
      expect(baseOf(log)).toBe(base)
      expect(configurationsOf(log)).toEqual(rest)
      ;({ wal, log } = await reopened(wal, directory))
      expect(baseOf(log)).toBe(base)
    }
  })

  test('are known from the checkpoint when the segments that had them are gone', async () => {
    const directory = await bench.directory()
    let wal = await bench.open(directory, { sealAfterMs: 5 })
    openGroup(wal, 1)
    await append(wal, { group: GROUP, entries: [configuration(1, 1, 'members'.padEnd(900, '.'))] })
    for (let i = 2; i <= 6; i++) {
      await append(wal, { group: GROUP, entries: entries(i, i, 1, 3500) })
      wal.compact(GROUP, i - 1)
    }
    for (let i = 0; i < 2; i++) {
      const again = await reopened(wal, directory)
      wal = again.wal
      expect(wal.report.segments).toBeLessThan(4)
      expect(baseOf(again.log)).toBe('members'.padEnd(900, '.'))
    }
  })
})

describe('a snapshot', () => {
  test('empties the log, which goes on behind it', async () => {
    const directory = await bench.directory()
    let wal = await bench.open(directory)
    let log = openGroup(wal, 1)
    await append(wal, { group: GROUP, entries: [configuration(1, 1, 'a'), ...entries(2, 6, 1)] })
    await append(wal, { group: GROUP, snapshot: snapshot(20, 3), hardState: hardState(4, 0, 20) })
    expect(log).toMatchObject({ compactedIndex: 20, compactedTerm: 3, lastIndex: 20 })
    expect([6, 19, 20, 21].map((index) => log.term(index))).toEqual([undefined, undefined, 3, undefined])
    expect(configurationsOf(log)).toEqual([])
    expect(baseOf(log)).toBe('members at 20/3')
    ;({ wal, log } = await reopened(wal, directory))
    await append(wal, { group: GROUP, entries: entries(21, 30, 3) })
    expect(log.lastIndex).toBe(30)
    await reopened(wal, directory)
  })

  test('comes before the truncation and the entries of its write', async () => {
    const directory = await bench.directory()
    const wal = await bench.open(directory)
    const log = openGroup(wal, 1)
    await append(wal, { group: GROUP, entries: entries(1, 9, 1) })
    await append(wal, {
      group: GROUP,
      snapshot: snapshot(4, 2),
      truncateFrom: 5,
      entries: [configuration(5, 2, 'new'), command(6, 3)],
    })
    expect(configurationsOf(log)).toEqual(['5 new'])
    expect([4, 5, 6, 7].map((index) => log.term(index))).toEqual([2, 2, 3, undefined])
    expect(log.slice(5, 6)).toHaveLength(2)
    await reopened(wal, directory)
  })

  test('may be the first thing a group writes, and may follow another one', async () => {
    const directory = await bench.directory()
    const wal = await bench.open(directory)
    const log = openGroup(wal, 1)
    await append(wal, { group: GROUP, snapshot: snapshot(100, 7) })
    await append(
      wal,
      { group: GROUP, snapshot: snapshot(100, 7) },
      { group: GROUP, snapshot: snapshot(300, 8) },
    )
    expect(log.compactedIndex).toBe(300)
    await reopened(wal, directory)
  })

  test('lets the segments of the old log go', async () => {
    const directory = await bench.directory()
    const wal = await bench.open(directory, { sealAfterMs: 5 })
    openGroup(wal, 1)
    for (let i = 1; i <= 6; i++) await append(wal, { group: GROUP, entries: entries(i, i, 1, 3500) })
    expect(wal.stats().segments).toBe(6)
    await append(wal, { group: GROUP, snapshot: snapshot(6, 1) })
    await append(wal, { group: GROUP, entries: entries(7, 7, 1, 3500) })
    await eventually(() => expect(wal.stats().segments).toBeLessThan(3))
    await reopened(wal, directory)
  })

  test('keeps a copy of the configuration that it is given', async () => {
    const wal = await bench.open(await bench.directory())
    const log = openGroup(wal, 1)
    const given = snapshot(3, 1)
    await append(wal, { group: GROUP, snapshot: given })
    given.configuration.fill(0)
    expect(baseOf(log)).toBe('members at 3/1')
  })

  test.each([
    ['of an index below the compacted one', snapshot(4, 9), 'older than the log'],
    ['of a term below the compacted one', snapshot(9, 1), 'below the term before it'],
    ['of no index', snapshot(0, 9), 'older than the log'],
    ['of an index that is no number', snapshot(Number.NaN, 9), 'older than the log'],
  ])('%s is refused, and ends the log', async (_, refused, reason) => {
    const errors: Error[] = []
    const wal = await bench.open(await bench.directory(), { onFatal: (error) => errors.push(error) })
    openGroup(wal, 1)
    await append(wal, { group: GROUP, snapshot: snapshot(5, 2) })
    expect(() => {
      wal.append([{ group: GROUP, snapshot: refused }], () => undefined)
    }).toThrow(reason)
    expect(errors).toHaveLength(1)
  })
})
