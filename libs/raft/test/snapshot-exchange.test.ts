import { describe, expect, test } from '@jest/globals'
import { deferred } from '@sluice/foundation'
import fc from 'fast-check'
import type { NodeId } from '../src/core/types.js'
import { RaftDecodeError } from '../src/host/codec.js'
import type { SnapshotSource } from '../src/host/state-machine.js'
import { SnapshotCorruptError, SnapshotDiskFullError } from '../src/snapshot/errors.js'
import { SnapshotFrameKind } from '../src/snapshot/frame.js'
import { MemoryFiles } from '../src/snapshot/memory-files.js'
import type { ContentSource } from '../src/snapshot/snapshot-content.js'
import { dataOf, GROUP, groupId, metaOf, OTHER_UUID, UUID } from './snapshot-fixture.js'
import { type ExchangeNode, SnapshotNetwork } from './snapshot-network.js'

const SIZE = 1000

async function pair(
  options: Parameters<SnapshotNetwork['start']>[1] = {},
  seed = 1,
): Promise<{ network: SnapshotNetwork; sender: ExchangeNode; receiver: ExchangeNode }> {
  const network = new SnapshotNetwork(seed)
  const sender = await network.start(1, options)
  const receiver = await network.start(2, options)
  return { network, sender, receiver }
}

/** A source that is in memory, as that of a node without a disk. */
function inMemory(data: Uint8Array, index = 10): SnapshotSource {
  return {
    meta: metaOf(index),
    sizeBytes: data.length,
    read: (offset, lengthMax) => Promise.resolve(data.subarray(offset, offset + lengthMax)),
    close: () => Promise.resolve(),
  }
}

function expectDelivered(node: ExchangeNode, index: number, data: Uint8Array): void {
  expect(node.deliveries.map(({ meta }) => meta.index)).toEqual([index])
  expect(node.deliveries[0]!.data).toEqual(Buffer.from(data))
  expect(Buffer.from(node.deliveries[0]!.meta.configuration)).toEqual(metaOf(index).configuration)
  expect(node.store.latest(GROUP, UUID)?.index).toBe(index)
}

describe('a snapshot that is offered', () => {
  test.each([0, 1, 63, 64, 65, 256, SIZE, 5000])('of %i bytes arrives as it is', async (size) => {
    const { network, sender, receiver } = await pair()
    const data = dataOf(size)
    await sender.make(metaOf(10, 3), data)
    await sender.offer(2, { term: 4 })
    await network.settle()
    expectDelivered(receiver, 10, data)
    expect(receiver.deliveries[0]).toMatchObject({ group: GROUP, from: 1, term: 4, meta: { term: 3 } })
    expect(sender.sent).toEqual(['7 to 2'])
    expect(network.dataSentBy(1)).toBe(size)
    expect(sender.openSources).toBe(0)
    expect([...sender.failed, ...receiver.receiveFailed, ...network.fatal]).toEqual([])
  })

  test('arrives in each of many groups, in both directions at a time', async () => {
    const { network, sender, receiver } = await pair({ limits: { receiver: { transfersMax: 3 } } })
    const data = (group: number): Uint8Array => dataOf(100 * group, group)
    for (let group = 1; group <= 20; group++) {
      for (const node of [sender, receiver]) node.uuids.set(groupId(group), UUID)
      const [from, to] = group % 2 === 0 ? [sender, 2] : ([receiver, 1] as const)
      await from.make(metaOf(group), data(group), groupId(group))
      await from.offer(to, { group: groupId(group) })
    }
    await network.until(() => sender.sent.length + receiver.sent.length === 20)
    for (const { group, data: received } of [...sender.deliveries, ...receiver.deliveries])
      expect(received).toEqual(Buffer.from(data(group)))
    expect(sender.deliveries).toHaveLength(10)
    expect(receiver.deliveries).toHaveLength(10)
  })

  test('goes on from a source that cannot be recognised, as long as its transfer lasts', async () => {
    const { network, sender, receiver } = await pair()
    sender.offerSource(2, inMemory(dataOf(SIZE)))
    for (let i = 0; i < 12; i++) await network.deliverOne()
    network.breakLink(1, 2)
    await network.until(() => sender.sent.length === 1)
    expectDelivered(receiver, 10, dataOf(SIZE))
    expect(network.dataSentBy(1)).toBeLessThan(SIZE + 600)
  })

  test('is not sent again to a peer that has it, and is delivered there again', async () => {
    const { network, sender, receiver } = await pair()
    await sender.make(metaOf(10), dataOf(SIZE))
    for (let round = 1; round <= 3; round++) {
      await sender.offer(2, { term: round })
      await network.settle()
      expect(sender.sent).toHaveLength(round)
      expect(receiver.deliveries).toHaveLength(round)
      expect(receiver.deliveries.at(-1)!.data).toEqual(Buffer.from(dataOf(SIZE)))
    }
    expect(network.dataSentBy(1)).toBe(SIZE)
  })

  test('to a link that takes nothing for a while is sent when it does', async () => {
    const { network, sender, receiver } = await pair()
    await sender.make(metaOf(10), dataOf(SIZE))
    network.faults = { ...network.faults, refused: 1 }
    await sender.offer(2)
    await network.tick(20)
    expect(network.log).toEqual([])
    network.faults = { ...network.faults, refused: 0.3 }
    await network.until(() => sender.sent.length === 1)
    expectDelivered(receiver, 10, dataOf(SIZE))
  })
})

