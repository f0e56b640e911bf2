import { SeededRandom } from '@sluice/foundation'
import { eventually } from '@sluice/foundation/testing'
import { afterEach, describe, expect, test } from '@jest/globals'
import type { GroupLog } from '../src/wal/group-log.js'
import { segmentFileName } from '../src/wal/format.js'
import type { Wal } from '../src/wal/wal.js'
import type { WalEvent } from '../src/wal/wal-options.js'
import { checkSurvivors, type Run, stateOf } from './wal-crash-run.js'
import {
  append,
  describeLog,
  describeWal,
  entries,
  groupId,
  hardState,
  openGroup,
  snapshot,
  uuidOf,
  WalBench,
} from './wal-fixture.js'
import { SimulatedDisk } from './wal-simulated-disk.js'

const bench = new WalBench()
afterEach(() => bench.end())

const FAST = groupId(1)
const SLOW = groupId(2)

/** A segment and a little more of the fast group, all of it compacted again. */
async function fillSegment(wal: Wal, sizeBytes = 3500): Promise<void> {
  const log = openGroup(wal, FAST)
  const next = log.lastIndex + 1
  await append(wal, { group: FAST, entries: entries(next, next, 1, sizeBytes) })
  wal.compact(FAST, next)
}

/** Two of these need two segments, and the seals that an idle log writes, more or less of them, fit beside one. */
const HALF_SEGMENT_BYTES = 2500

function listen(): { readonly events: WalEvent[]; readonly onEvent: (event: WalEvent) => void } {
  const events: WalEvent[] = []
  return { events, onEvent: (event) => events.push(event) }
}

function removedIn(events: readonly WalEvent[]): number[] {
  return events.flatMap((event) => (event.kind === 'segment-removed' ? [event.segmentSeq] : []))
}

describe('a group with a few entries in an old segment', () => {
  test('is reported once, and then copied forward so that the segment goes', async () => {
    const directory = await bench.directory()
    const { events, onEvent } = listen()
    const options = { slowGroupSegments: 3, onEvent, cacheBytesMax: 0, sealAfterMs: 5 }
    let wal = await bench.open(directory, options)
    const log = openGroup(wal, SLOW)
    await append(wal, { group: SLOW, entries: [...entries(1, 2, 1), ...entries(3, 5, 4)] })
    const before = await describeLog(log)
    const report = { kind: 'group-holds-segment', group: SLOW, segmentSeq: 1 }
    for (let i = 0; i < 3; i++) await fillSegment(wal, HALF_SEGMENT_BYTES)
    expect(events).toEqual([])
    await fillSegment(wal, HALF_SEGMENT_BYTES)
    expect(events).toEqual([report])
    for (let i = 0; i < 5; i++) await fillSegment(wal, HALF_SEGMENT_BYTES)
    await eventually(() => expect(removedIn(events).slice(0, 4)).toEqual([1, 2, 3, 4]))
    expect(events[0]).toEqual(report)
    expect(events.filter(({ kind }) => kind === 'group-holds-segment')).toHaveLength(1)
    expect(await describeLog(log)).toEqual(before)
    // And again and again, as the copies become old themselves.
    for (let round = 2; round < 5; round++) {
      const reports = (): number => events.filter(({ kind }) => kind === 'group-holds-segment').length
      // Copying goes on beside the writes: how many segments there are meanwhile is the disk's affair.
      for (let filled = 0; reports() < round; filled++) {
        expect(filled).toBeLessThan(100)
        await fillSegment(wal, HALF_SEGMENT_BYTES)
      }
    }
    await eventually(() => expect(wal.stats().segments).toBeLessThan(9))
    expect(await describeLog(log)).toEqual(before)
    await wal.close()
    wal = await bench.open(directory, options)
    expect(await describeLog(wal.group(SLOW)!)).toEqual(before)
    await append(wal, { group: SLOW, truncateFrom: 4, entries: entries(4, 7, 5) })
    wal.compact(SLOW, 1)
    const grown = await describeWal(wal)
    await wal.close()
    wal = await bench.open(directory, options)
    expect(await describeWal(wal)).toEqual(grown)
  })

  test('is not copied when it is compacted after the report', async () => {
    const { events, onEvent } = listen()
    const wal = await bench.open(await bench.directory(), { slowGroupSegments: 4, onEvent, sealAfterMs: 5 })
    openGroup(wal, SLOW)
    await append(wal, { group: SLOW, entries: entries(1, 5, 1) })
    for (let i = 0; i < 5; i++) await fillSegment(wal)
    expect(events).toMatchObject([{ kind: 'group-holds-segment' }])
    wal.compact(SLOW, 5)
    // Before the time has come at which it would be copied.
    await eventually(() => expect(removedIn(events)).toContain(4))
  })

  test('keeps the configurations among them', async () => {
    const disk = new SimulatedDisk()
    const options = { segmentBytes: 4096, slowGroupSegments: 1 }
    const wal = await bench.openOn(disk, options)
    openGroup(wal, SLOW)
    const text = (value: string): Uint8Array => Buffer.from(value)
    await append(wal, {
      group: SLOW,
      entries: [
        { index: 1, term: 1, kind: 2, data: text('first') },
        { index: 2, term: 1, kind: 0, data: text('x') },
        { index: 3, term: 2, kind: 2, data: text('second') },
      ],
    })
    wal.compact(SLOW, 1)
    for (let i = 0; i < 6; i++) await fillSegment(wal)
    expect([...disk.names.keys()]).not.toContain(segmentFileName(1))
    const again = (await bench.openOn(disk.crashed(), options)).group(SLOW)!
    expect(again.configurationEntries()).toEqual([
      { index: 3, term: 2, kind: 2, data: new Uint8Array(text('second')) },
    ])
    expect(Buffer.from(again.baseConfiguration!).toString()).toBe('first')
    expect([1, 2, 3].map((index) => again.term(index))).toEqual([1, 1, 2])
  })
})

