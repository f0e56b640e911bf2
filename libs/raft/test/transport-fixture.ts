import net from 'node:net'
import { SeededRandom } from '@sluice/foundation'
import type { NodeId } from '../src/core/types.js'
import type { PeerHello, PeerRole } from '../src/transport/hello.js'
import { type RefusalReport, TcpTransport, type TransportEvents } from '../src/transport/tcp-transport.js'
import type { TransportError } from '../src/transport/transport-error.js'
import type { PeerAddress, TcpTransportOptions } from '../src/transport/transport-options.js'

export const CLUSTER = new Uint8Array(16).fill(7)

export const LOCALHOST = '127.0.0.1'

/** Short enough for tests, long enough for a busy machine. */
export const QUICK = { retryMs: 10, retryMsMax: 80, bindRetryMs: 10, closeGraceMs: 300 }

export function nodeId(id: number): NodeId {
  return id as NodeId
}

export function uuidOf(id: number): Uint8Array {
  return new Uint8Array(16).fill(id)
}

export function helloOf(id: number, role: PeerRole = 'node', bootEpoch = 1): PeerHello {
  const address = role === 'node' ? `node-${id}:7000` : `${role}-${id}`
  return { id: nodeId(id), role, clusterId: CLUSTER, uuid: uuidOf(id), bootEpoch, address }
}

/** A transport, and all that it told. */
export class TestNode {
  readonly id: NodeId
  readonly transport: TcpTransport
  readonly ups: PeerHello[] = []
  readonly downs: { readonly peer: NodeId; readonly error: TransportError }[] = []
  readonly messages: { readonly peer: NodeId; readonly frame: Uint8Array }[] = []
  readonly refusals: RefusalReport[] = []
  /** What a message does besides being kept. */
  onMessage: (peer: NodeId, frame: Uint8Array) => void = () => undefined
  onRequest: TransportEvents['onRequest'] = (_from, payload) => payload

  constructor(id: number, options: Partial<TcpTransportOptions> = {}) {
    this.id = nodeId(id)
    const { identity = helloOf(id) } = options
    this.transport = new TcpTransport({
      ...(identity.role === 'node' ? { listen: { host: LOCALHOST, port: 0 } } : {}),
      random: new SeededRandom(id),
      ...options,
      identity,
      timings: { ...QUICK, ...options.timings },
    })
  }

  start(signal?: AbortSignal): Promise<void> {
    const events: TransportEvents = {
      onUp: (_peer, hello) => this.ups.push(hello),
      onDown: (peer, error) => this.downs.push({ peer, error }),
      onMessage: (peer, frame) => {
        this.messages.push({ peer, frame })
        this.onMessage(peer, frame)
      },
      onRequest: (from, payload) => this.onRequest(from, payload),
      onRefused: (report) => this.refusals.push(report),
    }
    return this.transport.start(events, signal)
  }

  get port(): number {
    return this.transport.address!.port
  }

  get texts(): string[] {
    return this.messages.map(({ frame }) => Buffer.from(frame).toString())
  }

  isConnectedTo(peer: number): boolean {
    return this.transport.status().some(({ id, connected }) => id === nodeId(peer) && connected)
  }

  refusalCodes(by: 'self' | 'peer'): string[] {
    return this.refusals.filter((report) => report.by === by).map(({ code }) => code)
  }
}

/** Whatever a test opens; `close` belongs into its `afterEach`. */
export class TestNetwork {
  readonly #closers: (() => unknown)[] = []

  node(id: number, options: Partial<TcpTransportOptions> = {}): TestNode {
    const node = new TestNode(id, options)
    this.defer(() => node.transport.close())
    return node
  }

  /** Started nodes that know each other. */
  async nodes(ids: readonly number[], options: Partial<TcpTransportOptions> = {}): Promise<TestNode[]> {
    const nodes = ids.map((id) => this.node(id, options))
    for (const node of nodes) await node.start()
    for (const node of nodes) for (const other of nodes) if (node !== other) introduce(node, other)
    return nodes
  }

