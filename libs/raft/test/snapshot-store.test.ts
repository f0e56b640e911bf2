import { readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, describe, expect, test } from '@jest/globals'
import { deferred } from '@sluice/foundation'
import {
  SnapshotAbandonedError,
  SnapshotBusyError,
  SnapshotClosedError,
  SnapshotCorruptError,
  SnapshotMissingError,
  SnapshotTooLargeError,
} from '../src/snapshot/errors.js'
import type { SnapshotFiles } from '../src/snapshot/files.js'
import { MemoryFiles } from '../src/snapshot/memory-files.js'
import { contentOf } from '../src/snapshot/snapshot-content.js'
import {
  contentsOf,
  dataOf,
  GROUP,
  groupId,
  inPieces,
  metaOf,
  OTHER_UUID,
  SnapshotBench,
  UUID,
} from './snapshot-fixture.js'
import { SimulatedDisk } from './wal-simulated-disk.js'

const bench = new SnapshotBench()
afterEach(() => bench.end())

async function* failing(data: Uint8Array): AsyncIterable<Uint8Array> {
  yield data
  await Promise.resolve()
  throw new Error('the state cannot be read')
}

describe('a snapshot store', () => {
  test.each([0, 1, 63, 64, 65, 128, 1000])(
    'gives back the %i bytes it was given, after a restart too',
    async (size) => {
      const directory = await bench.directory()
      const data = dataOf(size)
      const first = await bench.open(directory)
      expect(first.latest(GROUP, UUID)).toBeUndefined()
      await first.write(GROUP, UUID, metaOf(10, 3), inPieces(data))
      await first.close()
      const store = await bench.open(directory, { chunkBytes: 128 })
      const meta = store.latest(GROUP, UUID)!
      expect({ ...meta, configuration: Buffer.from(meta.configuration) }).toEqual(metaOf(10, 3))
      const source = await store.open(GROUP, UUID, meta)
      expect(source.sizeBytes).toBe(size)
      expect(await contentsOf(source)).toEqual(Buffer.from(data))
      expect(await readdir(directory)).toEqual(['snap-7-10-3.snap'])
      await source.close()
    },
  )

  test('reads any range of the data, whatever the chunks on disk are', async () => {
    const store = await bench.open(new MemoryFiles())
    const data = dataOf(300)
    await store.write(GROUP, UUID, metaOf(1), inPieces(data))
    const source = await store.open(GROUP, UUID, metaOf(1))
    for (let from = 0; from <= 300; from += 7)
      for (const length of [0, 1, 63, 64, 65, 300])
        expect(Buffer.from(await source.read(from, length))).toEqual(
          Buffer.from(data.subarray(from, from + length)),
        )
    expect(await source.read(300, 10)).toHaveLength(0)
    expect(await source.read(1000, 10)).toHaveLength(0)
    await expect(source.read(-1, 10)).rejects.toThrow(RangeError)
    await expect(source.read(0.5, 10)).rejects.toThrow(RangeError)
    await source.close()
    await expect(source.read(0, 1)).rejects.toThrow(SnapshotClosedError)
    await source.close()
  })

  test('keeps the snapshots of groups and of their incarnations apart', async () => {
    const directory = await bench.directory()
    const first = await bench.open(directory)
    await first.write(groupId(1), UUID, metaOf(5), inPieces(dataOf(10)))
    await first.write(groupId(2), UUID, metaOf(9), inPieces(dataOf(20)))
    await first.close()
    const store = await bench.open(directory)
    expect(store.latest(groupId(1), UUID)?.index).toBe(5)
    expect(store.latest(groupId(2), UUID)?.index).toBe(9)
    expect(store.latest(groupId(3), UUID)).toBeUndefined()
    expect(store.latest(groupId(1), OTHER_UUID)).toBeUndefined()
    await expect(store.open(groupId(1), OTHER_UUID, metaOf(5))).rejects.toThrow(SnapshotMissingError)
    await expect(store.open(groupId(1), UUID, metaOf(9))).rejects.toThrow(SnapshotMissingError)
  })

  test('has no snapshot, and no file, of chunks that fail or that are too many', async () => {
    const directory = await bench.directory()
    const store = await bench.open(directory, { snapshotBytesMax: 100 })
    await expect(store.write(GROUP, UUID, metaOf(1), failing(dataOf(80)))).rejects.toThrow('cannot be read')
    await expect(store.write(GROUP, UUID, metaOf(1), inPieces(dataOf(101)))).rejects.toThrow(
      SnapshotTooLargeError,
    )
    const configuration = 'x'.repeat(128 * 1024 + 1)
    await expect(store.write(GROUP, UUID, metaOf(1, 1, configuration), inPieces(dataOf(1)))).rejects.toThrow(
      SnapshotTooLargeError,
    )
    expect(store.latest(GROUP, UUID)).toBeUndefined()
    expect(await readdir(directory)).toEqual([])
    await store.write(GROUP, UUID, metaOf(1, 1, configuration.slice(1)), inPieces(dataOf(100)))
    await store.close()
    const again = await bench.open(directory)
    expect(again.latest(GROUP, UUID)?.configuration).toHaveLength(128 * 1024)
  })

  test('stops writing by its signal, also while it waits for a chunk', async () => {
    const directory = await bench.directory()
    const store = await bench.open(directory)
    const controller = new AbortController()
    const asked = deferred<undefined>()
    async function* stuck(): AsyncIterable<Uint8Array> {
      yield dataOf(200)
      asked.resolve(undefined)
      await new Promise(() => undefined)
    }
    const { signal } = controller
    const writing = store.write(GROUP, UUID, metaOf(1), stuck(), { signal })
    await asked.promise
    await expect(store.write(GROUP, UUID, metaOf(2), inPieces(dataOf(1)))).rejects.toThrow(SnapshotBusyError)
    controller.abort()
    await expect(writing).rejects.toThrow(SnapshotAbandonedError)
    await expect(store.write(GROUP, UUID, metaOf(1), inPieces(dataOf(1)), { signal })).rejects.toThrow(
      SnapshotAbandonedError,
    )
    expect(await readdir(directory)).toEqual([])
  })

  test('does not ask for the chunks of a snapshot that it has', async () => {
    const store = await bench.open(new MemoryFiles())
    await store.write(GROUP, UUID, metaOf(4), inPieces(dataOf(100)))
    await store.write(GROUP, UUID, metaOf(4), failing(dataOf(1)))
    const source = await store.open(GROUP, UUID, metaOf(4))
    await store.adopt(GROUP, UUID, source)
    expect(await contentsOf(source)).toEqual(Buffer.from(dataOf(100)))
    const other = await bench.open(new MemoryFiles())
    await other.adopt(GROUP, UUID, source)
    const copy = await other.open(GROUP, UUID, metaOf(4))
    expect(await contentsOf(copy)).toEqual(Buffer.from(dataOf(100)))
  })

  test('closed, it refuses everything and has ended what went on', async () => {
    const directory = await bench.directory()
    const store = await bench.open(directory)
    async function* stuck(): AsyncIterable<Uint8Array> {
      yield dataOf(200)
      await new Promise(() => undefined)
    }
    const writing = store.write(GROUP, UUID, metaOf(1), stuck())
    const incoming = await store.receive(groupId(8), UUID, metaOf(1), {
      id: UUID,
      sizeBytes: 200,
      crc: undefined,
    })
    writing.catch(() => undefined)
    await store.close()
    await expect(writing).rejects.toThrow(SnapshotAbandonedError)
    await store.close()
    await expect(incoming.write(0, dataOf(1))).rejects.toThrow(SnapshotClosedError)
    await expect(store.write(GROUP, UUID, metaOf(1), inPieces(dataOf(1)))).rejects.toThrow(
      SnapshotClosedError,
    )
    await expect(store.open(GROUP, UUID, metaOf(1))).rejects.toThrow(SnapshotClosedError)
    await expect(
      store.receive(GROUP, UUID, metaOf(1), { id: UUID, sizeBytes: 1, crc: undefined }),
    ).rejects.toThrow(SnapshotClosedError)
    expect(await readdir(directory)).toEqual(['snap-8-1-1.part'])
  })

  test('has bounds for its chunks, and writes no more snapshots together than it may', async () => {
    await expect(bench.open(new MemoryFiles(), { chunkBytes: 15 })).rejects.toThrow(RangeError)
    await expect(bench.open(new MemoryFiles(), { chunkBytes: 1024 * 1024 + 1 })).rejects.toThrow(RangeError)
    const store = await bench.open(new MemoryFiles(), { writersMax: 2 })
    let open = 0
    let most = 0
    async function* counted(): AsyncIterable<Uint8Array> {
      most = Math.max(most, ++open)
      yield await Promise.resolve(dataOf(100))
      open--
    }
    await Promise.all([1, 2, 3, 4, 5].map((id) => store.write(groupId(id), UUID, metaOf(1), counted())))
    expect(most).toBe(2)
  })
})

