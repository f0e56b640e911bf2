import { describe, expect, test } from '@jest/globals'
import { SeededRandom } from '@sluice/foundation'
import { SnapshotDiskFullError, SnapshotError, SnapshotWriteError } from '../src/snapshot/errors.js'
import { openSnapshotStore, type SnapshotStore } from '../src/snapshot/snapshot-store.js'
import { contentIds, contentsOf, dataOf, GROUP, inPieces, metaOf, UUID } from './snapshot-fixture.js'
import { type DiskFault, SimulatedDisk } from './wal-simulated-disk.js'

const CONTENT = { id: new Uint8Array(16).fill(3), sizeBytes: 300, crc: undefined }

function open(disk: SimulatedDisk): Promise<SnapshotStore> {
  return openSnapshotStore({
    directory: '/simulated',
    files: disk,
    chunkBytes: 64,
    contentId: contentIds(new SeededRandom(5)),
  })
}

function dataAt(index: number): Buffer {
  return Buffer.from(dataOf(300, index))
}

/** What has been promised so far. */
interface Progress {
  durableIndex: number
}

type Scenario = (store: SnapshotStore, progress: Progress) => Promise<void>

const writes: Scenario = async (store, progress) => {
  for (const index of [10, 20]) {
    await store.write(GROUP, UUID, metaOf(index), inPieces(dataAt(index)))
    progress.durableIndex = index
    await store.prune(GROUP, UUID, 1)
  }
}

const receptions: Scenario = async (store, progress) => {
  await store.write(GROUP, UUID, metaOf(10), inPieces(dataAt(10)))
  progress.durableIndex = 10
  for (let part = 1; part <= 3; part++) {
    const incoming = await store.receive(GROUP, UUID, metaOf(20), CONTENT)
    const { receivedBytes } = incoming
    if (receivedBytes < 300)
      await incoming.write(receivedBytes, dataAt(20).subarray(receivedBytes, receivedBytes + 100))
    await incoming.suspend()
  }
  await receiveRest(store, progress)
  await store.prune(GROUP, UUID, 1)
}

async function receiveRest(store: SnapshotStore, progress: Progress): Promise<void> {
  const incoming = await store.receive(GROUP, UUID, metaOf(20), CONTENT)
  if (incoming.receivedBytes < 300)
    await incoming.write(incoming.receivedBytes, dataAt(20).subarray(incoming.receivedBytes))
  const source = await incoming.finish()
  progress.durableIndex = 20
  await source.close()
}

/** The newest snapshot is one that was written, whole, and not older than what was promised. */
async function check(store: SnapshotStore, progress: Progress): Promise<void> {
  const meta = store.latest(GROUP, UUID)
  const index = meta?.index ?? 0
  expect([0, 10, 20]).toContain(index)
  expect(index).toBeGreaterThanOrEqual(progress.durableIndex)
  if (meta === undefined) return
  expect(Buffer.from(meta.configuration)).toEqual(metaOf(index).configuration)
  const source = await store.open(GROUP, UUID, meta)
  expect(await contentsOf(source)).toEqual(dataAt(index))
  await source.close()
}

/** After a crash: what was promised is there, and the work that was interrupted can be done. */
async function checkAfter(disk: SimulatedDisk, progress: Progress): Promise<void> {
  const store = await open(disk)
  await check(store, progress)
  expect([...disk.names.keys()].filter((name) => name.endsWith('.tmp'))).toEqual([])
  await receiveRest(store, progress)
  await store.prune(GROUP, UUID, 1)
  await check(store, progress)
  expect([...disk.names.keys()]).toEqual(['snap-7-20-1.snap'])
  await store.close()
  expect(disk.openFiles).toBe(0)
}

async function stepsOf(scenario: Scenario): Promise<number> {
  const disk = new SimulatedDisk()
  await scenario(await open(disk), { durableIndex: 0 })
  return disk.steps
}

describe.each([
  ['writing', writes],
  ['receiving', receptions],
] as const)('a crash at any step of %s snapshots', (_, scenario) => {
  test('loses nothing that was promised, and nothing in the way of the next start', async () => {
    const steps = await stepsOf(scenario)
    expect(steps).toBeGreaterThan(20)
    for (let step = 0; step <= steps; step++) {
      const disk = new SimulatedDisk()
      disk.crashAfterSteps = step
      const progress = { durableIndex: 0 }
      const run = open(disk).then((store) => scenario(store, progress))
      await Promise.race([run, disk.died])
      const images = [disk.killed(), disk.crashed()]
      for (let seed = 0; seed < 8; seed++) images.push(disk.crashed(new SeededRandom(seed)))
      for (const image of images) await checkAfter(image, { ...progress })
      // Power goes after a process that was killed has been started again, and promised the same.
      const restarted = disk.killed()
      const store = await open(restarted)
      const index = store.latest(GROUP, UUID)?.index ?? 0
      await checkAfter(restarted.crashed(), { durableIndex: index })
    }
  })
})

describe.each([
  ['writing', writes],
  ['receiving', receptions],
] as const)('a fault at any step of %s snapshots', (_, scenario) => {
  test.each(['EIO', 'ENOSPC', 'short'] as const)(
    '%s is a typed error that leaves what was there',
    async (kind) => {
      const steps = await stepsOf(scenario)
      let failed = 0
      for (let step = 0; step < steps; step++) {
        const disk = new SimulatedDisk()
        let faulted: { readonly step: string; readonly fault: DiskFault } | undefined
        disk.fault = (name) => {
          if (disk.steps - 1 !== step || (kind === 'short' && name !== 'write')) return undefined
          faulted = { step: name, fault: kind }
          return kind
        }
        const progress = { durableIndex: 0 }
        let store: SnapshotStore | undefined
        try {
          store = await open(disk)
          await scenario(store, progress)
        } catch (error) {
          failed++
          expect(faulted).toBeDefined()
          if (store !== undefined) {
            expect(error).toBeInstanceOf(SnapshotWriteError)
            expect(error).toBeInstanceOf(SnapshotError)
            expect(error instanceof SnapshotDiskFullError).toBe(kind === 'ENOSPC')
          }
        }
        expect(disk.openFiles).toBe(0)
        if (store === undefined) continue
        await check(store, progress)
        const spare = [...disk.names.keys()].filter((name) => !name.endsWith('.snap'))
        if (faulted?.step !== 'remove') expect(spare).toEqual([])
        await scenario(store, { durableIndex: 0 })
        expect(store.latest(GROUP, UUID)?.index).toBe(20)
        await store.close()
        await checkAfter(disk.crashed(), { durableIndex: 20 })
      }
      expect(failed).toBeGreaterThan(5)
    },
  )
})

describe('a disk that fills up', () => {
  test('at any write gets its space back', async () => {
    const writesNeeded = 7
    for (let free = 0; free <= writesNeeded; free++) {
      const disk = new SimulatedDisk()
      const store = await open(disk)
      await store.write(GROUP, UUID, metaOf(10), inPieces(dataAt(10)))
      let left = free
      disk.fault = (step) => (step === 'write' && --left < 0 ? 'ENOSPC' : undefined)
      const writing = store.write(GROUP, UUID, metaOf(20), inPieces(dataAt(20)))
      if (free < writesNeeded) {
        await expect(writing).rejects.toThrow(SnapshotDiskFullError)
        expect([...disk.names.keys()]).toEqual(['snap-7-10-1.snap'])
      } else await writing
      disk.fault = () => undefined
      await check(store, { durableIndex: free < writesNeeded ? 10 : 20 })
      await store.close()
    }
  })
})
