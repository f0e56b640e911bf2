import { request, type ClientRequest } from 'node:http'
import type { Socket } from 'node:net'
import type { Random } from '@sluice/foundation'
import type { Address } from './arguments.js'
import { framed } from './frame-stream.js'

export const PEER_PROTOCOL = 'sluice-log/1'
export const PEER_PATH = '/peers'

/** Who a node is, as it says when it connects. */
export interface PeerIdentity {
  readonly nodeId: number
  /** New with every start of the process. Hexadecimal. */
  readonly boot: string
  /** Tells one log's nodes from another's. Hexadecimal. */
  readonly group: string
}

function peerHeaders({ nodeId, boot, group }: PeerIdentity): Record<string, string> {
  return { 'x-log-node': String(nodeId), 'x-log-boot': boot, 'x-log-group': group }
}

const RETRY_MS_MIN = 20
const RETRY_MS_MAX = 100
const CONNECT_MS_MAX = 1000
/** What waits for a slow peer; beyond it frames are dropped, which Raft mends. Bytes. */
const WAITING_BYTES_MAX = 64 * 1024 * 1024

/** The connection over which this node speaks to one peer: an HTTP upgrade on the address for clients. */
export class PeerLink {
  readonly #address: Address
  readonly #identity: PeerIdentity
  readonly #random: Random
  readonly #onDown: () => void
  readonly #onRefused: (reason: string) => void
  #request: ClientRequest | undefined
  #socket: Socket | undefined
  #retry: NodeJS.Timeout | undefined
  #isOpen = false

  constructor(parts: {
    readonly address: Address
    readonly identity: PeerIdentity
    readonly random: Random
    readonly onDown: () => void
    /** The peer will never talk to this process. */
    readonly onRefused: (reason: string) => void
  }) {
    this.#address = parts.address
    this.#identity = parts.identity
    this.#random = parts.random
    this.#onDown = parts.onDown
    this.#onRefused = parts.onRefused
  }

  /** Connects, and again whenever the connection is lost. */
  open(): void {
    if (this.#isOpen) return
    this.#isOpen = true
    this.#connect()
  }

  close(): void {
    this.#isOpen = false
    clearTimeout(this.#retry)
    this.#request?.destroy()
    this.#socket?.destroy()
    this.#request = undefined
    this.#socket = undefined
  }

  /** What cannot leave now is dropped. */
  send(frame: Uint8Array): void {
    if (this.#socket !== undefined && this.#socket.writableLength < WAITING_BYTES_MAX)
      this.#socket.write(framed(frame))
  }

  #connect(): void {
    const { host, port } = this.#address
    const upgrade = request({
      host,
      port,
      path: PEER_PATH,
      agent: false,
      timeout: CONNECT_MS_MAX,
      headers: { connection: 'upgrade', upgrade: PEER_PROTOCOL, ...peerHeaders(this.#identity) },
    })
    this.#request = upgrade
    upgrade.on('upgrade', (_response, socket) => this.#connected(socket))
    upgrade.on('response', (response) => {
      const reason = String(response.headers['x-log-refused'] ?? `status ${response.statusCode ?? 0}`)
      response.resume()
      upgrade.destroy()
      if (response.statusCode === 403) this.#onRefused(reason)
      this.#tryAgain(upgrade)
    })
    upgrade.on('timeout', () => upgrade.destroy())
    upgrade.on('error', () => undefined)
    upgrade.on('close', () => this.#tryAgain(upgrade))
    upgrade.end()
  }

  #connected(socket: Socket): void {
    socket.setNoDelay(true)
    socket.setTimeout(0)
    socket.on('error', () => undefined)
    socket.resume()
    this.#socket = socket
    socket.on('close', () => {
      if (this.#socket !== socket) return
      this.#socket = undefined
      this.#onDown()
      if (this.#request !== undefined) this.#tryAgain(this.#request)
    })
  }

  #tryAgain(failed: ClientRequest): void {
    if (!this.#isOpen || this.#request !== failed || this.#socket !== undefined) return
    this.#request = undefined
    const waitMs = RETRY_MS_MIN + this.#random.below(RETRY_MS_MAX - RETRY_MS_MIN)
    this.#retry = setTimeout(() => this.#connect(), waitMs)
  }
}
