import type { Clock } from '@sluice/foundation'

/** How long a partition that failed is asked after the others. Milliseconds. */
const SUSPECT_MS = 2000

/** Partitions whose leaders did not answer lately. */
export class SuspectPartitions {
  readonly #clock: Clock
  readonly #until = new Map<number, number>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  failed(groupId: number): void {
    this.#until.set(groupId, this.#clock.monotonic() + SUSPECT_MS)
  }

  cleared(groupId: number): void {
    this.#until.delete(groupId)
  }

  has(groupId: number): boolean {
    const until = this.#until.get(groupId)
    return until !== undefined && this.#clock.monotonic() < until
  }
}
