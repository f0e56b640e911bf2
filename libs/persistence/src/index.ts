export { type BatchRange, BatchRanges, type RangeDigest } from './batch-ranges.js'
export { BatchSlices } from './batch-slices.js'
export { CopiedBatches } from './copied-batches.js'
export {
  type Database,
  DatabaseError,
  type DatabaseOptions,
  ensureDatabase,
  openDatabase,
} from './database.js'
export { type LoadBatches, StaleDeltaError } from './delta-writer.js'
export {
  type MetadataDelta,
  MetadataLostError,
  MetadataStore,
  type StoredMetadata,
} from './metadata-store.js'
export { migrate } from './migrations.js'
export { PartitionRemovals } from './partition-removals.js'
export { PartitionStore, type StoredPartition } from './partition-store.js'
export { type PartitionContent, PartitionSnapshots, type RestoredPartition } from './partition-snapshots.js'
export { type RetentionLimits, retentionStart } from './retention-start.js'
export type { Tables } from './tables.js'
export { isUnused } from './unused-database.js'
