import { SeededRandom } from '@sluice/foundation'
import { afterEach, expect, test } from '@jest/globals'
import { type Entry, EntryKind } from '../src/core/types.js'
import type { GroupLog } from '../src/wal/group-log.js'
import type { Wal } from '../src/wal/wal.js'
import { groupId, snapshot, uuidOf, WalBench } from './wal-fixture.js'
import { SimulatedDisk } from './wal-simulated-disk.js'

/*
 * Records of one group never surface in another, nor in another incarnation of it (invariant I20; NATS
 * #7668). Every entry, snapshot and name here says which incarnation it belongs to.
 */

const bench = new WalBench()
afterEach(() => bench.end())
const ID = groupId(7)
const OPTIONS = { segmentBytes: 2048, slowGroupSegments: 1, cacheBytesMax: 0 }
const INCARNATIONS = 4

function tagged(incarnation: number, from: number, count: number): Entry[] {
  return Array.from({ length: count }, (_, i) => ({
    index: from + i,
    term: incarnation,
    kind: i === 1 ? EntryKind.CONFIGURATION : EntryKind.COMMAND,
    data: Buffer.from(`incarnation ${incarnation}, entry ${from + i}`),
  }))
}

/** Throws when anything of the group is of another incarnation than its uuid says. */
async function checkPure(log: GroupLog): Promise<number> {
  const incarnation = log.uuid[0]!
  expect(log.name).toBe(`incarnation ${incarnation}`)
  expect([0, incarnation]).toContain(log.hardState.term)
  expect([0, incarnation]).toContain(log.compactedTerm)
  if (log.lastIndex > log.compactedIndex)
    for (const { index, term, data } of await log.read(log.compactedIndex + 1, log.lastIndex, 1 << 20)) {
      expect(term).toBe(incarnation)
      expect(Buffer.from(data).toString()).toBe(`incarnation ${incarnation}, entry ${index}`)
    }
  const configurations = [
    ...log.configurationEntries().map(({ data }) => data),
    ...(log.baseConfiguration === undefined ? [] : [log.baseConfiguration]),
  ].map((data) => Buffer.from(data).toString())
  for (const text of configurations)
    expect([`incarnation ${incarnation}`, `members at 3/${incarnation}`]).toContain(text.split(',')[0])
  return incarnation
}

interface Life {
  /** The newest incarnation whose first write was acknowledged. */
  born: number
  /** The newest incarnation whose removal was followed by an acknowledged write. */
  buried: number
}

/** The group is made, written, compacted or restarted, and removed, again and again. */
async function live(disk: SimulatedDisk, life: Life): Promise<void> {
  const wal = await Promise.race([bench.openOn(disk, OPTIONS), disk.died])
  if (wal === undefined) return
  const store = async (writes: Parameters<Wal['append']>[0]): Promise<void> => {
    const done = new Promise<void>((resolve) => {
      wal.append(writes, resolve)
    })
    await Promise.race([done, disk.died])
  }
  wal.createGroup(groupId(1), uuidOf(99), 'fast')
  for (let n = 1; n <= INCARNATIONS; n++) {
    wal.createGroup(ID, uuidOf(n), `incarnation ${n}`)
    const state = { term: n, vote: 0, commit: 0 } as const
    await store([{ group: ID, entries: tagged(n, 1, 3), hardState: state }])
    if (disk.steps >= disk.crashAfterSteps) return
    life.born = n
    life.buried = n - 1
    if (n % 3 === 1) wal.compact(ID, 2)
    if (n % 3 === 2) await store([{ group: ID, snapshot: snapshot(3, n), entries: tagged(n, 4, 2) }])
    // Its entries get old, and are copied forward, before it is removed.
    for (let i = 0; i < 4; i++) {
      const next = wal.group(groupId(1))!.lastIndex + 1
      const data = Buffer.alloc(1500)
      await store([{ group: groupId(1), entries: [{ index: next, term: 1, kind: 0, data }] }])
      if (disk.steps >= disk.crashAfterSteps) return
      wal.compact(groupId(1), next)
    }
    wal.removeGroup(ID)
  }
  await Promise.race([wal.close(), disk.died])
}

test('a group that is made again after it was removed has nothing of what it was, whenever the power goes', async () => {
  const whole = new SimulatedDisk()
  await live(whole, { born: 0, buried: 0 })
  const surfaced = new Set<number>()
  for (let steps = 0; steps < whole.steps; steps++) {
    const disk = new SimulatedDisk()
    disk.crashAfterSteps = steps
    const life: Life = { born: 0, buried: 0 }
    await live(disk, life)
    for (const random of [undefined, new SeededRandom(steps)]) {
      const crashed = disk.crashed(random)
      const wal = await bench.openOn(crashed, OPTIONS)
      const log = wal.group(ID)
      if (log === undefined) continue
      const incarnation = await checkPure(log)
      expect(incarnation).toBeGreaterThan(life.buried)
      surfaced.add(incarnation)
      // Removed now and made once more, on top of whatever the crash left.
      wal.removeGroup(ID)
      const next = wal.createGroup(ID, uuidOf(50), 'incarnation 50')
      expect(next).toMatchObject({ lastIndex: 0, compactedIndex: 0, baseConfiguration: undefined })
      await new Promise<void>((resolve) => {
        wal.append([{ group: ID, entries: tagged(50, 1, 2) }], resolve)
      })
      const again = await bench.openOn(crashed.crashed(), OPTIONS)
      expect(await checkPure(again.group(ID)!)).toBe(50)
    }
  }
  expect(surfaced.size).toBe(INCARNATIONS)
})

test('a read that began before the group was removed gives the old entries, and only the old log', async () => {
  const wal = await bench.open(await bench.directory(), { cacheBytesMax: 0 })
  const old = wal.createGroup(ID, uuidOf(1), 'incarnation 1')
  await new Promise<void>((resolve) => {
    wal.append([{ group: ID, entries: tagged(1, 1, 3) }], resolve)
  })
  const reading = old.read(1, 3, 1 << 20)
  wal.removeGroup(ID)
  const log = wal.createGroup(ID, uuidOf(2), 'incarnation 2')
  await new Promise<void>((resolve) => {
    wal.append([{ group: ID, entries: tagged(2, 1, 3) }], resolve)
  })
  expect(await reading).toMatchObject(tagged(1, 1, 3).map(({ term }) => ({ term })))
  expect(await checkPure(log)).toBe(2)
})
