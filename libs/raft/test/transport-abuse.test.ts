import net from 'node:net'
import { afterEach, describe, expect, jest, test } from '@jest/globals'
import { SeededRandom } from '@sluice/foundation'
import { eventually } from '@sluice/foundation/testing'
import { encodeFrames, type Frame, FrameKind, FrameParser } from '../src/transport/frame.js'
import { encodeHello } from '../src/transport/hello.js'
import { decodeRefusal } from '../src/transport/refusal.js'
import {
  bytesOf,
  failureOf,
  helloOf,
  introduce,
  LOCALHOST,
  nodeId,
  type RawClient,
  TestNetwork,
  type TestNode,
} from './transport-fixture.js'

const network = new TestNetwork()
afterEach(() => network.close())

const EMPTY = new Uint8Array(0)

function wire(...frames: Frame[]): Buffer {
  return Buffer.concat(encodeFrames(frames))
}

/** Of node 9, to node 1. */
function helloFrame(changes: Partial<ReturnType<typeof helloOf>> = {}): Frame {
  const hello = { ...helloOf(9), ...changes, target: 0 as const, hasSecret: false, nonce: new Uint8Array(32) }
  return { kind: FrameKind.HELLO, payload: encodeHello(hello) }
}

function framesOf(client: RawClient): Frame[] {
  const frames: Frame[] = []
  new FrameParser(1 << 20, (frame) => frames.push(frame)).push(Uint8Array.from(client.received))
  return frames
}

/** Node 1, which knows a node 9 that is not there. */
async function lonelyNode(options: ConstructorParameters<typeof TestNode>[1] = {}): Promise<TestNode> {
  const node = network.node(1, options)
  await node.start()
  node.transport.addPeer({ id: nodeId(9), address: { host: LOCALHOST, port: 1 } })
  return node
}

/** A client that has got through the handshake as node 9. */
async function introducedClient(node: TestNode): Promise<RawClient> {
  const client = await network.socket(node.port)
  client.socket.write(wire(helloFrame()))
  await eventually(() => expect(framesOf(client)).toHaveLength(1))
  client.socket.write(wire({ kind: FrameKind.PROOF, payload: EMPTY }))
  await eventually(() => expect(framesOf(client)).toHaveLength(2))
  client.socket.write(wire({ kind: FrameKind.READY, payload: EMPTY }))
  await eventually(() => expect(node.isConnectedTo(9)).toBe(true))
  return client
}

