import { deferred, type Clock } from '@sluice/foundation'
import { ManualClock } from '@sluice/foundation/testing'
import { expect, test } from '@jest/globals'
import type { WalDisk, WalFile } from '../src/wal/files.js'
import { append, entries, groupId, openGroup, WalBench } from './wal-fixture.js'
import { SimulatedDisk } from './wal-simulated-disk.js'

const bench = new WalBench()

/** A disk whose writes or syncs, of segments, wait for the gate. */
function gated(disk: SimulatedDisk, step: 'write' | 'sync', gate: () => Promise<unknown>): WalDisk {
  const open: WalDisk['open'] = async (path, mode) => {
    const file = await disk.open(path, mode)
    const slow: WalFile = {
      write: async (bytes, position) => {
        if (step === 'write') await gate()
        return file.write(bytes, position)
      },
      read: (bytes, position) => file.read(bytes, position),
      sync: async () => {
        if (step === 'sync') await gate()
        await file.sync()
      },
      size: () => file.size(),
      close: () => file.close(),
    }
    return slow
  }
  return new Proxy<WalDisk>(disk, {
    get: (target, name: keyof WalDisk) => (name === 'open' ? open : target[name].bind(target)),
  })
}

test.each(['write', 'sync'] as const)(
  'a %s that the disk does not finish shows how long it takes',
  async (step) => {
    const clock = new ManualClock()
    let gate: Promise<unknown> = Promise.resolve()
    const files = gated(new SimulatedDisk(), step, () => gate)
    const wal = await bench.openOn(new SimulatedDisk(), { files, clock, segmentBytes: 4096 })
    openGroup(wal, 1)
    await append(wal, { group: groupId(1), entries: entries(1, 1, 1) })
    expect(wal.stalledMs).toBe(0)
    clock.advance(5000)
    expect(wal.stalledMs).toBe(0) // nothing is under way
    const opened = deferred<undefined>()
    gate = opened.promise
    const first = append(wal, { group: groupId(1), entries: entries(2, 2, 1) })
    clock.advance(300)
    expect(wal.stalledMs).toBe(300)
    // What comes later waits for less: the oldest counts.
    const second = append(wal, { group: groupId(1), entries: entries(3, 3, 1) })
    clock.advance(1700)
    expect(wal.stalledMs).toBe(2000)
    gate = Promise.resolve()
    opened.resolve(undefined)
    await first
    expect(wal.stalledMs).toBe(0) // the second write began just now
    await second
    clock.advance(1000)
    expect(wal.stalledMs).toBe(0)
    await wal.close()
  },
)

test('wall time that jumps does not count', async () => {
  const manual = new ManualClock()
  let jumpMs = 0
  const clock: Clock = { now: () => manual.now() + jumpMs, monotonic: () => manual.monotonic() }
  let gate: Promise<unknown> = Promise.resolve()
  const files = gated(new SimulatedDisk(), 'sync', () => gate)
  const wal = await bench.openOn(new SimulatedDisk(), { files, clock, segmentBytes: 4096 })
  const opened = deferred<undefined>()
  gate = opened.promise
  const done = append(wal)
  manual.advance(10)
  jumpMs = 1e9
  expect(wal.stalledMs).toBe(10)
  opened.resolve(undefined)
  await done
  await wal.close()
})

test('a disk that failed is not waited for any more', async () => {
  const disk = new SimulatedDisk()
  const clock = new ManualClock()
  const failed = deferred<Error>()
  const wal = await bench.openOn(disk, { clock, onFatal: (error) => failed.resolve(error) })
  disk.fault = (step) => (step === 'sync' ? 'EIO' : undefined)
  wal.append([], () => undefined)
  await failed.promise
  clock.advance(100)
  expect(wal.stalledMs).toBe(0)
  await wal.close()
})
