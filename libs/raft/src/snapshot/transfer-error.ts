import { SnapshotRefusal } from './frame.js'

/** Why a snapshot did not get to a peer. */
export type TransferFailure =
  /** Nothing was heard of it for the longest time that is waited. */
  | 'peer-silent'
  /** It takes other snapshots, and has done so for the longest time that is waited. */
  | 'peer-busy'
  /** The snapshot cannot be read here. */
  | 'source-unreadable'
  /** As many transfers as may be are under way. */
  | 'overloaded'
  /** The peer does not know the group, or another incarnation of it. */
  | 'unknown-group'
  | 'foreign-group'
  /** Somebody leads in a later term. */
  | 'stale-term'
  /** The peer takes another snapshot instead. */
  | 'superseded'
  | 'too-large'
  /** The peer cannot write it. */
  | 'receiver-storage'
  /** The peer got all of it, and it is not what was announced. */
  | 'damaged'

/** A snapshot did not get to a peer; trying again later is for the caller to decide. */
export class SnapshotTransferError extends Error {
  override readonly name = 'SnapshotTransferError'
  readonly reason: TransferFailure

  constructor(reason: TransferFailure, options: ErrorOptions = {}) {
    super(`the snapshot did not arrive: ${reason}`, options)
    this.reason = reason
  }
}

/** `undefined` for refusals that end nothing: another offer helps. */
export function failureOf(refusal: SnapshotRefusal): TransferFailure | undefined {
  return FAILURES[refusal]
}

const FAILURES = {
  [SnapshotRefusal.FOREIGN_GROUP]: 'foreign-group',
  [SnapshotRefusal.UNKNOWN_GROUP]: 'unknown-group',
  [SnapshotRefusal.STALE_TERM]: 'stale-term',
  [SnapshotRefusal.BUSY]: undefined,
  [SnapshotRefusal.SUPERSEDED]: 'superseded',
  [SnapshotRefusal.TOO_LARGE]: 'too-large',
  [SnapshotRefusal.UNKNOWN_TRANSFER]: undefined,
  [SnapshotRefusal.STORAGE]: 'receiver-storage',
  [SnapshotRefusal.DAMAGED]: 'damaged',
} as const satisfies Record<SnapshotRefusal, TransferFailure | undefined>
