import type { LogIndex } from '../core/types.js'

export type CallKind = 'write' | 'swap' | 'read'

/** `unknown`: it may have been done, or may be done later. */
export type CallOutcome = 'pending' | 'done' | 'refused' | 'unknown'

/** A client's call to one register of a group, and what became of it. */
export interface Call {
  /** Of this call alone; what a write or a swap writes. */
  readonly serial: number
  readonly kind: CallKind
  readonly key: number
  /** A swap writes only over this. */
  readonly expected: number
  /** Events so far, when it began. */
  readonly invokedAt: number
  outcome: CallOutcome
  /** Events so far, when it ended. */
  answeredAt: number
  /** What stood in the register before, or was read; 0 is nothing. Meaningless unless done. */
  previous: number
  /** Where a write or swap stands in the log; of a read, the entry that wrote what it saw. */
  index: LogIndex
  /** What the machine that answered had applied. */
  applied: LogIndex
}
