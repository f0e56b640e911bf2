import type { Clock } from '@sluice/foundation'
import type { TopicSettings } from '@sluice/metadata'
import {
  BatchSlices,
  type Database,
  ensureDatabase,
  migrate,
  type PartitionStore,
  retentionStart,
} from '@sluice/persistence'
import type { Logger } from 'pino'
import { CheckKeeper } from './check-keeper.js'
import type { BrokerConfig } from './config.js'
import { DatabaseWatch } from './database-watch.js'
import type { PartitionReplica } from './partition-replica.js'
import type { ReplicaCheck } from './replica-check.js'
import { RetentionKeeper } from './retention-keeper.js'

/** Between two looks whether the database has what it confirmed. */
const DATABASE_CHECK_MS = 2000

export interface KeepersParts {
  readonly database: Database
  readonly store: PartitionStore
  readonly config: BrokerConfig
  readonly replicas: () => Iterable<PartitionReplica>
  readonly settingsOf: (topic: string) => TopicSettings
  readonly check: ReplicaCheck
  readonly lost: (replica: PartitionReplica) => void
  readonly checkMetadata: () => Promise<void>
  readonly clock: Clock
  readonly logger: Logger
}

/** Starts what looks after stored messages in the background, each at its own pace. */
export function startKeepers(parts: KeepersParts): Readonly<Record<string, { stop(): Promise<void> }>> {
  const { database, store, config, replicas, clock, logger } = parts
  const watch = new DatabaseWatch({
    replicas,
    appliedIndexes: () => store.appliedIndexes(database),
    repairSchema: async () => {
      await ensureDatabase(config.databaseUrl)
      await migrate(database)
    },
    lost: parts.lost,
    checkMetadata: parts.checkMetadata,
    checkMs: DATABASE_CHECK_MS,
    logger: logger.child({ part: 'database-watch' }),
  })
  const slices = new BatchSlices()
  const retention = new RetentionKeeper({
    replicas,
    settingsOf: parts.settingsOf,
    startOf: (groupId, limits) => retentionStart(database, groupId, limits),
    tidy: () => slices.tidy(database),
    clock,
    checkMs: config.retentionCheckMs,
    logger: logger.child({ part: 'retention' }),
  })
  const checks = new CheckKeeper({
    check: parts.check,
    replicas,
    everyMs: config.replicaCheckMs,
    logger,
  })
  const keepers = { 'database watch': watch, retention, 'replica checks': checks }
  for (const keeper of Object.values(keepers)) keeper.start()
  return keepers
}