describe('the handshake', () => {
  test('nothing is processed before it is over', async () => {
    const node = await lonelyNode()
    const message: Frame = { kind: FrameKind.MESSAGE, payload: bytesOf('too early') }
    const ready: Frame = { kind: FrameKind.READY, payload: EMPTY }
    const proof: Frame = { kind: FrameKind.PROOF, payload: EMPTY }
    for (const frames of [
      [message],
      [ready, message],
      [proof, ready, message],
      [helloFrame(), message],
      [helloFrame(), ready, message],
      [helloFrame(), proof, message],
      [helloFrame(), { ...proof, payload: Uint8Array.of(1) }, ready, message],
    ]) {
      const client = await network.socket(node.port)
      client.socket.write(wire(...frames))
      await eventually(() => expect(client.closed).toBe(true))
    }
    expect(node.messages).toEqual([])
    expect(node.ups).toEqual([])
    expect(node.refusals).toHaveLength(7)
  })

  test('frames that come in one piece with the end of the handshake are processed', async () => {
    const node = await lonelyNode()
    const client = await network.socket(node.port)
    client.socket.write(
      wire(
        helloFrame(),
        { kind: FrameKind.PROOF, payload: EMPTY },
        { kind: FrameKind.READY, payload: EMPTY },
        { kind: FrameKind.MESSAGE, payload: bytesOf('at once') },
      ),
    )
    await eventually(() => expect(node.texts).toEqual(['at once']))
  })

  test('a node of a version that is not spoken here is told so', async () => {
    const node = await lonelyNode()
    const client = await network.socket(node.port)
    const payload = Buffer.from(helloFrame().payload)
    payload.writeUInt16LE(7, 4)
    payload.writeUInt16LE(9, 6)
    client.socket.write(wire({ kind: FrameKind.HELLO, payload }))
    await eventually(() => expect(client.closed).toBe(true))
    const [answer] = framesOf(client)
    expect(answer!.kind).toBe(FrameKind.REFUSAL)
    expect(decodeRefusal(answer!.payload).code).toBe('VERSION')
    expect(node.refusalCodes('self')).toEqual(['VERSION'])
  })

  test('who sends a byte now and then is cut off in time, and others are served meanwhile', async () => {
    const node = await lonelyNode({ timings: { handshakeTimeoutMs: 150 } })
    const hello = wire(helloFrame())
    const slow = await Promise.all([1, 2, 3].map(() => network.socket(node.port)))
    let at = 0
    const drip = setInterval(() => {
      for (const { socket } of slow) if (!socket.destroyed) socket.write(hello.subarray(at, at + 1))
      at++
    }, 10)
    network.defer(() => clearInterval(drip))
    await introducedClient(node)
    await eventually(() => expect(slow.map(({ closed }) => closed)).toEqual([true, true, true]))
    expect(node.refusalCodes('self')).toEqual(['HANDSHAKE_TIMEOUT', 'HANDSHAKE_TIMEOUT', 'HANDSHAKE_TIMEOUT'])
    expect(node.isConnectedTo(9)).toBe(true)
  })

  test('a dialler does not wait for ever for who accepts and says nothing', async () => {
    const high = network.node(2, { timings: { handshakeTimeoutMs: 30 } })
    await high.start()
    const mute = await network.server(() => undefined)
    high.transport.addPeer({ id: nodeId(1), address: mute })
    await eventually(() => expect(high.refusalCodes('self')).toContain('HANDSHAKE_TIMEOUT'))
  })

  test('of too many that introduce themselves at a time the oldest gives way', async () => {
    const node = await lonelyNode({ limits: { handshakesMax: 3 } })
    const idle: RawClient[] = []
    for (let i = 0; i < 5; i++) {
      idle.push(await network.socket(node.port))
      await eventually(() => expect(node.refusals).toHaveLength(Math.max(0, i - 2)))
    }
    await eventually(() =>
      expect(idle.map(({ closed }) => closed)).toEqual([true, true, false, false, false]),
    )
    await introducedClient(node)
  })

  test('every truncation and every flipped bit of a hello closes that connection alone', async () => {
    const node = await lonelyNode()
    const peer = await introducedClient(node)
    const hello = wire(helloFrame())
    const broken: Buffer[] = []
    for (let length = 0; length < hello.length; length += 7) broken.push(hello.subarray(0, length))
    for (let bit = 0; bit < hello.length * 8; bit += 11) {
      const changed = Buffer.from(hello)
      changed[bit >> 3]! ^= 1 << (bit & 7)
      broken.push(changed)
    }
    await Promise.all(
      broken.map(async (bytes) => {
        const client = await network.socket(node.port)
        client.socket.end(bytes)
        await eventually(() => expect(client.closed).toBe(true))
        expect(client.received).toHaveLength(0)
      }),
    )
    expect(new Set(node.refusalCodes('self'))).toEqual(new Set(['MALFORMED']))
    expect([node.ups.length, node.downs.length, peer.closed]).toEqual([1, 0, false])
  })

  test('random bytes, and other protocols, close that connection alone', async () => {
    const node = await lonelyNode()
    const peer = await introducedClient(node)
    const random = new SeededRandom(5)
    const noise = Array.from({ length: 100 }, () =>
      Buffer.from(Array.from({ length: 12 + random.below(3000) }, () => random.below(256))),
    )
    for (const bytes of [Buffer.from('GET / HTTP/1.1\r\nHost: x\r\n\r\n'), ...noise]) {
      const client = await network.socket(node.port)
      client.socket.write(bytes)
      await eventually(() => expect(client.closed).toBe(true))
    }
    expect([node.ups.length, node.downs.length, peer.closed]).toEqual([1, 0, false])
  })
})

