import type { LogIndex } from '../../core/types.js'

export interface StateAt {
  /** Of the entry applied last. */
  readonly fingerprint: number
  readonly stateHash: number
}

/** The states that a group's machines have gone through, by the index of the last entry in each. */
export class StateLedger {
  readonly #states: StateAt[] = []

  at(index: LogIndex): StateAt | undefined {
    return this.#states[index]
  }

  /** The first one that was found for the index. */
  record(index: LogIndex, found: StateAt): StateAt {
    return (this.#states[index] ??= found)
  }
}
