import { ClusterClient } from '@sluice/client'
import type { GroupId } from '@sluice/domain'
import { entropy, systemClock } from '@sluice/foundation'
import { pino } from 'pino'
import type { RunningCluster } from './cluster.js'

const CREATE_TIMEOUT_MS = 60_000

/** A new topic of a cluster, and a client that knows who leads its partitions. */
export interface FedTopic {
  readonly client: ClusterClient
  readonly topic: string
  readonly groupIds: readonly GroupId[]
}

/** Runs with a topic of its own. */
export async function withTopic<T>(
  cluster: RunningCluster,
  partitions: number,
  run: (topic: FedTopic) => Promise<T>,
): Promise<T> {
  const client = new ClusterClient({
    clusterId: cluster.clusterId,
    nodeId: `write-manager-load-${process.pid}`,
    seeds: cluster.brokers.map(({ port }) => ({ host: '127.0.0.1', port })),
    clock: systemClock,
    random: entropy(),
    logger: pino({ level: 'silent' }),
  })
  client.start()
  try {
    await client.metadata.refresh()
    const topic = `load-${systemClock.now().toString(36)}`
    await client.metadata.propose(
      { kind: 'create-topic', at: systemClock.now(), topic, partitions },
      { timeoutMs: CREATE_TIMEOUT_MS },
    )
    const groupIds = client.metadata.state.partitionsOf(topic).map(({ groupId }) => groupId)
    return await run({ client, topic, groupIds })
  } finally {
    await client.close()
  }
}
