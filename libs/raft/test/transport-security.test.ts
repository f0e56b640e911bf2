import { X509Certificate } from 'node:crypto'
import { afterEach, beforeAll, describe, expect, test } from '@jest/globals'
import { eventually } from '@sluice/foundation/testing'
import { generate } from 'selfsigned'
import type { TransportTls } from '../src/transport/tls.js'
import type { TcpTransportOptions } from '../src/transport/transport-options.js'
import { UtilityConnection } from '../src/transport/utility-connection.js'
import {
  bytesOf,
  CLUSTER,
  helloOf,
  introduce,
  LOCALHOST,
  nodeId,
  TestNetwork,
  type TestNode,
  uuidOf,
} from './transport-fixture.js'

const network = new TestNetwork()
afterEach(() => network.close())

/** Two started nodes with options of their own that know each other. */
async function pair(
  low: Partial<TcpTransportOptions>,
  high: Partial<TcpTransportOptions>,
): Promise<[TestNode, TestNode]> {
  const nodes: [TestNode, TestNode] = [network.node(1, low), network.node(2, high)]
  for (const node of nodes) await node.start()
  introduce(nodes[0], nodes[1])
  introduce(nodes[1], nodes[0])
  return nodes
}

async function expectRefusal(
  nodes: readonly [TestNode, TestNode],
  code: string,
  by: { readonly low: 'self' | 'peer' } = { low: 'self' },
): Promise<void> {
  const [low, high] = nodes
  await eventually(() => {
    expect(low.refusalCodes(by.low)).toContain(code)
    expect(high.refusalCodes(by.low === 'self' ? 'peer' : 'self')).toContain(code)
  })
  expect([low.ups, high.ups]).toEqual([[], []])
}

