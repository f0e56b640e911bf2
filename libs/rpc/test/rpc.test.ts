import http from 'node:http'
import net from 'node:net'
import { afterEach, describe, expect, test } from '@jest/globals'
import { BUILD_VERSION, SeededRandom } from '@sluice/foundation'
import { eventually } from '@sluice/foundation/testing'
import {
  type RpcError,
  type RpcHandlers,
  type RpcIdentity,
  RpcLink,
  type RpcLinkOptions,
  type RpcLimits,
  RpcServer,
  type RpcServerOptions,
} from '@sluice/rpc'
import { OFFER, PROTOCOL_VERSIONS } from '../src/protocol.js'

const opened: (() => unknown)[] = []

afterEach(async () => {
  for (const close of opened.splice(0).reverse()) await close()
})

const BROKER: RpcIdentity = { clusterId: 'c1', nodeId: 'broker-1', role: 'broker' }
const MANAGER: RpcIdentity = { clusterId: 'c1', nodeId: 'manager-1', role: 'manager' }

interface Served {
  readonly port: number
  readonly rpc: RpcServer
  stop(): Promise<void>
}

async function serve(
  handlers: Partial<RpcHandlers>,
  options: {
    port?: number
    identity?: RpcIdentity
    limits?: Partial<RpcLimits>
    admit?: RpcServerOptions['admit']
    onError?: (error: Error) => void
  } = {},
): Promise<Served> {
  const server = http.createServer((_, response) => response.end('plain'))
  const rpc = new RpcServer({
    identity: () => options.identity ?? BROKER,
    handlers: {
      request: handlers.request ?? ((_, payload) => payload),
      message: handlers.message ?? (() => undefined),
    },
    encodeError: (error) => ({ code: 'TEST', message: (error as Error).message, outcome: 'no' }),
    ...(options.limits === undefined ? {} : { limits: options.limits }),
    ...(options.admit === undefined ? {} : { admit: options.admit }),
    ...(options.onError === undefined ? {} : { onError: options.onError }),
  })
  rpc.attach(server)
  await new Promise<void>((resolve) => server.listen(options.port ?? 0, '127.0.0.1', resolve))
  const stop = async (): Promise<void> => {
    await rpc.close()
    server.closeAllConnections()
    await new Promise((resolve) => server.close(resolve))
  }
  opened.push(stop)
  return { port: (server.address() as net.AddressInfo).port, rpc, stop }
}

function link(port: number, options: Partial<RpcLinkOptions> = {}): RpcLink {
  const made = new RpcLink({
    host: '127.0.0.1',
    port,
    identity: MANAGER,
    random: new SeededRandom(1),
    ...options,
  })
  opened.push(() => made.close())
  return made
}

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)
const text = (payload: Uint8Array): string => new TextDecoder().decode(payload)
const TIME = { timeoutMs: 5000 }

/** What a call is going to fail with; handled from now on. */
function rejectionOf(call: Promise<unknown>): Promise<unknown> {
  return call.then(
    () => 'it did not fail',
    (error: unknown) => error,
  )
}

async function closedPort(): Promise<number> {
  const server = net.createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as net.AddressInfo
  await new Promise((resolve) => server.close(resolve))
  return port
}

describe('calls', () => {
  test('many at once are answered each with its own answer, in whatever order', async () => {
    const { port } = await serve({
      request: async (method, payload) => {
        if (method % 3 === 0) await new Promise((resolve) => setImmediate(resolve))
        return bytes(`${method}:${text(payload)}`)
      },
    })
    const client = link(port)
    const answers = await Promise.all(
      Array.from({ length: 2000 }, (_, i) => client.request(i % 100, bytes(`p${i}`), TIME)),
    )
    expect(answers.map(text)).toEqual(Array.from({ length: 2000 }, (_, i) => `${i % 100}:p${i}`))
  })

  test('large and empty payloads arrive whole', async () => {
    const { port } = await serve({})
    const client = link(port)
    const large = new Uint8Array(5_000_000).map((_, i) => i * 7)
    expect(Buffer.compare(await client.request(1, large, TIME), large)).toBe(0)
    expect(await client.request(1, new Uint8Array(0), TIME)).toHaveLength(0)
  })

  test('an error of the peer comes with what it said', async () => {
    const { port } = await serve({
      request: () => {
        throw new Error('no such thing')
      },
    })
    await expect(link(port).request(1, bytes(''), TIME)).rejects.toMatchObject({
      code: 'REMOTE',
      outcome: 'no',
      remote: { code: 'TEST', message: 'no such thing' },
    })
  })

  test('messages arrive in order and have no answer', async () => {
    const got: string[] = []
    const { port } = await serve({ message: (method, payload) => got.push(`${method}${text(payload)}`) })
    const client = link(port)
    await client.request(1, bytes(''), TIME)
    for (let i = 0; i < 5; i++) expect(client.send(30, bytes(String(i)))).toBe(true)
    await eventually(() => expect(got).toEqual(['300', '301', '302', '303', '304']))
  })

  test('the same port serves plain HTTP', async () => {
    const { port } = await serve({})
    const body = await new Promise<string>((resolve, reject) => {
      http
        .get({ port, host: '127.0.0.1', path: '/health', agent: false }, (response) => {
          response.setEncoding('utf8').on('data', resolve)
        })
        .on('error', reject)
    })
    expect(body).toBe('plain')
  })
})

