import { crc32c } from '@node-rs/crc32'
import { corrupt, ByteReader } from './byte-reader.js'
import { type Offset, toOffset } from './offset.js'

/*
 * Kafka's record batch, magic 2 (KIP-98), big endian:
 *
 *    0 base offset i64         12 leader epoch i32      21 attributes i16         27 base timestamp i64
 *    8 batch length i32        16 magic i8 = 2          23 last offset delta i32  35 max timestamp i64
 *                              17 CRC-32C u32 over everything from 21 on
 *   43 producer id i64         51 producer epoch i16    53 base sequence i32      57 record count i32
 *   61 records, each: length varint | attributes i8 | timestamp delta varlong | offset delta varint |
 *      key length varint, key | value length varint, value | header count varint | headers
 *      header: key length varint, key | value length varint, value           length −1 is null
 */
export const BATCH_HEADER_BYTES = 61
export const BASE_OFFSET_AT = 0
export const BATCH_LENGTH_AT = 8
const LEADER_EPOCH_AT = 12
export const MAGIC_AT = 16
export const CRC_AT = 17
export const ATTRIBUTES_AT = 21
export const LAST_OFFSET_DELTA_AT = 23
export const BASE_TIMESTAMP_AT = 27
export const MAX_TIMESTAMP_AT = 35
export const PRODUCER_ID_AT = 43
export const PRODUCER_EPOCH_AT = 51
export const BASE_SEQUENCE_AT = 53
export const RECORD_COUNT_AT = 57
export const MAGIC = 2

/** `batch length` counts what follows it. */
export const LENGTH_OVERHEAD_BYTES = 12

export interface RecordHeader {
  readonly key: string
  readonly value: Uint8Array | null
}

export interface RecordData {
  /** Milliseconds since 1970. */
  readonly timestamp: number
  readonly key: Uint8Array | null
  readonly value: Uint8Array | null
  readonly headers: readonly RecordHeader[]
}

/** A record in its place. Key, value and header values are views of the batch's bytes. */
export interface StoredRecord extends RecordData {
  readonly offset: Offset
}

export interface BatchHeader {
  readonly baseOffset: Offset
  readonly batchLength: number
  readonly leaderEpoch: number
  readonly attributes: number
  readonly crc: number
  readonly lastOffsetDelta: number
  /** Milliseconds since 1970. */
  readonly baseTimestamp: number
  readonly maxTimestamp: number
  /** −1 when the batch asks for no duplicate suppression. */
  readonly producerId: bigint
  readonly producerEpoch: number
  readonly baseSequence: number
  readonly recordCount: number
  /** Of the whole batch. */
  readonly sizeBytes: number
}

export function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}

/**
 * The header of a batch that takes all of `bytes`. Structure only; the checksum is not looked at.
 * @throws BrokerError CORRUPT_BATCH
 */
export function readBatchHeader(bytes: Uint8Array): BatchHeader {
  if (bytes.length < BATCH_HEADER_BYTES) throw corrupt(`${bytes.length} bytes are less than a header`)
  const view = viewOf(bytes)
  const batchLength = view.getInt32(BATCH_LENGTH_AT)
  if (batchLength !== bytes.length - LENGTH_OVERHEAD_BYTES)
    throw corrupt(`its length field says ${batchLength}, there are ${bytes.length - LENGTH_OVERHEAD_BYTES}`)
  if (view.getInt8(MAGIC_AT) !== MAGIC) throw corrupt(`magic ${view.getInt8(MAGIC_AT)} is not 2`)
  const attributes = view.getInt16(ATTRIBUTES_AT)
  if (attributes !== 0)
    throw corrupt(`attributes ${attributes}: neither compressed nor control batches are taken`)
  const recordCount = view.getInt32(RECORD_COUNT_AT)
  const lastOffsetDelta = view.getInt32(LAST_OFFSET_DELTA_AT)
  if (recordCount < 1 || lastOffsetDelta !== recordCount - 1)
    throw corrupt(`${recordCount} records do not end at offset delta ${lastOffsetDelta}`)
  return {
    baseOffset: toOffset(safe(view.getBigInt64(BASE_OFFSET_AT), 'base offset')),
    batchLength,
    leaderEpoch: view.getInt32(LEADER_EPOCH_AT),
    attributes,
    crc: view.getUint32(CRC_AT),
    lastOffsetDelta,
    baseTimestamp: safe(view.getBigInt64(BASE_TIMESTAMP_AT), 'base timestamp'),
    maxTimestamp: safe(view.getBigInt64(MAX_TIMESTAMP_AT), 'max timestamp'),
    producerId: view.getBigInt64(PRODUCER_ID_AT),
    producerEpoch: view.getInt16(PRODUCER_EPOCH_AT),
    baseSequence: view.getInt32(BASE_SEQUENCE_AT),
    recordCount,
    sizeBytes: bytes.length,
  }
}