describe('after the handshake', () => {
  test('damaged frames and frames out of place close the connection with a decode error', async () => {
    const node = await lonelyNode()
    const good = wire({ kind: FrameKind.MESSAGE, payload: bytesOf('good') })
    const flipped = Buffer.from(good)
    flipped[flipped.length - 1]! ^= 1
    const tooLong = Buffer.from(wire({ kind: FrameKind.MESSAGE, payload: EMPTY }))
    tooLong.writeUInt32LE(16 * 1024 * 1024)
    const bad = [
      flipped,
      tooLong,
      wire({ kind: FrameKind.HELLO, payload: EMPTY }),
      wire({ kind: FrameKind.READY, payload: EMPTY }),
      wire({ kind: FrameKind.REQUEST, payload: Uint8Array.of(1) }),
      Buffer.alloc(64),
    ]
    for (const [i, bytes] of bad.entries()) {
      const client = await introducedClient(node)
      client.socket.write(Buffer.concat([good, bytes, good]))
      await eventually(() => expect(node.downs).toHaveLength(i + 1))
      expect(node.downs[i]!.error.code).toBe('MALFORMED')
      expect(node.texts).toHaveLength(i + 1)
    }
  })

  test('a connection that ends within a frame, and one that ends between two, are told apart', async () => {
    const node = await lonelyNode()
    const message = wire({ kind: FrameKind.MESSAGE, payload: bytesOf('whole') })
    const first = await introducedClient(node)
    first.socket.end(message.subarray(0, 14))
    await eventually(() => expect(node.downs.map(({ error }) => error.code)).toEqual(['MALFORMED']))
    const second = await introducedClient(node)
    second.socket.end(message)
    await eventually(() => expect(node.downs.map(({ error }) => error.code)[1]).toBe('CONNECTION_LOST'))
    expect(node.texts).toEqual(['whole'])
  })

  test('answers to questions nobody asked are dropped', async () => {
    const node = await lonelyNode()
    const client = await introducedClient(node)
    client.socket.write(
      wire(
        { kind: FrameKind.RESPONSE, payload: Uint8Array.of(1, 0, 0, 0, 5) },
        { kind: FrameKind.ERROR, payload: Uint8Array.of(2, 0, 0, 0) },
        { kind: FrameKind.PONG, payload: EMPTY },
        { kind: FrameKind.PING, payload: EMPTY },
        { kind: FrameKind.MESSAGE, payload: bytesOf('still here') },
      ),
    )
    await eventually(() => expect(node.texts).toEqual(['still here']))
    await eventually(() => expect(framesOf(client).map(({ kind }) => kind)).toContain(FrameKind.PONG))
  })

  test('an administrator that sends messages is cut off', async () => {
    const node = await lonelyNode()
    const client = await network.socket(node.port)
    client.socket.write(
      wire(
        helloFrame({ id: nodeId(0), role: 'admin' }),
        { kind: FrameKind.PROOF, payload: EMPTY },
        { kind: FrameKind.READY, payload: EMPTY },
        { kind: FrameKind.MESSAGE, payload: bytesOf('vote for me') },
      ),
    )
    await eventually(() => expect(client.closed).toBe(true))
    expect([node.messages, node.ups, node.downs]).toEqual([[], [], []])
  })

  test('a peer that falls silent is down, one that only answers pings is not', async () => {
    const node = await lonelyNode({ timings: { silentMs: 120, pingMs: 20 } })
    const client = await introducedClient(node)
    const pongs = setInterval(() => client.socket.write(wire({ kind: FrameKind.PONG, payload: EMPTY })), 20)
    network.defer(() => clearInterval(pongs))
    await eventually(() =>
      expect(framesOf(client).filter(({ kind }) => kind === FrameKind.PING).length).toBeGreaterThan(12),
    )
    expect(node.downs).toEqual([])
    clearInterval(pongs)
    await eventually(() => expect(node.downs).toHaveLength(1))
    expect(node.downs[0]!.error.message).toMatch(/^nothing was heard for \d+ ms$/)
    await eventually(() => expect(client.closed).toBe(true))
  })

  test('nodes that have nothing to say stay connected', async () => {
    const nodes = await network.nodes([1, 2], { timings: { silentMs: 100, pingMs: 10 } })
    await eventually(() => expect(nodes[0]!.isConnectedTo(2)).toBe(true))
    const before = nodes[0]!.transport.status()[0]!.bytesIn
    await eventually(() =>
      expect(nodes[0]!.transport.status()[0]!.bytesIn).toBeGreaterThan(before + 12 * 2 * 15),
    )
    expect(nodes.flatMap(({ downs }) => downs)).toEqual([])
  })

  test('a connection through which nothing passes any more is down on both sides, and comes back', async () => {
    const [low, high] = [1, 2].map((id) => network.node(id, { timings: { silentMs: 150, pingMs: 20 } }))
    await low!.start()
    await high!.start()
    introduce(low!, high!)
    let isCut = false
    const address = await network.proxy({ host: LOCALHOST, port: low!.port }, (chunk) =>
      isCut ? undefined : chunk,
    )
    high!.transport.addPeer({ id: low!.id, address })
    await eventually(() => expect(low!.isConnectedTo(2)).toBe(true))
    isCut = true
    await eventually(() => expect([low!.downs.length, high!.downs.length]).toEqual([1, 1]))
    isCut = false
    await eventually(() => expect([low!.ups.length, high!.ups.length]).toEqual([2, 2]))
  })
})

