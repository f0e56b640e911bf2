import { createCipheriv, createDecipheriv } from 'node:crypto'
import { invariant } from '@sluice/foundation'
import { malformed } from './transport-error.js'

/*
 * An encrypted direction of a connection is a stream of records, AES-256-GCM:
 *
 *   length u32, little endian (bytes after it) | ciphertext | tag 16
 *
 * The nonce is the record's number, so that a record that is missing, repeated, or in another place does
 * not open; the length is authenticated as well. Frames begin and end anywhere in records.
 */
const LENGTH_BYTES = 4
const TAG_BYTES = 16
export const RECORD_PLAIN_BYTES_MAX = 64 * 1024
const RECORD_LENGTH_MAX = RECORD_PLAIN_BYTES_MAX + TAG_BYTES

/** Numbers of records in order, as nonces. */
class NonceCounter {
  readonly #nonce = Buffer.alloc(12)
  #count = 0

  /** A view that is valid until the next call. */
  next(): Uint8Array {
    invariant(this.#count < Number.MAX_SAFE_INTEGER, 'a connection never uses up its nonces')
    this.#nonce.writeUInt32LE(this.#count >>> 0, 4)
    this.#nonce.writeUInt32LE(Math.floor(this.#count / 0x1_0000_0000), 8)
    this.#count++
    return this.#nonce
  }
}

export class RecordSealer {
  readonly #key: Uint8Array
  readonly #nonces = new NonceCounter()

  /** @param key 32 bytes, of this direction and connection alone */
  constructor(key: Uint8Array) {
    this.#key = key
  }

  /** The bytes as records, which must be sent in this order. */
  seal(plain: Uint8Array): Uint8Array[] {
    const records: Uint8Array[] = []
    for (let at = 0; at < plain.length; at += RECORD_PLAIN_BYTES_MAX)
      records.push(this.#record(plain.subarray(at, at + RECORD_PLAIN_BYTES_MAX)))
    return records
  }

  #record(plain: Uint8Array): Uint8Array {
    const record = Buffer.allocUnsafeSlow(LENGTH_BYTES + plain.length + TAG_BYTES)
    record.writeUInt32LE(plain.length + TAG_BYTES, 0)
    const cipher = createCipheriv('aes-256-gcm', this.#key, this.#nonces.next())
    cipher.setAAD(record.subarray(0, LENGTH_BYTES))
    record.set(cipher.update(plain), LENGTH_BYTES)
    cipher.final()
    record.set(cipher.getAuthTag(), LENGTH_BYTES + plain.length)
    return record
  }
}

export class RecordOpener {
  readonly #key: Uint8Array
  readonly #nonces = new NonceCounter()
  readonly #onPlain: (plain: Uint8Array) => void
  /** A record that is not whole; its memory is at most that of one record. */
  #partial: Uint8Array = new Uint8Array(LENGTH_BYTES)
  #filled = 0

  /** @param onPlain is given authenticated bytes, in memory of their own */
  constructor(key: Uint8Array, onPlain: (plain: Uint8Array) => void) {
    this.#key = key
    this.#onPlain = onPlain
  }

  get isInsideRecord(): boolean {
    return this.#filled > 0
  }

  /** @throws TransportError MALFORMED when a record is not the one that comes next; the stream is lost then */
  push(chunk: Uint8Array): void {
    let at = 0
    while (at < chunk.length) {
      const taken = Math.min(this.#partial.length - this.#filled, chunk.length - at)
      this.#partial.set(chunk.subarray(at, at + taken), this.#filled)
      this.#filled += taken
      at += taken
      if (this.#filled === this.#partial.length) this.#filledUp()
    }
  }

  #filledUp(): void {
    if (this.#filled === LENGTH_BYTES) {
      const length = new DataView(this.#partial.buffer).getUint32(0, true)
      if (length <= TAG_BYTES || length > RECORD_LENGTH_MAX)
        throw malformed(`an encrypted record of ${length} bytes is not taken`)
      const whole = new Uint8Array(LENGTH_BYTES + length)
      whole.set(this.#partial)
      this.#partial = whole
      return
    }
    const record = this.#partial
    this.#partial = new Uint8Array(LENGTH_BYTES)
    this.#filled = 0
    this.#onPlain(this.#open(record))
  }

  #open(record: Uint8Array): Uint8Array {
    const decipher = createDecipheriv('aes-256-gcm', this.#key, this.#nonces.next())
    decipher.setAAD(record.subarray(0, LENGTH_BYTES))
    decipher.setAuthTag(record.subarray(record.length - TAG_BYTES))
    const plain = decipher.update(record.subarray(LENGTH_BYTES, record.length - TAG_BYTES))
    try {
      decipher.final()
    } catch (cause) {
      throw malformed('an encrypted record was changed, repeated or left out on its way', cause)
    }
    return plain
  }
}