describe('who may connect', () => {
  test('a member of another cluster is refused, and both sides can tell', async () => {
    const identity = { ...helloOf(2), clusterId: new Uint8Array(16).fill(8) }
    const nodes = await pair({}, { identity })
    await expectRefusal(nodes, 'CLUSTER')
    expect(nodes[1].transport.status()[0]!.lastError!.error).toMatchObject({
      code: 'REFUSED',
      by: 'peer',
      refusal: { code: 'CLUSTER' },
    })
    expect(nodes[0].refusals[0]).toMatchObject({ peer: undefined, remoteAddress: /^127\.0\.0\.1:\d+$/ })
  })

  test('a node that is no peer is refused until it is one', async () => {
    const [low, high] = [network.node(1), network.node(2)]
    await low.start()
    await high.start()
    introduce(high, low)
    await expectRefusal([low, high], 'UNKNOWN_NODE')
    introduce(low, high)
    await eventually(() => expect(low.isConnectedTo(2)).toBe(true))
  })

  test('a node whose data was replaced is refused with a reason of its own', async () => {
    const [low, high] = [network.node(1), network.node(2)]
    await low.start()
    await high.start()
    introduce(high, low)
    const address = { host: LOCALHOST, port: high.port }
    low.transport.addPeer({ id: high.id, address, uuid: uuidOf(99) })
    await expectRefusal([low, high], 'NODE_REPLACED')
    low.transport.addPeer({ id: high.id, address, uuid: uuidOf(2) })
    await eventually(() => expect(low.isConnectedTo(2)).toBe(true))
  })

  test('the dialler refuses a replaced node as well', async () => {
    const [low, high] = [network.node(1), network.node(2)]
    await low.start()
    await high.start()
    introduce(low, high)
    high.transport.addPeer({
      id: low.id,
      address: { host: LOCALHOST, port: low.port },
      uuid: uuidOf(99),
    })
    await expectRefusal([low, high], 'NODE_REPLACED', { low: 'peer' })
  })

  test.each(['', 'a long secret'])('admit has the last word on either side (secret %j)', async (secret) => {
    const options = secret === '' ? {} : { secret }
    const asked: number[] = []
    const admit: TcpTransportOptions['admit'] = async (hello) => {
      await new Promise((resolve) => setImmediate(resolve))
      asked.push(hello.id)
      return hello.id === 1 ? { code: 'NODE_REPLACED', message: 'not the one I know' } : 'I do not like it'
    }
    await expectRefusal(await pair({ ...options, admit }, options), 'NOT_ADMITTED')
    await expectRefusal(await pair(options, { ...options, admit }), 'NODE_REPLACED', { low: 'peer' })
    expect(new Set(asked)).toEqual(new Set([1, 2]))
  })

  test('a dialler that finds another node than it meant hangs up', async () => {
    const [low, high] = await network.nodes([1, 5])
    await eventually(() => expect(low!.isConnectedTo(5)).toBe(true))
    high!.transport.addPeer({ id: nodeId(3), address: { host: LOCALHOST, port: low!.port } })
    await eventually(() => expect(high!.refusalCodes('peer')).toContain('WRONG_NODE'))
    expect(low!.refusalCodes('self')).toContain('WRONG_NODE')
    expect(high!.isConnectedTo(3)).toBe(false)
  })

  test('a node that dials itself, or one with its own id, is told', async () => {
    const [one, other] = [network.node(1), network.node(1)]
    await one.start()
    const observer = network.node(1, { identity: helloOf(1, 'observer') })
    observer.transport.addPeer({ id: nodeId(7), address: { host: LOCALHOST, port: one.port } })
    await observer.start()
    await eventually(() => expect(observer.refusalCodes('peer')).toContain('SELF'))
    expect(() => {
      other.transport.addPeer({ id: nodeId(1), address: { host: LOCALHOST, port: one.port } })
    }).toThrow('a node is no peer of itself')
  })

  test('options that make no sense are refused before anything is opened', () => {
    const wrong: Partial<TcpTransportOptions>[] = [
      { identity: { ...helloOf(1), id: nodeId(0) } },
      { identity: { ...helloOf(1), uuid: new Uint8Array(3) } },
      { identity: { ...helloOf(1), clusterId: new Uint8Array(16) } },
      { identity: { ...helloOf(1), bootEpoch: -1 } },
      { identity: { ...helloOf(1), address: 'x'.repeat(513) } },
      { identity: helloOf(1, 'observer'), listen: { port: 0 } },
      { identity: { ...helloOf(1, 'admin'), id: nodeId(0) } },
      { secret: '' },
      { timings: { pingMs: 3000 } },
      { timings: { silentMs: Number.NaN } },
      { timings: { bindRetriesMax: -1 } },
      { limits: { frameBytesMax: 10 } },
      { limits: { queueBytesMax: { urgent: 1 << 20, normal: 10, bulk: 1 << 20 } } },
    ]
    for (const options of wrong)
      expect(() => network.node(1, options)).toThrow(expect.objectContaining({ code: 'INVALID_OPTION' }))
    const node = network.node(1)
    for (const address of [
      { host: '', port: 1 },
      { host: 'x', port: 0 },
      { host: 'x', port: 65_536 },
    ])
      expect(() => node.transport.addPeer({ id: nodeId(2), address })).toThrow(
        expect.objectContaining({ code: 'INVALID_OPTION' }),
      )
  })
})

