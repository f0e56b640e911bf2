import net from 'node:net'
import { afterEach, describe, expect, test } from '@jest/globals'
import { eventually, ManualClock } from '@sluice/foundation/testing'
import { type AddressFamily, type LookupFunction, NameCache } from '../src/transport/name-cache.js'
import { PeerDialer } from '../src/transport/peer-dialer.js'
import { DEFAULT_TRANSPORT_TIMINGS } from '../src/transport/transport-options.js'
import {
  bytesOf,
  failureOf,
  freePort,
  introduce,
  LOCALHOST,
  nodeId,
  QUICK,
  TestNetwork,
} from './transport-fixture.js'

const network = new TestNetwork()
afterEach(() => network.close())

async function occupied(): Promise<{ readonly port: number; free: () => Promise<void> }> {
  const server = net.createServer()
  const port = await new Promise<number>((resolve) =>
    server.listen(0, LOCALHOST, () => resolve((server.address() as net.AddressInfo).port)),
  )
  const free = (): Promise<void> => new Promise((resolve) => server.close(() => resolve()))
  network.defer(free)
  return { port, free }
}

describe('listening', () => {
  test('an address in use is tried again until it is free', async () => {
    const { port, free } = await occupied()
    const node = network.node(1, { listen: { host: LOCALHOST, port } })
    const started = node.start()
    await new Promise((resolve) => setTimeout(resolve, 50))
    expect(node.transport.address).toBeUndefined()
    await free()
    await started
    expect(node.transport.address).toEqual({ host: LOCALHOST, port })
  })

  test('after the last attempt it is a typed error, and the transport is closed', async () => {
    const { port } = await occupied()
    const node = network.node(1, { listen: { host: LOCALHOST, port }, timings: { bindRetriesMax: 2 } })
    await expect(node.start()).rejects.toMatchObject({
      code: 'BIND_FAILED',
      message: expect.stringContaining('after 3 attempts'),
    })
    await expect(node.start()).rejects.toMatchObject({ code: 'CLOSED' })
  })

  test('an address that can never be listened on is not tried again', async () => {
    const node = network.node(1, { listen: { host: LOCALHOST, port: 65_536 } })
    await expect(node.start()).rejects.toThrow()
  })

  test('waiting for an address ends by the signal, and by closing', async () => {
    const { port, free } = await occupied()
    const listen = { host: LOCALHOST, port }
    const abort = new AbortController()
    const node = network.node(1, { listen })
    const aborted = failureOf(node.start(abort.signal))
    abort.abort(new Error('enough'))
    expect(await aborted).toEqual(new Error('enough'))
    const closing = network.node(1, { listen })
    const closed = failureOf(closing.start())
    await closing.transport.close()
    expect(await closed).toMatchObject({ code: 'CLOSED' })
    await free()
    const again = network.node(1, { listen })
    await again.start()
    expect(again.port).toBe(port)
  })

  test('closing while the listener opens leaves nobody listening', async () => {
    const port = await freePort()
    const node = network.node(1, { listen: { host: 'localhost', port } })
    const started = failureOf(node.start())
    await node.transport.close()
    expect(await started).toMatchObject({ code: 'CLOSED' })
    await eventually(async () => {
      const socket = net.connect({ host: LOCALHOST, port })
      const answer = await new Promise<string>((resolve) => {
        socket.once('connect', () => resolve('connected'))
        socket.once('error', () => resolve('refused'))
      })
      socket.destroy()
      expect(answer).toBe('refused')
    })
  })
})

