import { BrokerError } from '@sluice/domain'

/** Reads fields in order, little endian; whatever does not fit is INVALID_REQUEST. */
export class BinaryReader {
  readonly #bytes: Uint8Array
  readonly #view: DataView
  #at = 0

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  }

  get remaining(): number {
    return this.#bytes.length - this.#at
  }

  u8(): number {
    return this.#view.getUint8(this.#move(1))
  }

  u32(): number {
    return this.#view.getUint32(this.#move(4), true)
  }

  /** A non-negative safe integer, carried as f64: offsets, positions, milliseconds. */
  natural(): number {
    const value = this.#view.getFloat64(this.#move(8), true)
    if (!Number.isSafeInteger(value) || value < 0) throw malformed(`${value} is no position`)
    return value
  }

  /** A view, not a copy. */
  bytes(length: number): Uint8Array {
    const at = this.#move(length)
    return this.#bytes.subarray(at, at + length)
  }

  rest(): Uint8Array {
    return this.bytes(this.remaining)
  }

  /** 16 bytes as 32 hex digits. */
  requestId(): string {
    const bytes = this.bytes(16)
    return Buffer.from(bytes.buffer, bytes.byteOffset, 16).toString('hex')
  }

  end(): void {
    if (this.remaining > 0) throw malformed(`${this.remaining} bytes too many`)
  }

  #move(length: number): number {
    if (length > this.remaining) throw malformed('the call ends too early')
    const at = this.#at
    this.#at += length
    return at
  }
}

/** Writes fields in order into a buffer of exactly `size` bytes. */
export class BinaryWriter {
  readonly bytes: Uint8Array
  readonly #view: DataView
  #at = 0

  constructor(size: number) {
    this.bytes = new Uint8Array(size)
    this.#view = new DataView(this.bytes.buffer)
  }

  u8(value: number): this {
    this.#view.setUint8(this.#at, value)
    this.#at += 1
    return this
  }

  u32(value: number): this {
    this.#view.setUint32(this.#at, value, true)
    this.#at += 4
    return this
  }

  natural(value: number): this {
    this.#view.setFloat64(this.#at, value, true)
    this.#at += 8
    return this
  }

  raw(value: Uint8Array): this {
    this.bytes.set(value, this.#at)
    this.#at += value.length
    return this
  }

  /** 32 hex digits as 16 bytes. */
  requestId(hex: string): this {
    if (!/^[0-9a-f]{32}$/.test(hex)) throw malformed('a request id is 32 hex digits')
    return this.raw(Buffer.from(hex, 'hex'))
  }
}

function malformed(why: string): BrokerError {
  return new BrokerError('INVALID_REQUEST', `a call between processes is malformed: ${why}`)
}

const encoder = new TextEncoder()

export function encodeJson(value: unknown): Uint8Array {
  return encoder.encode(JSON.stringify(value))
}

/** @throws BrokerError INVALID_REQUEST */
export function decodeJson(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString()) as unknown
  } catch {
    throw malformed('it is not JSON')
  }
}
