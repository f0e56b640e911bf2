import type { IncomingMessage } from 'node:http'
import { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { FrameError, FrameReader } from './frame-stream.js'
import { PEER_PATH, PEER_PROTOCOL, type PeerIdentity } from './peer-link.js'

/** Takes the peers' connections: each brings one peer's frames to this node. */
export class PeerDoor {
  readonly #self: PeerIdentity
  readonly #nodeCount: number
  readonly #onFrame: (from: number, frame: Uint8Array) => void
  readonly #sockets = new Set<Duplex>()
  /** The run of each peer that was met first: one that starts again has forgotten what it promised. */
  readonly #boots = new Map<number, string>()
  #isOpen = true

  constructor(parts: {
    readonly self: PeerIdentity
    readonly nodeCount: number
    readonly onFrame: (from: number, frame: Uint8Array) => void
  }) {
    this.#self = parts.self
    this.#nodeCount = parts.nodeCount
    this.#onFrame = parts.onFrame
  }

  open(): void {
    this.#isOpen = true
  }

  /** Ends all connections without a word; new ones end at once. */
  close(): void {
    this.#isOpen = false
    for (const socket of this.#sockets) socket.destroy()
    this.#sockets.clear()
  }

  /** An upgrade request of the HTTP server. */
  accept(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    socket.on('error', () => undefined)
    if (!this.#isOpen) {
      socket.destroy()
      return
    }
    const from = Number(request.headers['x-log-node'])
    const refusal = this.#refusal(request, from)
    if (refusal !== undefined) {
      socket.end(
        `HTTP/1.1 403 Forbidden\r\nx-log-refused: ${refusal}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n`,
      )
      return
    }
    socket.write(
      `HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: ${PEER_PROTOCOL}\r\n\r\n`,
    )
    if (socket instanceof Socket) socket.setNoDelay(true)
    this.#sockets.add(socket)
    socket.on('close', () => this.#sockets.delete(socket))
    const reader = new FrameReader()
    const take = (chunk: Buffer): void => {
      try {
        for (const frame of reader.push(chunk)) this.#onFrame(from, frame)
      } catch (error) {
        if (!(error instanceof FrameError)) throw error
        socket.destroy()
      }
    }
    if (head.length > 0) take(head)
    socket.on('data', take)
  }

  #refusal(request: IncomingMessage, from: number): string | undefined {
    const { headers, url } = request
    const boot = String(headers['x-log-boot'])
    if (url !== PEER_PATH || headers.upgrade !== PEER_PROTOCOL) return `only ${PEER_PROTOCOL} is spoken here`
    if (headers['x-log-group'] !== this.#self.group) return 'another output id or another list of nodes'
    if (!Number.isInteger(from) || from < 1 || from > this.#nodeCount || from === this.#self.nodeId)
      return 'no node of this log'
    const known = this.#boots.get(from)
    if (known !== undefined && known !== boot)
      return `node ${from} was started again and has forgotten its log; start all nodes anew`
    this.#boots.set(from, boot)
    return undefined
  }
}
