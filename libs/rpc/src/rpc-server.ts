import type { IncomingMessage, Server } from 'node:http'
import { Socket } from 'node:net'
import { Connection, endWithin } from './connection.js'
import { FrameKind } from './frame.js'
import { helloHeaders, peerOf, type RpcIdentity, type RpcPeer, secretOf, UPGRADE_PATH } from './hello.js'
import { DEFAULT_LIMITS, type RpcLimits } from './limits.js'
import { commonVersion, mismatchText, OFFER, protocolName } from './protocol.js'
import { RequestAnswerer } from './request-answerer.js'

export interface RpcHandlers {
  /** Answers a request; what it throws goes back as an error. The payload may be kept. */
  request(method: number, payload: Uint8Array, peer: RpcPeer): Uint8Array | Promise<Uint8Array>
  /** Takes a message, which has no answer. What it throws closes the connection. */
  message(method: number, payload: Uint8Array, peer: RpcPeer): void
}

export interface RpcServerOptions {
  /** Asked at every hello: it may change when a node joins a cluster. */
  readonly identity: () => RpcIdentity
  readonly handlers: RpcHandlers
  /** What a peer is told of an error: plain JSON. */
  readonly encodeError: (error: unknown) => Readonly<Record<string, unknown>>
  /** A reason to refuse a peer whose cluster and secret are right, with a code that it may branch on. */
  readonly admit?: (peer: RpcPeer) => { readonly code: string; readonly message: string } | undefined
  readonly limits?: Partial<RpcLimits>
  /** A connection that ended badly. */
  readonly onError?: (error: Error, peer: RpcPeer) => void
}

/** The answer to a hello that opens no connection. */
interface Refusal {
  readonly status: number
  readonly code: string
  readonly message: string
}

/** A caller that was refused reads why, then closes; it is cut off after this long. */
const REFUSAL_GRACE_MS = 1000

/** Takes connections that begin as an HTTP Upgrade on a server that also serves plain HTTP. */
export class RpcServer {
  readonly #options: RpcServerOptions
  readonly #limits: RpcLimits
  readonly #connections = new Set<Connection>()
  readonly #sockets = new Set<Socket>()
  #closed = false

  constructor(options: RpcServerOptions) {
    this.#options = options
    this.#limits = { ...DEFAULT_LIMITS, ...options.limits }
  }

  get connectionCount(): number {
    return this.#connections.size
  }

  attach(server: Server): void {
    server.on('upgrade', (request, socket, head) => {
      // What a TCP server hands out is a TCP socket; the type allows for others.
      if (socket instanceof Socket) this.#upgrade(request, socket, head)
      else socket.destroy()
    })
  }

  /** Ends every connection; what was being answered is lost to its caller. */
  close(): Promise<void> {
    this.#closed = true
    for (const connection of [...this.#connections]) connection.end(new Error('the server closed'))
    for (const socket of this.#sockets) socket.destroy()
    return Promise.resolve()
  }

  #upgrade(request: IncomingMessage, socket: Socket, head: Buffer): void {
    socket.on('error', () => socket.destroy())
    const peer = peerOf(request.headers, socket.remoteAddress ?? '')
    const verdict = this.#judge(request, peer)
    if (typeof verdict === 'object') {
      const body = JSON.stringify({
        status: 'failure',
        code: verdict.code,
        message: verdict.message,
        component: this.#options.identity().role,
        outcome: 'no',
      })
      this.#track(socket)
      endWithin(socket, REFUSAL_GRACE_MS)
      socket.resume()
      socket.end(
        `HTTP/1.1 ${verdict.status} Refused\r\nUpgrade: ${OFFER}\r\nContent-Type: application/json\r\nContent-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`,
      )
      return
    }
    const headers = Object.entries(helloHeaders({ ...this.#publicIdentity() }))
      .map(([name, value]) => `${name}: ${value}\r\n`)
      .join('')
    socket.write(
      `HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: ${protocolName(verdict)}\r\n${headers}\r\n`,
    )
    socket.setNoDelay(true)
    socket.setTimeout(0)
    if (head.length > 0) socket.unshift(head)
    this.#serve(socket, peer, verdict)
  }

  #publicIdentity(): RpcIdentity {
    const { clusterId, nodeId, role } = this.#options.identity()
    return { clusterId, nodeId, role }
  }

  /** The version to speak on the connection, or why there is none. */
  #judge(request: IncomingMessage, peer: RpcPeer): number | Refusal {
    const own = this.#options.identity()
    if (this.#closed) return { status: 503, code: 'SHUTTING_DOWN', message: 'this process is stopping' }
    if (request.url !== UPGRADE_PATH)
      return {
        status: 404,
        code: 'ROUTE_NOT_FOUND',
        message: `upgrade at ${UPGRADE_PATH}, not at ${request.url ?? ''}`,
      }
    const version = commonVersion(request.headers.upgrade)
    if (version === undefined) {
      const speaks = request.headers.upgrade ?? ''
      return {
        status: 426,
        code: 'UNSUPPORTED_VERSION',
        message: mismatchText({ speaks, build: peer.build }),
      }
    }
    if (own.secret !== undefined && secretOf(request.headers) !== own.secret)
      return { status: 401, code: 'BROKER_REFUSED', message: 'the cluster secret is wrong' }
    const stranger = peer.clusterId !== own.clusterId && !(peer.role === 'admin' && peer.clusterId === '')
    if (stranger)
      return {
        status: 409,
        code: 'BROKER_REFUSED',
        message: `this process belongs to ${own.clusterId === '' ? 'no cluster yet' : `cluster ${own.clusterId}`}, the caller to ${peer.clusterId === '' ? 'none' : peer.clusterId}`,
      }
    const reason = this.#options.admit?.(peer)
    return reason === undefined ? version : { status: 403, ...reason }
  }

  /** Until it closes; whatever is open when the server closes is destroyed. */
  #track(socket: Socket): void {
    this.#sockets.add(socket)
    socket.once('close', () => this.#sockets.delete(socket))
  }

  #serve(socket: Socket, peer: RpcPeer, version: number): void {
    this.#track(socket)
    const answerer = new RequestAnswerer({
      handle: (request) => this.#options.handlers.request(request.method, request.payload, peer),
      encodeError: this.#options.encodeError,
      limits: this.#limits,
    })
    const connection = new Connection({
      socket,
      limits: this.#limits,
      version,
      onFrame: (frame) => {
        if (frame.kind === FrameKind.REQUEST) answerer.answer(connection, frame)
        else if (frame.kind === FrameKind.MESSAGE)
          this.#options.handlers.message(frame.method, frame.payload, peer)
      },
      onClose: (error) => {
        this.#connections.delete(connection)
        if (!this.#closed) this.#options.onError?.(error, peer)
      },
    })
    this.#connections.add(connection)
  }
}