describe('old snapshots', () => {
  test('are pruned down to the newest ones, but not under a reader', async () => {
    const directory = await bench.directory()
    const store = await bench.open(directory)
    for (const index of [10, 20, 30])
      await store.write(GROUP, UUID, metaOf(index), inPieces(dataOf(100, index)))
    await store.write(GROUP, OTHER_UUID, metaOf(40), inPieces(dataOf(100)))
    await store.write(groupId(8), UUID, metaOf(5), inPieces(dataOf(100)))
    const source = await store.open(GROUP, UUID, metaOf(10))
    await store.prune(GROUP, UUID, 2)
    expect(await readdir(directory)).toEqual([
      'snap-7-10-1.snap',
      'snap-7-20-1.snap',
      'snap-7-30-1.snap',
      'snap-8-5-1.snap',
    ])
    await expect(store.open(GROUP, UUID, metaOf(10))).rejects.toThrow(SnapshotMissingError)
    expect(await contentsOf(source)).toEqual(Buffer.from(dataOf(100, 10)))
    await source.close()
    await store.prune(GROUP, UUID, 1)
    expect(await readdir(directory)).toEqual(['snap-7-30-1.snap', 'snap-8-5-1.snap'])
    expect(() => store.prune(GROUP, UUID, 0)).toThrow('the newest snapshot is kept')
  })

  test('of a removed group go, with what was being received or written', async () => {
    const directory = await bench.directory()
    const store = await bench.open(directory)
    await store.write(GROUP, UUID, metaOf(10), inPieces(dataOf(100)))
    const source = await store.open(GROUP, UUID, metaOf(10))
    const incoming = await store.receive(GROUP, UUID, metaOf(20), {
      id: UUID,
      sizeBytes: 200,
      crc: undefined,
    })
    await incoming.write(0, dataOf(100))
    const asked = deferred<undefined>()
    async function* stuck(): AsyncIterable<Uint8Array> {
      yield dataOf(200)
      asked.resolve(undefined)
      await new Promise(() => undefined)
    }
    const writing = store.write(GROUP, UUID, metaOf(30), stuck())
    writing.catch(() => undefined)
    await asked.promise
    await store.removeGroup(GROUP)
    await expect(writing).rejects.toThrow(SnapshotAbandonedError)
    await expect(incoming.write(100, dataOf(100))).rejects.toThrow(SnapshotAbandonedError)
    await expect(incoming.finish()).rejects.toThrow(SnapshotAbandonedError)
    expect(store.latest(GROUP, UUID)).toBeUndefined()
    expect(await contentsOf(source)).toHaveLength(100)
    // The id comes back, and its first snapshot has the name of one that is still read.
    await store.write(GROUP, OTHER_UUID, metaOf(10), inPieces(dataOf(50)))
    await expect(source.read(0, 10)).rejects.toThrow(SnapshotMissingError)
    await source.close()
    expect(await readdir(directory)).toEqual(['snap-7-10-1.snap'])
    expect(store.latest(GROUP, OTHER_UUID)?.index).toBe(10)
  })
})

