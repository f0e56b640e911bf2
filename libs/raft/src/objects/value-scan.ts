import { isUtf8 } from 'node:buffer'
import { ReplicatedDecodeError } from './errors.js'

/** Containers within containers; a Map or a Set counts twice. */
export const VALUE_DEPTH_MAX = 64
/** Bytes of a bigint's magnitude. */
export const BIGINT_BYTES_MAX = 1024

/** MessagePack extension types of what JSON has no word for. */
export const Extension = {
  UNDEFINED: 1,
  BIGINT: 2,
  MAP: 3,
  SET: 4,
  NEGATIVE_ZERO: 5,
  DATE: 6,
} as const

/**
 * Checks that bytes are exactly one well-formed value, before anything is allocated for it: a decoder
 * makes room for as many elements as a header promises, and this has counted that they are there.
 *
 * @throws ReplicatedDecodeError
 */
export function scanValue(bytes: Uint8Array): { readonly holdsBytes: boolean } {
  const scan = new ValueScan(bytes)
  scan.value(bytes.length, 1)
  if (scan.at !== bytes.length) throw new ReplicatedDecodeError('something follows the value')
  return scan
}

class ValueScan {
  at = 0
  holdsBytes = false
  readonly #bytes: Uint8Array
  readonly #view: DataView

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  }

  value(end: number, depth: number): void {
    const head = this.#unsigned(1, end)
    if (head < 0x80 || head >= 0xe0) return
    if (head < 0x90) this.#map(head & 0x0f, end, depth)
    else if (head < 0xa0) this.#array(head & 0x0f, end, depth)
    else if (head < 0xc0) this.#text(head & 0x1f, end)
    else this.#longForm(head, end, depth)
  }

  #longForm(head: number, end: number, depth: number): void {
    switch (head) {
      case 0xc0: // nil
      case 0xc2: // false
      case 0xc3: // true
        return
      case 0xc4: // bin 8, 16, 32
      case 0xc5:
      case 0xc6:
        this.holdsBytes = true
        this.#skip(this.#unsigned(1 << (head - 0xc4), end), end)
        return
      case 0xc7: // ext 8, 16, 32
      case 0xc8:
      case 0xc9:
        this.#extension(this.#unsigned(1 << (head - 0xc7), end), end, depth)
        return
      case 0xcb: // float 64
        this.#skip(8, end)
        return
      case 0xcc: // uint 8, 16, 32, 64
      case 0xcd:
      case 0xce:
      case 0xcf:
        this.#skip(1 << (head - 0xcc), end)
        return
      case 0xd0: // int 8, 16, 32, 64
      case 0xd1:
      case 0xd2:
      case 0xd3:
        this.#skip(1 << (head - 0xd0), end)
        return
      case 0xd4: // fixext 1, 2, 4, 8, 16
      case 0xd5:
      case 0xd6:
      case 0xd7:
      case 0xd8:
        this.#extension(1 << (head - 0xd4), end, depth)
        return
      case 0xd9: // str 8, 16, 32
      case 0xda:
      case 0xdb:
        this.#text(this.#unsigned(1 << (head - 0xd9), end), end)
        return
      case 0xdc: // array 16, 32
      case 0xdd:
        this.#array(this.#unsigned(head === 0xdc ? 2 : 4, end), end, depth)
        return
      case 0xde: // map 16, 32
      case 0xdf:
        this.#map(this.#unsigned(head === 0xde ? 2 : 4, end), end, depth)
        return
      default: // float 32, which is never written, and 0xc1, which is nothing
        throw new ReplicatedDecodeError('a value of no known kind')
    }
  }

  #array(count: number, end: number, depth: number): void {
    checkDepth(depth)
    for (let i = 0; i < count; i++) this.value(end, depth + 1)
  }

  #map(count: number, end: number, depth: number): void {
    checkDepth(depth)
    for (let i = 0; i < count; i++) {
      this.#key(end)
      this.value(end, depth + 1)
    }
  }

  #key(end: number): void {
    const head = this.#unsigned(1, end)
    if (head >= 0xa0 && head < 0xc0) this.#text(head & 0x1f, end)
    else if (head >= 0xd9 && head <= 0xdb) this.#text(this.#unsigned(1 << (head - 0xd9), end), end)
    else throw new ReplicatedDecodeError('the name of a property is no text')
  }

  #extension(sizeBytes: number, end: number, depth: number): void {
    const type = this.#unsigned(1, end)
    const start = this.at
    this.#skip(sizeBytes, end)
    switch (type) {
      case Extension.UNDEFINED:
      case Extension.NEGATIVE_ZERO:
        if (sizeBytes !== 0) throw new ReplicatedDecodeError('a constant with content')
        return
      case Extension.BIGINT:
        if (sizeBytes < 2 || sizeBytes > BIGINT_BYTES_MAX + 1 || this.#bytes[start]! > 1)
          throw new ReplicatedDecodeError('a bigint out of bounds')
        return
      case Extension.DATE:
        if (sizeBytes !== 8 || !(Math.abs(this.#view.getFloat64(start)) <= DATE_MS_MAX))
          throw new ReplicatedDecodeError('a date out of bounds')
        return
      case Extension.MAP:
      case Extension.SET:
        this.#elements(start, start + sizeBytes, depth, type === Extension.MAP)
        return
      default:
        throw new ReplicatedDecodeError('an extension of no known kind')
    }
  }

  /** The content of a Map or Set is one array; a Map's holds keys and values in turn. */
  #elements(start: number, end: number, depth: number, inPairs: boolean): void {
    this.at = start
    const head = this.#unsigned(1, end)
    let count: number
    if (head >= 0x90 && head < 0xa0) count = head & 0x0f
    else if (head === 0xdc || head === 0xdd) count = this.#unsigned(head === 0xdc ? 2 : 4, end)
    else throw new ReplicatedDecodeError('a collection that is none')
    if (inPairs && count % 2 !== 0) throw new ReplicatedDecodeError('a key without a value')
    this.#array(count, end, depth + 1)
    if (this.at !== end) throw new ReplicatedDecodeError('something follows a collection')
  }

  #text(sizeBytes: number, end: number): void {
    const start = this.at
    this.#skip(sizeBytes, end)
    if (!isUtf8(this.#bytes.subarray(start, this.at)))
      throw new ReplicatedDecodeError('a text that is not UTF-8')
  }

  #skip(sizeBytes: number, end: number): void {
    if (sizeBytes > end - this.at) throw new ReplicatedDecodeError('a value ends too soon')
    this.at += sizeBytes
  }

  #unsigned(sizeBytes: number, end: number): number {
    const start = this.at
    this.#skip(sizeBytes, end)
    if (sizeBytes === 1) return this.#view.getUint8(start)
    return sizeBytes === 2 ? this.#view.getUint16(start) : this.#view.getUint32(start)
  }
}

function checkDepth(depth: number): void {
  if (depth > VALUE_DEPTH_MAX) throw new ReplicatedDecodeError('a value is nested too deeply')
}

/** The largest magnitude of a Date, by ECMAScript. */
const DATE_MS_MAX = 8.64e15