describe('what is delivered equals what was sent', () => {
  test.each(Array.from({ length: 60 }, (_, seed) => seed))(
    'seed %i: with frames that are lost, doubled, refused and overtaken',
    async (seed) => {
      const { network, sender, receiver } = await pair({}, seed)
      const { random } = network
      const faults = {
        lost: random.below(4) / 10,
        doubled: random.below(4) / 10,
        refused: random.below(3) / 10,
        delayTicksMax: random.below(5),
      }
      network.faults = faults
      const data = dataOf(random.below(3000), seed)
      await sender.make(metaOf(10), data)
      await sender.offer(2)
      await network.until(() => sender.sent.length + sender.failed.length > 0)
      expect(sender.reasons).toEqual([])
      expectDelivered(receiver, 10, data)
      expect(network.fatal).toEqual([])
    },
  )

  test('for any data, chunk, window and read size, and any faults', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.record({
          data: fc.uint8Array({ maxLength: 2000 }),
          chunkBytes: fc.integer({ min: 1, max: 300 }),
          windowBytes: fc.integer({ min: 1, max: 1000 }),
          bufferBytesMax: fc.integer({ min: 300, max: 1000 }),
          seed: fc.nat(),
          lost: fc.constantFrom(0, 0.1, 0.3),
          delayTicksMax: fc.integer({ min: 0, max: 3 }),
        }),
        async ({ data, chunkBytes, windowBytes, bufferBytesMax, seed, lost, delayTicksMax }) => {
          const limits = { sender: { chunkBytes, windowBytes }, receiver: { bufferBytesMax } }
          const { network, sender, receiver } = await pair({ limits }, seed)
          network.faults = { lost, doubled: lost, refused: lost, delayTicksMax }
          await sender.make(metaOf(10), data)
          await sender.offer(2)
          await network.until(() => sender.sent.length === 1, 20_000)
          expectDelivered(receiver, 10, data)
        },
      ),
      { numRuns: 60, seed: 7 },
    )
  })
})