describe('the removal of a group', () => {
  /** A disk on which something happens when the process closes a file that is not a snapshot yet. */
  function closing(happens: () => void): SimulatedDisk {
    const disk = new SimulatedDisk()
    const open = disk.open.bind(disk)
    disk.open = async (path, mode) => {
      const file = await open(path, mode)
      const close = async (): Promise<void> => {
        await file.close()
        if (mode === 'create') happens()
      }
      return { ...file, close }
    }
    return disk
  }

  test('comes before the snapshot that gets its name just then', async () => {
    let removal: Promise<void> | undefined
    const disk = closing(() => {
      removal ??= store.removeGroup(GROUP)
    })
    const store = await bench.open(disk)
    await expect(store.write(GROUP, UUID, metaOf(10), inPieces(dataOf(100)))).rejects.toThrow(
      SnapshotAbandonedError,
    )
    await removal
    expect([...disk.names.keys()]).toEqual([])
    expect(store.latest(GROUP, UUID)).toBeUndefined()
  })

  test('comes before the snapshot that was received just then', async () => {
    let removal: Promise<void> | undefined
    const disk = closing(() => {
      removal ??= store.removeGroup(GROUP)
    })
    const store = await bench.open(disk)
    const content = { id: UUID, sizeBytes: 100, crc: undefined }
    const incoming = await store.receive(GROUP, UUID, metaOf(10), content)
    await incoming.write(0, dataOf(100))
    await expect(incoming.finish()).rejects.toThrow(SnapshotAbandonedError)
    await removal
    expect([...disk.names.keys()]).toEqual([])
    expect(store.latest(GROUP, UUID)).toBeUndefined()
  })
})

