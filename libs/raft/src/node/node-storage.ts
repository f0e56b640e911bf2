import type { Closers } from '@sluice/foundation'
import { MemoryFiles } from '../snapshot/memory-files.js'
import type { SnapshotStoreEvent } from '../snapshot/snapshot-event.js'
import { openSnapshotStore, type SnapshotStore } from '../snapshot/snapshot-store.js'
import type { LogStore } from '../storage/log-store.js'
import { VolatileStore } from '../storage/volatile-store.js'
import { openWal } from '../wal/wal.js'
import { snapshotDirectory, walDirectory } from './data-directory.js'
import { KnownPeers } from './known-peers.js'
import type { NodeEvent } from './node-event.js'
import { type NodeIdentity, type NodeOwner, openIdentity, volatileIdentity } from './node-identity.js'

/** What a node keeps: on disk, or as long as it runs. */
export interface NodeStorage {
  readonly identity: NodeIdentity
  readonly peers: KnownPeers
  readonly store: LogStore
  readonly snapshots: SnapshotStore
}

/**
 * Opens everything that a node keeps, in the order in which each part can refuse a foreign directory.
 * What is opened is left to `closers`, also when opening fails half way.
 *
 * @throws IdentityError, WalLockedError, WalForeignError, WalCorruptError
 */
export async function openNodeStorage(options: {
  readonly dataDirectory: string | undefined
  readonly owner: NodeOwner
  readonly closers: Closers
  readonly onFatal: (error: Error) => void
  readonly onEvent: (event: NodeEvent) => void
}): Promise<NodeStorage> {
  const { dataDirectory, owner, closers, onFatal, onEvent } = options
  const onSnapshotEvent = (event: SnapshotStoreEvent): void => onEvent(event)
  if (dataDirectory === undefined)
    return {
      identity: volatileIdentity(owner),
      peers: await KnownPeers.open(undefined),
      store: new VolatileStore(),
      snapshots: await openSnapshotStore({
        directory: '/',
        files: new MemoryFiles(),
        onEvent: onSnapshotEvent,
      }),
    }
  const identity = await openIdentity(dataDirectory, owner)
  const peers = await KnownPeers.open(dataDirectory)
  const store = await openWal({
    directory: walDirectory(dataDirectory),
    nodeUuid: identity.uuid,
    onFatal,
    onEvent: (event) => {
      if (event.kind !== 'torn-tail-cut') return
      onEvent({ kind: 'torn-tail-cut', file: event.file, sizeBytes: event.sizeBytes })
    },
  })
  closers.add('log', () => store.close())
  const snapshots = await openSnapshotStore({
    directory: snapshotDirectory(dataDirectory),
    onEvent: onSnapshotEvent,
  })
  closers.add('snapshots', () => snapshots.close())
  return { identity, peers, store, snapshots }
}
