import { METADATA_GROUP } from '@sluice/domain'
import type { MetadataStore } from '@sluice/persistence'
import type { RaftGroupId } from '@sluice/raft'
import type { RpcIdentity } from '@sluice/rpc'
import { BrokerPeers, nodeName } from './broker-peers.js'
import type { MemberParts } from './member-parts.js'
import { type MetadataStart, startOfMetadata } from './metadata-recovery.js'

/** From the database, else from another broker, over connections that are closed again. */
export async function loadMetadata(parts: MemberParts, store: MetadataStore): Promise<MetadataStart> {
  const { clusterId, brokerId, founders, database, wal, random, logger } = parts
  const identity: RpcIdentity = { clusterId, nodeId: nodeName(brokerId), role: 'broker' }
  const peers = new BrokerPeers({ self: brokerId, identity, random, logger })
  try {
    const others = founders.length > 0 ? founders : parts.brokers
    peers.update(others)
    return await startOfMetadata({
      stored: await store.load(database),
      log: wal.group(METADATA_GROUP as number as RaftGroupId),
      isLogLost: parts.lostLog.lost !== undefined,
      links: others.flatMap(({ id }) => peers.link(id) ?? []),
      materialise: (delta) => store.materialise(database, delta),
      logger: logger.child({ part: 'recovery' }),
      signal: parts.signal,
    })
  } finally {
    await peers.close()
  }
}
