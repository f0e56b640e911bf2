import { corrupt, ByteReader } from './byte-reader.js'
import { BATCH_HEADER_BYTES, readBatchHeader, type RecordData, viewOf } from './record-batch.js'

/*
 * Which messages of a batch belong to which call, so that a call that is sent again, through whichever
 * write manager, is stored once. The runs are in the value of a header of the batch's first record, where
 * nothing that copies batches needs to know of them:
 *
 *   version u8 = 1 | runs, each: id 16 bytes | at f64 | first u32 | count u32          little endian
 */
const VERSION = 1
const RUN_BYTES = 32

/** Headers that begin so are Sluice's own: clients cannot set them, and are not shown them. */
export const OWN_HEADER_PREFIX = 'sluice.'
const RUNS_HEADER = 'sluice.runs'

/** Messages in a row of one batch that were sent under one id. */
export interface MessageRun {
  /** 16 bytes as 32 hex digits, the same whenever the same messages are sent. */
  readonly id: string
  /** Timestamp that messages without one of their own got. Milliseconds since 1970. */
  readonly at: number
  /** Place of the first one in the batch. */
  readonly first: number
  readonly count: number
}

/** The records with the runs in the header of the first; the others are as they were. */
export function withRuns(records: readonly RecordData[], runs: readonly MessageRun[]): readonly RecordData[] {
  const first = records[0]
  if (runs.length === 0 || first === undefined) return records
  const headers = [...first.headers, { key: RUNS_HEADER, value: encodeRuns(runs) }]
  return [{ ...first, headers }, ...records.slice(1)]
}

/** Bytes that a run takes of a batch. */
export const MESSAGE_RUN_BYTES = RUN_BYTES

/** The runs of a batch; none when it has none. @throws BrokerError CORRUPT_BATCH */
export function readRuns(batch: Uint8Array): readonly MessageRun[] {
  const packed = packedRuns(batch)
  return packed === null ? [] : decodeRuns(packed, readBatchHeader(batch).recordCount)
}

/** The runs of a batch as they are packed in it: a view, or null. @throws BrokerError CORRUPT_BATCH */
export function packedRuns(batch: Uint8Array): Uint8Array | null {
  const reader = new ByteReader(batch, BATCH_HEADER_BYTES, batch.length)
  reader.varint()
  reader.byte()
  reader.varlong()
  reader.varint()
  reader.span(reader.varint())
  reader.span(reader.varint())
  const headerCount = reader.varint()
  for (let i = 0; i < headerCount; i++) {
    const key = reader.text(reader.varint())
    const value = reader.view(reader.varint())
    if (key === RUNS_HEADER) return value
  }
  return null
}

/** @throws BrokerError CORRUPT_BATCH when a run is not within `recordCount` records */
export function decodeRuns(packed: Uint8Array, recordCount: number): readonly MessageRun[] {
  if (packed[0] !== VERSION || (packed.length - 1) % RUN_BYTES !== 0) throw corrupt('its runs are none')
  const view = viewOf(packed)
  const hex = Buffer.from(packed.buffer, packed.byteOffset, packed.length)
  const runs: MessageRun[] = []
  for (let at = 1; at < packed.length; at += RUN_BYTES) {
    const run = {
      id: hex.toString('hex', at, at + 16),
      at: view.getFloat64(at + 16, true),
      first: view.getUint32(at + 24, true),
      count: view.getUint32(at + 28, true),
    }
    if (run.count < 1 || run.first + run.count > recordCount || !Number.isSafeInteger(run.at))
      throw corrupt('a run is not within its records')
    runs.push(run)
  }
  return runs
}

function encodeRuns(runs: readonly MessageRun[]): Uint8Array {
  const packed = Buffer.alloc(1 + runs.length * RUN_BYTES)
  packed[0] = VERSION
  let at = 1
  for (const { id, at: time, first, count } of runs) {
    packed.write(id, at, 'hex')
    packed.writeDoubleLE(time, at + 16)
    packed.writeUInt32LE(first, at + 24)
    packed.writeUInt32LE(count, at + 28)
    at += RUN_BYTES
  }
  return packed
}
