import { InvariantError, toError } from '@sluice/foundation'
import type { FramePriority } from '../host/outbox.js'
import { type Frame, FRAME_HEADER_BYTES, FrameKind, frameSizeBytes } from './frame.js'
import { HANDSHAKE_FRAME_BYTES_MAX, type PeerHello } from './hello.js'
import { Link, type LinkParts } from './link.js'
import { remoteAddressOf } from './open-sockets.js'
import { PendingRequests } from './pending-requests.js'
import type { QueueBounds } from './priority-queues.js'
import { decodeRefusal, encodeRefusal, type Refusal } from './refusal.js'
import { decodeRemoteFailure, encodeRemoteFailure } from './remote-failure.js'
import { malformed, RefusedError, TransportError } from './transport-error.js'

const ID_BYTES = 4
const EMPTY = new Uint8Array(0)

export interface RequestOptions {
  readonly timeoutMs: number
  readonly signal?: AbortSignal
}

export interface ConnectionEvents {
  /** Both sides take each other; called before anything else of the peer is heard. */
  onReady(): void
  /** What it throws closes the connection, a broken invariant excepted. */
  onMessage(frame: Uint8Array): void
  /** What it throws, or rejects with, is told to the one that asked. */
  onRequest(payload: Uint8Array): Uint8Array | Promise<Uint8Array>
  /** Called once, whoever closed. */
  onClose(error: TransportError): void
}

interface ConnectionParts extends LinkParts {
  /** Who is at the other end, proven as far as it can be. */
  readonly peer: PeerHello
}

/** A connection between two that have introduced themselves: messages, requests and their answers. */
export class Connection {
  readonly peer: PeerHello
  readonly remoteAddress: string
  readonly #link: Link
  readonly #parts: ConnectionParts
  readonly #pending: PendingRequests
  #events: ConnectionEvents | undefined
  #isReady = false
  #answering = 0

  constructor(parts: ConnectionParts) {
    this.peer = parts.peer
    this.remoteAddress = remoteAddressOf(parts.socket)
    this.#parts = parts
    this.#link = new Link(parts)
    this.#pending = new PendingRequests(() => parts.clock.monotonic())
  }

  get closed(): boolean {
    return this.#link.closed
  }

  get bytesIn(): number {
    return this.#link.bytesIn
  }

  get bytesOut(): number {
    return this.#link.bytesOut
  }

  get queuedBytes(): QueueBounds {
    return this.#link.queuedBytes
  }

  /** The dialler's start: it is the last to agree, and both are up. */
  startReady(events: ConnectionEvents): void {
    this.#attach(events)
    this.#link.send({ kind: FrameKind.READY, payload: EMPTY }, 'urgent')
    this.#isReady = true
    events.onReady()
    this.#link.read()
  }

  /** The acceptor's start: nothing but the dialler's READY is heard at first. */
  startUnready(events: ConnectionEvents): void {
    this.#attach(events)
    this.#link.frameBytesMax = HANDSHAKE_FRAME_BYTES_MAX
    this.#link.read()
  }