describe('a transfer that is interrupted', () => {
  const chunks = Math.ceil(SIZE / 64)

  test.each(['link', 'receiver', 'sender', 'both'] as const)(
    'by the loss of its %s goes on from where it was, at every chunk boundary',
    async (what) => {
      for (let boundary = 0; boundary <= chunks; boundary++) {
        const { network, sender: first, receiver: other } = await pair()
        await first.make(metaOf(10), dataOf(SIZE))
        await first.offer(2)
        let written = 0
        let passed = 0
        network.passes = (_from, _to, frame) => {
          if (frame.kind === SnapshotFrameKind.CHUNK) {
            if (passed === boundary) return false
            passed++
          }
          if (frame.kind === SnapshotFrameKind.ACK) written = Math.max(written, frame.offset)
          return frame.kind !== SnapshotFrameKind.DONE
        }
        await network.settle()
        expect(written).toBe(Math.min(boundary * 64, SIZE))
        network.passes = () => true
        let sender = first
        let receiver = other
        if (what === 'link') network.breakLink(1, 2)
        if (what === 'sender' || what === 'both') sender = await network.restart(1)
        if (what === 'receiver' || what === 'both') receiver = await network.restart(2)
        const before = network.dataSentBy(1)
        if (sender !== first) await sender.offer(2)
        await network.until(() => sender.sent.length === 1)
        expect(network.dataSentBy(1) - before).toBeLessThanOrEqual(SIZE - written + 64)
        const deliveries = [...new Set([...other.deliveries, ...receiver.deliveries])]
        expect(deliveries.length).toBeGreaterThan(0)
        for (const { data } of deliveries) expect(data).toEqual(Buffer.from(dataOf(SIZE)))
        expect(network.fatal).toEqual([])
      }
    },
  )

  test('by a peer that stays silent fails, and gives its source back', async () => {
    const { network, sender } = await pair({ limits: { sender: { silentTicksMax: 30 } } })
    await sender.make(metaOf(10), dataOf(SIZE))
    network.passes = () => false
    await sender.offer(2)
    await network.tick(29)
    expect(sender.failed).toEqual([])
    await network.tick()
    expect(sender.reasons).toEqual(['peer-silent'])
    expect(sender.openSources).toBe(0)
    expect(sender.sent).toEqual([])
  })

  test('by a sender that stays silent gives its place up, and keeps what has arrived', async () => {
    const limits = { receiver: { silentTicksMax: 20, transfersMax: 1 } }
    const { network, sender, receiver } = await pair({ limits })
    const third = await network.start(3, { limits })
    for (const node of [sender, receiver, third]) node.uuids.set(groupId(8), UUID)
    await sender.make(metaOf(10), dataOf(SIZE))
    await third.make(metaOf(5), dataOf(50), groupId(8))
    await sender.offer(2)
    for (let i = 0; i < 12; i++) await network.deliverOne()
    network.nodes.delete(1)
    await third.offer(2, { group: groupId(8) })
    await network.tick(15)
    expect(third.sent).toEqual([])
    await network.until(() => third.sent.length === 1)
    const names = await receiver.files.list('/simulated')
    expect(names.sort()).toEqual(['snap-7-10-1.part', 'snap-8-5-1.snap'])
  })
})

describe('a damaged snapshot', () => {
  async function flipByte(files: ExchangeNode['files'], name: string, position: number): Promise<void> {
    const file = await files.open(`/simulated/${name}`, 'existing')
    const byte = new Uint8Array(1)
    await file.read(byte, position)
    await file.write(
      byte.map((value) => value ^ 4),
      position,
    )
  }

  test('at the sender fails the transfer, names the file, and is never delivered', async () => {
    for (let position = 90; position < 1100; position += 50) {
      const { network, sender, receiver } = await pair()
      await sender.make(metaOf(10), dataOf(SIZE))
      await flipByte(sender.files, 'snap-7-10-1.snap', position)
      await sender.offer(2)
      await network.tick(3)
      expect(sender.reasons).toEqual(['source-unreadable'])
      const { cause } = sender.failed[0]!.error
      expect(cause).toBeInstanceOf(SnapshotCorruptError)
      expect((cause as SnapshotCorruptError).file).toBe('/simulated/snap-7-10-1.snap')
      expect(receiver.deliveries).toEqual([])
      expect(receiver.store.latest(GROUP, UUID)).toBeUndefined()
      expect(sender.openSources).toBe(0)
    }
  })

  test('that does not add up to what was announced is refused by the receiver', async () => {
    const { network, sender, receiver } = await pair()
    const content = { id: new Uint8Array(16), sizeBytes: SIZE, crc: 12345 }
    const source: ContentSource = { ...inMemory(dataOf(SIZE)), content }
    sender.offerSource(2, source)
    await network.settle()
    expect(sender.reasons).toEqual(['damaged'])
    expect(receiver.receiveFailed).toEqual([expect.any(SnapshotCorruptError)])
    expect(receiver.deliveries).toEqual([])
    expect(await receiver.files.list('/simulated')).toEqual([])
  })

  test('whose source ends early, or gives too much, fails the transfer', async () => {
    for (const wrong of [new Uint8Array(0), new Uint8Array(65)]) {
      const { network, sender, receiver } = await pair()
      sender.offerSource(2, { ...inMemory(dataOf(SIZE)), read: () => Promise.resolve(wrong) })
      await network.settle()
      expect(sender.reasons).toEqual(['source-unreadable'])
      expect(receiver.deliveries).toEqual([])
    }
  })
})

