import { readBatchHeader } from '@sluice/domain'
import { invariant } from '@sluice/foundation'
import { type AppliedBatch, decodePartitionCommand, type StoredBatch } from '@sluice/partition'
import type { GroupStorage } from '@sluice/raft'

/** Of entries that one look into the log takes, and one entry at least. */
const READ_BYTES = 4 * 1024 * 1024

/**
 * The batches with their bytes, those that memory has let go out of the log. They are applied, so what the log
 * has at their index is them, as long as it has not been freed up to there.
 * @param batches of one partition, in order
 * @throws WalRangeError the log begins behind the first of them by now
 * @throws WalCorruptError the disk does not give back what was written
 */
export async function withBytes(
  log: Pick<GroupStorage, 'read'>,
  batches: readonly AppliedBatch[],
): Promise<readonly StoredBatch[]> {
  // Whatever memory lets go while the log is read, these keep.
  const found = batches.map((batch) => stored(batch, batch.bytes))
  for (let at = 0; at < found.length;) {
    if (found[at] !== undefined) {
      at++
      continue
    }
    let end = at + 1
    while (end < found.length && found[end] === undefined) end++
    for (const entry of await log.read(batches[at]!.index, batches[end - 1]!.index, READ_BYTES)) {
      const batch = batches[at]!
      // What else consumers and leaders wrote lies between them.
      if (entry.index !== batch.index) continue
      invariant(entry.term === batch.term, `the entry at ${entry.index} is the one that was applied`)
      const command = decodePartitionCommand(entry.data)
      invariant(command.kind === 'append', `the entry at ${entry.index} is a batch`)
      invariant(
        command.batch.length === batch.sizeBytes &&
          readBatchHeader(command.batch).baseOffset === batch.baseOffset,
        `the entry at ${entry.index} is the batch at offset ${batch.baseOffset}`,
      )
      found[at++] = stored(batch, command.batch)
      if (at === end) break
    }
  }
  return found.map((batch) => {
    invariant(batch !== undefined, 'every batch was found')
    return batch
  })
}

function stored(batch: AppliedBatch, bytes: Uint8Array | undefined): StoredBatch | undefined {
  if (bytes === undefined) return undefined
  const { baseOffset, lastOffset, term, index, maxTimestamp } = batch
  return { baseOffset, lastOffset, term, index, maxTimestamp, bytes }
}