describe('a shared secret', () => {
  const secret = 'correct horse battery'

  test('who has it is let in, and nothing readable passes', async () => {
    const [low, high] = [network.node(1, { secret }), network.node(2, { secret })]
    await low.start()
    await high.start()
    introduce(low, high)
    let wire = Buffer.alloc(0)
    const address = await network.proxy({ host: LOCALHOST, port: low.port }, (chunk) => {
      wire = Buffer.concat([wire, chunk])
      return chunk
    })
    high.transport.addPeer({ id: low.id, address })
    await eventually(() => expect(low.isConnectedTo(2)).toBe(true))
    const text = 'plain text that must not be seen '.repeat(5000)
    low.transport.send(high.id, bytesOf(text))
    high.transport.send(low.id, bytesOf(text))
    await eventually(() => expect([low.texts, high.texts]).toEqual([[text], [text]]))
    expect(wire.length).toBeGreaterThan(2 * text.length)
    expect(wire.includes('plain text')).toBe(false)
    expect(wire.includes(secret)).toBe(false)
  })

  test('who has another one, or none, is refused, and both sides can tell', async () => {
    await expectRefusal(await pair({ secret }, { secret: 'another' }), 'SECRET_WRONG')
    await expectRefusal(await pair({ secret }, {}), 'SECRET_MISSING')
    await expectRefusal(await pair({}, { secret }), 'SECRET_MISSING')
  })

  test('an administrator needs it as well', async () => {
    const node = network.node(1, { secret })
    await node.start()
    const address = { host: LOCALHOST, port: node.port }
    const utility = await UtilityConnection.open({ address, secret })
    network.defer(() => utility.close())
    expect(await utility.request(bytesOf('x'), { timeoutMs: 10_000 })).toHaveLength(1)
    for (const wrong of [{}, { secret: 'another' }])
      await expect(UtilityConnection.open({ address, ...wrong })).rejects.toMatchObject({ code: 'REFUSED' })
  })

  test('a bit that is flipped, in either direction, closes the connection and is never delivered', async () => {
    const [low, high] = [network.node(1, { secret }), network.node(2, { secret })]
    await low.start()
    await high.start()
    introduce(low, high)
    let flips: 'up' | 'down' | undefined
    const address = await network.proxy({ host: LOCALHOST, port: low.port }, (chunk, direction) => {
      if (flips === direction) {
        flips = undefined
        chunk[chunk.length >> 1]! ^= 0x10
      }
      return chunk
    })
    high.transport.addPeer({ id: low.id, address })
    for (const [i, direction] of (['up', 'down'] as const).entries()) {
      await eventually(() => expect([low.isConnectedTo(2), high.isConnectedTo(1)]).toEqual([true, true]))
      flips = direction
      const [from, to] = direction === 'up' ? [high, low] : [low, high]
      from.transport.send(to.id, bytesOf('tampered with'))
      await eventually(() => expect(to.refusals.some(({ code }) => code === 'MALFORMED')).toBe(true))
      await eventually(() => expect([low.downs.length, high.downs.length]).toEqual([i + 1, i + 1]))
      expect(to.texts).toEqual([])
    }
    await eventually(() => expect(high.isConnectedTo(1)).toBe(true))
  })

  test('what was recorded is worth nothing on another connection', async () => {
    const [low, high] = [network.node(1, { secret }), network.node(2, { secret })]
    await low.start()
    await high.start()
    introduce(low, high)
    let recorded = Buffer.alloc(0)
    const address = await network.proxy({ host: LOCALHOST, port: low.port }, (chunk, direction) => {
      if (direction === 'up') recorded = Buffer.concat([recorded, chunk])
      return chunk
    })
    high.transport.addPeer({ id: low.id, address })
    await eventually(() => expect(low.isConnectedTo(2)).toBe(true))
    high.transport.send(low.id, bytesOf('pay'))
    await eventually(() => expect(low.texts).toEqual(['pay']))
    await high.transport.close()
    await eventually(() => expect(low.isConnectedTo(2)).toBe(false))
    const replay = await network.socket(low.port)
    replay.socket.write(recorded)
    await eventually(() => expect(replay.closed).toBe(true))
    expect(low.refusalCodes('self')).toContain('SECRET_WRONG')
    expect(low.texts).toEqual(['pay'])
    expect(low.ups).toHaveLength(1)
  })

  test('a proof is not accepted when it is sent back to its author', async () => {
    const low = network.node(1, { secret })
    await low.start()
    low.transport.addPeer({ id: nodeId(2), address: { host: LOCALHOST, port: 1 } })
    // An acceptor without the secret that repeats what it hears.
    const mirror = await network.server((socket) => socket.pipe(socket))
    const high = network.node(2, { secret })
    await high.start()
    high.transport.addPeer({ id: low.id, address: mirror })
    await eventually(() => expect(high.refusalCodes('self')).toContain('WRONG_NODE'))
    expect(high.ups).toEqual([])
  })
})

