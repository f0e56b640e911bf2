export type {
  CursorGrant,
  CursorRow,
  PartitionDelta,
  PartitionSnapshot,
  SequenceRow,
  StoredBatch,
} from './rows.js'