test('a group with much in an old segment is reported and left alone', async () => {
  const { events, onEvent } = listen()
  const wal = await bench.open(await bench.directory(), { slowGroupSegments: 1, onEvent })
  openGroup(wal, SLOW)
  await append(wal, { group: SLOW, entries: entries(1, 3, 1, 600) })
  for (let i = 0; i < 8; i++) await fillSegment(wal)
  expect(events).toEqual([{ kind: 'group-holds-segment', group: SLOW, segmentSeq: 1 }])
  expect(wal.stats().segments).toBeGreaterThan(8)
})

test('a thousand groups are copied in steps, each with a batch of its own at most', async () => {
  const directory = await bench.directory()
  const { events, onEvent } = listen()
  const options = { segmentBytes: 1 << 20, slowGroupSegments: 1, onEvent, sealAfterMs: 5, cacheBytesMax: 0 }
  let wal = await bench.open(directory, options)
  const ids = Array.from({ length: 1000 }, (_, i) => groupId(10 + i))
  for (const id of ids) openGroup(wal, id)
  await append(
    wal,
    ...ids.map((group) => ({ group, entries: entries(1, 1, 1), hardState: hardState(1, 1, 0) })),
  )
  openGroup(wal, FAST)
  for (let i = 1; i <= 4; i++) {
    await append(wal, { group: FAST, entries: entries(i, i, 1, 900_000) })
    wal.compact(FAST, i)
    if (i === 2) expect(events.filter(({ kind }) => kind === 'group-holds-segment')).toHaveLength(100)
  }
  await eventually(() => expect(removedIn(events)).toContain(2))
  const before = await describeWal(wal)
  expect(before).toHaveLength(1001)
  await wal.close()
  wal = await bench.open(directory, options)
  expect(await describeWal(wal)).toEqual(before)
})

