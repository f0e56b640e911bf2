import type { RaftGroup, RaftHost, Wal } from '@sluice/raft'
import type { BrokerConfig } from './config.js'
import type { PartitionReplica } from './partition-replica.js'

export interface CompactionParts {
  readonly host: RaftHost
  readonly wal: Wal
  readonly limits: Pick<BrokerConfig, 'segmentBytes' | 'logBytesMax'>
  readonly replicas: Iterable<PartitionReplica>
  readonly metadata: { readonly group: RaftGroup; readonly snapshotIndex: number }
}

/**
 * The log keeps what the database does not have, and what a member still needs, unless that has become
 * too much: a member that is away for long gets a snapshot when it comes back.
 */
export function compactLogs({ host, wal, limits, replicas, metadata }: CompactionParts): void {
  const isTooLarge = wal.stats().segments * limits.segmentBytes > limits.logBytesMax
  const compact = (group: RaftGroup, stored: number): void => {
    if (stored <= group.log.compactedIndex) return
    host.compact(group, isTooLarge ? stored : Math.min(stored, group.compactionLimit()))
  }
  for (const { group, materialisedIndex } of replicas) compact(group, materialisedIndex)
  compact(metadata.group, metadata.snapshotIndex)
}
