import type { MessageInput } from '@sluice/contracts'
import type { RecordData, RecordHeader } from '@sluice/domain'

/** What a record takes of a batch beside its bytes, at most. */
const RECORD_OVERHEAD_BYTES = 32
const HEADER_OVERHEAD_BYTES = 6

const NO_HEADERS: readonly RecordHeader[] = []

/** A client's message as the record that is stored. @param now its timestamp unless it brings one */
export function recordOf(message: MessageInput, now: number): RecordData {
  return {
    timestamp: message.timestamp ?? now,
    key: message.key === undefined ? null : bytesOf(message.key),
    value: bytesOf(message.value),
    headers:
      message.headers === undefined
        ? NO_HEADERS
        : Object.entries(message.headers).map(([key, value]) => ({ key, value: bytesOf(value) })),
  }
}

/** Bytes that a record takes of a batch, never too few. */
export function sizeOfRecord(record: RecordData): number {
  let size = RECORD_OVERHEAD_BYTES + (record.key?.length ?? 0) + (record.value?.length ?? 0)
  // A character takes at most three bytes.
  for (const { key, value } of record.headers)
    size += HEADER_OVERHEAD_BYTES + key.length * 3 + (value?.length ?? 0)
  return size
}

function bytesOf(value: string | Uint8Array): Uint8Array {
  return typeof value === 'string' ? Buffer.from(value) : value
}
