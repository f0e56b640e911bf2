import type { Socket } from 'node:net'
import { deferred, type Deferred, toError } from '@sluice/foundation'
import { encodeFrames, type Frame, FRAME_HEADER_BYTES, frameAt, FrameKind, frameSizeAt } from './frame.js'
import { HANDSHAKE_FRAME_BYTES_MAX } from './hello.js'
import { endWithin } from './link.js'
import { decodeRefusal, encodeRefusal, type Refusal } from './refusal.js'
import { malformed, RefusedError, TransportError } from './transport-error.js'

/**
 * A socket while its ends introduce themselves: small frames, strictly by turns. No byte behind the
 * frame that is read is looked at. Whatever fails rejects the read that waits, or the next one.
 */
export class HandshakeChannel {
  readonly socket: Socket
  readonly #signal: AbortSignal
  /** What arrived and was not read: at most a chunk of the socket and a frame. */
  #bytes: Uint8Array = new Uint8Array(0)
  #failure: Error | undefined
  #reader: Deferred<Frame> | undefined
  #detached = false

  /** @param signal ends the handshake */
  constructor(socket: Socket, signal: AbortSignal) {
    this.socket = socket
    this.#signal = signal
    socket.on('data', this.#onData)
    socket.on('error', this.#onError)
    socket.on('end', this.#onEnd)
    socket.on('close', this.#onEnd)
    signal.addEventListener('abort', this.#onAbort, { once: true })
    if (signal.aborted) this.#onAbort()
    if (socket.destroyed) this.#onEnd()
  }

  /** The socket is somebody else's. */
  get detached(): boolean {
    return this.#detached
  }

  write(kind: FrameKind, payload: Uint8Array): void {
    for (const piece of encodeFrames([{ kind, payload }])) this.socket.write(piece)
  }

  /**
   * The payload of the next frame, which must be of this kind.
   * @throws RefusedError when the peer refuses, TransportError otherwise, or the signal's reason
   */
  async read(kind: FrameKind): Promise<Uint8Array> {
    const frame = await this.#next()
    if (frame.kind === FrameKind.REFUSAL) throw new RefusedError(decodeRefusal(frame.payload), 'peer')
    if (frame.kind !== kind) throw malformed(`a frame of kind ${frame.kind} during the handshake`)
    return frame.payload
  }

  /** Leaves the socket, which is paused, to somebody else; with it go the bytes that were not read. */
  detach(): Uint8Array {
    this.#detached = true
    // Until somebody listens, an error has nobody else who takes it.
    this.socket.on('error', ignore)
    this.socket.pause()
    this.socket.off('data', this.#onData)
    this.socket.off('error', this.#onError)
    this.socket.off('end', this.#onEnd)
    this.socket.off('close', this.#onEnd)
    this.#signal.removeEventListener('abort', this.#onAbort)
    return this.#bytes
  }

  /** Tells the peer why, then ends; a peer that does not end in turn is cut off after the grace. */
  refuse(refusal: Refusal, graceMs: number): void {
    this.write(FrameKind.REFUSAL, encodeRefusal(refusal))
    this.detach()
    this.socket.resume()
    endWithin(this.socket, graceMs)
  }

  destroy(): void {
    this.detach()
    this.socket.destroy()
  }

  #next(): Promise<Frame> {
    this.#reader = deferred<Frame>()
    const { promise } = this.#reader
    this.#advance()
    return promise
  }

  /** Gives the reader what it waits for, if that is there. */
  #advance(): void {
    if (this.#reader === undefined) {
      this.socket.pause()
      return
    }
    try {
      const frame = this.#cut()
      if (frame !== undefined) this.#reader.resolve(frame)
      else if (this.#failure !== undefined) this.#reader.reject(this.#failure)
      else {
        this.socket.resume()
        return
      }
    } catch (error) {
      this.#reader.reject(toError(error))
    }
    this.#reader = undefined
  }

  #cut(): Frame | undefined {
    const bytes = this.#bytes
    if (bytes.length < FRAME_HEADER_BYTES) return undefined
    const size = frameSizeAt(bytes, 0, HANDSHAKE_FRAME_BYTES_MAX)
    if (bytes.length < size) return undefined
    this.#bytes = bytes.subarray(size)
    return frameAt(bytes, 0, size)
  }

  #fail(error: Error): void {
    this.#failure ??= error
    this.#reader?.reject(this.#failure)
    this.#reader = undefined
  }

  readonly #onData = (chunk: Uint8Array): void => {
    this.#bytes = this.#bytes.length === 0 ? chunk : Buffer.concat([this.#bytes, chunk])
    this.#advance()
  }

  readonly #onError = (cause: NodeJS.ErrnoException): void => {
    const { code, message } = cause
    // The server of TLS 1.3 looks at our certificate after the connection is up.
    if (code?.startsWith('ERR_SSL_') === true && code.includes('ALERT'))
      this.#fail(new RefusedError({ code: 'TLS', message }, 'peer'))
    else
      this.#fail(
        new TransportError('CONNECTION_LOST', `the connection broke during the handshake: ${message}`, {
          cause,
        }),
      )
  }

  readonly #onEnd = (): void =>
    this.#fail(
      this.#bytes.length > 0
        ? malformed('the peer ended the connection within a frame')
        : new TransportError('CONNECTION_LOST', 'the peer ended the connection during the handshake'),
    )

  readonly #onAbort = (): void => this.#fail(toError(this.#signal.reason))
}

function ignore(): void {
  // The close that follows an error is what is acted on.
}
