import { protocolName } from './protocol.js'
import { RpcError } from './rpc-error.js'

/*
 * Frame, little endian:
 *
 *   length u32 (bytes after it) | kind u8 | version u8 | method u16 | id u32 | payload
 *
 * The version is that of the connection's protocol; version 1 wrote 0 there and did not look at it.
 */
export const FrameKind = { REQUEST: 1, RESPONSE: 2, ERROR: 3, MESSAGE: 4, PING: 5, PONG: 6 } as const
export type FrameKind = (typeof FrameKind)[keyof typeof FrameKind]

const LENGTH_BYTES = 4
const HEADER_BYTES = 8
const KIND_MAX = FrameKind.PONG

export interface Frame {
  readonly kind: FrameKind
  readonly method: number
  /** Tells which request a response answers; 0 where there is none. */
  readonly id: number
  /** A view of received memory that is never written again. */
  readonly payload: Uint8Array
}

export const EMPTY = new Uint8Array(0)

/** Bytes that a frame with this payload takes on the wire. */
export function frameSizeBytes(payload: Uint8Array): number {
  return LENGTH_BYTES + HEADER_BYTES + payload.length
}

/** The longest payload that a receiver with this bound takes. */
export function payloadBytesMax(frameBytesMax: number): number {
  return frameBytesMax - HEADER_BYTES
}

/** Writes a frame at `at`; returns the position behind it. */
export function writeFrame(into: Uint8Array, at: number, frame: Frame, version: number): number {
  const view = new DataView(into.buffer, into.byteOffset, into.byteLength)
  view.setUint32(at, HEADER_BYTES + frame.payload.length, true)
  view.setUint8(at + 4, frame.kind)
  view.setUint8(at + 5, versionByte(version))
  view.setUint16(at + 6, frame.method, true)
  view.setUint32(at + 8, frame.id, true)
  into.set(frame.payload, at + LENGTH_BYTES + HEADER_BYTES)
  return at + frameSizeBytes(frame.payload)
}

function versionByte(version: number): number {
  return version === 1 ? 0 : version
}

/** Cuts a stream into frames, wherever the chunks begin and end. Holds at most one frame that is not whole. */
export class FrameParser {
  readonly #frameBytesMax: number
  readonly #version: number
  readonly #onFrame: (frame: Frame) => void
  /** Bytes of a frame whose end has not arrived; grown once to the frame's size. */
  #partial: Uint8Array = EMPTY
  #filled = 0

  /** @param version that was agreed on for the stream */
  constructor(frameBytesMax: number, version: number, onFrame: (frame: Frame) => void) {
    this.#frameBytesMax = frameBytesMax
    this.#version = version
    this.#onFrame = onFrame
  }

  /** @throws RpcError PROTOCOL; the stream is lost then */
  push(chunk: Uint8Array): void {
    let at = 0
    while (at < chunk.length) at = this.#filled > 0 ? this.#continue(chunk, at) : this.#begin(chunk, at)
  }

  /** At the start of a frame: hands out every frame that is whole in the chunk, keeps the rest. */
  #begin(chunk: Uint8Array, start: number): number {
    let at = start
    const view = new DataView(chunk.buffer, chunk.byteOffset, chunk.byteLength)
    while (chunk.length - at >= LENGTH_BYTES) {
      const end = at + LENGTH_BYTES + this.#checkedLength(view.getUint32(at, true))
      if (end > chunk.length) break
      this.#hand(chunk, at, end)
      at = end
    }
    if (at < chunk.length) this.#keep(chunk, at)
    return chunk.length
  }

  #keep(chunk: Uint8Array, at: number): void {
    const rest = chunk.length - at
    let size = LENGTH_BYTES
    if (rest >= LENGTH_BYTES) {
      const view = new DataView(chunk.buffer, chunk.byteOffset, chunk.byteLength)
      size += this.#checkedLength(view.getUint32(at, true))
    }
    this.#partial = new Uint8Array(size)
    this.#partial.set(chunk.subarray(at))
    this.#filled = rest
  }

  /** Inside a frame: fills it up; returns how far the chunk is used. */
  #continue(chunk: Uint8Array, at: number): number {
    const taken = Math.min(this.#partial.length - this.#filled, chunk.length - at)
    this.#partial.set(chunk.subarray(at, at + taken), this.#filled)
    this.#filled += taken
    if (this.#filled < this.#partial.length) return at + taken
    if (this.#partial.length === LENGTH_BYTES) {
      const length = this.#checkedLength(new DataView(this.#partial.buffer).getUint32(0, true))
      const whole = new Uint8Array(LENGTH_BYTES + length)
      whole.set(this.#partial)
      this.#partial = whole
      return at + taken
    }
    const frame = this.#partial
    this.#partial = EMPTY
    this.#filled = 0
    this.#hand(frame, 0, frame.length)
    return at + taken
  }

  #checkedLength(length: number): number {
    if (length < HEADER_BYTES || length > this.#frameBytesMax)
      throw new RpcError(
        'PROTOCOL',
        `a frame of ${length} bytes is not taken; the limit is ${this.#frameBytesMax}`,
        {
          outcome: 'unknown',
        },
      )
    return length
  }

  #checkVersion(byte: number): void {
    if (this.#version === 1 || byte === this.#version) return
    throw new RpcError(
      'UNSUPPORTED_VERSION',
      `a frame of version ${byte} on a connection of ${protocolName(this.#version)}`,
      { outcome: 'unknown' },
    )
  }

  #hand(bytes: Uint8Array, start: number, end: number): void {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    this.#checkVersion(view.getUint8(start + 5))
    const kind = view.getUint8(start + 4)
    if (kind < 1 || kind > KIND_MAX)
      throw new RpcError('PROTOCOL', `a frame of unknown kind ${kind}`, { outcome: 'unknown' })
    this.#onFrame({
      kind: kind as FrameKind,
      method: view.getUint16(start + 6, true),
      id: view.getUint32(start + 8, true),
      payload: bytes.subarray(start + LENGTH_BYTES + HEADER_BYTES, end),
    })
  }
}
