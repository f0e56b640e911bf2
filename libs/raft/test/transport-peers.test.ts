import { afterEach, describe, expect, test } from '@jest/globals'
import { eventually } from '@sluice/foundation/testing'
import { RemoteError, TransportError } from '../src/transport/transport-error.js'
import { UtilityConnection } from '../src/transport/utility-connection.js'
import {
  bytesOf,
  CLUSTER,
  failureOf,
  helloOf,
  introduce,
  LOCALHOST,
  nodeId,
  TestNetwork,
} from './transport-fixture.js'

const network = new TestNetwork()
afterEach(() => network.close())

describe('nodes', () => {
  test('two nodes have one connection, dialled by the higher id, and talk both ways', async () => {
    const [low, high] = await network.nodes([1, 2])
    await eventually(() => expect([low!.ups.length, high!.ups.length]).toEqual([1, 1]))
    expect(low!.ups[0]).toEqual(helloOf(2))
    expect(high!.transport.send(low!.id, bytesOf('hello'), 'normal')).toBe(true)
    expect(low!.transport.send(high!.id, bytesOf('and back'))).toBe(true)
    await eventually(() => expect([low!.texts, high!.texts]).toEqual([['hello'], ['and back']]))
    expect(low!.transport.status()[0]).toMatchObject({ dials: false, connected: true, lastError: undefined })
    expect(high!.transport.status()[0]).toMatchObject({ dials: true, connected: true })
    const status = high!.transport.status()[0]!
    expect(status.bytesOut).toBeGreaterThan(0)
    expect(status.bytesIn).toBeGreaterThan(0)
    expect(status.hello).toEqual(helloOf(1))
    expect(Math.abs(Date.now() - status.since!)).toBeLessThan(60_000)
  })

  test('three nodes are connected with each other', async () => {
    const nodes = await network.nodes([3, 1, 2])
    await eventually(() => expect(nodes.map((node) => node.ups.length)).toEqual([2, 2, 2]))
    for (const node of nodes)
      for (const other of nodes) if (other !== node) node.transport.send(other.id, bytesOf(`to ${other.id}`))
    await eventually(() => {
      for (const node of nodes) expect(node.texts).toEqual([`to ${node.id}`, `to ${node.id}`])
    })
  })

  test('what is sent to nobody, or before a connection is up, is dropped at once', async () => {
    const node = network.node(2)
    node.transport.addPeer({ id: nodeId(1), address: { host: LOCALHOST, port: 1 } })
    expect(node.transport.send(nodeId(1), bytesOf('early'))).toBe(false)
    await node.start()
    expect(node.transport.send(nodeId(1), bytesOf('early'))).toBe(false)
    expect(node.transport.send(nodeId(9), bytesOf('stranger'))).toBe(false)
    await expect(
      node.transport.request(nodeId(1), bytesOf('ask'), { timeoutMs: 1000 }),
    ).rejects.toMatchObject({
      code: 'NOT_CONNECTED',
      outcome: 'no',
    })
    await expect(node.transport.whenWritable(nodeId(1))).rejects.toMatchObject({ code: 'NOT_CONNECTED' })
  })

  test('a node reconnects when the listener comes back on the same port', async () => {
    const [low, high] = await network.nodes([1, 2])
    await eventually(() => expect(high!.isConnectedTo(1)).toBe(true))
    const { port } = low!
    await low!.transport.close()
    await eventually(() => expect(high!.downs).toHaveLength(1))
    expect(high!.downs[0]!.error.code).toBe('CONNECTION_LOST')
    await eventually(() =>
      expect(high!.transport.status()[0]!.lastError?.error.message).toMatch('ECONNREFUSED'),
    )
    const again = network.node(1, { identity: helloOf(1, 'node', 2), listen: { host: LOCALHOST, port } })
    again.transport.addPeer({ id: nodeId(2), address: { host: LOCALHOST, port: high!.port } })
    await again.start()
    await eventually(() => expect(again.isConnectedTo(2)).toBe(true))
    expect(high!.ups.map(({ bootEpoch }) => bootEpoch)).toEqual([1, 2])
  })

  test('peers are added and dropped at run time; a dropped one is cut off and refused', async () => {
    const [low, high] = await network.nodes([1, 2])
    await eventually(() => expect(low!.isConnectedTo(2)).toBe(true))
    low!.transport.dropPeer(high!.id)
    expect(low!.transport.status()).toEqual([])
    expect(low!.downs).toHaveLength(1)
    await eventually(() => expect(high!.downs).toHaveLength(1))
    expect(high!.downs[0]!.error).toMatchObject({ code: 'REFUSED', by: 'peer' })
    await eventually(() =>
      expect(high!.refusalCodes('peer').filter((code) => code === 'UNKNOWN_NODE').length).toBeGreaterThan(1),
    )
    expect(low!.refusalCodes('self')).toContain('UNKNOWN_NODE')
    expect(low!.transport.send(high!.id, bytesOf('gone'))).toBe(false)
    introduce(low!, high!)
    await eventually(() => expect(low!.isConnectedTo(2)).toBe(true))
  })

  test('a peer that is given another address is dialled there', async () => {
    const [low, high] = await network.nodes([1, 3])
    await eventually(() => expect(high!.isConnectedTo(1)).toBe(true))
    const moved = network.node(1, { identity: helloOf(1, 'node', 2) })
    await moved.start()
    introduce(moved, high!)
    introduce(high!, moved)
    introduce(high!, moved)
    await eventually(() => expect(moved.isConnectedTo(3)).toBe(true))
    expect(low!.isConnectedTo(3)).toBe(false)
    expect(high!.transport.status()).toHaveLength(1)
  })

  test('a message that cannot be understood closes the connection, and the peers reconnect', async () => {
    const [low, high] = await network.nodes([1, 2])
    await eventually(() => expect(low!.isConnectedTo(2)).toBe(true))
    low!.onMessage = () => {
      throw new Error('no such message')
    }
    high!.transport.send(low!.id, bytesOf('?'))
    await eventually(() => expect(low!.downs).toHaveLength(1))
    expect(low!.downs[0]!.error).toMatchObject({ code: 'MALFORMED' })
    low!.onMessage = () => undefined
    await eventually(() => expect(low!.ups).toHaveLength(2))
  })

  test('a later start of a node takes the place of its connection, an earlier one is refused', async () => {
    const low = network.node(1)
    await low.start()
    low.transport.addPeer({ id: nodeId(2), address: { host: LOCALHOST, port: 1 } })
    const second = network.node(2, { identity: helloOf(2, 'node', 8) })
    const first = network.node(2, { identity: helloOf(2, 'node', 7) })
    await first.start()
    await second.start()
    introduce(first, low)
    await eventually(() => expect(low.ups).toHaveLength(1))
    introduce(second, low)
    await eventually(() => expect(low.ups.map(({ bootEpoch }) => bootEpoch)).toEqual([7, 8]))
    await eventually(() => expect(first.refusalCodes('peer')).toContain('DUPLICATE'))
    expect(low.refusalCodes('self')).toContain('DUPLICATE')
    expect(low.isConnectedTo(2)).toBe(true)
    expect(low.downs).toHaveLength(1)
  })

  test('closing twice is closing once, and nothing is taken afterwards', async () => {
    const [low, high] = await network.nodes([1, 2])
    await eventually(() => expect(low!.isConnectedTo(2)).toBe(true))
    await Promise.all([low!.transport.close(), low!.transport.close()])
    await low!.transport.close()
    expect(low!.transport.send(high!.id, bytesOf('late'))).toBe(false)
    expect(() => low!.transport.addPeer({ id: nodeId(5), address: { host: 'x', port: 1 } })).toThrow(
      TransportError,
    )
    await expect(low!.start()).rejects.toMatchObject({ code: 'CLOSED' })
    await eventually(() => expect(high!.downs).toHaveLength(1))
  })

  test('closing leaves no socket and no listener, whatever was under way', async () => {
    const before = openTcpHandles()
    const [low, high] = await network.nodes([1, 2], { secret: 'a secret' })
    const mute = await network.server(() => undefined)
    // The lower id is dialled and never answers; the higher one is waited for.
    const middle = network.node(60, { secret: 'a secret' })
    await middle.start()
    middle.transport.addPeer({ id: nodeId(50), address: mute })
    const observer = network.node(9, { identity: helloOf(9, 'observer'), secret: 'a secret' })
    introduce(observer, low!)
    observer.transport.addPeer({ id: nodeId(3), address: { host: LOCALHOST, port: 1 } })
    await observer.start()
    await network.socket(low!.port)
    await eventually(() => expect([low!.isConnectedTo(2), observer.isConnectedTo(1)]).toEqual([true, true]))
    low!.onRequest = () => new Promise(() => undefined)
    const asked = failureOf(high!.transport.request(low!.id, bytesOf('x'), { timeoutMs: 60_000 }))
    await network.close()
    expect(await asked).toBeInstanceOf(TransportError)
    await eventually(() => expect(openTcpHandles()).toEqual(before))
  })

  test('a peer that is added while the listener waits for its address is dialled once', async () => {
    const low = network.node(1)
    await low.start()
    const occupier = network.node(5)
    await occupier.start()
    const { port } = occupier
    const high = network.node(2, { listen: { host: LOCALHOST, port } })
    low.transport.addPeer({ id: nodeId(2), address: { host: LOCALHOST, port } })
    const started = high.start()
    introduce(high, low)
    await occupier.transport.close()
    await started
    await eventually(() => expect(high.isConnectedTo(1)).toBe(true))
    high.transport.send(low.id, bytesOf('once'))
    await eventually(() => expect(low.texts).toEqual(['once']))
    expect([low.ups.length, low.downs.length]).toEqual([1, 0])
  })

  test('what was sent before closing still arrives', async () => {
    const [low, high] = await network.nodes([1, 2])
    await eventually(() => expect(low!.isConnectedTo(2)).toBe(true))
    low!.transport.send(high!.id, bytesOf('last words'))
    await low!.transport.close()
    await eventually(() => expect(high!.texts).toEqual(['last words']))
  })
})

