import { createHash } from 'node:crypto'
import { join } from 'node:path'
import type { RaftGroupId } from '../core/types.js'

/*
 * data directory of one node
 *   identity.json       who it belongs to
 *   known-peers.json    the uuid of each peer
 *   wal/                the log of all groups
 *   snapshots/          the newest snapshot of each group
 */

export function walDirectory(dataDirectory: string): string {
  return join(dataDirectory, 'wal')
}

export function snapshotDirectory(dataDirectory: string): string {
  return join(dataDirectory, 'snapshots')
}

/** The group of a replicated object. */
export const SYNC_GROUP_ID = 1 as RaftGroupId
export const SYNC_GROUP_NAME = 'sync-object'

/** The incarnation of a group that lives as long as its cluster: the same on all nodes without asking. */
export function groupUuidOf(clusterId: Uint8Array, group: RaftGroupId): Uint8Array {
  const hash = createHash('sha256').update('sluice raft group').update(clusterId).update(String(group))
  return Uint8Array.from(hash.digest().subarray(0, 16))
}
