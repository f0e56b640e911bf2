import { invariant } from '@sluice/foundation'
import type { LogIndex } from './types.js'

/** Of a window that was not used yet; never written to. */
const NOTHING: number[] = []

/** Appends sent to one peer and not answered yet, oldest first: a ring that grows up to its bound. */
export class InflightWindow {
  readonly #messagesMax: number
  readonly #bytesMax: number
  #lasts: number[] = NOTHING
  #sizes: number[] = NOTHING
  #start = 0
  #count = 0
  #bytes = 0

  constructor(bounds: { readonly messagesMax: number; readonly bytesMax: number }) {
    this.#messagesMax = bounds.messagesMax
    this.#bytesMax = bounds.bytesMax
  }

  get count(): number {
    return this.#count
  }

  /** The last append may go over the bound in bytes, so that one larger than it can be sent at all. */
  get isFull(): boolean {
    return this.#count >= this.#messagesMax || this.#bytes >= this.#bytesMax
  }

  add(last: LogIndex, bytes: number): void {
    invariant(!this.isFull, 'nothing is sent past a full window')
    if (this.#count === this.#lasts.length) this.#grow()
    const at = (this.#start + this.#count) % this.#lasts.length
    this.#lasts[at] = last
    this.#sizes[at] = bytes
    this.#count++
    this.#bytes += bytes
  }

  /** Everything up to `index` is answered. */
  freeTo(index: LogIndex): void {
    while (this.#count > 0 && this.#lasts[this.#start]! <= index) {
      this.#bytes -= this.#sizes[this.#start]!
      this.#start = (this.#start + 1) % this.#lasts.length
      this.#count--
    }
  }

  clear(): void {
    this.#lasts = NOTHING
    this.#sizes = NOTHING
    this.#start = 0
    this.#count = 0
    this.#bytes = 0
  }

  #grow(): void {
    const length = Math.min(Math.max(4, this.#lasts.length * 2), this.#messagesMax)
    const lasts = new Array<number>(length).fill(0)
    const sizes = new Array<number>(length).fill(0)
    for (let i = 0; i < this.#count; i++) {
      const at = (this.#start + i) % this.#lasts.length
      lasts[i] = this.#lasts[at]!
      sizes[i] = this.#sizes[at]!
    }
    this.#lasts = lasts
    this.#sizes = sizes
    this.#start = 0
  }
}
