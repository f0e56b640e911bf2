export {
  APPEND_HEADER_BYTES,
  batchOf,
  decodePartitionCommand,
  encodeAppend,
  encodeClose,
  encodeCursors,
  encodeTrim,
  encodeVoid,
  type PartitionCommand,
} from './command.js'
export { encodeCompactCursors } from './compact-cursors.js'
export { type Unread } from './cursor.js'
export type { CursorOperation } from './cursor-operation.js'
export { DUPLICATE_WINDOW_CALLS, type KnownRun } from './duplicate-window.js'
export { checkEntryLevel, COMPACT_CURSORS_LEVEL } from './entry-level.js'
export { type BatchIdentity } from './producer-sequence.js'
export { type AppendPlan, type EarlierGrant, LeaderProjection } from './projection.js'
export { RecentBatches, RecentBudget } from './recent-batches.js'
export { resident } from './rows.js'
export type {
  AppliedBatch,
  CursorGrant,
  CursorRow,
  PartitionDelta,
  PartitionSnapshot,
  ResidentBatch,
  SequenceRow,
  StoredBatch,
  StoredRuns,
} from './rows.js'
export { type Applied, type MoveOutcome, PartitionState } from './state.js'
