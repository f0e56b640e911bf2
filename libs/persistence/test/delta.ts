import { encodeRecordBatch, readBatchHeader, type RecordData, stampBatch, toOffset } from '@sluice/domain'
import type { PartitionDelta, ResidentBatch } from '@sluice/partition'

export const BASE_TIME = 1_700_000_000_000

export function record(value: string | Uint8Array | null, more: Partial<RecordData> = {}): RecordData {
  const bytes = typeof value === 'string' ? Buffer.from(value) : value
  return { timestamp: BASE_TIME, key: null, value: bytes, headers: [], ...more }
}

/** A batch as a partition hands it on. */
export function batchAt(baseOffset: number, records: readonly RecordData[], index = 1): ResidentBatch {
  const bytes = encodeRecordBatch({ records })
  stampBatch(bytes, toOffset(baseOffset), 1)
  const { maxTimestamp } = readBatchHeader(bytes)
  const lastOffset = baseOffset + records.length - 1
  return { baseOffset, lastOffset, term: 1, index, maxTimestamp, sizeBytes: bytes.length, bytes }
}

export function delta(change: Partial<PartitionDelta> = {}): PartitionDelta {
  const previousIndex = change.previousIndex ?? 0
  const last = change.batches?.at(-1)
  return {
    groupId: 2,
    topic: 'orders',
    number: 1,
    previousIndex,
    appliedIndex: previousIndex + 1,
    appliedTerm: 1,
    nextOffset: last === undefined ? 0 : last.lastOffset + 1,
    logStart: 0,
    batches: [],
    cursors: [],
    sequences: [],
    expiredSequences: [],
    ...change,
  }
}
