import type { Clock, Random } from '@sluice/foundation'
import type { Database } from '@sluice/persistence'
import type { SnapshotStore, Wal } from '@sluice/raft'
import type { Logger } from 'pino'
import type { BrokerAddress } from './broker-address.js'
import type { BrokerConfig } from './config.js'
import type { LogRecoveryParts } from './log-recovery.js'

export interface MemberParts {
  readonly config: BrokerConfig
  readonly clusterId: string
  readonly brokerId: number
  readonly nodeUuid: string
  /** Where to find others at first; the metadata knows better later. */
  readonly brokers: readonly BrokerAddress[]
  /** Of the brokers that made the cluster; empty on one that was added. */
  readonly founders: readonly BrokerAddress[]
  readonly address: { readonly host: string; readonly port: number }
  readonly database: Database
  readonly wal: Wal
  /** How often this broker was started. */
  readonly starts: number
  readonly lostLog: Omit<LogRecoveryParts, 'logger'>
  /** Where snapshots of peers arrive. */
  readonly snapshots: SnapshotStore
  readonly clock: Clock
  readonly random: Random
  readonly logger: Logger
  /** Aborted when the broker stops while it starts. */
  readonly signal: AbortSignal
  readonly onFatal: (error: Error) => void
  /** Of the cluster, as soon as it is known; must be on disk before `featureLevel` gives it. */
  readonly onFeatureLevel: (level: number) => void
  /** Up to which this broker may write; only ever rises. */
  readonly featureLevel: () => number
  /** The highest that this broker has seen; 0: none. */
  readonly highestLevel: () => number
  readonly onBrokersChanged: (brokers: readonly BrokerAddress[]) => void
}