describe('what can go wrong', () => {
  test('nothing listens: CONNECT_FAILED, certainly not done', async () => {
    await expect(link(await closedPort()).request(1, bytes(''), TIME)).rejects.toMatchObject({
      code: 'CONNECT_FAILED',
      outcome: 'no',
    })
  })

  test('no answer in time: TIMEOUT, and the late answer is dropped', async () => {
    let answerLate: ((payload: Uint8Array) => void) | undefined
    const { port } = await serve({
      request: (method, payload) =>
        method === 1 ? new Promise((resolve) => (answerLate = resolve)) : payload,
    })
    const client = link(port)
    await expect(client.request(1, bytes(''), { timeoutMs: 60 })).rejects.toMatchObject({
      code: 'TIMEOUT',
      outcome: 'unknown',
    })
    answerLate!(bytes('late'))
    expect(text(await client.request(2, bytes('next'), TIME))).toBe('next')
  })

  test('the server ends while a call is under way: CONNECTION_LOST, unknown; then the link comes back by itself', async () => {
    const first = await serve({ request: () => new Promise(() => undefined) })
    const downs: Error[] = []
    const client = link(first.port, { onDown: (error) => downs.push(error) })
    const call = client.request(1, bytes(''), TIME)
    const failure = rejectionOf(call)
    await eventually(() => expect(first.rpc.connectionCount).toBe(1))
    await first.stop()
    expect(await failure).toMatchObject({ code: 'CONNECTION_LOST', outcome: 'unknown' })
    expect(downs).toHaveLength(1)
    await serve({}, { port: first.port })
    await eventually(async () => expect(text(await client.request(1, bytes('back'), TIME))).toBe('back'))
  })

  test('an aborted call rejects with the reason', async () => {
    const { port } = await serve({ request: () => new Promise(() => undefined) })
    const abort = new AbortController()
    const call = link(port).request(1, bytes(''), { ...TIME, signal: abort.signal })
    const failure = rejectionOf(call)
    await new Promise((resolve) => setImmediate(resolve))
    abort.abort(new Error('changed my mind'))
    expect(await failure).toMatchObject({ message: 'changed my mind' })
  })

  test('closing refuses what waits and what comes', async () => {
    const { port } = await serve({ request: () => new Promise(() => undefined) })
    const client = link(port)
    const call = client.request(1, bytes(''), TIME)
    const failure = rejectionOf(call)
    await eventually(() => expect(client.connected).toBe(true))
    await client.close()
    expect(await failure).toMatchObject({ code: 'CLOSED' })
    await expect(client.request(1, bytes(''), TIME)).rejects.toMatchObject({ code: 'CLOSED' })
  })

  test('more calls in flight than allowed: OVERLOADED, certainly not done', async () => {
    const { port } = await serve({ request: () => new Promise(() => undefined) })
    const client = link(port, { limits: { inFlightMax: 2 } })
    const waiting = [client.request(1, bytes(''), TIME), client.request(1, bytes(''), TIME)]
    const closed = Promise.allSettled(waiting)
    await eventually(() => expect(client.connected).toBe(true))
    await expect(client.request(1, bytes(''), TIME)).rejects.toMatchObject({
      code: 'OVERLOADED',
      outcome: 'no',
    })
    await client.close()
    await closed
  })

  test('more bytes than the write buffer takes: refused, and a message is dropped', async () => {
    const { port } = await serve({})
    const client = link(port, { limits: { writeBufferBytesMax: 1000 } })
    await client.request(1, bytes(''), TIME)
    expect(client.send(1, new Uint8Array(2000))).toBe(false)
    await expect(client.request(1, new Uint8Array(2000), TIME)).rejects.toMatchObject({
      code: 'OVERLOADED',
      outcome: 'no',
    })
  })

  test('a frame over the bound closes the connection instead of filling memory', async () => {
    const { port } = await serve({}, { limits: { frameBytesMax: 1000 } })
    await expect(link(port).request(1, new Uint8Array(2000), TIME)).rejects.toMatchObject({
      code: 'CONNECTION_LOST',
    })
  })

  test('a peer that says nothing is given up', async () => {
    const silent = net.createServer((socket) => {
      socket.on('error', () => undefined)
      socket.once('data', () => {
        socket.write(
          'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: sluice-rpc/1\r\nx-sluice-cluster: c1\r\nx-sluice-node: broker-1\r\n\r\n',
        )
      })
    })
    await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve))
    opened.push(() => new Promise((resolve) => silent.close(resolve)))
    const client = link((silent.address() as net.AddressInfo).port, { limits: { pingMs: 20, silentMs: 80 } })
    await expect(client.request(1, bytes(''), TIME)).rejects.toThrow('nothing was heard')
    await client.close()
  })
})