  #attach(events: ConnectionEvents): void {
    this.#events = events
    this.#link.attach({
      onFrame: (frame) => this.#take(frame),
      onClose: (error) => {
        this.#pending.rejectAll(lostWith(error))
        events.onClose(error)
      },
    })
  }

  /** False when it was dropped at once: too large, or too much of its priority waits. */
  send(frame: Uint8Array, priority: FramePriority): boolean {
    const { frameBytesMax, bulkFrameBytesMax } = this.#parts.limits
    if (frameSizeBytes(frame) > (priority === 'bulk' ? bulkFrameBytesMax : frameBytesMax)) return false
    return this.#link.send({ kind: FrameKind.MESSAGE, payload: frame }, priority)
  }

  whenBulkWritable(): Promise<void> {
    return this.#link.whenBulkWritable()
  }

  /** @throws TransportError, RemoteError, or the signal's reason */
  async request(payload: Uint8Array, { timeoutMs, signal }: RequestOptions): Promise<Uint8Array> {
    if (signal?.aborted === true) throw toError(signal.reason)
    const refusal = this.#refusalOf(payload)
    if (refusal !== undefined) throw refusal
    const { id, answer } = this.#pending.add(timeoutMs)
    if (!this.#sendNumbered(FrameKind.REQUEST, id, payload))
      this.#pending.reject(id, new TransportError('OVERLOADED', 'too much waits for the network'))
    if (signal === undefined) return answer
    const onAbort = (): void => this.#pending.reject(id, toError(signal.reason))
    signal.addEventListener('abort', onAbort, { once: true })
    try {
      return await answer
    } finally {
      signal.removeEventListener('abort', onAbort)
    }
  }

  /** Tells the peer why, then ends. */
  refuse(refusal: Refusal): void {
    this.#link.send({ kind: FrameKind.REFUSAL, payload: encodeRefusal(refusal) }, 'urgent')
    this.#link.end(new RefusedError(refusal, 'self'))
  }

  /** Sends what it can, then ends. */
  end(error: TransportError): void {
    this.#link.end(error)
  }

  close(error: TransportError): void {
    this.#link.close(error)
  }

  #refusalOf(payload: Uint8Array): TransportError | undefined {
    const { frameBytesMax, requestsInFlightMax } = this.#parts.limits
    const payloadBytesMax = frameBytesMax - FRAME_HEADER_BYTES - ID_BYTES
    if (this.closed) return new TransportError('NOT_CONNECTED', 'the connection is closed')
    if (payload.length > payloadBytesMax)
      return new TransportError(
        'TOO_LARGE',
        `a request of ${payload.length} bytes is over the bound of ${payloadBytesMax} bytes`,
      )
    if (this.#pending.size >= requestsInFlightMax)
      return new TransportError('OVERLOADED', `${requestsInFlightMax} requests await their answers`)
    return undefined
  }

  #take(frame: Frame): void {
    if (frame.kind === FrameKind.REFUSAL) {
      this.#link.close(new RefusedError(decodeRefusal(frame.payload), 'peer'))
    } else if (!this.#isReady) {
      if (frame.kind !== FrameKind.READY) throw malformed('a frame before the handshake was over')
      this.#isReady = true
      this.#link.frameBytesMax = this.#parts.limits.frameBytesMax
      this.#events?.onReady()
    } else {
      this.#takeReady(frame)
    }
  }

  #takeReady({ kind, payload }: Frame): void {
    if (kind === FrameKind.MESSAGE) {
      if (this.peer.role === 'admin') throw malformed('administrators only ask')
      this.#events?.onMessage(payload)
      return
    }
    if (payload.length < ID_BYTES) throw malformed(`a frame of kind ${kind} that is too short`)
    const id = new DataView(payload.buffer, payload.byteOffset).getUint32(0, true)
    const body = payload.subarray(ID_BYTES)
    if (kind === FrameKind.REQUEST) void this.#answer(id, body)
    else if (kind === FrameKind.RESPONSE) this.#pending.resolve(id, body)
    else if (kind === FrameKind.ERROR) this.#pending.reject(id, decodeRemoteFailure(body))
    else throw malformed(`a frame of kind ${kind} after the handshake`)
  }

  async #answer(id: number, payload: Uint8Array): Promise<void> {
    const { requestsInFlightMax, frameBytesMax } = this.#parts.limits
    if (this.#answering >= requestsInFlightMax) {
      const why = `${requestsInFlightMax} requests of this connection are being answered`
      this.#sendFailure(id, new TransportError('OVERLOADED', why))
      return
    }
    this.#answering++
    try {
      const answer = await this.#events!.onRequest(payload)
      const isTooLarge = answer.length > frameBytesMax - FRAME_HEADER_BYTES - ID_BYTES
      if (isTooLarge)
        throw new TransportError('TOO_LARGE', `an answer of ${answer.length} bytes`, { outcome: 'unknown' })
      // Dropped when too much waits: the one that asked has a time limit.
      this.#sendNumbered(FrameKind.RESPONSE, id, answer)
    } catch (error) {
      if (error instanceof InvariantError) throw error
      this.#sendFailure(id, error)
    } finally {
      this.#answering--
    }
  }

  #sendFailure(id: number, error: unknown): void {
    this.#sendNumbered(FrameKind.ERROR, id, encodeRemoteFailure(error))
  }

  #sendNumbered(kind: FrameKind, id: number, body: Uint8Array): boolean {
    const payload = new Uint8Array(ID_BYTES + body.length)
    new DataView(payload.buffer).setUint32(0, id, true)
    payload.set(body, ID_BYTES)
    return this.#link.send({ kind, payload }, 'normal')
  }
}

/** For requests that were sent: they may have been acted on. */
function lostWith(cause: TransportError): TransportError {
  if (cause.outcome === 'unknown') return cause
  return new TransportError(cause.code, cause.message, { outcome: 'unknown', cause })
}
