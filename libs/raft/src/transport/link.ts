import type { Socket } from 'node:net'
import { type Clock, deferred, type Deferred, InvariantError, toError } from '@sluice/foundation'
import type { FramePriority } from '../host/outbox.js'
import type { SessionKeys } from './cluster-key.js'
import { encodeFrames, type Frame, FrameKind, FrameParser } from './frame.js'
import { PriorityQueues, type QueueBounds } from './priority-queues.js'
import { RecordOpener, RecordSealer } from './sealed-stream.js'
import { malformed, TransportError } from './transport-error.js'
import type { TransportLimits, TransportTimings } from './transport-options.js'

const EMPTY = new Uint8Array(0)

export interface LinkParts {
  readonly socket: Socket
  /** What was read from the socket already and belongs to the link. */
  readonly head: Uint8Array
  /** Encrypts and authenticates both directions. */
  readonly keys: SessionKeys | undefined
  readonly limits: TransportLimits
  readonly timings: TransportTimings
  readonly clock: Clock
}

interface LinkEvents {
  /** Everything but pings and pongs. What it throws closes the link, a broken invariant excepted. */
  readonly onFrame: (frame: Frame) => void
  /** Called once, whoever closed. */
  readonly onClose: (error: TransportError) => void
}

/**
 * One socket after the handshake: frames in; frames out by priority, those of a turn of the event loop
 * in one write; and a watch over silence.
 */
export class Link {
  readonly #parts: LinkParts
  readonly #socket: Socket
  readonly #queues: PriorityQueues
  readonly #parser: FrameParser
  readonly #opener: RecordOpener | undefined
  readonly #sealer: RecordSealer | undefined
  #events: LinkEvents | undefined
  #bulkRoom: Deferred<undefined> | undefined
  #scheduled = false
  #lastHeard: number
  #lastWatched: number
  #timer: NodeJS.Timeout | undefined
  #bytesIn = 0
  #bytesOut = 0
  #closed = false

  constructor(parts: LinkParts) {
    this.#parts = parts
    this.#socket = parts.socket
    this.#queues = new PriorityQueues(parts.limits.queueBytesMax)
    this.#parser = new FrameParser(parts.limits.frameBytesMax, (frame) => this.#take(frame))
    if (parts.keys !== undefined) {
      this.#sealer = new RecordSealer(parts.keys.send)
      this.#opener = new RecordOpener(parts.keys.receive, (plain) => this.#opened(plain))
    }
    this.#lastHeard = this.#lastWatched = parts.clock.monotonic()
  }

  get closed(): boolean {
    return this.#closed
  }

  get bytesIn(): number {
    return this.#bytesIn
  }

  get bytesOut(): number {
    return this.#bytesOut
  }

  /** Bytes that wait here; those in the socket are not counted. */
  get queuedBytes(): QueueBounds {
    return this.#queues.bytes
  }

  /** Of a frame that is received from now on. */
  set frameBytesMax(bytes: number) {
    this.#parser.frameBytesMax = bytes
  }

