import { isUtf8 } from 'node:buffer'
import type { FetchAnswer } from '@sluice/contracts'
import {
  BrokerError,
  decodeRecords,
  OWN_HEADER_PREFIX,
  type StoredRecord,
  toOffset,
  verifyRecordBatch,
} from '@sluice/domain'

/** A message as a consumer is given it. Bytes that are no UTF-8 text travel as base64. */
export interface DeliveredMessage {
  /** Name of its partition, such as `orders.1`. */
  readonly partition: string
  readonly offset: number
  /** Milliseconds since 1970. */
  readonly timestamp: number
  readonly message?: string
  readonly message_base64?: string
  readonly key?: string
  readonly key_base64?: string
  readonly headers?: Readonly<Record<string, string>>
}

/**
 * The records of a fetch, in order, without gaps: [from, to).
 * @throws BrokerError CORRUPT_BATCH when a batch does not match its checksum or a record is missing
 */
export function recordsOf(answer: FetchAnswer): StoredRecord[] {
  try {
    return checkedRecords(answer)
  } catch (error) {
    if (!(error instanceof BrokerError)) throw error
    throw new BrokerError(error.code, error.message, { component: 'broker', outcome: 'no', cause: error })
  }
}

function checkedRecords(answer: FetchAnswer): StoredRecord[] {
  const records: StoredRecord[] = []
  let next = answer.from
  for (const batch of answer.batches) {
    const header = verifyRecordBatch(batch)
    if (header.baseOffset + header.recordCount <= next) continue
    if (next >= answer.to) break
    for (const record of decodeRecords(batch, toOffset(next), answer.to - next)) {
      if (record.offset !== next) throw gap(next)
      records.push(record)
      next++
    }
  }
  if (next !== answer.to) throw gap(next)
  return records
}

export function deliveredMessage(partition: string, record: StoredRecord): DeliveredMessage {
  const { key, value } = record
  const headers = record.headers.filter((header) => !header.key.startsWith(OWN_HEADER_PREFIX))
  return {
    partition,
    offset: record.offset,
    timestamp: record.timestamp,
    ...(value === null || isUtf8(value) ? { message: textOf(value) } : { message_base64: base64Of(value) }),
    ...(key === null ? {} : isUtf8(key) ? { key: textOf(key) } : { key_base64: base64Of(key) }),
    ...(headers.length === 0
      ? {}
      : { headers: Object.fromEntries(headers.map((header) => [header.key, textOf(header.value)])) }),
  }
}

/** What a message takes of an answer's size, about. */
export function sizeOfRecord(record: StoredRecord): number {
  return (record.value?.length ?? 0) + (record.key?.length ?? 0) + 100
}

function textOf(bytes: Uint8Array | null): string {
  return bytes === null ? '' : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('utf8')
}

function base64Of(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('base64')
}

function gap(offset: number): BrokerError {
  return new BrokerError('CORRUPT_BATCH', `a broker's answer lacks the message at offset ${offset}`)
}