describe('a newer snapshot', () => {
  test('of the same sender takes the place of the one under way', async () => {
    const { network, sender, receiver } = await pair()
    await sender.make(metaOf(10), dataOf(SIZE))
    await sender.offer(2)
    for (let i = 0; i < 8; i++) await network.deliverOne()
    await sender.make(metaOf(20), dataOf(SIZE, 2))
    await sender.offer(2)
    await network.until(() => sender.sent.length === 1)
    expectDelivered(receiver, 20, dataOf(SIZE, 2))
    expect(await receiver.files.list('/simulated')).toEqual(['snap-7-20-1.snap'])
    expect(sender.openSources).toBe(0)
    expect(sender.failed).toEqual([])
  })

  test('is what goes on when an older one, or the same, is offered again', async () => {
    const { network, sender, receiver } = await pair()
    await sender.make(metaOf(20), dataOf(SIZE))
    await sender.offer(2)
    for (let i = 0; i < 8; i++) await network.deliverOne()
    await sender.offer(2, { term: 2 })
    sender.offerSource(2, inMemory(dataOf(10), 10), { term: 3 })
    sender.offerSource(2, inMemory(dataOf(10), 30), { term: 1 })
    expect(sender.openSources).toBe(1)
    await network.settle()
    expectDelivered(receiver, 20, dataOf(SIZE))
    expect(network.dataSentBy(1)).toBe(SIZE)
  })

  test('of a later leader takes the place of the one under way, and that of an earlier leader does not', async () => {
    const { network, sender, receiver } = await pair()
    const later = await network.start(3)
    await sender.make(metaOf(20), dataOf(SIZE))
    await later.make(metaOf(15), dataOf(SIZE, 3))
    await sender.offer(2, { term: 5 })
    for (let i = 0; i < 8; i++) await network.deliverOne()
    await later.offer(2, { term: 4 })
    network.passes = (from) => from !== 1
    await network.settle()
    expect(later.reasons).toEqual(['stale-term'])
    await later.offer(2, { term: 6 })
    network.passes = () => true
    await network.until(() => later.sent.length === 1)
    expectDelivered(receiver, 15, dataOf(SIZE, 3))
    expect(sender.reasons).toEqual(['superseded'])
  })

  test('of a later leader who has the same data goes on where the first one was', async () => {
    const { network, sender, receiver } = await pair()
    const later = await network.start(3)
    await sender.make(metaOf(10), dataOf(SIZE))
    await sender.offer(3)
    await network.settle()
    await sender.offer(2)
    const before = network.dataSentBy(1)
    for (let i = 0; i < 14; i++) await network.deliverOne()
    network.nodes.delete(1)
    await later.offer(2, { term: 2 })
    await network.until(() => later.sent.length === 1)
    expectDelivered(receiver, 10, dataOf(SIZE))
    expect(network.dataSentBy(1) - before).toBeGreaterThan(200)
    expect(network.dataSentBy(3)).toBeLessThan(SIZE - 100)
  })

  test('waits until the group has taken the one before it', async () => {
    const { network, sender, receiver } = await pair({ holds: true })
    await sender.make(metaOf(10), dataOf(SIZE))
    await sender.offer(2)
    await network.settle()
    await sender.make(metaOf(20), dataOf(SIZE, 2))
    await sender.offer(2)
    await network.tick(50)
    expect(receiver.deliveries.map(({ meta }) => meta.index)).toEqual([10])
    await receiver.held[0]!.close()
    await network.until(() => sender.sent.length === 2)
    expect(receiver.deliveries.map(({ meta }) => meta.index)).toEqual([10, 20])
  })
})