/**
 * Header, checksum and every record's bounds: what passes can be stored and read.
 * @throws BrokerError CORRUPT_BATCH
 */
export function verifyRecordBatch(bytes: Uint8Array): BatchHeader {
  const header = readBatchHeader(bytes)
  const crc = crc32c(bytes.subarray(ATTRIBUTES_AT))
  if (crc !== header.crc) throw corrupt(`its CRC-32C is ${crc}, its header says ${header.crc}`)
  checkRecords(bytes, header)
  return header
}

/** Refuses what `decodeRecords` would, without making a record: a checksum vouches for bytes, not for sense. */
function checkRecords(bytes: Uint8Array, header: BatchHeader): void {
  const reader = new ByteReader(bytes, BATCH_HEADER_BYTES, bytes.length)
  for (let i = 0; i < header.recordCount; i++) {
    const length = boundedLength(reader.varint())
    const end = reader.position + length
    reader.byte()
    timestampOf(header, reader.varlong())
    if (reader.varint() !== i) throw corrupt(`record ${i} has another offset delta`)
    reader.span(reader.varint())
    reader.span(reader.varint())
    const headerCount = boundedHeaderCount(reader.varint())
    for (let k = 0; k < headerCount; k++) {
      if (reader.span(reader.varint()) === -1) throw corrupt('a header has no key')
      reader.span(reader.varint())
    }
    if (reader.position !== end) throw corrupt(`record ${i} is not as long as it says`)
  }
  if (reader.position !== bytes.length) throw corrupt('bytes follow the last record')
}

/** Writes offset and epoch in place; the checksum does not cover them. */
export function stampBatch(bytes: Uint8Array, baseOffset: Offset, leaderEpoch: number): void {
  const view = viewOf(bytes)
  view.setBigInt64(BASE_OFFSET_AT, BigInt(baseOffset))
  view.setInt32(LEADER_EPOCH_AT, leaderEpoch)
}

/**
 * The records from offset `from` on, at most `countMax`. Nothing is copied.
 * @throws BrokerError CORRUPT_BATCH
 */
export function decodeRecords(
  bytes: Uint8Array,
  from?: Offset,
  countMax = Number.MAX_SAFE_INTEGER,
): StoredRecord[] {
  const header = readBatchHeader(bytes)
  const reader = new ByteReader(bytes, BATCH_HEADER_BYTES, bytes.length)
  const skip = from === undefined ? 0 : Math.max(0, from - header.baseOffset)
  const records: StoredRecord[] = []
  for (let i = 0; i < header.recordCount && records.length < countMax; i++) {
    if (i < skip) {
      reader.span(boundedLength(reader.varint()))
      continue
    }
    const length = boundedLength(reader.varint())
    const end = reader.position + length
    const record = decodeRecord(reader, header, i)
    if (reader.position !== end) throw corrupt(`record ${i} is not as long as it says`)
    records.push(record)
  }
  if (skip + records.length >= header.recordCount && reader.position !== bytes.length)
    throw corrupt('bytes follow the last record')
  return records
}

function decodeRecord(reader: ByteReader, header: BatchHeader, index: number): StoredRecord {
  reader.byte()
  const timestamp = timestampOf(header, reader.varlong())
  if (reader.varint() !== index) throw corrupt(`record ${index} has another offset delta`)
  const key = reader.view(reader.varint())
  const value = reader.view(reader.varint())
  const headerCount = boundedHeaderCount(reader.varint())
  const headers: RecordHeader[] = []
  for (let i = 0; i < headerCount; i++)
    headers.push({ key: reader.text(reader.varint()), value: reader.view(reader.varint()) })
  return { offset: (header.baseOffset + index) as Offset, timestamp, key, value, headers }
}

function boundedHeaderCount(count: number): number {
  if (count < 0) throw corrupt('a record has a negative number of headers')
  return count
}

function timestampOf(header: BatchHeader, delta: number): number {
  const timestamp = header.baseTimestamp + delta
  if (!Number.isSafeInteger(timestamp)) throw corrupt('a timestamp is out of range')
  return timestamp
}

function boundedLength(length: number): number {
  if (length < 0) throw corrupt('a record has a negative length')
  return length
}

function safe(value: bigint, field: string): number {
  const number = Number(value)
  if (!Number.isSafeInteger(number) || (field === 'base offset' && number < 0))
    throw corrupt(`its ${field} is out of range`)
  return number
}
