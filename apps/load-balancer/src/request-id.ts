import { randomBytes } from 'node:crypto'

const valid = /^[0-9a-f]{32}$/i

/**
 * Names calls: 32 hex digits, of which 16 are drawn when the process starts and 16 count up. A call is
 * told apart from every other call of this and of other load balancers without drawing per call.
 */
export class RequestIds {
  readonly #prefix: string
  #high: number
  #low = 0

  constructor(seed: Uint8Array = randomBytes(12)) {
    const hex = Buffer.from(seed).toString('hex').padEnd(24, '0')
    this.#prefix = hex.slice(0, 16)
    this.#high = Number.parseInt(hex.slice(16, 24), 16)
  }

  next(): string {
    this.#low += 1
    if (this.#low > 0xffff_ffff) {
      this.#low = 0
      this.#high = (this.#high + 1) % 0x1_0000_0000
    }
    return this.#prefix + hex32(this.#high) + hex32(this.#low)
  }
}

/** The caller's own id when it is 32 hex digits, in lower case. */
export function givenRequestId(header: string | string[] | undefined): string | undefined {
  return typeof header === 'string' && valid.test(header) ? header.toLowerCase() : undefined
}

function hex32(value: number): string {
  return value.toString(16).padStart(8, '0')
}
