import type { ClusterClient } from '@sluice/client'
import { type BrokerStatus, decodeJson, parseBrokerStatus, RpcMethod } from '@sluice/contracts'

const STATUS_TIMEOUT_MS = 1500

/** What every broker says of itself now; one that does not answer in time is left out. */
export async function brokerStatuses(
  metadata: Pick<ClusterClient['metadata'], 'state' | 'callBroker'>,
): Promise<ReadonlyMap<number, BrokerStatus>> {
  const statuses = new Map<number, BrokerStatus>()
  await Promise.all(
    metadata.state.brokers().map(async ({ id }) => {
      try {
        const answer = await metadata.callBroker(
          id,
          RpcMethod.BROKER_STATUS,
          new Uint8Array(0),
          STATUS_TIMEOUT_MS,
        )
        statuses.set(id, parseBrokerStatus(decodeJson(answer)))
      } catch {
        // Dead, or too slow to count: what is known of it without its word is shown.
      }
    }),
  )
  return statuses
}
