import type { IncomingMessage } from 'node:http'
import { BrokerError } from '@sluice/domain'

/** Bodies up to this size are not counted: the number of open calls bounds them. Bytes. */
const smallBytes = 64 * 1024

/** How many bytes the bodies of open calls may take, all together. */
export class BodyBudget {
  readonly #bodyBytesMax: number
  readonly #bodiesBytesMax: number
  #usedBytes = 0

  constructor(limits: { readonly bodyBytesMax: number; readonly bodiesBytesMax: number }) {
    this.#bodyBytesMax = limits.bodyBytesMax
    this.#bodiesBytesMax = limits.bodiesBytesMax
  }

  /**
   * Takes what the body of a call may need, before it is read.
   *
   * @returns how many bytes were taken, to be given back
   * @throws BrokerError OVERLOADED
   */
  take(request: IncomingMessage): number {
    const sizeBytes = this.#announced(request)
    if (sizeBytes <= smallBytes) return 0
    if (this.#usedBytes + sizeBytes > this.#bodiesBytesMax) {
      throw new BrokerError('OVERLOADED', `bodies of ${this.#usedBytes} bytes are on their way already`, {
        component: 'load-balancer',
      })
    }
    this.#usedBytes += sizeBytes
    return sizeBytes
  }

  giveBack(sizeBytes: number): void {
    this.#usedBytes -= sizeBytes
  }

  /** A body of unknown length counts as the largest; one that is too long is refused elsewhere, unread. */
  #announced(request: IncomingMessage): number {
    const length = request.headers['content-length']
    if (length === undefined)
      return request.headers['transfer-encoding'] === undefined ? 0 : this.#bodyBytesMax
    return Math.min(Number(length), this.#bodyBytesMax)
  }
}
