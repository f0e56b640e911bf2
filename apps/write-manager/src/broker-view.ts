import type { BrokerStatus } from '@sluice/contracts'
import type { BrokerState, MetadataState } from '@sluice/metadata'

/** A broker as operators see it; `null` is what only the broker itself could tell, when it does not answer. */
export interface BrokerView {
  readonly broker_id: number
  readonly host: string
  readonly port: number
  readonly rack: string
  readonly status: 'alive' | 'dead'
  readonly last_seen: string
  readonly state: BrokerState
  /** Replicas that it holds. */
  readonly replicas: number
  /** Partitions that it is to lead. */
  readonly preferred: number
  /** Partitions that it leads. */
  readonly leads: number | null
  /** Entries that leaders have committed and it does not have yet. */
  readonly lag: number
  readonly version: string | null
  readonly disk: { readonly free_bytes: number; readonly total_bytes: number } | null
}

export function brokerViews(
  state: MetadataState,
  known: { readonly statuses: ReadonlyMap<number, BrokerStatus>; readonly now: number },
): readonly BrokerView[] {
  const replicas = new Map<number, number>()
  const preferred = new Map<number, number>()
  for (const partition of state.partitions()) {
    for (const id of partition.replicas) add(replicas, id, 1)
    add(preferred, partition.replicas[0]!, 1)
  }
  const lags = new Map<number, number>()
  for (const { behind } of known.statuses.values()) for (const [id, entries] of behind) add(lags, id, entries)
  return state.brokers().map(({ id, host, port, rack, state: its }) => {
    const seenAt = state.healthCheck('broker', id)?.lastSeenAt ?? 0
    const status = known.statuses.get(id)
    return {
      broker_id: id,
      host,
      port,
      rack,
      status: known.now - seenAt < state.settings.deadAfterMs.broker ? 'alive' : 'dead',
      last_seen: new Date(seenAt).toISOString(),
      state: its,
      replicas: replicas.get(id) ?? 0,
      preferred: preferred.get(id) ?? 0,
      leads: status?.led.length ?? null,
      lag: lags.get(id) ?? 0,
      version: status?.version ?? null,
      disk:
        status === undefined
          ? null
          : { free_bytes: status.disk.freeBytes, total_bytes: status.disk.totalBytes },
    }
  })
}

function add(counts: Map<number, number>, id: number, more: number): void {
  counts.set(id, (counts.get(id) ?? 0) + more)
}