describe('a receiver', () => {
  test('takes no snapshot of another incarnation, of a group it does not have, or over its bound', async () => {
    const { network, sender, receiver } = await pair({ limits: { receiver: { snapshotBytesMax: 999 } } })
    sender.offerSource(2, inMemory(dataOf(10)), { uuid: OTHER_UUID })
    await network.settle()
    sender.offerSource(2, inMemory(dataOf(10)), { group: groupId(9) })
    await network.settle()
    sender.offerSource(2, inMemory(dataOf(1000)))
    await network.settle()
    expect(sender.reasons).toEqual(['foreign-group', 'unknown-group', 'too-large'])
    expect(receiver.deliveries).toEqual([])
    expect(await receiver.files.list('/simulated')).toEqual([])
  })

  test('takes a bounded number at a time, and the others after them', async () => {
    const { network, sender, receiver } = await pair({
      holds: true,
      limits: { receiver: { transfersMax: 2 }, sender: { busyTicksMax: 100 } },
    })
    for (let group = 1; group <= 4; group++) {
      receiver.uuids.set(groupId(group), UUID)
      await sender.make(metaOf(group), dataOf(SIZE), groupId(group))
      await sender.offer(2, { group: groupId(group) })
    }
    await network.tick(30)
    expect(receiver.deliveries).toHaveLength(2)
    await receiver.held[0]!.close()
    await network.tick(30)
    expect(receiver.deliveries).toHaveLength(3)
    expect(sender.sent).toHaveLength(3)
    await network.tick(50)
    expect(sender.reasons).toEqual(['peer-busy'])
  })

  test('whose disk is full says so, to its host and to the sender', async () => {
    const network = new SnapshotNetwork()
    const sender = await network.start(1)
    const files = new MemoryFiles()
    const open = files.open.bind(files)
    let writes = 0
    files.open = async (path, mode) => {
      const file = await open(path, mode)
      return {
        ...file,
        write: (bytes, position) =>
          ++writes > 5
            ? Promise.reject(Object.assign(new Error('no space left'), { code: 'ENOSPC' }))
            : file.write(bytes, position),
      }
    }
    const receiver = await network.start(2, { files })
    await sender.make(metaOf(10), dataOf(SIZE))
    await sender.offer(2)
    await network.settle()
    expect(sender.reasons).toEqual(['receiver-storage'])
    expect(receiver.receiveFailed).toEqual([expect.any(SnapshotDiskFullError)])
    expect(await files.list()).toEqual([])
    writes = -1000
    await sender.offer(2)
    await network.settle()
    expectDelivered(receiver, 10, dataOf(SIZE))
  })

  test('answers a late chunk of a finished transfer, and frames that are none change nothing', async () => {
    const { network, sender, receiver } = await pair()
    await sender.make(metaOf(10), dataOf(SIZE))
    await sender.offer(2)
    const late: Uint8Array[] = []
    const receive = receiver.exchange.receive.bind(receiver.exchange)
    receiver.exchange.receive = (from, bytes) => {
      late.push(bytes)
      receive(from, bytes)
    }
    await network.settle()
    network.log.length = 0
    for (const bytes of late) receive(1 as NodeId, bytes)
    await network.settle()
    expect(new Set(network.log.map(({ frame }) => frame.kind))).toEqual(new Set([SnapshotFrameKind.DONE]))
    expect(receiver.deliveries).toHaveLength(1)
    expect(() => receiver.exchange.receive(1 as NodeId, dataOf(50))).toThrow(RaftDecodeError)
    expect(() => sender.exchange.receive(2 as NodeId, new Uint8Array(0))).toThrow(RaftDecodeError)
  })
})

describe('the throttle', () => {
  test('holds for all transfers together, and lets each of them go on', async () => {
    const bytesPerTick = 20_000
    const limits = { bytesPerTick, sender: { chunkBytes: 8192, windowBytes: 65_536 } }
    const { network, sender, receiver } = await pair({ limits })
    const size = 200_000
    for (const group of [1, 2, 3]) {
      receiver.uuids.set(groupId(group), UUID)
      await sender.make(metaOf(10), dataOf(size, group), groupId(group))
      await sender.offer(2, { group: groupId(group) })
    }
    await network.settle()
    const burst = 128 * 1024
    expect(network.dataSentBy(1)).toBeGreaterThan(burst - 3 * 8192)
    expect(network.dataSentBy(1)).toBeLessThanOrEqual(burst)
    for (let ticks = 1; sender.sent.length < 3; ticks++) {
      await network.tick()
      expect(network.dataSentBy(1)).toBeLessThanOrEqual(burst + ticks * bytesPerTick)
      if (ticks === 15) {
        const bytes = new Map<number, number>()
        for (const { frame } of network.log)
          if (frame.kind === SnapshotFrameKind.CHUNK)
            bytes.set(frame.group, (bytes.get(frame.group) ?? 0) + frame.data.length)
        expect([...bytes.values()].every((sum) => sum > 60_000)).toBe(true)
      }
      expect(ticks).toBeLessThan(40)
    }
    expect(network.dataSentBy(1)).toBe(3 * size)
    expect(receiver.deliveries).toHaveLength(3)
  })
})

