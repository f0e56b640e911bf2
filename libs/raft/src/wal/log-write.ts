import { invariant } from '@sluice/foundation'
import type { Entry } from '../core/types.js'
import type { LogWrite } from '../storage/log-store.js'
import type { Batch } from './batch.js'
import { WalWriteTooLargeError } from './errors.js'
import { BATCH_BODY_BYTES_MAX } from './format.js'
import type { GroupLog } from './group-log.js'
import {
  definitionBytes,
  entriesBytes,
  HARD_STATE_BYTES,
  RECORD_HEADER_BYTES,
  SNAPSHOT_HEAD_BYTES,
} from './record.js'

const TRUNCATE_BYTES = RECORD_HEADER_BYTES + 8

/**
 * What a group's write takes in a batch, bytes.
 * @throws WalWriteTooLargeError
 */
export function measureWrite(log: GroupLog, write: LogWrite): number {
  let sizeBytes = log.isDefined ? 0 : definitionBytes(log.name)
  if (write.snapshot !== undefined)
    sizeBytes += RECORD_HEADER_BYTES + SNAPSHOT_HEAD_BYTES + write.snapshot.configuration.length
  if (write.truncateFrom !== undefined) sizeBytes += TRUNCATE_BYTES
  if (write.entries !== undefined) sizeBytes += entriesBytes(write.entries)
  if (write.hardState !== undefined) sizeBytes += RECORD_HEADER_BYTES + HARD_STATE_BYTES
  if (sizeBytes > BATCH_BODY_BYTES_MAX)
    throw new WalWriteTooLargeError({ sizeBytes, sizeBytesMax: BATCH_BODY_BYTES_MAX })
  return sizeBytes
}

/** Adds a group's write to a batch that has room for it, and changes the group's log. */
export function addWrite(batch: Batch, log: GroupLog, write: LogWrite): void {
  if (!log.isDefined) {
    batch.addDefinition(log)
    log.markDefined()
  }
  const { snapshot, truncateFrom, entries, hardState } = write
  if (snapshot !== undefined) {
    const refusal = log.refusalOfSnapshot(snapshot)
    invariant(refusal === undefined, `group ${log.id}: ${refusal ?? ''}`)
    batch.addSnapshot(log.id, snapshot)
    log.restart(snapshot, batch.lsn)
  }
  if (truncateFrom !== undefined && truncateFrom <= log.lastIndex) {
    const refusal = log.refusalOfTruncate(truncateFrom)
    invariant(refusal === undefined, `group ${log.id}: ${refusal ?? ''}`)
    batch.addTruncate(log.id, truncateFrom)
    log.truncateFrom(truncateFrom, batch.lsn)
  }
  if (entries !== undefined) addEntries(batch, log, entries)
  if (hardState !== undefined) {
    batch.addHardState(log.id, hardState)
    log.setHardState(hardState)
  }
}

/** A record per term. */
function addEntries(batch: Batch, log: GroupLog, entries: readonly Entry[]): void {
  let start = 0
  while (start < entries.length) {
    const { index, term } = entries[start]!
    const refusal = log.refusalOfEntry(index, term)
    invariant(refusal === undefined, `group ${log.id}: ${refusal ?? ''}`)
    let end = start + 1
    while (end < entries.length && entries[end]!.term === term) {
      invariant(entries[end]!.index === index + end - start, `group ${log.id}: entries have no gaps`)
      end += 1
    }
    const dataAt = batch.addEntries(log.id, entries, start, end)
    log.append(
      entries,
      start,
      end,
      { segmentSeq: batch.segmentSeq, batchAt: batch.offset, dataAt },
      batch.lsn,
    )
    start = end
  }
}
