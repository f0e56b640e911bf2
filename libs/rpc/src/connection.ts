import type { Duplex } from 'node:stream'
import { EMPTY, type Frame, FrameKind, FrameParser, frameSizeBytes, writeFrame } from './frame.js'
import type { RpcLimits } from './limits.js'
import { RpcError } from './rpc-error.js'

/** A peer that does not end its side is cut off so long after this side has ended. */
const END_GRACE_MS = 1000

/** One established connection: frames in, frames of a turn out in one write, and a watch over silence. */
export class Connection {
  readonly #socket: Duplex
  readonly #limits: RpcLimits
  readonly #version: number
  readonly #onClose: (error: Error) => void
  #queue: Frame[] = []
  #queuedBytes = 0
  #scheduled = false
  #lastHeard = performance.now()
  #lastWatched = this.#lastHeard
  #timer: NodeJS.Timeout
  #closed = false

  constructor(parts: {
    readonly socket: Duplex
    readonly limits: RpcLimits
    /** Of the frames, as both sides agreed. */
    readonly version: number
    /** Everything but pings and pongs. What it throws closes the connection. */
    readonly onFrame: (frame: Frame) => void
    /** Called once, whoever closed. */
    readonly onClose: (error: Error) => void
  }) {
    this.#socket = parts.socket
    this.#limits = parts.limits
    this.#version = parts.version
    this.#onClose = parts.onClose
    const parser = new FrameParser(parts.limits.frameBytesMax, parts.version, (frame) => {
      // A frame of the same chunk may have closed the connection.
      if (this.#closed) return
      if (frame.kind === FrameKind.PING) this.send({ ...frame, kind: FrameKind.PONG })
      else if (frame.kind !== FrameKind.PONG) parts.onFrame(frame)
    })
    this.#socket.on('data', (chunk: Uint8Array) => {
      if (this.#closed) return
      this.#lastHeard = performance.now()
      try {
        parser.push(chunk)
      } catch (error) {
        this.close(error as Error)
      }
    })
    this.#socket.on('error', (error) => this.close(error))
    this.#socket.on('end', () => this.close(new Error('the peer ended the connection')))
    this.#socket.on('close', () => this.close(new Error('the connection closed')))
    this.#timer = setInterval(() => this.#watch(), parts.limits.pingMs)
    this.#timer.unref()
  }

  /** Bytes that wait for the network. */
  get bufferedBytes(): number {
    return this.#queuedBytes + this.#socket.writableLength
  }

  /** False: too much waits already, and nothing was queued. The payload must not change until it is sent. */
  send(frame: Frame): boolean {
    const size = frameSizeBytes(frame.payload)
    if (this.#closed || this.bufferedBytes + size > this.#limits.writeBufferBytesMax) return false
    this.#queue.push(frame)
    this.#queuedBytes += size
    if (!this.#scheduled) {
      this.#scheduled = true
      setImmediate(this.#flush)
    }
    return true
  }

  /** Sends what is queued, then ends; a peer that does not end in turn is cut off. */
  end(error: Error): void {
    if (this.#closed) return
    this.#flush()
    this.#socket.end()
    endWithin(this.#socket, END_GRACE_MS)
    this.close(error)
  }

  close(error: Error): void {
    if (this.#closed) return
    this.#closed = true
    clearInterval(this.#timer)
    this.#queue = []
    this.#queuedBytes = 0
    if (!this.#socket.writableEnded) this.#socket.destroy()
    this.#onClose(error)
  }

  readonly #flush = (): void => {
    this.#scheduled = false
    if (this.#closed || this.#queue.length === 0) return
    const slab = Buffer.allocUnsafe(this.#queuedBytes)
    let at = 0
    for (const frame of this.#queue) at = writeFrame(slab, at, frame, this.#version)
    this.#queue = []
    this.#queuedBytes = 0
    this.#socket.write(slab)
  }

  #watch(): void {
    const now = performance.now()
    // While this process stood still it could not hear anything: that says nothing about the peer.
    if (now - this.#lastWatched > this.#limits.silentMs / 2) this.#lastHeard = now
    this.#lastWatched = now
    const silentMs = now - this.#lastHeard
    if (silentMs > this.#limits.silentMs) {
      this.close(
        new RpcError('CONNECTION_LOST', `nothing was heard for ${Math.round(silentMs)} ms`, {
          outcome: 'unknown',
        }),
      )
    } else {
      this.send({ kind: FrameKind.PING, method: 0, id: 0, payload: EMPTY })
    }
  }
}

/** Destroys a socket that is not closed in time, so that a peer that hangs keeps nothing open here. */
export function endWithin(socket: Duplex, graceMs: number): void {
  const timer = setTimeout(() => socket.destroy(), graceMs)
  socket.once('close', () => clearTimeout(timer))
}
