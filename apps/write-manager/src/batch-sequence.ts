import { invariant } from '@sluice/foundation'

const SEQUENCE_MAX = 0x7fff_ffff
const EPOCH_MAX = 0x7fff

/** What a batch carries so that a broker stores it once, however often it is sent. */
export interface BatchNumber {
  readonly producerEpoch: number
  readonly baseSequence: number
}

/**
 * Numbers the batches of one partition: sequences grow by the records sent, stored or not, so a batch is
 * never stored behind a later one. When the 32 bits are used up the next epoch starts at 0.
 */
export class BatchSequence {
  #epoch = 0
  #next: number

  constructor(first = 0) {
    this.#next = first
  }

  take(recordCount: number): BatchNumber {
    invariant(recordCount > 0, 'a batch has records')
    if (this.#next + recordCount - 1 > SEQUENCE_MAX) {
      invariant(this.#epoch < EPOCH_MAX, 'epochs of a batch producer are used up')
      this.#epoch++
      this.#next = 0
    }
    const number = { producerEpoch: this.#epoch, baseSequence: this.#next }
    this.#next += recordCount
    return number
  }
}
