import { BrokerError } from '@sluice/domain'

/** Of 2^53 - 1: no position and no id is larger. */
export const VARINT_BYTES_MAX = 8

/** Writes seven bits a byte, the lowest first; returns the position behind it. */
export function writeVarint(into: Uint8Array, at: number, value: number): number {
  let rest = value
  let to = at
  while (rest >= 0x80) {
    into[to++] = (rest % 0x80) | 0x80
    rest = Math.floor(rest / 0x80)
  }
  into[to++] = rest
  return to
}

/** Reads numbers and bytes one after the other, and never past the end. */
export class VarintReader {
  readonly #bytes: Uint8Array
  #at: number

  constructor(bytes: Uint8Array, at: number) {
    this.#bytes = bytes
    this.#at = at
  }

  get at(): number {
    return this.#at
  }

  get isAtEnd(): boolean {
    return this.#at === this.#bytes.length
  }

  /** @throws BrokerError CORRUPT_BATCH cut off, or no integer that a number holds */
  number(): number {
    let value = 0
    let scale = 1
    for (let i = 0; i < VARINT_BYTES_MAX; i++) {
      const byte = this.byte()
      value += (byte & 0x7f) * scale
      if (byte < 0x80) {
        if (Number.isSafeInteger(value)) return value
        break
      }
      scale *= 0x80
    }
    throw new BrokerError('CORRUPT_BATCH', 'an entry of a partition has a number that is too large')
  }

  byte(): number {
    return this.#bytes[this.skip(1)]!
  }

  /** Passes over `count` bytes; returns where they begin. */
  skip(count: number): number {
    const from = this.#at
    if (count > this.#bytes.length - from)
      throw new BrokerError('CORRUPT_BATCH', 'an entry of a partition is cut off')
    this.#at += count
    return from
  }
}
