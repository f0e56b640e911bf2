import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import { BUILD_VERSION } from '@sluice/foundation'
import { eventually } from '@sluice/foundation/testing'
import type { SnapshotSource } from '@sluice/raft'
import { DatabaseSnapshots } from '../src/database-snapshots.js'
import { readPartitionHead, readPartitionSnapshot } from '../src/partition-snapshot.js'
import { batchOf, requestId, SingleReplica } from './single-replica.js'

let from: SingleReplica
let to: SingleReplica

beforeEach(async () => {
  from = await SingleReplica.start()
  to = await SingleReplica.start()
})

afterEach(async () => {
  await from.destroy()
  await to.destroy()
})

const CONFIGURATION = Uint8Array.from([1, 2, 3])

async function filled(): Promise<SnapshotSource> {
  for (let i = 0; i < 30; i++)
    await from.replica.produce(batchOf([`${i}a`, `${i}b ${'x'.repeat(i * 100)}`], { sequence: 2 * i }))
  await from.replica.moveCursor({
    kind: 'grant',
    consumerId: 4,
    requestId: requestId(1),
    from: 0,
    to: 7,
    holder: 1,
  })
  await eventually(() => expect(from.replica.materialisedIndex).toBe(from.replica.appliedIndex))
  return snapshots(from).open(from.replica.info, () => CONFIGURATION)
}

function snapshots(replica: SingleReplica): DatabaseSnapshots {
  return new DatabaseSnapshots(replica.database, replica.store, () => false)
}

async function contentOf(source: SnapshotSource, stepBytes: number): Promise<Buffer> {
  const parts: Uint8Array[] = []
  for (let at = 0; at < source.sizeBytes; at += parts.at(-1)!.length)
    parts.push(await source.read(at, stepBytes))
  return Buffer.concat(parts)
}

/** A source of these bytes, as a peer would have it. */
function sourceOf(bytes: Uint8Array, meta: SnapshotSource['meta']): SnapshotSource {
  return {
    meta,
    sizeBytes: bytes.length,
    read: (offset, lengthMax) => Promise.resolve(bytes.subarray(offset, offset + lengthMax)),
    close: () => Promise.resolve(),
  }
}

describe('a snapshot of a partition', () => {
  test('makes another broker’s database the same, whatever was there before', async () => {
    const source = await filled()
    await to.replica.produce(batchOf(['something else']))
    await eventually(() => expect(to.replica.materialisedIndex).toBe(to.replica.appliedIndex))
    const state = await snapshots(to).restore(to.replica.info, source)
    expect(state.appliedIndex).toBe(from.replica.appliedIndex)
    const { configuration, logConfiguration, ...stored } = (await to.store.load(to.database, 2))!
    const original = await from.store.load(from.database, 2)
    expect(stored).toEqual({ ...original, logConfiguration: undefined })
    expect(Uint8Array.from(configuration!)).toEqual(CONFIGURATION)
    expect(Uint8Array.from(logConfiguration!)).toEqual(CONFIGURATION)
    const messages = new Set(await to.messagesInDatabase())
    expect(messages.size).toBe(60)
    expect(messages).toEqual(new Set(await from.messagesInDatabase()))
  })

  test('gives the same bytes in steps of any size, and again from any position', async () => {
    const source = await filled()
    const whole = await contentOf(source, 1024 * 1024)
    expect(whole).toHaveLength(source.sizeBytes)
    expect(await contentOf(source, 1000)).toEqual(whole)
    for (const offset of [source.sizeBytes - 1, 0, 5000, 17, 4999])
      expect(Buffer.from(await source.read(offset, 700))).toEqual(whole.subarray(offset, offset + 700))
  })

  test('stays as it was while the partition goes on', async () => {
    const source = await filled()
    const before = await contentOf(source, 3000)
    await from.replica.produce(batchOf(['later']))
    await eventually(() => expect(from.replica.materialisedIndex).toBe(from.replica.appliedIndex))
    expect(await contentOf(source, 3000)).toEqual(before)
  })

  test('that is cut off or damaged changes nothing', async () => {
    const source = await filled()
    const whole = await contentOf(source, 64 * 1024)
    const before = await to.store.load(to.database, 2)
    const flipped = Uint8Array.from(whole)
    flipped[whole.length - 50]! ^= 1
    for (const broken of [whole.subarray(0, whole.length - 10), whole.subarray(0, 3), flipped])
      await expect(
        snapshots(to).restore(to.replica.info, sourceOf(broken, source.meta)),
      ).rejects.toMatchObject({ code: 'CORRUPT_BATCH' })
    expect(await to.store.load(to.database, 2)).toEqual(before)
  })

  test('of another version is refused as such, both versions named', async () => {
    const source = await filled()
    const bytes = Uint8Array.from(await contentOf(source, 64 * 1024))
    bytes[0] = 99
    for (const read of [readPartitionSnapshot, readPartitionHead]) {
      const reading = read(sourceOf(bytes, source.meta))
      await expect(reading).rejects.toMatchObject({ code: 'UNSUPPORTED_VERSION', outcome: 'no' })
      await expect(reading).rejects.toThrow(`has version 99, version ${BUILD_VERSION} reads 1`)
    }
  })

  test('of another index than it says is refused', async () => {
    const source = await filled()
    const bytes = await contentOf(source, 64 * 1024)
    const other = sourceOf(bytes, { ...source.meta, index: source.meta.index + 1 })
    await expect(readPartitionSnapshot(other)).rejects.toMatchObject({ code: 'CORRUPT_BATCH' })
  })

  test('says when batches of it are gone meanwhile', async () => {
    const source = await filled()
    await from.database.deleteFrom('record_batches').where('base_offset', '>=', 20).execute()
    await expect(contentOf(source, 1000)).rejects.toMatchObject({ code: 'CORRUPT_BATCH' })
  })
})

describe('a replica that is sent a snapshot', () => {
  test('serves what the snapshot holds, and keeps nothing of its own', async () => {
    const source = await filled()
    await to.replica.produce(batchOf(['mine']))
    await to.replica.restore(source)
    expect(to.replica.nextOffset).toBe(60)
    expect(to.replica.materialisedIndex).toBe(from.replica.appliedIndex)
    expect(to.replica.undrainedBytes).toBe(0)
    expect(to.materialiser.unmaterialisedBytes).toBe(0)
    expect(to.replica.committedUnread(4).position).toBe(7)
    expect(await to.messagesInDatabase()).toHaveLength(60)
  })
})