describe('requests', () => {
  test('a request is answered, in either direction and many at a time', async () => {
    const [low, high] = await network.nodes([1, 2])
    await eventually(() => expect(low!.isConnectedTo(2)).toBe(true))
    low!.onRequest = async (from, payload) => {
      await new Promise((resolve) => setImmediate(resolve))
      return bytesOf(`${from.id} asks ${Buffer.from(payload).toString()}`)
    }
    const answers = await Promise.all(
      Array.from({ length: 50 }, (_, i) =>
        high!.transport.request(low!.id, bytesOf(`q${i}`), { timeoutMs: 10_000 }),
      ),
    )
    expect(answers.map((answer) => Buffer.from(answer).toString())).toEqual(
      Array.from({ length: 50 }, (_, i) => `2 asks q${i}`),
    )
    const echo = await low!.transport.request(high!.id, new Uint8Array(0), { timeoutMs: 10_000 })
    expect(echo).toHaveLength(0)
  })

  test('what a handler throws is told with its code and outcome, and the connection stays', async () => {
    const [low, high] = await network.nodes([1, 2])
    await eventually(() => expect(high!.isConnectedTo(1)).toBe(true))
    low!.onRequest = () => {
      throw Object.assign(new Error('not now'), { code: 'BUSY', outcome: 'no' })
    }
    const failure = high!.transport.request(low!.id, bytesOf('x'), { timeoutMs: 10_000 })
    await expect(failure).rejects.toBeInstanceOf(RemoteError)
    await expect(failure).rejects.toMatchObject({ message: 'not now', remoteCode: 'BUSY', outcome: 'no' })
    low!.onRequest = () => Promise.reject(new Error('x'.repeat(100_000)))
    await expect(high!.transport.request(low!.id, bytesOf('x'), { timeoutMs: 10_000 })).rejects.toMatchObject(
      {
        message: 'x'.repeat(1024),
        outcome: 'unknown',
      },
    )
    expect(high!.downs).toEqual([])
  })

  test('a request ends by its time limit, by its signal, and with its connection', async () => {
    const [low, high] = await network.nodes([1, 2])
    await eventually(() => expect(high!.isConnectedTo(1)).toBe(true))
    low!.onRequest = () => new Promise<Uint8Array>(() => undefined)
    const ask = (timeoutMs: number, signal?: AbortSignal): Promise<Uint8Array> =>
      high!.transport.request(low!.id, bytesOf('x'), { timeoutMs, ...(signal ? { signal } : {}) })
    await expect(ask(5)).rejects.toMatchObject({ code: 'TIMEOUT', outcome: 'unknown' })
    const abort = new AbortController()
    const aborted = ask(10_000, abort.signal)
    abort.abort(new Error('enough'))
    await expect(aborted).rejects.toThrow('enough')
    await expect(ask(10_000, abort.signal)).rejects.toThrow('enough')
    const lost = failureOf(ask(10_000))
    await low!.transport.close()
    expect(await lost).toMatchObject({ code: 'CONNECTION_LOST', outcome: 'unknown' })
  })

  test('requests over the bounds of count and size are refused with no effect', async () => {
    const [low, high] = await network.nodes([1, 2], {
      limits: { requestsInFlightMax: 2, frameBytesMax: 4096 },
    })
    await eventually(() => expect(high!.isConnectedTo(1)).toBe(true))
    const release: (() => void)[] = []
    low!.onRequest = (_from, payload) =>
      new Promise((resolve) =>
        release.push(() => resolve(payload.length === 0 ? new Uint8Array(4096) : payload)),
      )
    const ask = (size: number): Promise<Uint8Array> =>
      high!.transport.request(low!.id, new Uint8Array(size), { timeoutMs: 10_000 })
    const answers = [ask(0), ask(4096 - 16)]
    const settled = Promise.allSettled(answers)
    await expect(ask(1)).rejects.toMatchObject({ code: 'OVERLOADED', outcome: 'no' })
    await eventually(() => expect(release).toHaveLength(2))
    for (const free of release) free()
    const [tooLarge, fits] = await settled
    expect(tooLarge).toMatchObject({
      status: 'rejected',
      reason: { code: 'REMOTE', remoteCode: 'TOO_LARGE' },
    })
    expect(fits).toMatchObject({ status: 'fulfilled' })
    await expect(ask(4096 - 15)).rejects.toMatchObject({ code: 'TOO_LARGE', outcome: 'no' })
    expect(high!.downs).toEqual([])
  })
})

