import http from 'node:http'
import type { Socket } from 'node:net'
import { type Random, toError } from '@sluice/foundation'
import { Connection } from './connection.js'
import { type Frame, FrameKind, frameSizeBytes, payloadBytesMax } from './frame.js'
import { helloHeaders, peerOf, type RpcIdentity, type RpcPeer, UPGRADE_PATH } from './hello.js'
import { DEFAULT_LIMITS, type RpcLimits } from './limits.js'
import { PendingRequests } from './pending-requests.js'
import { commonVersion, mismatchText, OFFER } from './protocol.js'
import { RpcError } from './rpc-error.js'

export interface RpcLinkOptions {
  readonly host: string
  readonly port: number
  readonly identity: RpcIdentity
  readonly random: Random
  /** The node that must answer at this address. */
  readonly expectNode?: string
  readonly onUp?: (peer: RpcPeer) => void
  /** A connection that was up broke. */
  readonly onDown?: (error: Error) => void
  /** The peer speaks no version of the protocol that this side does; told once until that changes. */
  readonly onUnsupported?: (error: RpcError) => void
  /** What answers there does not take this node, and says why. It is tried again all the same. */
  readonly onRefused?: (refusal: { readonly code: string; readonly message: string }) => void
  readonly limits?: Partial<RpcLimits>
}

type LinkFailure = 'CONNECT_FAILED' | 'REFUSED' | 'UNSUPPORTED_VERSION' | 'CONNECTION_LOST'

interface Refusal {
  readonly code: 'REFUSED' | 'UNSUPPORTED_VERSION'
  readonly message: string
}

const RECONNECT_MS_MIN = 50
const RECONNECT_MS_MAX = 1000
const REFUSAL_BYTES_MAX = 4096

/** The connection to one address; comes back by itself until it is closed. */
export class RpcLink {
  readonly #options: RpcLinkOptions
  readonly #limits: RpcLimits
  readonly #pending = new PendingRequests()
  #connection: Connection | undefined
  /** Requests that wait for the attempt under way, in the order they were made. */
  #unsent: Frame[] = []
  #unsentBytes = 0
  #backOffMs = RECONNECT_MS_MIN
  #reconnect: NodeJS.Timeout | undefined
  /** The attempt under way to connect. */
  #attempt: http.ClientRequest | undefined
  #isUnsupported = false
  #closed = false

  constructor(options: RpcLinkOptions) {
    this.#options = options
    this.#limits = { ...DEFAULT_LIMITS, ...options.limits }
    this.#connect()
  }

  get connected(): boolean {
    return this.#connection !== undefined
  }

