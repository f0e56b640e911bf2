import { crc32 } from 'node:zlib'
import { malformed } from './transport-error.js'

/*
 * Frame, little endian:
 *
 *   length u32 (bytes after it) | kind u8 | 0 u8 | check u16 | crc u32 | payload
 *
 * `check` folds length and kind, so that a length that was changed on its way is noticed before the
 * stream waits for bytes that never come; `crc` is the CRC-32 of the payload.
 */
export const FrameKind = {
  HELLO: 1,
  PROOF: 2,
  READY: 3,
  REFUSAL: 4,
  PING: 5,
  PONG: 6,
  MESSAGE: 7,
  REQUEST: 8,
  RESPONSE: 9,
  ERROR: 10,
} as const
export type FrameKind = (typeof FrameKind)[keyof typeof FrameKind]

const LENGTH_BYTES = 4
export const FRAME_HEADER_BYTES = 12
const KIND_MAX = FrameKind.ERROR
const CHECK_MASK = 0xa55a
/** A payload from here on is written from where it is; a smaller one is copied next to its header. */
const COPY_BYTES_MAX = 32 * 1024

export interface Frame {
  readonly kind: FrameKind
  /** Must not change until it was sent; received, it is a view of memory that is never written again. */
  readonly payload: Uint8Array
}

/** Bytes that a frame with this payload takes on the wire. */
export function frameSizeBytes(payload: Uint8Array): number {
  return FRAME_HEADER_BYTES + payload.length
}

/** The frames as few pieces of memory, in order, to be written one after the other. */
export function encodeFrames(frames: readonly Frame[]): Uint8Array[] {
  let copiedBytes = 0
  for (const { payload } of frames)
    copiedBytes += FRAME_HEADER_BYTES + (payload.length < COPY_BYTES_MAX ? payload.length : 0)
  const slab = Buffer.allocUnsafeSlow(copiedBytes)
  const pieces: Uint8Array[] = []
  let from = 0
  let at = 0
  for (const { kind, payload } of frames) {
    writeHeader(slab, at, kind, payload)
    at += FRAME_HEADER_BYTES
    if (payload.length < COPY_BYTES_MAX) {
      slab.set(payload, at)
      at += payload.length
    } else {
      pieces.push(slab.subarray(from, at), payload)
      from = at
    }
  }
  if (at > from) pieces.push(slab.subarray(from, at))
  return pieces
}

function writeHeader(into: Buffer, at: number, kind: FrameKind, payload: Uint8Array): void {
  const length = FRAME_HEADER_BYTES - LENGTH_BYTES + payload.length
  into.writeUInt32LE(length, at)
  into[at + 4] = kind
  into[at + 5] = 0
  into.writeUInt16LE(checkOf(length, kind), at + 6)
  into.writeUInt32LE(crc32(payload), at + 8)
}

/** Every bit of the length and of the kind decides at least one bit of it. */
function checkOf(length: number, kind: number): number {
  return ((length & 0xffff) ^ (length >>> 16) ^ (kind << 8) ^ CHECK_MASK) & 0xffff
}

/**
 * The size of the frame that begins at `at`, where its whole header is.
 * @throws TransportError MALFORMED
 */
export function frameSizeAt(bytes: Uint8Array, at: number, frameBytesMax: number): number {
  const view = new DataView(bytes.buffer, bytes.byteOffset + at, FRAME_HEADER_BYTES)
  const length = view.getUint32(0, true)
  const kind = view.getUint8(4)
  if (kind < 1 || kind > KIND_MAX || view.getUint8(5) !== 0)
    throw malformed(`a frame of unknown kind ${kind}`)
  if (view.getUint16(6, true) !== checkOf(length, kind)) throw malformed('a frame with a damaged header')
  const size = LENGTH_BYTES + length
  if (size < FRAME_HEADER_BYTES || size > frameBytesMax)
    throw malformed(`a frame of ${size} bytes is not taken; the limit is ${frameBytesMax}`)
  return size
}

/**
 * The frame of `size` bytes at `at`, as a view.
 * @throws TransportError MALFORMED
 */
export function frameAt(bytes: Uint8Array, at: number, size: number): Frame {
  const payload = bytes.subarray(at + FRAME_HEADER_BYTES, at + size)
  const view = new DataView(bytes.buffer, bytes.byteOffset + at, FRAME_HEADER_BYTES)
  if (view.getUint32(8, true) !== crc32(payload)) throw malformed('a frame that was damaged on its way')
  return { kind: view.getUint8(4) as FrameKind, payload }
}

/**
 * Cuts a stream into frames, wherever the chunks begin and end. Holds at most one frame that is not
 * whole, in memory that grows with the bytes that arrived, not with the length that was announced.
 */
export class FrameParser {
  /** Of a whole frame, bytes. */
  frameBytesMax: number
  readonly #onFrame: (frame: Frame) => void
  #partial: Uint8Array = new Uint8Array(0)
  #filled = 0

  constructor(frameBytesMax: number, onFrame: (frame: Frame) => void) {
    this.frameBytesMax = frameBytesMax
    this.#onFrame = onFrame
  }

  /** True between the first byte of a frame and its last. */
  get isInsideFrame(): boolean {
    return this.#filled > 0
  }

  /** Bytes of memory held for a frame that is not whole. */
  get heldBytes(): number {
    return this.#partial.length
  }

  /**
   * @param chunk is handed out in views: it must not change afterwards
   * @throws TransportError MALFORMED; the stream is lost then
   */
  push(chunk: Uint8Array): void {
    let at = 0
    while (at < chunk.length) at = this.#filled > 0 ? this.#continue(chunk, at) : this.#begin(chunk, at)
  }

  /** At the start of a frame: hands out every frame that is whole in the chunk, keeps the rest. */
  #begin(chunk: Uint8Array, start: number): number {
    let at = start
    while (chunk.length - at >= FRAME_HEADER_BYTES) {
      const size = frameSizeAt(chunk, at, this.frameBytesMax)
      if (at + size > chunk.length) break
      this.#onFrame(frameAt(chunk, at, size))
      at += size
    }
    if (at < chunk.length) {
      this.#partial = chunk.slice(at)
      this.#filled = chunk.length - at
    }
    return chunk.length
  }

  /** Inside a frame: fills it up; returns how far the chunk is used. */
  #continue(chunk: Uint8Array, start: number): number {
    if (this.#filled < FRAME_HEADER_BYTES) {
      const at = this.#fill(chunk, start, FRAME_HEADER_BYTES)
      if (this.#filled < FRAME_HEADER_BYTES) return at
      return this.#continueBody(chunk, at)
    }
    return this.#continueBody(chunk, start)
  }

  #continueBody(chunk: Uint8Array, start: number): number {
    const size = frameSizeAt(this.#partial, 0, this.frameBytesMax)
    const at = this.#fill(chunk, start, size)
    if (this.#filled < size) return at
    const frame = this.#partial
    this.#partial = new Uint8Array(0)
    this.#filled = 0
    this.#onFrame(frameAt(frame, 0, size))
    return at
  }

  /** Takes bytes until `size` of the frame are there. */
  #fill(chunk: Uint8Array, at: number, size: number): number {
    const taken = Math.min(size - this.#filled, chunk.length - at)
    const needed = this.#filled + taken
    if (needed > this.#partial.length) {
      const grown = new Uint8Array(Math.min(size, Math.max(needed, 2 * this.#partial.length)))
      grown.set(this.#partial.subarray(0, this.#filled))
      this.#partial = grown
    }
    this.#partial.set(chunk.subarray(at, at + taken), this.#filled)
    this.#filled = needed
    return at + taken
  }
}
