import type { MessageRun } from '@sluice/domain'

/** What a consumer was given and when it asked, so that the same request again gets the same messages. */
export interface CursorGrant {
  /** 16 bytes as 32 hex digits, chosen by the caller. */
  readonly requestId: string
  readonly from: number
  /** One past the last message granted. */
  readonly to: number
  /** Messages before `from` that the consumer will never get: deleted before it read them. */
  readonly skipped?: number
  /**
   * Who answers the caller: one try of one call, later tries with larger numbers. Only the holder may say
   * that the messages reached nobody. Absent: the messages are never released.
   */
  readonly holder?: number
  /** Released: whoever asks next is given these messages before those at the cursor. */
  readonly released?: true
}

/** A consumer's position in one partition. */
export interface CursorRow {
  readonly consumerId: number
  /** Everything from here on was never granted. What was released is below, and is to be delivered first. */
  readonly cursor: number
  /** The newest grants, oldest first, and those that were released; bounded. */
  readonly grants: readonly CursorGrant[]
}

/** What one batch producer has stored in one partition, for duplicate suppression. */
export interface SequenceRow {
  readonly producerId: bigint
  readonly epoch: number
  /** Sequence of the last record of the newest batch. */
  readonly lastSequence: number
  /** The newest batches, oldest first; bounded. */
  readonly batches: readonly {
    readonly sequence: number
    readonly count: number
    readonly baseOffset: number
  }[]
  /** Largest record timestamp of the newest batch, milliseconds; decides who is forgotten first. */
  readonly at: number
}

/** One record batch as it is stored: offsets and leader epoch are filled in. */
export interface StoredBatch {
  readonly baseOffset: number
  readonly lastOffset: number
  readonly term: number
  readonly index: number
  /** Milliseconds since 1970. */
  readonly maxTimestamp: number
  readonly bytes: Uint8Array
}

/** A batch that is applied, whether the database has it or not. */
export interface AppliedBatch extends Omit<StoredBatch, 'bytes'> {
  readonly sizeBytes: number
  /** Absent once the memory was needed: then they are in the log, at `index`, until the database has them. */
  bytes: Uint8Array | undefined
}

/** One whose bytes are in memory at this moment; who keeps it asks again. */
export type ResidentBatch = AppliedBatch & StoredBatch

export function resident(batch: StoredBatch): ResidentBatch {
  return { ...batch, sizeBytes: batch.bytes.length }
}

/** What a range of applied entries changed in one partition, to be written in one transaction. */
export interface PartitionDelta {
  readonly groupId: number
  readonly topic: string
  readonly number: number
  /** The applied index the database must hold before this delta; 0 for a new partition. */
  readonly previousIndex: number
  readonly appliedIndex: number
  readonly appliedTerm: number
  readonly nextOffset: number
  readonly logStart: number
  /** It takes no messages any more. */
  readonly isClosed?: boolean
  readonly batches: readonly AppliedBatch[]
  readonly cursors: readonly CursorRow[]
  readonly sequences: readonly SequenceRow[]
  readonly expiredSequences: readonly bigint[]
  /** The Raft configuration that came with it, encoded; absent when it brought none. */
  readonly configuration?: Uint8Array
}

/** What a partition starts from after a restart. */
export interface PartitionSnapshot {
  readonly appliedIndex: number
  readonly appliedTerm: number
  readonly nextOffset: number
  readonly logStart: number
  /** It takes no messages any more. */
  readonly isClosed?: boolean
  readonly cursors: readonly CursorRow[]
  readonly sequences: readonly SequenceRow[]
  /** The newest batches whose messages can be recognised when they are sent again, oldest first. */
  readonly runs?: readonly StoredRuns[]
}

/** What of a stored batch was sent under which id. */
export interface StoredRuns {
  readonly baseOffset: number
  readonly runs: readonly MessageRun[]
}