  /**
   * Sends a request and awaits its answer. Without a connection it waits for the attempt under way,
   * or makes one at once; that wait counts towards `timeoutMs`.
   * @throws RpcError, or the signal's reason
   */
  async request(
    method: number,
    payload: Uint8Array,
    options: { readonly timeoutMs: number; readonly signal?: AbortSignal },
  ): Promise<Uint8Array> {
    const { signal, timeoutMs } = options
    if (this.#closed) throw closedError('no')
    if (signal?.aborted) throw toError(signal.reason)
    const refusal = this.#refusal(payload)
    if (refusal !== undefined) throw refusal
    const { id, answer } = this.#pending.add(timeoutMs, { sent: this.#connection !== undefined })
    this.#dispatch({ kind: FrameKind.REQUEST, method, id, payload })
    if (signal === undefined) return answer
    const onAbort = (): void => this.#pending.reject(id, toError(signal.reason))
    signal.addEventListener('abort', onAbort, { once: true })
    try {
      return await answer
    } finally {
      signal.removeEventListener('abort', onAbort)
    }
  }

  /** Sends a message without an answer. False: not connected, too large, or too much waits; it was dropped. */
  send(method: number, payload: Uint8Array): boolean {
    if (payload.length > payloadBytesMax(this.#limits.frameBytesMax)) return false
    return this.#connection?.send({ kind: FrameKind.MESSAGE, method, id: 0, payload }) ?? false
  }

  close(): Promise<void> {
    if (this.#closed) return Promise.resolve()
    this.#closed = true
    clearTimeout(this.#reconnect)
    const attempt = this.#attempt
    this.#attempt = undefined
    attempt?.destroy()
    this.#takeUnsent()
    this.#pending.rejectAll(closedError)
    this.#connection?.end(closedError('unknown'))
    return Promise.resolve()
  }

  /** Why a request is not even begun. */
  #refusal(payload: Uint8Array): RpcError | undefined {
    const payloadMax = payloadBytesMax(this.#limits.frameBytesMax)
    // The peer would close the connection over it, and with that fail everyone else's requests.
    if (payload.length > payloadMax)
      return new RpcError(
        'PROTOCOL',
        `a request of ${payload.length} bytes is over the limit of ${payloadMax}`,
        {
          outcome: 'no',
        },
      )
    const count = Math.max(this.#pending.size, this.#unsent.length)
    if (count >= this.#limits.inFlightMax)
      return new RpcError('OVERLOADED', `${count} requests await their answers`, { outcome: 'no' })
    return undefined
  }

  #dispatch(frame: Frame): void {
    const connection = this.#connection
    if (connection === undefined) {
      const size = frameSizeBytes(frame.payload)
      if (this.#unsentBytes + size > this.#limits.writeBufferBytesMax) {
        this.#overloaded(frame.id, this.#unsentBytes)
        return
      }
      this.#unsent.push(frame)
      this.#unsentBytes += size
      if (this.#attempt === undefined) this.#connect()
    } else if (!connection.send(frame)) {
      this.#overloaded(frame.id, connection.bufferedBytes)
    }
  }

  #overloaded(id: number, bytes: number): void {
    this.#pending.reject(
      id,
      new RpcError('OVERLOADED', `${bytes} bytes wait for the network`, { outcome: 'no' }),
    )
  }

  #takeUnsent(): readonly Frame[] {
    const frames = this.#unsent
    this.#unsent = []
    this.#unsentBytes = 0
    return frames
  }

  #connect(): void {
    clearTimeout(this.#reconnect)
    const request = http.request({
      host: this.#options.host,
      port: this.#options.port,
      path: UPGRADE_PATH,
      agent: false,
      headers: { ...helloHeaders(this.#options.identity), Connection: 'Upgrade', Upgrade: OFFER },
    })
    this.#attempt = request
    const timer = setTimeout(
      () => request.destroy(new Error(`no answer in ${this.#limits.connectTimeoutMs} ms`)),
      this.#limits.connectTimeoutMs,
    )
    const failed = (error: RpcError): void => {
      clearTimeout(timer)
      if (this.#attempt !== request) return
      this.#attempt = undefined
      this.#scheduleReconnect()
      this.#noteSupport(error)
      for (const frame of this.#takeUnsent()) this.#pending.reject(frame.id, error)
    }
    request.on('error', (cause) => failed(this.#failure('CONNECT_FAILED', cause.message, cause)))
    request.on('response', (response) => {
      const chunks: Buffer[] = []
      let size = 0
      response.on('data', (chunk: Buffer) => {
        size += chunk.length
        if (size <= REFUSAL_BYTES_MAX) chunks.push(chunk)
      })
      response.on('error', () => undefined)
      response.on('close', () => {
        const refusal = refusalOf(Buffer.concat(chunks).toString())
        failed(this.#failure(refusal.code, refusal.message))
        if (!this.#closed) this.#options.onRefused?.({ code: refusal.said, message: refusal.message })
      })
    })
    request.on('upgrade', (response, socket, head) => {
      clearTimeout(timer)
      const peer = peerOf(response.headers, `${this.#options.host}:${this.#options.port}`)
      const version = commonVersion(response.headers.upgrade)
      const refusal = this.#refuses(peer, response.headers.upgrade)
      if (this.#attempt !== request || refusal !== undefined || version === undefined) {
        socket.destroy()
        failed(this.#failure(refusal?.code ?? 'REFUSED', refusal?.message ?? 'closed'))
        return
      }
      this.#attempt = undefined
      this.#open(socket, head, { peer, version })
    })
    request.end()
  }

  #refuses(peer: RpcPeer, protocol: string | undefined): Refusal | undefined {
    const { expectNode, identity } = this.#options
    if (commonVersion(protocol) === undefined)
      return {
        code: 'UNSUPPORTED_VERSION',
        message: mismatchText({ speaks: protocol ?? '', build: peer.build }),
      }
    if (expectNode !== undefined && peer.nodeId !== expectNode)
      return { code: 'REFUSED', message: `${peer.nodeId} answers there, not ${expectNode}` }
    if (identity.clusterId !== '' && peer.clusterId !== identity.clusterId)
      return { code: 'REFUSED', message: `a member of another cluster answers there (${peer.clusterId})` }
    return undefined
  }

  #noteSupport(error: RpcError): void {
    const isUnsupported = error.code === 'UNSUPPORTED_VERSION'
    if (isUnsupported && !this.#isUnsupported) this.#options.onUnsupported?.(error)
    // One that is not reached now may be restarting in any version.
    if (error.code !== 'CONNECT_FAILED') this.#isUnsupported = isUnsupported
  }

  #open(
    socket: Socket,
    head: Buffer,
    { peer, version }: { readonly peer: RpcPeer; readonly version: number },
  ): void {
    this.#isUnsupported = false
    socket.setNoDelay(true)
    if (head.length > 0) socket.unshift(head)
    this.#backOffMs = RECONNECT_MS_MIN
    this.#connection = new Connection({
      socket,
      limits: this.#limits,
      version,
      onFrame: (frame) => this.#take(frame),
      onClose: (error) => this.#down(error),
    })
    this.#options.onUp?.(peer)
    for (const frame of this.#takeUnsent()) if (this.#pending.markSent(frame.id)) this.#dispatch(frame)
  }

  #take(frame: Frame): void {
    if (frame.kind === FrameKind.RESPONSE) {
      this.#pending.resolve(frame.id, frame.payload)
    } else if (frame.kind === FrameKind.ERROR) {
      const remote = parseRemote(frame.payload)
      this.#pending.reject(
        frame.id,
        new RpcError(
          'REMOTE',
          typeof remote['message'] === 'string' ? remote['message'] : 'the peer failed',
          {
            outcome: remote['outcome'] === 'no' ? 'no' : 'unknown',
            remote,
          },
        ),
      )
    }
  }

  #down(error: Error): void {
    this.#connection = undefined
    const lost = this.#failure('CONNECTION_LOST', error.message, error)
    this.#pending.rejectAll(() => lost)
    if (this.#closed) return
    this.#scheduleReconnect()
    this.#options.onDown?.(error)
  }

  #scheduleReconnect(): void {
    if (this.#closed) return
    const waitMs = this.#backOffMs * (0.5 + this.#options.random.next())
    this.#backOffMs = Math.min(this.#backOffMs * 2, RECONNECT_MS_MAX)
    clearTimeout(this.#reconnect)
    this.#reconnect = setTimeout(() => {
      if (this.#attempt === undefined && this.#connection === undefined) this.#connect()
    }, waitMs)
  }

  #failure(code: LinkFailure, why: string, cause?: unknown): RpcError {
    const { host, port } = this.#options
    const said = {
      CONNECT_FAILED: `cannot connect to ${host}:${port}: ${why}`,
      REFUSED: `${host}:${port} refused the connection: ${why}`,
      UNSUPPORTED_VERSION: `no version of the protocol is common with ${host}:${port}: ${why}`,
      CONNECTION_LOST: `the connection to ${host}:${port} broke: ${why}`,
    }[code]
    return new RpcError(code, said, { outcome: code === 'CONNECTION_LOST' ? 'unknown' : 'no', cause })
  }
}

function closedError(outcome: 'no' | 'unknown'): RpcError {
  return new RpcError('CLOSED', 'this side closed the connection', { outcome })
}

function refusalOf(body: string): Refusal & { readonly said: string } {
  const { code, message } = parseRemote(Buffer.from(body))
  return {
    code: code === 'UNSUPPORTED_VERSION' ? code : 'REFUSED',
    said: typeof code === 'string' ? code : '',
    message: typeof message === 'string' ? message : 'what answers there is no Sluice process',
  }
}

function parseRemote(payload: Uint8Array): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(
      Buffer.from(payload.buffer, payload.byteOffset, payload.length).toString(),
    )
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {}
  } catch {
    return {}
  }
}