describe('transfers end', () => {
  async function underWay(): Promise<{
    network: SnapshotNetwork
    sender: ExchangeNode
    receiver: ExchangeNode
  }> {
    const parts = await pair()
    await parts.sender.make(metaOf(10), dataOf(SIZE))
    await parts.sender.offer(2, { term: 3 })
    for (let i = 0; i < 10; i++) await parts.network.deliverOne()
    return parts
  }

  test('when the group closes at the sender, and the receiver keeps what it has', async () => {
    const { network, sender, receiver } = await underWay()
    sender.exchange.cancel(GROUP)
    await network.tick(200)
    expect([...sender.sent, ...sender.failed, ...receiver.deliveries]).toEqual([])
    expect(sender.openSources).toBe(0)
    const before = network.dataSentBy(1)
    await sender.offer(2)
    await network.settle()
    expectDelivered(receiver, 10, dataOf(SIZE))
    expect(network.dataSentBy(1) - before).toBeLessThan(SIZE)
  })

  test('when the group closes at the receiver', async () => {
    const { network, sender, receiver } = await underWay()
    receiver.uuids.delete(GROUP)
    receiver.exchange.cancel(GROUP)
    await network.tick(10)
    expect(sender.reasons).toEqual(['unknown-group'])
    expect(receiver.deliveries).toEqual([])
  })

  test('when the term in which they were offered is over', async () => {
    const { network, sender, receiver } = await underWay()
    sender.exchange.termChanged(GROUP, 3)
    expect(sender.openSources).toBe(1)
    sender.exchange.termChanged(GROUP, 4)
    expect(sender.openSources).toBe(0)
    await network.tick(10)
    expect([...sender.sent, ...sender.failed, ...receiver.deliveries]).toEqual([])
  })

  test('when the exchange is closed, which waits for reads and writes under way', async () => {
    const { network, sender, receiver } = await underWay()
    const reading = deferred<Uint8Array>()
    sender.offerSource(3, { ...inMemory(dataOf(SIZE)), read: () => reading.promise })
    await receiver.exchange.close()
    await receiver.exchange.close()
    const closing = sender.exchange.close()
    reading.resolve(dataOf(64))
    await closing
    expect(sender.openSources).toBe(0)
    sender.offerSource(2, inMemory(dataOf(10)))
    expect(sender.openSources).toBe(0)
    await network.tick(10)
    expect([...sender.sent, ...sender.failed, ...receiver.deliveries]).toEqual([])
    expect(await receiver.files.list('/simulated')).toEqual(['snap-7-10-1.part'])
  })

  test('at once when there are too many of them', async () => {
    const { sender } = await pair({ limits: { transfersMax: 2 } })
    for (const peer of [2, 3, 4]) sender.offerSource(peer, inMemory(dataOf(10)))
    expect(sender.reasons).toEqual(['overloaded'])
    expect(sender.openSources).toBe(2)
  })

  test('and what a callback throws is not hidden', async () => {
    const { network, sender, receiver } = await pair()
    receiver.uuids.get = () => {
      throw new Error('a bug here')
    }
    sender.offerSource(2, inMemory(dataOf(0)))
    await expect(network.settle()).rejects.toThrow('a bug here')
    const other = await pair({ holds: true })
    other.receiver.held.push = () => {
      throw new Error('a bug there')
    }
    other.sender.offerSource(2, inMemory(dataOf(0)))
    await other.network.settle()
    expect(other.network.fatal).toEqual([new Error('a bug there')])
  })
})