test('entries that cannot be read back are told of, and the log goes on with their segment', async () => {
  const disk = new SimulatedDisk()
  const { events, onEvent } = listen()
  const wal = await bench.openOn(disk, {
    segmentBytes: 4096,
    slowGroupSegments: 1,
    cacheBytesMax: 0,
    onEvent,
  })
  openGroup(wal, SLOW)
  await append(wal, { group: SLOW, entries: entries(1, 3, 1) })
  const bytes = disk.names.get(segmentFileName(1))!.current
  bytes[bytes.indexOf('2/1:')]! ^= 1
  for (let i = 0; i < 6; i++) await fillSegment(wal)
  expect(events.map(({ kind }) => kind)).toEqual(['group-holds-segment', 'copy-failed'])
  expect(events[1]).toMatchObject({ group: SLOW, segmentSeq: 1, error: { name: 'WalCorruptError' } })
  expect(wal.group(SLOW)!.term(3)).toBe(1)
  expect(removedIn(events)).toEqual([])
  await wal.close()
})

describe('a log that changes while its entries are being copied', () => {
  const changes: Record<string, (wal: Wal, log: GroupLog) => void> = {
    'is compacted': (wal) => wal.compact(SLOW, 3),
    'is compacted whole': (wal) => wal.compact(SLOW, 5),
    'is cut': (wal) => {
      wal.append([{ group: SLOW, truncateFrom: 3 }], () => undefined)
    },
    'has its entries replaced': (wal) => {
      wal.append([{ group: SLOW, truncateFrom: 2, entries: entries(2, 5, 7) }], () => undefined)
    },
    grows: (wal) => {
      wal.append([{ group: SLOW, entries: entries(6, 8, 7) }], () => undefined)
    },
    'restarts behind a snapshot': (wal) => {
      wal.append([{ group: SLOW, snapshot: snapshot(4, 7), entries: entries(5, 5, 7) }], () => undefined)
    },
    'is removed': (wal) => {
      wal.removeGroup(SLOW)
    },
    'is removed and made again': (wal) => {
      wal.removeGroup(SLOW)
      wal.createGroup(SLOW, uuidOf(77), 'another')
      wal.append([{ group: SLOW, entries: entries(1, 5, 9) }], () => undefined)
    },
  }

  test.each(Object.keys(changes))('%s: what it says is right, then and after a crash', async (name) => {
    for (const when of ['reading', 'read'] as const) {
      const disk = new SimulatedDisk()
      const { events, onEvent } = listen()
      const options = { segmentBytes: 4096, slowGroupSegments: 1, cacheBytesMax: 0, onEvent }
      const wal = await bench.openOn(disk, options)
      const log = openGroup(wal, SLOW)
      await append(wal, { group: SLOW, entries: [...entries(1, 2, 1), ...entries(3, 5, 4)] })
      let [isRead, isChanged] = [false, false]
      const change = (): void => {
        if (isChanged) return
        isChanged = true
        changes[name]!(wal, log)
      }
      const read = log.read.bind(log)
      log.read = (from, to, bytesMax) => {
        const reading = read(from, to, bytesMax)
        isRead ||= bytesMax === Number.POSITIVE_INFINITY // nobody else asks so
        if (isRead && when === 'reading') change()
        return reading
      }
      for (let i = 0; i < 8; i++) {
        await fillSegment(wal)
        await new Promise((resolve) => setImmediate(resolve))
        // The copies are in a batch that is not on its way yet: their old places still count.
        if (isRead) change()
        const before = await stateOf(wal)
        await append(wal)
        expect(await stateOf(wal)).toBe(before)
        expect(await stateOf(await bench.openOn(disk.crashed(), options))).toBe(before)
      }
      expect(isChanged).toBe(true)
      expect(removedIn(events)).toContain(1)
    }
  })
})