describe('TLS', () => {
  let authority: { readonly cert: string; readonly key: string }
  let good: TransportTls
  let elsewhere: TransportTls
  let stranger: TransportTls

  beforeAll(async () => {
    authority = await makeAuthority('cluster')
    good = await certificate(authority, { type: 7, ip: LOCALHOST })
    elsewhere = await certificate(authority, { type: 2, value: 'elsewhere.example' })
    const other = await makeAuthority('others')
    stranger = { ...(await certificate(other, { type: 7, ip: LOCALHOST })), ca: authority.cert }
  })

  test('nodes with certificates of the authority talk, with and without a secret, addresses checked', async () => {
    for (const secret of [{}, { secret: 'and a secret' }]) {
      const tls = { ...good, checkAddress: true }
      const [low, high] = await pair({ tls, ...secret }, { tls, ...secret })
      await eventually(() => expect(low.isConnectedTo(2)).toBe(true))
      const large = 'x'.repeat(300_000)
      low.transport.send(high.id, bytesOf(large))
      high.transport.send(low.id, bytesOf(large), 'normal')
      await eventually(() => expect([low.texts, high.texts]).toEqual([[large], [large]]))
      await low.transport.close()
      await high.transport.close()
    }
  })

  test('a secret that is wrong is refused under TLS as well', async () => {
    const nodes = await pair({ tls: good, secret: 'one' }, { tls: good, secret: 'other' })
    await expectRefusal(nodes, 'SECRET_WRONG')
  })

  test('a certificate of another authority is refused on both sides', async () => {
    const [low, high] = await pair({ tls: good }, { tls: stranger })
    await eventually(() => expect(low.refusalCodes('self')).toContain('TLS'))
    const [accepting, dialling] = await pair({ tls: stranger }, { tls: good })
    await eventually(() => expect(dialling.refusalCodes('self')).toContain('TLS'))
    expect([low, high, accepting, dialling].flatMap(({ ups }) => ups)).toEqual([])
  })

  test('a node without TLS gets nowhere with one that has it', async () => {
    const [low, high] = await pair({ tls: good }, {})
    await eventually(() => expect(low.refusalCodes('self')).toContain('TLS'))
    await eventually(() => expect(high.transport.status()[0]!.lastError).toBeDefined())
    expect([...low.ups, ...high.ups]).toEqual([])
  })

  test('a certificate for another address is refused where addresses are checked, and only there', async () => {
    await expectRefusal(
      await pair({ tls: { ...good, checkAddress: true } }, { tls: elsewhere }),
      'CERTIFICATE',
    )
    const [low, high] = await pair({ tls: elsewhere }, { tls: { ...good, checkAddress: true } })
    await eventually(() => expect(high.refusalCodes('self')).toContain('CERTIFICATE'))
    expect(low.ups).toEqual([])
    const [one, other] = await pair({ tls: elsewhere }, { tls: elsewhere })
    await eventually(() => expect(one.isConnectedTo(2)).toBe(true))
    expect(other.isConnectedTo(1)).toBe(true)
  })

  test('a socket that does not begin TLS is closed in time', async () => {
    const node = network.node(1, { tls: good, timings: { handshakeTimeoutMs: 40 } })
    await node.start()
    const idle = await network.socket(node.port)
    await eventually(() => expect(idle.closed).toBe(true))
  })

  test('administrators show a certificate too', async () => {
    const node = network.node(1, { tls: good })
    await node.start()
    const address = { host: LOCALHOST, port: node.port }
    const utility = await UtilityConnection.open({ address, tls: good, clusterId: CLUSTER })
    network.defer(() => utility.close())
    expect(await utility.request(bytesOf('x'), { timeoutMs: 10_000 })).toHaveLength(1)
    await expect(UtilityConnection.open({ address, tls: stranger })).rejects.toThrow()
  })
})

async function makeAuthority(name: string): Promise<{ cert: string; key: string }> {
  const made = await generate([{ name: 'commonName', value: name }], {
    keyType: 'ec',
    algorithm: 'sha256',
    extensions: [
      { name: 'basicConstraints', cA: true, critical: true },
      { name: 'keyUsage', keyCertSign: true, digitalSignature: true, critical: true },
    ],
  })
  return { cert: made.cert, key: made.private }
}

async function certificate(
  authority: { readonly cert: string; readonly key: string },
  name: { readonly type: 2; readonly value: string } | { readonly type: 7; readonly ip: string },
): Promise<TransportTls> {
  const made = await generate([{ name: 'commonName', value: 'node' }], {
    keyType: 'ec',
    algorithm: 'sha256',
    ca: authority,
    extensions: [{ name: 'subjectAltName', altNames: [name] }],
  })
  expect(new X509Certificate(made.cert).subjectAltName).toBeDefined()
  return { ca: authority.cert, cert: made.cert, key: made.private }
}
