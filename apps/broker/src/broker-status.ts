import { statfs } from 'node:fs/promises'
import type { BrokerStatus } from '@sluice/contracts'
import { BUILD_VERSION } from '@sluice/foundation'
import type { PartitionReplica } from './partition-replica.js'

/** What this broker says of itself when it is asked. */
export async function brokerStatus(parts: {
  readonly dataDirectory: string
  readonly replicas: Iterable<PartitionReplica>
  /** What the batches of all partitions take in the database. */
  readonly batchBytes: () => Promise<number>
}): Promise<BrokerStatus> {
  const [{ bavail, blocks, bsize }, batchBytes] = await Promise.all([
    statfs(parts.dataDirectory),
    parts.batchBytes(),
  ])
  const replicas = [...parts.replicas]
  // The database knows the size of all of them together; each has its share by the number of its messages.
  const messages = replicas.reduce((sum, replica) => sum + messagesOf(replica), 0)
  const led: (readonly [number, number])[] = []
  const behind = new Map<number, number>()
  for (const replica of replicas) {
    const { group, info } = replica
    if (!group.isLeader) continue
    led.push([info.groupId, messages === 0 ? 0 : Math.round((batchBytes * messagesOf(replica)) / messages)])
    for (const id of info.replicas) {
      const progress = group.progress(id as never)
      if (progress === undefined) continue
      behind.set(id, (behind.get(id) ?? 0) + Math.max(group.commit - progress.match, 0))
    }
  }
  const disk = { freeBytes: bavail * bsize, totalBytes: blocks * bsize }
  return { version: BUILD_VERSION, disk, led, behind: [...behind] }
}

function messagesOf({ nextOffset, logStart }: PartitionReplica): number {
  return nextOffset - logStart
}
