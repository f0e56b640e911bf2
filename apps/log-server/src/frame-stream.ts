import { invariant } from '@sluice/foundation'

/** The largest frame, bytes. */
const FRAME_BYTES_MAX = 16 * 1024 * 1024
const LENGTH_BYTES = 4

/** Bytes that are no frames: the connection they came over is of no use any more. */
export class FrameError extends Error {
  override readonly name = 'FrameError'
}

/** A frame as it goes over a connection: length u32 little endian, then its bytes. */
export function framed(frame: Uint8Array): Uint8Array {
  invariant(frame.length <= FRAME_BYTES_MAX, 'a frame is within the bound')
  const bytes = new Uint8Array(LENGTH_BYTES + frame.length)
  new DataView(bytes.buffer).setUint32(0, frame.length, true)
  bytes.set(frame, LENGTH_BYTES)
  return bytes
}

/** Cuts what arrives into frames again. Never holds more than one frame and what arrived with its end. */
export class FrameReader {
  #parts: Buffer[] = []
  #bytes = 0

  /** @throws FrameError when a frame says that it is over the bound */
  push(chunk: Buffer): readonly Uint8Array[] {
    this.#parts.push(chunk)
    this.#bytes += chunk.length
    const frames: Uint8Array[] = []
    while (this.#bytes >= LENGTH_BYTES) {
      const length = this.#frameBytes()
      if (this.#bytes < LENGTH_BYTES + length) break
      const whole = this.#joined()
      // A copy: entries stay in memory for ever, and shall not hold on to what arrived around them.
      frames.push(Uint8Array.from(whole.subarray(LENGTH_BYTES, LENGTH_BYTES + length)))
      const rest = whole.subarray(LENGTH_BYTES + length)
      this.#parts = rest.length === 0 ? [] : [rest]
      this.#bytes = rest.length
    }
    return frames
  }

  #frameBytes(): number {
    if (this.#parts[0]!.length < LENGTH_BYTES) this.#joined()
    const length = this.#parts[0]!.readUInt32LE(0)
    if (length > FRAME_BYTES_MAX)
      throw new FrameError(`a frame of ${length} bytes is over ${FRAME_BYTES_MAX}`)
    return length
  }

  #joined(): Buffer {
    if (this.#parts.length > 1) this.#parts = [Buffer.concat(this.#parts, this.#bytes)]
    return this.#parts[0]!
  }
}