describe('observers and administrators', () => {
  test('an observer dials every node, is dialled by none, and is sent to like a peer', async () => {
    const nodes = await network.nodes([1, 90])
    const observer = network.node(50, { identity: helloOf(50, 'observer') })
    for (const node of nodes) introduce(observer, node)
    await observer.start()
    expect(observer.transport.address).toBeUndefined()
    await eventually(() => expect(observer.ups).toHaveLength(2))
    for (const node of nodes) {
      await eventually(() => expect(node.ups.some(({ role }) => role === 'observer')).toBe(true))
      expect(node.transport.send(observer.id, bytesOf(`from ${node.id}`), 'bulk')).toBe(true)
      observer.transport.send(node.id, bytesOf('thanks'))
      await eventually(() => expect(node.texts).toEqual(['thanks']))
    }
    await eventually(() => expect(observer.texts.sort()).toEqual(['from 1', 'from 90']))
    await observer.transport.close()
    await eventually(() => expect(nodes[0]!.downs.map(({ peer }) => peer)).toEqual([nodeId(50)]))
    expect(nodes[0]!.transport.send(observer.id, bytesOf('gone'))).toBe(false)
  })

  test('an observer under the id of a node is refused', async () => {
    const [low] = await network.nodes([1, 2])
    const observer = network.node(2, { identity: helloOf(2, 'observer') })
    introduce(observer, low!)
    await observer.start()
    await eventually(() => expect(observer.refusalCodes('peer')).toContain('DUPLICATE'))
    expect(observer.ups).toEqual([])
  })

  test('an administrator asks a node without knowing its id or its cluster', async () => {
    const [node] = await network.nodes([4])
    node!.onRequest = (from, payload) => bytesOf(`${from.role}: ${Buffer.from(payload).toString()}`)
    const address = { host: LOCALHOST, port: node!.port }
    for (const clusterId of [undefined, CLUSTER]) {
      const utility = await UtilityConnection.open({ address, ...(clusterId ? { clusterId } : {}) })
      network.defer(() => utility.close())
      expect(utility.peer).toEqual(helloOf(4))
      const answer = await utility.request(bytesOf('status'), { timeoutMs: 10_000 })
      expect(Buffer.from(answer).toString()).toBe('admin: status')
      await Promise.all([utility.close(), utility.close()])
      await expect(utility.request(bytesOf('x'), { timeoutMs: 1000 })).rejects.toMatchObject({
        code: 'NOT_CONNECTED',
      })
    }
    expect(node!.ups).toEqual([])
    const other = UtilityConnection.open({ address, clusterId: new Uint8Array(16).fill(1) })
    await expect(other).rejects.toMatchObject({ refusal: { code: 'CLUSTER' }, by: 'peer' })
  })

  test('guests are bounded, and the next one is told so', async () => {
    const [node] = await network.nodes([4], { limits: { guestsMax: 1 } })
    const address = { host: LOCALHOST, port: node!.port }
    const first = await UtilityConnection.open({ address })
    network.defer(() => first.close())
    await first.request(bytesOf('x'), { timeoutMs: 10_000 })
    await expect(UtilityConnection.open({ address })).rejects.toMatchObject({
      refusal: { code: 'TOO_MANY_CONNECTIONS' },
    })
    await first.close()
    await eventually(async () => (await UtilityConnection.open({ address })).close())
  })

  test('an administrator that waits too long can give up', async () => {
    const address = await network.server(() => undefined)
    const abort = new AbortController()
    const opening = UtilityConnection.open({ address, signal: abort.signal })
    abort.abort(new Error('never mind'))
    await expect(opening).rejects.toThrow('never mind')
    await expect(
      UtilityConnection.open({ address, timings: { handshakeTimeoutMs: 30, closeGraceMs: 10 } }),
    ).rejects.toMatchObject({ refusal: { code: 'HANDSHAKE_TIMEOUT' } })
  })
})

function openTcpHandles(): string[] {
  return process
    .getActiveResourcesInfo()
    .filter((name) => name.startsWith('TCP'))
    .sort()
}