describe('an incoming snapshot', () => {
  async function sourceOf(size: number, index = 10) {
    const store = await bench.open(new MemoryFiles())
    await store.write(GROUP, UUID, metaOf(index), inPieces(dataOf(size)))
    const source = await store.open(GROUP, UUID, metaOf(index))
    return { source, content: contentOf(source)! }
  }

  test('is a snapshot once all of it is there, and not before', async () => {
    const directory = await bench.directory()
    const store = await bench.open(directory)
    const { content } = await sourceOf(500)
    const incoming = await store.receive(GROUP, UUID, metaOf(10), content)
    expect(incoming.receivedBytes).toBe(0)
    await expect(incoming.write(1, dataOf(10))).rejects.toThrow(RangeError)
    await incoming.write(0, dataOf(500).subarray(0, 150))
    await expect(incoming.write(0, dataOf(10))).rejects.toThrow(RangeError)
    await expect(incoming.finish()).rejects.toThrow(RangeError)
    expect(store.latest(GROUP, UUID)).toBeUndefined()
    await incoming.write(150, dataOf(500).subarray(150))
    const source = await incoming.finish()
    expect(await contentsOf(source)).toEqual(Buffer.from(dataOf(500)))
    expect(source.content).toEqual(content)
    expect(store.latest(GROUP, UUID)?.index).toBe(10)
    expect(await readdir(directory)).toEqual(['snap-7-10-1.snap'])
  })

  test('goes on after a restart from the last chunk that is whole', async () => {
    const directory = await bench.directory()
    const first = await bench.open(directory)
    const { content } = await sourceOf(500)
    const begun = await first.receive(GROUP, UUID, metaOf(10), content)
    await begun.write(0, dataOf(500).subarray(0, 200))
    await first.close()
    const store = await bench.open(directory, { chunkBytes: 128 })
    expect(store.latest(GROUP, UUID)).toBeUndefined()
    const incoming = await store.receive(GROUP, UUID, metaOf(10), content)
    expect(incoming.receivedBytes).toBe(192)
    await incoming.write(192, dataOf(500).subarray(192))
    expect(await contentsOf(await incoming.finish())).toEqual(Buffer.from(dataOf(500)))
  })

  test('goes on only with what is undamaged, whichever bit of it is flipped', async () => {
    const directory = await bench.directory()
    const { content } = await sourceOf(200)
    const file = join(directory, 'snap-7-10-1.part')
    const first = await bench.open(directory)
    const begun = await first.receive(GROUP, UUID, metaOf(10), content)
    await begun.write(0, dataOf(200).subarray(0, 199))
    await first.close()
    const whole = await readFile(file)
    for (let byte = 0; byte < whole.length; byte += 5) {
      const damaged = Buffer.from(whole)
      damaged[byte]! ^= 1 << (byte % 8)
      await writeFile(file, damaged)
      const store = await bench.open(directory)
      const incoming = await store.receive(GROUP, UUID, metaOf(10), content)
      expect(incoming.receivedBytes).toBeLessThan(192)
      await incoming.write(incoming.receivedBytes, dataOf(200).subarray(incoming.receivedBytes))
      const source = await incoming.finish()
      expect(await contentsOf(source)).toEqual(Buffer.from(dataOf(200)))
      await store.removeGroup(GROUP)
      await source.close()
      await store.close()
    }
  })

  test.each([
    ['another content', { id: OTHER_UUID }, metaOf(10), UUID],
    ['a smaller size than the file has already', { sizeBytes: 100 }, metaOf(10), UUID],
    ['another configuration', {}, metaOf(10, 1, 'others'), UUID],
    ['another incarnation', {}, metaOf(10), OTHER_UUID],
    ['another index', {}, metaOf(11), UUID],
    ['another term', {}, metaOf(10, 2), UUID],
  ] as const)('begins anew for %s', async (_, change, meta, uuid) => {
    const directory = await bench.directory()
    const store = await bench.open(directory)
    const { content } = await sourceOf(500)
    const begun = await store.receive(GROUP, UUID, metaOf(10), content)
    await begun.write(0, dataOf(500).subarray(0, 400))
    await begun.suspend()
    const incoming = await store.receive(GROUP, uuid, meta, { ...content, ...change })
    expect(incoming.receivedBytes).toBe(0)
    expect(await readdir(directory)).toHaveLength(1)
    await incoming.abort()
    expect(await readdir(directory)).toEqual([])
  })

  test('that is not what was announced never becomes a snapshot', async () => {
    const directory = await bench.directory()
    const store = await bench.open(directory)
    const { content } = await sourceOf(500)
    const incoming = await store.receive(GROUP, UUID, metaOf(10), content)
    await incoming.write(0, dataOf(500, 2))
    await expect(incoming.finish()).rejects.toThrow(SnapshotCorruptError)
    expect(store.latest(GROUP, UUID)).toBeUndefined()
    expect(await readdir(directory)).toEqual([])
  })

  test('that grows over its size is removed', async () => {
    const directory = await bench.directory()
    const store = await bench.open(directory, { snapshotBytesMax: 600 })
    const { content } = await sourceOf(500)
    const incoming = await store.receive(GROUP, UUID, metaOf(10), content)
    await expect(incoming.write(0, dataOf(501))).rejects.toThrow(SnapshotTooLargeError)
    expect(await readdir(directory)).toEqual([])
    await expect(store.receive(GROUP, UUID, metaOf(10), { ...content, sizeBytes: 601 })).rejects.toThrow(
      SnapshotTooLargeError,
    )
    await expect(store.receive(GROUP, UUID, metaOf(10), { ...content, sizeBytes: -1 })).rejects.toThrow(
      RangeError,
    )
  })

  test('needs nothing when the store has it, or a newer one, already', async () => {
    const store = await bench.open(new MemoryFiles())
    await store.write(GROUP, UUID, metaOf(20), inPieces(dataOf(80)))
    for (const index of [20, 10]) {
      const { content } = await sourceOf(500, index)
      const incoming = await store.receive(GROUP, UUID, metaOf(index), content)
      expect(incoming.receivedBytes).toBe(500)
      await expect(incoming.write(500, dataOf(1))).rejects.toThrow(RangeError)
      const source = await incoming.finish()
      expect(source.meta.index).toBe(20)
      expect(await contentsOf(source)).toEqual(Buffer.from(dataOf(80)))
    }
  })

  test('is one of a bounded number, and alone in its group', async () => {
    const store = await bench.open(new MemoryFiles(), { receptionsMax: 2 })
    const { content } = await sourceOf(500)
    const first = await store.receive(groupId(1), UUID, metaOf(1), content)
    await expect(store.receive(groupId(1), UUID, metaOf(2), content)).rejects.toThrow(SnapshotBusyError)
    await store.receive(groupId(2), UUID, metaOf(1), content)
    await expect(store.receive(groupId(3), UUID, metaOf(1), content)).rejects.toThrow(SnapshotBusyError)
    await first.suspend()
    await store.receive(groupId(3), UUID, metaOf(1), content)
  })

  test('that nobody goes on with is pruned when a newer snapshot is there', async () => {
    const directory = await bench.directory()
    const store = await bench.open(directory)
    const { content } = await sourceOf(500)
    const incoming = await store.receive(GROUP, UUID, metaOf(10), content)
    await incoming.write(0, dataOf(100))
    await store.write(GROUP, UUID, metaOf(12), inPieces(dataOf(10)))
    await store.prune(GROUP, UUID, 1)
    expect(await readdir(directory)).toContain('snap-7-10-1.part')
    await incoming.suspend()
    await store.prune(GROUP, UUID, 1)
    expect(await readdir(directory)).toEqual(['snap-7-12-1.snap'])
  })
})