describe('dialling', () => {
  test('a name is resolved; of its addresses another is tried after each failure', async () => {
    const low = network.node(1)
    await low.start()
    const lookup: LookupFunction = (host) =>
      host === 'low.example'
        ? Promise.resolve([
            { address: '127.0.0.77', family: 4 },
            { address: LOCALHOST, family: 4 },
          ])
        : Promise.reject(new Error('no such name'))
    const high = network.node(2, { lookup })
    await high.start()
    introduce(low, high)
    high.transport.addPeer({ id: nodeId(1), address: { host: 'low.example', port: low.port } })
    await eventually(() => expect(high.isConnectedTo(1)).toBe(true))
    high.transport.addPeer({ id: nodeId(1), address: { host: 'nowhere.example', port: low.port } })
    await eventually(() =>
      expect(high.transport.status()[0]!.lastError?.error).toMatchObject({
        code: 'CONNECT_FAILED',
        message: 'the name nowhere.example cannot be resolved: no such name',
      }),
    )
  })

  test('a lookup that hangs is given up, and does not hold up closing', async () => {
    const high = network.node(2, {
      lookup: () => new Promise(() => undefined),
      timings: { connectTimeoutMs: 20 },
    })
    await high.start()
    high.transport.addPeer({ id: nodeId(1), address: { host: 'slow.example', port: 1 } })
    await eventually(() =>
      expect(high.transport.status()[0]!.lastError?.error.message).toBe(
        'cannot connect to slow.example:1 in 20 ms',
      ),
    )
    await high.transport.close()
  })

  test('a node that moves to another address behind its name is found again', async () => {
    const low = network.node(1)
    await low.start()
    let address = '127.0.0.77'
    const high = network.node(2, {
      lookup: () => Promise.resolve([{ address, family: 4 }]),
      timings: { dnsFailCacheTimeMs: 20 },
    })
    await high.start()
    introduce(low, high)
    high.transport.addPeer({ id: nodeId(1), address: { host: 'low.example', port: low.port } })
    await eventually(() => expect(high.transport.status()[0]!.lastError).toBeDefined())
    address = LOCALHOST
    await eventually(() => expect(high.isConnectedTo(1)).toBe(true))
  })

  test('pauses between attempts grow, with jitter, up to their bound', async () => {
    const attempts: number[] = []
    const halves = { next: () => 0.5, below: () => 0 }
    const startedAt: number[] = []
    const dialer = new PeerDialer({
      dial: (attempt) => {
        attempts.push(attempt)
        startedAt.push(performance.now())
        return Promise.reject(new Error('nobody there'))
      },
      onFailed: () => undefined,
      timings: { ...DEFAULT_TRANSPORT_TIMINGS, ...QUICK },
      random: halves,
    })
    network.defer(() => dialer.stop())
    dialer.start()
    await eventually(() => expect(attempts.length).toBeGreaterThan(5))
    dialer.stop()
    const pauses = startedAt.slice(1).map((at, i) => at - startedAt[i]!)
    for (const [i, least] of [10, 20, 40, 80, 80].entries()) expect(pauses[i]!).toBeGreaterThan(least - 3)
    expect(attempts.slice(0, 4)).toEqual([0, 1, 2, 3])
  })

  test('messages of a peer behind a proxy that drops connections come through in the end', async () => {
    const [low, high] = [network.node(1), network.node(2)]
    await low.start()
    await high.start()
    introduce(low, high)
    let connections = 0
    const address = await network.proxy({ host: LOCALHOST, port: low.port }, (chunk, direction, proxied) => {
      if (direction === 'up' && chunk.length > 100 && ++connections < 4) proxied.client.destroy()
      return chunk
    })
    high.transport.addPeer({ id: low.id, address })
    await eventually(() => expect(high.isConnectedTo(1)).toBe(true))
    high.transport.send(low.id, bytesOf('at last'))
    await eventually(() => expect(low.texts).toEqual(['at last']))
  })
})

describe('names', () => {
  const v4 = { address: '10.0.0.1', family: 4 }
  const v6 = { address: 'fd00::1', family: 6 }

  function cacheWith(lookup: LookupFunction, family: AddressFamily = 'any'): [NameCache, ManualClock] {
    const clock = new ManualClock()
    return [new NameCache({ lookup, family, cacheTimeMs: 1000, failCacheTimeMs: 100, clock }), clock]
  }

  test('an answer is believed for its time, a failure for a shorter one', async () => {
    let asked = 0
    let answer: () => Promise<readonly (typeof v4)[]> = () => Promise.reject(new Error('not yet'))
    const [names, clock] = cacheWith(() => {
      asked++
      return answer()
    })
    await expect(names.resolve('a')).rejects.toMatchObject({ code: 'CONNECT_FAILED' })
    answer = () => Promise.resolve([v4])
    await expect(names.resolve('a')).rejects.toThrow('not yet')
    expect(asked).toBe(1)
    clock.advance(100)
    expect(await names.resolve('a')).toEqual([v4])
    clock.advance(999)
    await names.resolve('a')
    expect(asked).toBe(2)
    clock.advance(1)
    await names.resolve('a')
    expect(asked).toBe(3)
  })

  test('a name that stops resolving keeps its addresses', async () => {
    let isUp = true
    const [names, clock] = cacheWith(() => (isUp ? Promise.resolve([v6]) : Promise.reject(new Error('down'))))
    await names.resolve('a')
    isUp = false
    clock.advance(5000)
    expect(await names.resolve('a')).toEqual([v6])
  })

  test('an address at which nobody answers is asked for again soon', async () => {
    let asked = 0
    const [names, clock] = cacheWith(() => {
      asked++
      return Promise.resolve([v4])
    })
    await names.resolve('a')
    names.doubt('a')
    names.doubt('unknown')
    await names.resolve('a')
    expect(asked).toBe(1)
    clock.advance(100)
    await names.resolve('a')
    expect(asked).toBe(2)
  })

  test('the preferred family is used where the name has it', async () => {
    const both: LookupFunction = () => Promise.resolve([v6, v4])
    expect(await cacheWith(both, 'ipv4')[0].resolve('a')).toEqual([v4])
    expect(await cacheWith(both, 'ipv6')[0].resolve('a')).toEqual([v6])
    expect(await cacheWith(both, 'any')[0].resolve('a')).toEqual([v6, v4])
    expect(await cacheWith(() => Promise.resolve([v6]), 'ipv4')[0].resolve('a')).toEqual([v6])
    await expect(cacheWith(() => Promise.resolve([]))[0].resolve('a')).rejects.toThrow('no address')
  })

  test('an IP address is never asked for, and one question at a time is enough', async () => {
    let asked = 0
    const [names] = cacheWith(() => {
      asked++
      return Promise.resolve([v4])
    })
    expect(await names.resolve('::1')).toEqual([{ address: '::1', family: 6 }])
    expect(await names.resolve('127.0.0.1')).toEqual([{ address: '127.0.0.1', family: 4 }])
    expect(asked).toBe(0)
    await Promise.all([names.resolve('a'), names.resolve('a')])
    expect(asked).toBe(1)
  })
})