/** Takes connections, answers the upgrade with `answer` (nothing: never), and says no more. */
async function mute(answer?: string): Promise<{ readonly port: number; readonly sockets: Set<net.Socket> }> {
  const sockets = new Set<net.Socket>()
  const server = net.createServer({ allowHalfOpen: true }, (socket) => {
    sockets.add(socket)
    socket.on('error', () => undefined)
    socket.on('close', () => sockets.delete(socket))
    socket.once('data', () => {
      if (answer !== undefined) socket.write(answer)
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  opened.push(() => {
    for (const socket of sockets) socket.destroy()
    return new Promise((resolve) => server.close(resolve))
  })
  return { port: (server.address() as net.AddressInfo).port, sockets }
}

function upgraded(protocol: string): string {
  return `HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: ${protocol}\r\nx-sluice-cluster: c1\r\nx-sluice-node: broker-1\r\n\r\n`
}

describe('while there is no connection', () => {
  test('a call waits no longer than its own time, and is certainly not done', async () => {
    const { port } = await mute()
    const client = link(port, { limits: { connectTimeoutMs: 60_000 } })
    await expect(client.request(1, bytes(''), { timeoutMs: 30 })).rejects.toMatchObject({
      code: 'CONNECT_FAILED',
      outcome: 'no',
    })
  })

  test('a call can be aborted', async () => {
    const { port } = await mute()
    const abort = new AbortController()
    const client = link(port, { limits: { connectTimeoutMs: 60_000 } })
    const failure = rejectionOf(client.request(1, bytes(''), { timeoutMs: 60_000, signal: abort.signal }))
    abort.abort(new Error('changed my mind'))
    expect(await failure).toMatchObject({ message: 'changed my mind' })
  })

  test('no more calls wait than may be in flight, nor more bytes than may wait', async () => {
    const { port } = await mute()
    const few = link(port, { limits: { inFlightMax: 1 } })
    const small = link(port, { limits: { writeBufferBytesMax: 1000 } })
    const waiting = [
      rejectionOf(few.request(1, bytes(''), TIME)),
      rejectionOf(small.request(1, bytes(''), TIME)),
    ]
    for (const call of [few.request(1, bytes(''), TIME), small.request(1, new Uint8Array(990), TIME)])
      await expect(call).rejects.toMatchObject({ code: 'OVERLOADED', outcome: 'no' })
    await Promise.all([few.close(), small.close()])
    for (const failure of await Promise.all(waiting))
      expect(failure).toMatchObject({ code: 'CLOSED', outcome: 'no' })
  })

  test('calls leave in the order they were made once it is up, without those given up', async () => {
    const got: string[] = []
    const { port } = await serve({
      request: (_, payload) => {
        got.push(text(payload))
        return payload
      },
    })
    const client = link(port)
    const abort = new AbortController()
    const first = client.request(1, bytes('a'), TIME)
    const second = rejectionOf(client.request(1, bytes('b'), { ...TIME, signal: abort.signal }))
    const third = client.request(1, bytes('c'), TIME)
    abort.abort(new Error('not this one'))
    await Promise.all([first, second, third])
    expect(got).toEqual(['a', 'c'])
  })
})

describe('one call does not harm the others', () => {
  const LIMITS = { frameBytesMax: 1000 }

  test('a request over the frame bound is refused before it is sent, a message is dropped', async () => {
    const { port } = await serve({}, { limits: LIMITS })
    const client = link(port, { limits: LIMITS })
    expect(await client.request(1, new Uint8Array(992), TIME)).toHaveLength(992)
    await expect(client.request(1, new Uint8Array(993), TIME)).rejects.toMatchObject({
      code: 'PROTOCOL',
      outcome: 'no',
    })
    expect(client.send(1, new Uint8Array(993))).toBe(false)
    expect(client.connected).toBe(true)
  })

  test('an answer over the frame bound becomes an error; the connection stays', async () => {
    const { port } = await serve({ request: (method) => new Uint8Array(method) }, { limits: LIMITS })
    const client = link(port, { limits: LIMITS })
    expect(await client.request(992, bytes(''), TIME)).toHaveLength(992)
    await expect(client.request(993, bytes(''), TIME)).rejects.toMatchObject({
      code: 'REMOTE',
      remote: { message: 'an answer of 993 bytes is over the limit of 992' },
    })
    expect(client.connected).toBe(true)
  })

  test('a caller that asks too much at once is refused by the server, certainly not done', async () => {
    let answer: (payload: Uint8Array) => void = () => undefined
    const { port } = await serve(
      { request: () => new Promise((resolve) => (answer = resolve)) },
      { limits: { inFlightMax: 1 } },
    )
    const client = link(port)
    const first = client.request(1, bytes(''), TIME)
    await expect(client.request(1, bytes(''), TIME)).rejects.toMatchObject({
      code: 'REMOTE',
      outcome: 'no',
      remote: { code: 'OVERLOADED' },
    })
    answer(bytes('done'))
    expect(text(await first)).toBe('done')
    let freed = ''
    const next = client.request(1, bytes(''), TIME).then((payload) => (freed = text(payload)))
    await eventually(() => {
      answer(bytes('again'))
      expect(freed).toBe('again')
    })
    await next
  })
})

describe('what hangs keeps nothing open', () => {
  test('a link that closes cuts off a peer that does not end its side', async () => {
    const { port, sockets } = await mute(upgraded('sluice-rpc/1'))
    const client = link(port)
    await eventually(() => expect(client.connected).toBe(true))
    await client.close()
    await eventually(() => {
      // Writing is how a peer that only hangs learns that its connection is gone.
      for (const socket of sockets) socket.write('x')
      expect(sockets.size).toBe(0)
    })
  })

  test('a caller that is refused and stays does not keep the server from closing', async () => {
    const served = await serve({})
    const socket = net.connect({ port: served.port, host: '127.0.0.1', allowHalfOpen: true })
    opened.push(() => socket.destroy())
    socket.on('error', () => undefined)
    const answered = new Promise<string>((resolve) =>
      socket.once('data', (chunk: Buffer) => resolve(chunk.toString())),
    )
    socket.write('GET /other HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: sluice-rpc/1\r\n\r\n')
    expect(await answered).toMatch(/^HTTP\/1\.1 404 /)
    await served.stop()
  })

  test('a process that stood still does not take its peers for dead', async () => {
    const { port } = await serve({})
    const downs: Error[] = []
    const client = link(port, { limits: { pingMs: 50, silentMs: 400 }, onDown: (error) => downs.push(error) })
    await client.request(1, bytes(''), TIME)
    const until = performance.now() + 600
    while (performance.now() < until);
    expect(text(await client.request(1, bytes('here'), TIME))).toBe('here')
    expect(downs).toEqual([])
  })
})

test('an unknown kind of frame closes the connection with PROTOCOL', async () => {
  const errors: Error[] = []
  const { port } = await serve({}, { onError: (error) => errors.push(error) })
  const socket = net.connect(port, '127.0.0.1')
  opened.push(() => socket.destroy())
  socket.on('error', () => undefined)
  const closed = new Promise((resolve) => socket.once('close', resolve))
  socket.once('data', () => socket.write(Buffer.from('0800000063000000' + '00000000', 'hex')))
  socket.write(
    'GET /rpc HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: sluice-rpc/1\r\nx-sluice-cluster: c1\r\nx-sluice-node: m\r\nx-sluice-role: manager\r\n\r\n',
  )
  await closed
  expect(errors).toMatchObject([{ code: 'PROTOCOL' }])
})

/** What a server answers to the hello of another version. */
function hello(port: number, upgrade: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = net.connect(port, '127.0.0.1')
    socket.on('error', reject)
    let answer = ''
    socket.on('data', (chunk) => {
      answer += chunk.toString('latin1')
      const isWhole = answer.startsWith('HTTP/1.1 101') ? answer.includes('\r\n\r\n') : answer.endsWith('}')
      if (!isWhole) return
      socket.destroy()
      resolve(answer)
    })
    socket.write(
      `GET /rpc HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: ${upgrade}\r\nx-sluice-cluster: c1\r\nx-sluice-node: m\r\nx-sluice-role: manager\r\nx-sluice-version: 7.0.0\r\n\r\n`,
    )
  })
}

describe('who may connect', () => {
  test('a peer that answers in a version that was not offered is refused by the caller, both versions named', async () => {
    const { port } = await mute(upgraded('sluice-rpc/9'))
    const told: RpcError[] = []
    const client = link(port, { onUnsupported: (error) => told.push(error) })
    await expect(client.request(1, bytes(''), TIME)).rejects.toMatchObject({
      code: 'UNSUPPORTED_VERSION',
      outcome: 'no',
      message: expect.stringMatching(
        new RegExp(
          `version ${BUILD_VERSION} speaks ${OFFER}, .* another version, speaks sluice-rpc/9: upgrade`,
        ),
      ),
    })
    await expect(client.request(1, bytes(''), TIME)).rejects.toMatchObject({ code: 'UNSUPPORTED_VERSION' })
    expect(told).toHaveLength(1)
  })

  test('a caller without a version in common is refused before anything is said, both versions named', async () => {
    const { port } = await serve({}, {})
    const answer = await hello(port, 'sluice-rpc/9, sluice-rpc/8')
    expect(answer).toMatch(/^HTTP\/1.1 426 /)
    expect(answer).toContain(`Upgrade: ${OFFER}\r\n`)
    const body = JSON.parse(answer.slice(answer.indexOf('{'))) as { message: string }
    expect(body).toMatchObject({ code: 'UNSUPPORTED_VERSION', component: 'broker', outcome: 'no' })
    expect(body.message).toContain(`version ${BUILD_VERSION} speaks ${OFFER}`)
    expect(body.message).toContain('version 7.0.0, speaks sluice-rpc/9, sluice-rpc/8: upgrade the older one')
  })

  test.each(PROTOCOL_VERSIONS.map((version) => [version]))(
    'a caller of the future, or of version %i only, gets the newest version that both speak',
    async (version) => {
      const { port } = await serve({}, {})
      expect(await hello(port, `sluice-rpc/${version}`)).toContain(`Upgrade: sluice-rpc/${version}\r\n`)
      const offer = `sluice-rpc/99,${PROTOCOL_VERSIONS.map((known) => `sluice-rpc/${known}`)
        .reverse()
        .join(',')}`
      expect(await hello(port, offer)).toContain(`Upgrade: sluice-rpc/${PROTOCOL_VERSIONS[0]}\r\n`)
    },
  )

  test.each([
    { name: 'another cluster', client: { ...MANAGER, clusterId: 'c2' }, message: 'belongs to cluster c1' },
    {
      name: 'no cluster, without being an administrator',
      client: { ...MANAGER, clusterId: '' },
      message: 'cluster c1',
    },
    {
      name: 'a wrong secret',
      client: { ...MANAGER, secret: 'wrong' },
      server: { ...BROKER, secret: 'right' },
      message: 'secret',
    },
  ])('$name is refused, certainly not done, with a reason', async ({ client, server, message }) => {
    const { port } = await serve({}, { identity: server ?? BROKER })
    const call = link(port, { identity: client }).request(1, bytes(''), TIME)
    await expect(call).rejects.toMatchObject({ code: 'REFUSED', outcome: 'no' })
    await expect(call).rejects.toThrow(message)
  })

  test('an administrator without a cluster, and the right secret, are let in', async () => {
    const { port } = await serve({}, { identity: { ...BROKER, secret: 's' } })
    const admin: RpcIdentity = { clusterId: '', nodeId: 'admin', role: 'admin', secret: 's' }
    expect(text(await link(port, { identity: admin }).request(1, bytes('in'), TIME))).toBe('in')
  })

  test('another node than expected is refused by the caller', async () => {
    const { port } = await serve({})
    await expect(link(port, { expectNode: 'broker-2' }).request(1, bytes(''), TIME)).rejects.toThrow(
      'broker-1 answers there, not broker-2',
    )
  })

  test('whom the server does not admit hears why', async () => {
    const { port } = await serve({}, { admit: () => ({ code: 'BROKER_FENCED', message: 'not today' }) })
    const refusals: unknown[] = []
    const caller = link(port, { onRefused: (refusal) => refusals.push(refusal) })
    await expect(caller.request(1, bytes(''), TIME)).rejects.toThrow('not today')
    expect(refusals[0]).toEqual({ code: 'BROKER_FENCED', message: 'not today' })
  })
})