describe('bounds and order', () => {
  /** A client that reads only when it is told to. */
  async function stalledClient(node: TestNode): Promise<RawClient> {
    const client = await introducedClient(node)
    client.socket.pause()
    return client
  }

  const limits = {
    frameBytesMax: 64 * 1024,
    bulkFrameBytesMax: 32 * 1024,
    queueBytesMax: { urgent: 64 * 1024, normal: 256 * 1024, bulk: 128 * 1024 },
    socketBytesMax: 64 * 1024,
  }

  test('each priority is full on its own, and what is over its bound is dropped at once', async () => {
    const node = await lonelyNode({ limits })
    await stalledClient(node)
    const counts = { urgent: 0, normal: 0, bulk: 0 }
    for (const priority of ['bulk', 'normal', 'urgent'] as const)
      while (node.transport.send(nodeId(9), new Uint8Array(1024 - 12), priority)) counts[priority]++
    expect(counts).toEqual({ urgent: 64, normal: 256, bulk: 128 })
    expect(node.transport.status()[0]!.queued).toEqual(limits.queueBytesMax)
    expect(node.transport.send(nodeId(9), EMPTY, 'bulk')).toBe(false)
    expect(node.isConnectedTo(9)).toBe(true)
  })

  test('frames larger than the bound of their priority are dropped at once', async () => {
    const node = await lonelyNode({ limits })
    await introducedClient(node)
    const send = (size: number, priority: 'normal' | 'bulk'): boolean =>
      node.transport.send(nodeId(9), new Uint8Array(size), priority)
    expect(send(64 * 1024 - 12, 'normal')).toBe(true)
    expect(send(64 * 1024 - 11, 'normal')).toBe(false)
    expect(send(32 * 1024 - 12, 'bulk')).toBe(true)
    expect(send(32 * 1024 - 11, 'bulk')).toBe(false)
  })

  test('urgent overtakes normal, and normal bulk, but for what the kernel has', async () => {
    const node = await lonelyNode()
    const client = await stalledClient(node)
    const queuedBytes = (): number => node.transport.status()[0]!.queued.bulk
    // Until the kernel takes no more: then the queue does not shrink.
    for (let full = -1; queuedBytes() !== full;) {
      while (node.transport.send(nodeId(9), new Uint8Array(100_000).fill(3), 'bulk'));
      full = queuedBytes()
      await new Promise((resolve) => setTimeout(resolve, 30))
    }
    for (const [fillByte, priority] of [
      [2, 'normal'],
      [1, 'urgent'],
    ] as const)
      expect(node.transport.send(nodeId(9), new Uint8Array(10).fill(fillByte), priority)).toBe(true)
    const waiting = queuedBytes()
    expect(waiting).toBeGreaterThan(500_000)
    client.socket.resume()
    await eventually(() => expect(queuedBytes()).toBe(0))
    await eventually(() => {
      const order = framesOf(client)
        .filter(({ kind }) => kind === FrameKind.MESSAGE)
        .map(({ payload }) => payload[0]!)
      expect(order.filter((byte) => byte !== 3)).toEqual([1, 2])
      expect(order.length - order.indexOf(2) - 1).toBe(Math.floor(waiting / 100_012))
    })
  })

  test('bulk waits until there is room, and is told when the connection is lost', async () => {
    const node = await lonelyNode({ limits })
    const client = await stalledClient(node)
    const chunk = new Uint8Array(30_000)
    let sent = 0
    const fill = async (): Promise<void> => {
      for (let full = 0; full < 3; full++) {
        for (; node.transport.send(nodeId(9), chunk, 'bulk'); full = 0) sent++
        await new Promise((resolve) => setTimeout(resolve, 5))
      }
    }
    await fill()
    let isWritable = false
    const writable = node.transport.whenWritable(nodeId(9)).then(() => (isWritable = true))
    const abort = new AbortController()
    const aborted = failureOf(node.transport.whenWritable(nodeId(9), abort.signal))
    abort.abort(new Error('no patience'))
    expect(await aborted).toEqual(new Error('no patience'))
    expect(isWritable).toBe(false)
    client.socket.resume()
    await writable
    expect(node.transport.send(nodeId(9), chunk, 'bulk')).toBe(true)
    await eventually(() =>
      expect(framesOf(client).filter(({ kind }) => kind === FrameKind.MESSAGE)).toHaveLength(sent + 1),
    )
    await node.transport.whenWritable(nodeId(9))
    client.socket.pause()
    await fill()
    const lost = failureOf(node.transport.whenWritable(nodeId(9)))
    client.socket.destroy()
    expect(await lost).toMatchObject({ code: 'CONNECTION_LOST' })
  })

  test('frames of one turn of the event loop leave in one write', async () => {
    const [low, high] = await network.nodes([1, 2])
    await eventually(() => expect(low!.isConnectedTo(2)).toBe(true))
    const write = jest.spyOn(net.Socket.prototype, 'write')
    network.defer(() => write.mockRestore())
    for (let i = 0; i < 200; i++) high!.transport.send(low!.id, bytesOf(`${i}`))
    await eventually(() => expect(low!.messages).toHaveLength(200))
    expect(low!.texts).toEqual(Array.from({ length: 200 }, (_, i) => `${i}`))
    const sizes = write.mock.calls.map(([chunk]) => (chunk as Uint8Array).length)
    expect(sizes.filter((size) => size > 200 * 12)).toHaveLength(1)
    expect(sizes.length).toBeLessThan(20)
  })
})