test('copies whose log went on in a segment that is gone are found, once that part was cut', async () => {
  const disk = new SimulatedDisk()
  const { events, onEvent } = listen()
  const options = { segmentBytes: 4096, slowGroupSegments: 1, cacheBytesMax: 0, onEvent }
  const wal = await bench.openOn(disk, options)
  const log = openGroup(wal, SLOW)
  await append(wal, { group: SLOW, entries: entries(1, 3, 1) })
  await fillSegment(wal)
  // Too much to be copied: only what is in the first segment is.
  await append(wal, { group: SLOW, entries: entries(4, 6, 1, 600) })
  for (let i = 0; i < 4; i++) await fillSegment(wal)
  expect(removedIn(events)).toEqual([1])
  expect(log.firstSegmentSeq).toBe(2)
  const expectReopened = async (): Promise<void> => {
    const state = await stateOf(wal)
    await append(wal)
    expect(await stateOf(await bench.openOn(disk.crashed(), options))).toBe(state)
  }
  await expectReopened()
  await append(wal, { group: SLOW, truncateFrom: 4 })
  await append(wal)
  await expectReopened()
  expect(removedIn(events).length).toBeGreaterThan(2)
  await append(wal, { group: SLOW, entries: entries(4, 5, 9) })
  await expectReopened()
})

describe('a power cut at any step of the copying', () => {
  const OPTIONS = { segmentBytes: 2048, slowGroupSegments: 1, cacheBytesMax: 0 }

  /** Slow groups of which something changes now and then, while a fast one fills segments. */
  async function work(disk: SimulatedDisk, run: Run): Promise<readonly WalEvent[]> {
    const { events, onEvent } = listen()
    const wal = await Promise.race([bench.openOn(disk, { ...OPTIONS, onEvent }), disk.died])
    if (wal === undefined) return events
    const defined = new Set<number>()
    const write = async (...writes: Parameters<Wal['append']>[0]): Promise<void> => {
      for (const { group } of writes) defined.add(openGroup(wal, group).id)
      const state = run.states.length
      const done = append(wal, ...writes).then(() => {
        run.acknowledged = Math.max(run.acknowledged, state)
      })
      await note()
      await Promise.race([done, disk.died])
    }
    const note = async (): Promise<void> => {
      const known = (await describeWal(wal)) as { id: number }[]
      run.states.push(JSON.stringify(known.filter(({ id }) => defined.has(id))))
    }
    await write({ group: SLOW, entries: entries(1, 2, 1) }, { group: groupId(3), entries: entries(1, 1, 2) })
    const changes: (() => Promise<void>)[] = [
      () => write({ group: SLOW, entries: entries(3, 3, 3) }),
      () => write({ group: groupId(3), truncateFrom: 1, entries: entries(1, 2, 3) }),
      async () => {
        wal.compact(SLOW, 1)
        await note()
      },
      () => write({ group: groupId(3), snapshot: snapshot(7, 4), entries: entries(8, 8, 4) }),
      () => write({ group: SLOW, truncateFrom: 3, entries: entries(3, 4, 5) }),
    ]
    for (let i = 1; i <= 10; i++) {
      await write({ group: FAST, entries: entries(i, i, 1, 1500) })
      if (disk.steps >= disk.crashAfterSteps) return events
      wal.compact(FAST, i)
      await note()
      if (i % 2 === 0) await changes[i / 2 - 1]!()
    }
    await Promise.race([wal.close(), disk.died])
    return events
  }

  test('leaves every group whole, the old copy or the new one', async () => {
    const whole = new SimulatedDisk()
    const events = await work(whole, { states: ['[]'], acknowledged: 0, order: [] })
    // Without copies the first segment would have stayed.
    expect(removedIn(events).length).toBeGreaterThan(5)
    expect(events.filter(({ kind }) => kind === 'group-holds-segment').length).toBeGreaterThan(2)
    for (let steps = 0; steps < whole.steps; steps++) {
      const disk = new SimulatedDisk()
      disk.crashAfterSteps = steps
      const run: Run = { states: ['[]'], acknowledged: 0, order: [] }
      await work(disk, run)
      for (const random of [undefined, new SeededRandom(steps), new SeededRandom(steps + 5000)])
        await checkSurvivors(disk.crashed(random), run, OPTIONS)
      await checkSurvivors(disk.killed(), run, OPTIONS)
    }
  })
})
