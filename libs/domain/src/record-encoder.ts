import { crc32c } from '@node-rs/crc32'
import { invariant } from '@sluice/foundation'
import { varlongSize, writeVarlong } from './byte-reader.js'
import {
  ATTRIBUTES_AT,
  BASE_OFFSET_AT,
  BASE_SEQUENCE_AT,
  BASE_TIMESTAMP_AT,
  BATCH_HEADER_BYTES,
  BATCH_LENGTH_AT,
  CRC_AT,
  LAST_OFFSET_DELTA_AT,
  LENGTH_OVERHEAD_BYTES,
  MAGIC,
  MAGIC_AT,
  MAX_TIMESTAMP_AT,
  PRODUCER_EPOCH_AT,
  PRODUCER_ID_AT,
  RECORD_COUNT_AT,
  type RecordData,
  viewOf,
} from './record-batch.js'

const utf8 = new TextEncoder()

/** Zigzag doubles a number: past this a double no longer holds the result, and no reader takes it. */
const TIMESTAMP_DELTA_MAX = 2 ** 52 - 1

export interface BatchInput {
  /** At least one. */
  readonly records: readonly RecordData[]
  /** With epoch and sequence: the batch is stored once, however often it is sent. */
  readonly producerId?: bigint
  readonly producerEpoch?: number
  /** Sequence of the first record; the others follow. */
  readonly baseSequence?: number
}

interface SizedRecord {
  readonly bodyBytes: number
  readonly headerKeys: readonly Uint8Array[]
}

/** A batch with base offset and leader epoch 0, in one buffer of its exact size. */
export function encodeRecordBatch(input: BatchInput): Uint8Array {
  const { records } = input
  invariant(records.length > 0, 'a batch holds at least one record')
  const baseTimestamp = records[0]!.timestamp
  const sizes: SizedRecord[] = []
  let size = BATCH_HEADER_BYTES
  let maxTimestamp = baseTimestamp
  for (let i = 0; i < records.length; i++) {
    const record = records[i]!
    invariant(Number.isSafeInteger(record.timestamp), 'a timestamp is a whole number of milliseconds')
    const delta = record.timestamp - baseTimestamp
    invariant(Math.abs(delta) <= TIMESTAMP_DELTA_MAX, 'the timestamps of a batch lie close enough to be read')
    const sized = sizeOf(record, delta, i)
    sizes.push(sized)
    size += varlongSize(sized.bodyBytes) + sized.bodyBytes
    if (record.timestamp > maxTimestamp) maxTimestamp = record.timestamp
  }
  const bytes = new Uint8Array(size)
  const view = viewOf(bytes)
  view.setBigInt64(BASE_OFFSET_AT, 0n)
  view.setInt32(BATCH_LENGTH_AT, size - LENGTH_OVERHEAD_BYTES)
  view.setInt8(MAGIC_AT, MAGIC)
  view.setInt16(ATTRIBUTES_AT, 0)
  view.setInt32(LAST_OFFSET_DELTA_AT, records.length - 1)
  view.setBigInt64(BASE_TIMESTAMP_AT, BigInt(baseTimestamp))
  view.setBigInt64(MAX_TIMESTAMP_AT, BigInt(maxTimestamp))
  view.setBigInt64(PRODUCER_ID_AT, input.producerId ?? -1n)
  view.setInt16(PRODUCER_EPOCH_AT, input.producerEpoch ?? -1)
  view.setInt32(BASE_SEQUENCE_AT, input.baseSequence ?? -1)
  view.setInt32(RECORD_COUNT_AT, records.length)
  let at = BATCH_HEADER_BYTES
  for (let i = 0; i < records.length; i++) {
    const record = records[i]!
    at = writeVarlong(bytes, at, sizes[i]!.bodyBytes)
    at = writeRecord(bytes, at, record, {
      delta: record.timestamp - baseTimestamp,
      index: i,
      headerKeys: sizes[i]!.headerKeys,
    })
  }
  invariant(at === size, 'a batch takes the bytes that were counted')
  view.setUint32(CRC_AT, crc32c(bytes.subarray(ATTRIBUTES_AT)))
  return bytes
}

const NO_KEYS: readonly Uint8Array[] = []

function sizeOf(record: RecordData, delta: number, index: number): SizedRecord {
  let bodyBytes =
    1 + varlongSize(delta) + varlongSize(index) + nullableSize(record.key) + nullableSize(record.value)
  bodyBytes += varlongSize(record.headers.length)
  if (record.headers.length === 0) return { bodyBytes, headerKeys: NO_KEYS }
  const headerKeys: Uint8Array[] = []
  for (const header of record.headers) {
    const key = utf8.encode(header.key)
    headerKeys.push(key)
    bodyBytes += nullableSize(key) + nullableSize(header.value)
  }
  return { bodyBytes, headerKeys }
}

function nullableSize(bytes: Uint8Array | null): number {
  return bytes === null ? 1 : varlongSize(bytes.length) + bytes.length
}

function writeRecord(
  bytes: Uint8Array,
  start: number,
  record: RecordData,
  place: { readonly delta: number; readonly index: number; readonly headerKeys: readonly Uint8Array[] },
): number {
  bytes[start] = 0
  let at = writeVarlong(bytes, start + 1, place.delta)
  at = writeVarlong(bytes, at, place.index)
  at = writeNullable(bytes, at, record.key)
  at = writeNullable(bytes, at, record.value)
  at = writeVarlong(bytes, at, record.headers.length)
  for (let i = 0; i < record.headers.length; i++) {
    at = writeNullable(bytes, at, place.headerKeys[i]!)
    at = writeNullable(bytes, at, record.headers[i]!.value)
  }
  return at
}

function writeNullable(bytes: Uint8Array, at: number, value: Uint8Array | null): number {
  if (value === null) return writeVarlong(bytes, at, -1)
  const start = writeVarlong(bytes, at, value.length)
  bytes.set(value, start)
  return start + value.length
}
