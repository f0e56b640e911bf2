import { BrokerError } from '@sluice/domain'
import { invariant } from '@sluice/foundation'
import type { AuditSnapshot } from '../audit-trail.js'
import type { PlansSnapshot } from '../balance/plan-desk.js'
import { toThresholds } from '../parse-command.js'
import type {
  BrokerInfo,
  ClusterSettings,
  ConsumerInfo,
  HealthCheck,
  ProducerInfo,
  RecoveryInfo,
  TopicInfo,
} from '../entities.js'
import { withMoveFields } from '../replica-move.js'
import { withPartitionFields } from '../topic-partitions.js'
import { ClusterTables } from './tables.js'

/** Of the form of snapshots; what is added and may be absent needs no other one. */
const SNAPSHOT_FORMAT = 1

export interface MetadataSnapshot {
  readonly format?: number
  readonly version: number
  readonly clusterId: string
  readonly settings: ClusterSettings
  readonly nextIds: {
    readonly broker: number
    readonly producer: number
    readonly consumer: number
    readonly group: number
  }
  readonly brokers: readonly BrokerInfo[]
  readonly topics: readonly TopicInfo[]
  readonly producers: readonly ProducerInfo[]
  readonly consumers: readonly ConsumerInfo[]
  readonly healthChecks: readonly HealthCheck[]
  readonly plans: PlansSnapshot
  readonly audit: AuditSnapshot
  /** Absent when there was none. */
  readonly recoveries?: readonly RecoveryInfo[]
}

export function snapshotOf(version: number, tables: ClusterTables): MetadataSnapshot {
  return {
    format: SNAPSHOT_FORMAT,
    version,
    clusterId: tables.clusterId,
    settings: tables.settings,
    nextIds: { ...tables.nextIds },
    brokers: [...tables.brokers.values()],
    topics: [...tables.topics.values()],
    producers: [...tables.producers.all()],
    consumers: [...tables.consumers.all()],
    healthChecks: [...tables.health.all()],
    plans: tables.plans.toJSON(),
    audit: tables.audit.toJSON(),
    ...(tables.recoveries.size === 0 ? {} : { recoveries: [...tables.recoveries.values()] }),
  }
}

/** @throws BrokerError UNSUPPORTED_VERSION when a newer version wrote it */
export function restored(value: unknown): { readonly version: number; readonly tables: ClusterTables } {
  const snapshot = value as MetadataSnapshot
  invariant(
    typeof value === 'object' && value !== null && 'version' in value && 'topics' in value,
    'a metadata snapshot has a version and topics',
  )
  const format = snapshot.format ?? SNAPSHOT_FORMAT
  if (format !== SNAPSHOT_FORMAT)
    throw new BrokerError(
      'UNSUPPORTED_VERSION',
      `a metadata snapshot of format ${format}; this version knows ${SNAPSHOT_FORMAT}`,
    )
  const tables = new ClusterTables()
  tables.clusterId = snapshot.clusterId
  tables.settings = {
    ...snapshot.settings,
    // The first version had none.
    featureLevel: (snapshot.settings as Partial<ClusterSettings>).featureLevel ?? 1,
    deadAfterMs: toThresholds(snapshot.settings.deadAfterMs),
  }
  tables.nextIds = { ...snapshot.nextIds }
  tables.plans.load(snapshot.plans)
  for (const broker of snapshot.brokers) {
    // Absent in snapshots of the first version.
    const { rack = '', state: its = 'active' } = broker as Partial<BrokerInfo>
    tables.putBroker({ ...broker, rack, state: its })
  }
  for (const stored of snapshot.topics) {
    const topic = withPartitionFields({ ...stored, partitions: stored.partitions.map(withMoveFields) })
    tables.topics.set(topic.name, topic)
    if (topic.closing.length > 0) tables.closing.add(topic.name)
    for (const partition of topic.partitions) tables.countPartition(partition)
  }
  for (const producer of snapshot.producers) tables.producers.put(producer)
  for (const consumer of snapshot.consumers) tables.consumers.put(consumer)
  for (const check of snapshot.healthChecks) tables.health.put(check)
  // Absent in snapshots of the first version.
  const { audit } = snapshot as Partial<MetadataSnapshot>
  if (audit !== undefined) tables.audit.load(audit)
  for (const recovery of snapshot.recoveries ?? []) tables.putRecovery(recovery)
  return { version: snapshot.version, tables }
}