  defer(close: () => unknown): void {
    this.#closers.push(close)
  }

  async close(): Promise<void> {
    for (const close of this.#closers.reverse()) await close()
    this.#closers.length = 0
  }

  /** A TCP proxy; `change` sees, and may change, what passes. */
  async proxy(
    to: PeerAddress,
    change: (chunk: Buffer, direction: 'up' | 'down', proxied: Proxied) => Buffer | undefined,
  ): Promise<PeerAddress> {
    const sockets = new Set<net.Socket>()
    const server = net.createServer((client) => {
      const upstream = net.connect({ ...to, noDelay: true })
      const proxied = { client, upstream }
      join(client, upstream, (chunk) => change(chunk, 'up', proxied))
      join(upstream, client, (chunk) => change(chunk, 'down', proxied))
      for (const socket of [client, upstream]) sockets.add(socket)
    })
    const port = await listenAnywhere(server)
    this.defer(() => {
      for (const socket of sockets) socket.destroy()
      return new Promise((resolve) => server.close(resolve))
    })
    return { host: LOCALHOST, port }
  }

  /** A server whose connections are kept as they come. */
  async server(onSocket: (socket: net.Socket) => void): Promise<PeerAddress> {
    const sockets = new Set<net.Socket>()
    const server = net.createServer((socket) => {
      sockets.add(socket)
      socket.on('error', () => undefined)
      onSocket(socket)
    })
    const port = await listenAnywhere(server)
    this.defer(() => {
      for (const socket of sockets) socket.destroy()
      return new Promise((resolve) => server.close(resolve))
    })
    return { host: LOCALHOST, port }
  }

  /** A plain socket to a node. */
  async socket(port: number): Promise<RawClient> {
    const socket = net.connect({ host: LOCALHOST, port, noDelay: true })
    this.defer(() => socket.destroy())
    const client = new RawClient(socket)
    await new Promise<void>((resolve, reject) => {
      socket.once('connect', () => resolve())
      socket.once('error', reject)
    })
    return client
  }
}

export interface Proxied {
  readonly client: net.Socket
  readonly upstream: net.Socket
}

/** A socket, all that came on it, and whether the other end has closed it. */
export class RawClient {
  readonly socket: net.Socket
  received = Buffer.alloc(0)
  closed = false

  constructor(socket: net.Socket) {
    this.socket = socket
    socket.on('error', () => undefined)
    socket.on('close', () => (this.closed = true))
    socket.on('data', (chunk: Buffer) => (this.received = Buffer.concat([this.received, chunk])))
  }
}

export function introduce(node: TestNode, other: TestNode): void {
  node.transport.addPeer({ id: other.id, address: { host: LOCALHOST, port: other.port } })
}

export function bytesOf(text: string): Uint8Array {
  return new TextEncoder().encode(text)
}

/** What a promise rejects with, however long it takes; a value is an error of the test. */
export function failureOf(promise: Promise<unknown>): Promise<unknown> {
  return promise.then(
    () => new Error('it did not fail'),
    (error: unknown) => error,
  )
}

/** A port on which nothing listens, for the moment. */
export async function freePort(): Promise<number> {
  const server = net.createServer()
  const port = await listenAnywhere(server)
  await new Promise((resolve) => server.close(resolve))
  return port
}

function join(from: net.Socket, to: net.Socket, change: (chunk: Buffer) => Buffer | undefined): void {
  from.on('data', (chunk: Buffer) => {
    const changed = change(chunk)
    if (changed !== undefined && !to.destroyed) to.write(changed)
  })
  from.on('error', () => undefined)
  from.on('close', () => to.destroy())
}

function listenAnywhere(server: net.Server): Promise<number> {
  return new Promise((resolve) =>
    server.listen(0, LOCALHOST, () => resolve((server.address() as net.AddressInfo).port)),
  )
}
