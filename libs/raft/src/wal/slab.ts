import { padded, viewOf } from './format.js'

/** Memory that batches are encoded into. */
export class Slab {
  readonly bytes: Uint8Array
  readonly view: DataView

  constructor(sizeBytes: number) {
    this.bytes = Buffer.allocUnsafeSlow(sizeBytes)
    this.view = viewOf(this.bytes)
  }
}

const SLAB_BYTES_MAX = 4 * 1024 * 1024
const SLAB_BYTES_MIN = 64 * 1024
const KEPT_MAX = 2

/** Slabs of one size that are used again; a larger one is made for a batch that needs it. */
export class SlabPool {
  readonly #slabBytes: number
  readonly #free: Slab[] = []

  constructor(segmentBytes: number) {
    this.#slabBytes = Math.min(SLAB_BYTES_MAX, Math.max(SLAB_BYTES_MIN, segmentBytes))
  }

  /** Holds at least `sizeBytes`. */
  take(sizeBytes: number): Slab {
    if (padded(sizeBytes) > this.#slabBytes) return new Slab(padded(sizeBytes))
    return this.#free.pop() ?? new Slab(this.#slabBytes)
  }

  giveBack(slab: Slab): void {
    if (slab.bytes.length === this.#slabBytes && this.#free.length < KEPT_MAX) this.#free.push(slab)
  }
}
