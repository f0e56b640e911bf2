import { BATCH_HEADER_BYTES, readBatchHeader } from './record-batch.js'
import { ByteReader, corrupt } from './byte-reader.js'

/** Where each record's parts lie, in bytes from the start of the batch, one element a record. */
export interface RecordPositions {
  /** Milliseconds from the batch's base timestamp. */
  readonly timestampDeltas: readonly number[]
  readonly keyStarts: readonly number[]
  /** −1: the key is null. */
  readonly keyLengths: readonly number[]
  readonly valueStarts: readonly number[]
  /** −1: the value is null. */
  readonly valueLengths: readonly number[]
}

/** What plain SQL needs to cut records out of a batch. @throws BrokerError CORRUPT_BATCH */
export function recordPositions(bytes: Uint8Array): RecordPositions {
  const { recordCount } = readBatchHeader(bytes)
  const reader = new ByteReader(bytes, BATCH_HEADER_BYTES, bytes.length)
  const timestampDeltas: number[] = []
  const keyStarts: number[] = []
  const keyLengths: number[] = []
  const valueStarts: number[] = []
  const valueLengths: number[] = []
  for (let i = 0; i < recordCount; i++) {
    const length = reader.varint()
    const end = reader.position + length
    reader.byte()
    timestampDeltas.push(reader.varlong())
    reader.varint()
    const keyLength = reader.varint()
    keyLengths.push(keyLength)
    keyStarts.push(Math.max(0, reader.span(keyLength)))
    const valueLength = reader.varint()
    valueLengths.push(valueLength)
    valueStarts.push(Math.max(0, reader.span(valueLength)))
    if (end < reader.position) throw corrupt(`record ${i} is longer than it says`)
    reader.span(end - reader.position)
  }
  return { timestampDeltas, keyStarts, keyLengths, valueStarts, valueLengths }
}