  /** Takes the socket over; reads nothing yet. */
  attach(events: LinkEvents): void {
    this.#events = events
    const socket = this.#socket
    socket.on('data', (chunk: Uint8Array) => this.#receive(chunk))
    socket.on('error', (error) => this.#lost(`the connection broke: ${error.message}`, error))
    socket.on('end', () => this.#ended())
    socket.on('close', () => this.#lost('the connection closed'))
    socket.on('drain', () => this.#schedule())
    this.#timer = setInterval(() => this.#watch(), this.#parts.timings.pingMs)
  }

  /** Begins to read. */
  read(): void {
    if (this.#closed) return
    if (this.#parts.head.length > 0) this.#receive(this.#parts.head)
    if (this.#socket.destroyed) this.#lost('the connection closed')
    else this.#socket.resume()
  }

  /** False: the bound of this priority is reached, or the link is closed; nothing was queued. */
  send(frame: Frame, priority: FramePriority): boolean {
    if (this.#closed || !this.#queues.offer(frame, priority)) return false
    this.#schedule()
    return true
  }

  /**
   * Resolves when at most half of what may wait of priority bulk does.
   * @throws TransportError CONNECTION_LOST
   */
  whenBulkWritable(): Promise<void> {
    if (this.#closed) return Promise.reject(new TransportError('CONNECTION_LOST', 'the connection is closed'))
    if (this.#queues.hasBulkRoom) return Promise.resolve()
    this.#bulkRoom ??= deferred<undefined>()
    return this.#bulkRoom.promise
  }

  /** Sends what it can, then ends; a peer that does not end in turn is cut off after the grace. */
  end(error: TransportError): void {
    if (this.#closed) return
    this.#write(this.#queues.take(this.#parts.limits.socketBytesMax))
    // Read on, to see the peer's end; what still comes is dropped.
    this.#socket.resume()
    endWithin(this.#socket, this.#parts.timings.closeGraceMs)
    this.close(error)
  }

  close(error: TransportError): void {
    if (this.#closed) return
    this.#closed = true
    clearInterval(this.#timer)
    this.#queues.clear()
    if (!this.#socket.writableEnded) this.#socket.destroy()
    this.#bulkRoom?.reject(error)
    this.#bulkRoom = undefined
    this.#events?.onClose(error)
  }

  #schedule(): void {
    if (this.#scheduled || this.#closed) return
    this.#scheduled = true
    setImmediate(this.#flush)
  }

  readonly #flush = (): void => {
    this.#scheduled = false
    // What the kernel does not take yet waits here, where urgent frames still overtake it.
    if (this.#closed || this.#socket.writableNeedDrain) return
    this.#write(this.#queues.take(this.#parts.limits.socketBytesMax))
    if (this.#bulkRoom !== undefined && this.#queues.hasBulkRoom) {
      this.#bulkRoom.resolve(undefined)
      this.#bulkRoom = undefined
    }
    // Where the socket wants to be drained first, its event goes on.
    if (!this.#queues.isEmpty) this.#schedule()
  }

  #write(frames: readonly Frame[]): void {
    if (frames.length === 0) return
    const pieces = encodeFrames(frames)
    const sealed = this.#sealer === undefined ? pieces : pieces.flatMap((piece) => this.#sealer!.seal(piece))
    this.#socket.cork()
    for (const piece of sealed) {
      this.#bytesOut += piece.length
      this.#socket.write(piece)
    }
    this.#socket.uncork()
  }

  #receive(chunk: Uint8Array): void {
    if (this.#closed) return
    this.#bytesIn += chunk.length
    try {
      if (this.#opener !== undefined) this.#opener.push(chunk)
      else this.#opened(chunk)
    } catch (error) {
      if (error instanceof InvariantError) throw error
      this.close(
        error instanceof TransportError
          ? error
          : malformed(`what arrived is not understood: ${toError(error).message}`, error),
      )
    }
  }

  /** Encrypted, only whole records are signs of life: a changed length would else wait for ever. */
  #opened(plain: Uint8Array): void {
    if (this.#closed) return
    this.#lastHeard = this.#parts.clock.monotonic()
    this.#parser.push(plain)
  }

  #take(frame: Frame): void {
    // A frame of the same chunk may have closed the link.
    if (this.#closed) return
    if (frame.kind === FrameKind.PING) this.send({ kind: FrameKind.PONG, payload: EMPTY }, 'urgent')
    else if (frame.kind !== FrameKind.PONG) this.#events?.onFrame(frame)
  }

  #ended(): void {
    if (this.#parser.isInsideFrame || this.#opener?.isInsideRecord === true)
      this.close(malformed('the peer ended the connection within a frame'))
    else this.#lost('the peer ended the connection')
  }

  #lost(why: string, cause?: Error): void {
    this.close(new TransportError('CONNECTION_LOST', why, { outcome: 'unknown', cause }))
  }

  #watch(): void {
    const { clock, timings } = this.#parts
    const now = clock.monotonic()
    // While this process stood still it could not hear anything: that says nothing about the peer.
    if (now - this.#lastWatched > timings.silentMs / 2) this.#lastHeard = now
    this.#lastWatched = now
    const silentMs = now - this.#lastHeard
    if (silentMs > timings.silentMs) this.#lost(`nothing was heard for ${Math.round(silentMs)} ms`)
    else this.send({ kind: FrameKind.PING, payload: EMPTY }, 'urgent')
  }
}

/** Ends a socket, and destroys it when it is not closed in time, so that a peer that hangs keeps nothing open. */
export function endWithin(socket: Socket, graceMs: number): void {
  const timer = setTimeout(() => socket.destroy(), graceMs)
  socket.once('close', () => clearTimeout(timer))
  socket.end()
}
