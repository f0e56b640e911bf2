import { ReplicatedDecodeError } from './errors.js'
import { decodeValue, encodeValue } from './value-codec.js'

/*
 * A snapshot is a row of records: kind u8 | bytes u32, little endian | a MessagePack value
 *
 *   HEAD    { format: 1, codeVersion, sessions }        first
 *   OBJECT  the name of the object that the parts behind it belong to
 *   PART    a part of its state
 *   END     nothing                                      last, so that a cut is noticed
 */
export const RecordKind = { HEAD: 1, OBJECT: 2, PART: 3, END: 4 } as const
export type RecordKind = (typeof RecordKind)[keyof typeof RecordKind]

const HEAD_BYTES = 5
const CHUNK_BYTES = 256 * 1024
/** No record is larger: parts are made small, and an object's fields are one part. */
const RECORD_BYTES_MAX = 1024 * 1024 * 1024

export interface SnapshotRecord {
  readonly kind: RecordKind
  readonly value: unknown
}

/** Chunks of at most 256 KiB; between two of them others get their turn. */
export async function* encodeRecords(records: Iterable<SnapshotRecord>): AsyncIterable<Uint8Array> {
  let gathered: Uint8Array[] = []
  let bytes = 0
  for (const record of records) {
    const encoded = encodeRecord(record)
    gathered.push(encoded)
    bytes += encoded.length
    if (bytes < CHUNK_BYTES) continue
    yield* cut(Buffer.concat(gathered))
    gathered = []
    bytes = 0
    await new Promise<void>((resolve) => void setImmediate(resolve))
  }
  if (bytes > 0) yield* cut(Buffer.concat(gathered))
}

/** @throws ReplicatedDecodeError */
export async function* decodeRecords(chunks: AsyncIterable<Uint8Array>): AsyncIterable<SnapshotRecord> {
  let waiting: Uint8Array[] = []
  let have = 0
  let need = HEAD_BYTES
  for await (const chunk of chunks) {
    waiting.push(chunk)
    have += chunk.length
    if (have < need) continue
    let joined = Buffer.concat(waiting, have)
    for (;;) {
      const record = takeRecord(joined)
      if (typeof record === 'number') {
        need = record
        break
      }
      yield record.record
      joined = joined.subarray(record.sizeBytes)
    }
    waiting = [joined]
    have = joined.length
  }
  if (have > 0) throw new ReplicatedDecodeError('the snapshot ends within a record')
}

/** The first record, or how many bytes it needs. */
function takeRecord(bytes: Buffer): { readonly record: SnapshotRecord; readonly sizeBytes: number } | number {
  if (bytes.length < HEAD_BYTES) return HEAD_BYTES
  const kind = bytes.readUInt8(0)
  const valueBytes = bytes.readUInt32LE(1)
  if (!KINDS.has(kind)) throw new ReplicatedDecodeError(`a record of unknown kind ${kind}`)
  if (valueBytes > RECORD_BYTES_MAX) throw new ReplicatedDecodeError('a record over the bound')
  const sizeBytes = HEAD_BYTES + valueBytes
  if (bytes.length < sizeBytes) return sizeBytes
  const value = decodeValue(bytes.subarray(HEAD_BYTES, sizeBytes))
  return { record: { kind: kind as RecordKind, value }, sizeBytes }
}

const KINDS: ReadonlySet<number> = new Set(Object.values(RecordKind))

function encodeRecord({ kind, value }: SnapshotRecord): Uint8Array {
  const encoded = encodeValue(value)
  const bytes = new Uint8Array(HEAD_BYTES + encoded.length)
  const view = new DataView(bytes.buffer)
  view.setUint8(0, kind)
  view.setUint32(1, encoded.length, true)
  bytes.set(encoded, HEAD_BYTES)
  return bytes
}

function* cut(bytes: Uint8Array): Iterable<Uint8Array> {
  for (let at = 0; at < bytes.length; at += CHUNK_BYTES) yield bytes.subarray(at, at + CHUNK_BYTES)
}
