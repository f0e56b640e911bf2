import { decodeRecords, type GroupId, readBatchHeader } from '@sluice/domain'
import { openDatabase, PartitionStore } from '@sluice/persistence'

/** As a broker reads for one answer. */
const READ_BYTES = 1024 * 1024

/** Reads messages of partitions back from a broker's database, record by record. */
export async function readDatabase(
  url: string,
  groupIds: readonly GroupId[],
  messagesMax: number,
): Promise<{ readonly messages: number; readonly perSecond: number }> {
  const database = await openDatabase({ url, poolMax: 1, applicationName: 'sluice load test' })
  const store = new PartitionStore()
  let messages = 0
  const began = performance.now()
  try {
    for (const groupId of groupIds) {
      for (let offset = 0; messages < messagesMax;) {
        const batches = await store.readBatches(database, groupId, offset, READ_BYTES)
        const last = batches.at(-1)
        if (last === undefined) break
        for (const batch of batches) messages += decodeRecords(batch).length
        const header = readBatchHeader(last)
        offset = header.baseOffset + header.recordCount
      }
    }
  } finally {
    await database.destroy()
  }
  return { messages, perSecond: (messages / (performance.now() - began)) * 1000 }
}