describe('damage', () => {
  async function written(): Promise<{ directory: string; file: string; bytes: Buffer }> {
    const directory = await bench.directory()
    const store = await bench.open(directory)
    await store.write(GROUP, UUID, metaOf(10), inPieces(dataOf(150)))
    await store.close()
    const file = join(directory, 'snap-7-10-1.snap')
    return { directory, file, bytes: await readFile(file) }
  }

  /** What a store makes of the file: its data, or the error that names it. */
  async function outcome(where: string | SnapshotFiles): Promise<Buffer | SnapshotCorruptError> {
    const store = await bench.open(where)
    try {
      const meta = store.latest(GROUP, UUID)
      if (meta === undefined) throw new Error('the group was taken for an empty one')
      const source = await store.open(GROUP, UUID, meta)
      return await contentsOf(source)
    } catch (error) {
      if (error instanceof SnapshotCorruptError) return error
      throw error
    } finally {
      await store.close()
    }
  }

  test('by any single bit is an error that names the file', async () => {
    const { bytes } = await written()
    for (let bit = 0; bit < bytes.length * 8; bit++) {
      const damaged = Buffer.from(bytes)
      damaged[bit >> 3]! ^= 1 << (bit & 7)
      const result = await outcome(SimulatedDisk.of([['snap-7-10-1.snap', damaged]]))
      expect(result).toBeInstanceOf(SnapshotCorruptError)
      expect(result).toMatchObject({ file: '/simulated/snap-7-10-1.snap' })
    }
  })

  test('by any truncation, or by more bytes, is an error that names the file', async () => {
    const { bytes } = await written()
    const others = Array.from({ length: bytes.length }, (_, size) => bytes.subarray(0, size))
    others.push(Buffer.concat([bytes, Buffer.from([0])]))
    for (const damaged of others) {
      const result = await outcome(SimulatedDisk.of([['snap-7-10-1.snap', damaged]]))
      expect(result).toBeInstanceOf(SnapshotCorruptError)
      expect(result).toMatchObject({ file: '/simulated/snap-7-10-1.snap' })
    }
    expect(await outcome(SimulatedDisk.of([['snap-7-10-1.snap', bytes]]))).toEqual(Buffer.from(dataOf(150)))
  })

  test('is the file of another snapshot under this name', async () => {
    const { directory, file } = await written()
    const other = await bench.directory()
    const store = await bench.open(other)
    await store.write(groupId(8), UUID, metaOf(10), inPieces(dataOf(150)))
    await writeFile(file, await readFile(join(other, 'snap-8-10-1.snap')))
    expect(await outcome(directory)).toMatchObject({ file, reason: 'it is the file of another snapshot' })
  })

  test('of a chunk that was moved is noticed', async () => {
    const { directory, file, bytes } = await written()
    const headerBytes = bytes.length - 24 - 150 - 3 * 8
    const moved = Buffer.from(bytes)
    bytes.copy(moved, headerBytes, headerBytes + 72, headerBytes + 144)
    bytes.copy(moved, headerBytes + 72, headerBytes, headerBytes + 72)
    await writeFile(file, moved)
    expect(await outcome(directory)).toMatchObject({ file, reason: 'the checksum of chunk 0 does not match' })
  })

  test('of the newest snapshot is not answered with an older one, nor with none', async () => {
    const { directory, file, bytes } = await written()
    const store = await bench.open(directory)
    await store.write(GROUP, UUID, metaOf(9), inPieces(dataOf(10)))
    await store.write(groupId(8), UUID, metaOf(9), inPieces(dataOf(10)))
    await store.close()
    await writeFile(file, bytes.subarray(1))
    const again = await bench.open(directory)
    expect(() => again.latest(GROUP, UUID)).toThrow(SnapshotCorruptError)
    expect(bench.reported).toEqual(['snapshot-damaged snap-7-10-1.snap'])
    expect(again.latest(groupId(8), UUID)?.index).toBe(9)
    await again.prune(GROUP, UUID, 1)
    expect(() => again.latest(GROUP, UUID)).toThrow(file)
    // A newer one makes it harmless, and pruning removes it.
    await again.write(GROUP, UUID, metaOf(11), inPieces(dataOf(10)))
    expect(again.latest(GROUP, UUID)?.index).toBe(11)
    await again.prune(GROUP, UUID, 1)
    expect(await readdir(directory)).toEqual(['snap-7-11-1.snap', 'snap-8-9-1.snap'])
  })

  test('that is found while reading is mended by writing or receiving the snapshot again', async () => {
    const { directory, file, bytes } = await written()
    const damaged = Buffer.from(bytes)
    damaged[bytes.length - 30]! ^= 1
    for (const mend of ['write', 'receive'] as const) {
      await writeFile(file, damaged)
      const store = await bench.open(directory)
      const source = await store.open(GROUP, UUID, store.latest(GROUP, UUID)!)
      await expect(contentsOf(source)).rejects.toThrow(SnapshotCorruptError)
      expect(() => store.latest(GROUP, UUID)).toThrow(SnapshotCorruptError)
      await expect(store.open(GROUP, UUID, metaOf(10))).rejects.toThrow(SnapshotCorruptError)
      if (mend === 'write') await store.write(GROUP, UUID, metaOf(10), inPieces(dataOf(150)))
      else {
        const content = { id: OTHER_UUID, sizeBytes: 150, crc: undefined }
        const incoming = await store.receive(GROUP, UUID, metaOf(10), content)
        await incoming.write(0, dataOf(150))
        await incoming.finish()
      }
      await expect(source.read(0, 10)).rejects.toThrow(SnapshotMissingError)
      await source.close()
      expect(await contentsOf(await store.open(GROUP, UUID, store.latest(GROUP, UUID)!))).toEqual(
        Buffer.from(dataOf(150)),
      )
      await store.close()
    }
  })

  test('files that are none of the store are left alone', async () => {
    const directory = await bench.directory()
    const names = [
      'notes.txt',
      'snap-1-2.snap',
      'snap-01-2-3.snap',
      'snap-1-2-3.snap.tmp',
      'snap-1-2-3.snapshot',
    ]
    for (const name of names) await writeFile(join(directory, name), 'hello')
    await writeFile(join(directory, 'snap-1-2-3.tmp'), 'half of it')
    await bench.open(directory)
    expect((await readdir(directory)).sort()).toEqual([...names].sort())
    expect(bench.reported).toEqual(['leftover-removed snap-1-2-3.tmp'])
  })
})
