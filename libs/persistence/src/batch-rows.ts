import { packedRuns, readBatchHeader, recordPositions } from '@sluice/domain'
import { invariant } from '@sluice/foundation'
import type { StoredBatch } from '@sluice/partition'
import { type RawBuilder, sql } from 'kysely'
import { byteaArray, int4Array, int8Array } from './binary-array.js'

/** What grows with every batch of a partition. */
export interface RunningTotals {
  readonly latestTimestamp: number
  readonly endBytes: number
}

const NO_RUNS = new Uint8Array(0)

/** Rows of `record_batches` for one INSERT. */
export class BatchRows {
  readonly #groupIds: number[] = []
  readonly #latestTimestamps: number[] = []
  readonly #endBytes: number[] = []
  readonly #baseTimestamps: number[] = []
  readonly #batches: StoredBatch[] = []
  // The positions of all records of all batches in a row; PostgreSQL has no array of arrays of
  // different lengths, so every row takes its slice of these.
  readonly #sliceStarts: number[] = []
  readonly #sliceEnds: number[] = []
  readonly #timestampDeltas: number[] = []
  readonly #keyStarts: number[] = []
  readonly #keyLengths: number[] = []
  readonly #valueStarts: number[] = []
  readonly #valueLengths: number[] = []
  readonly #slice: number

  constructor(slice: number) {
    this.#slice = slice
  }

  /** @param upTo of this batch and all before it in its partition */
  add(groupId: number, batch: StoredBatch, upTo: RunningTotals): void {
    const header = readBatchHeader(batch.bytes)
    invariant(header.baseOffset === batch.baseOffset, 'a batch is stored under the offset it carries')
    const count = batch.lastOffset - batch.baseOffset + 1
    invariant(header.recordCount === count, 'a batch has a record for every offset')
    const positions = recordPositions(batch.bytes)
    this.#groupIds.push(groupId)
    this.#batches.push(batch)
    this.#latestTimestamps.push(upTo.latestTimestamp)
    this.#endBytes.push(upTo.endBytes)
    this.#baseTimestamps.push(header.baseTimestamp)
    this.#sliceStarts.push(this.#keyStarts.length + 1)
    for (let i = 0; i < count; i++) {
      this.#timestampDeltas.push(positions.timestampDeltas[i]!)
      this.#keyStarts.push(positions.keyStarts[i]!)
      this.#keyLengths.push(positions.keyLengths[i]!)
      this.#valueStarts.push(positions.valueStarts[i]!)
      this.#valueLengths.push(positions.valueLengths[i]!)
    }
    this.#sliceEnds.push(this.#keyStarts.length)
  }

  insert(): RawBuilder<unknown> {
    const batches = this.#batches
    const column = (of: (batch: StoredBatch) => number): Buffer => int8Array(batches.map(of))
    return sql`
      INSERT INTO record_batches (group_id, base_offset, last_offset, term, raft_index, base_timestamp,
        max_timestamp, latest_timestamp, end_bytes, bytes, runs, timestamp_deltas, key_starts, key_lengths, value_starts, value_lengths, slice)
      SELECT group_id, base_offset, last_offset, term, raft_index, base_timestamp,
        max_timestamp, latest_timestamp, end_bytes, bytes, nullif(runs, ''::bytea),
        (${int8Array(this.#timestampDeltas)}::bigint[])[slice_start:slice_end],
        (${int4Array(this.#keyStarts)}::integer[])[slice_start:slice_end],
        (${int4Array(this.#keyLengths)}::integer[])[slice_start:slice_end],
        (${int4Array(this.#valueStarts)}::integer[])[slice_start:slice_end],
        (${int4Array(this.#valueLengths)}::integer[])[slice_start:slice_end],
        ${this.#slice}::integer
      FROM unnest(
        ${int4Array(this.#groupIds)}::integer[],
        ${column((batch) => batch.baseOffset)}::bigint[],
        ${column((batch) => batch.lastOffset)}::bigint[],
        ${column((batch) => batch.term)}::bigint[],
        ${column((batch) => batch.index)}::bigint[],
        ${int8Array(this.#baseTimestamps)}::bigint[],
        ${column((batch) => batch.maxTimestamp)}::bigint[],
        ${int8Array(this.#latestTimestamps)}::bigint[],
        ${int8Array(this.#endBytes)}::bigint[],
        ${byteaArray(batches.map((batch) => batch.bytes))}::bytea[],
        ${byteaArray(batches.map((batch) => packedRuns(batch.bytes) ?? NO_RUNS))}::bytea[],
        ${int4Array(this.#sliceStarts)}::integer[],
        ${int4Array(this.#sliceEnds)}::integer[]
      ) AS row (group_id, base_offset, last_offset, term, raft_index, base_timestamp, max_timestamp,
        latest_timestamp, end_bytes, bytes, runs, slice_start, slice_end)`
  }
}
