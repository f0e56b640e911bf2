import { BrokerError } from './errors.js'

const utf8 = new TextDecoder('utf-8', { fatal: false })

/** Reads Kafka's record encoding; never past the end: whatever does not fit is CORRUPT_BATCH. */
export class ByteReader {
  readonly #bytes: Uint8Array
  #at: number
  readonly #end: number

  constructor(bytes: Uint8Array, from: number, end: number) {
    this.#bytes = bytes
    this.#at = from
    this.#end = end
  }

  get position(): number {
    return this.#at
  }

  /** Zigzag, at most 5 bytes: a signed 32-bit number. */
  varint(): number {
    const value = this.varlong()
    if (value < -0x8000_0000 || value > 0x7fff_ffff) throw corrupt('a varint is out of range')
    return value
  }

  /** Zigzag; refuses what a double cannot hold exactly. */
  varlong(): number {
    let low = 0
    let factor = 1
    for (let i = 0; i < 10; i++) {
      if (this.#at >= this.#end) throw corrupt('it ends inside a number')
      const byte = this.#bytes[this.#at++]!
      low += (byte & 0x7f) * factor
      if (byte < 0x80) {
        if (low > Number.MAX_SAFE_INTEGER) throw corrupt('a number is out of range')
        return low % 2 === 0 ? low / 2 : -(low + 1) / 2
      }
      factor *= 128
    }
    throw corrupt('a number is too long')
  }

  byte(): number {
    if (this.#at >= this.#end) throw corrupt('it ends inside a record')
    return this.#bytes[this.#at++]!
  }

  /** Moves past `length` bytes and tells where they start; −1 is null. */
  span(length: number): number {
    if (length === -1) return -1
    if (length < 0 || length > this.#end - this.#at) throw corrupt('a length leads past the end')
    const start = this.#at
    this.#at += length
    return start
  }

  /** A view of the next `length` bytes; null for −1. */
  view(length: number): Uint8Array | null {
    const start = this.span(length)
    return start === -1 ? null : this.#bytes.subarray(start, start + length)
  }

  text(length: number): string {
    const start = this.span(length)
    if (start === -1) throw corrupt('a header has no key')
    return utf8.decode(this.#bytes.subarray(start, start + length))
  }
}

export function corrupt(what: string): BrokerError {
  return new BrokerError('CORRUPT_BATCH', `not a record batch: ${what}`)
}

/** Bytes that a zigzag number takes. */
export function varlongSize(value: number): number {
  let rest = value >= 0 ? value * 2 : -value * 2 - 1
  let size = 1
  while (rest >= 128) {
    rest = Math.floor(rest / 128)
    size++
  }
  return size
}

/** Writes a zigzag number; returns the position behind it. */
export function writeVarlong(bytes: Uint8Array, at: number, value: number): number {
  let rest = value >= 0 ? value * 2 : -value * 2 - 1
  while (rest >= 128) {
    bytes[at++] = (rest % 128) | 0x80
    rest = Math.floor(rest / 128)
  }
  bytes[at++] = rest
  return at
}
