export { AUDIT_KINDS, type AuditEvent, type AuditKind } from './audit-trail.js'
export {
  encodeMetadataCommand,
  type Mark,
  type MetadataCommand,
  type MoveOrder,
  type RecoveredPartition,
  type Seen,
  type TopicChange,
} from './command.js'
export type {
  ActorType,
  AutoOffsetReset,
  BrokerInfo,
  BrokerState,
  ClusterSettings,
  ConsumerInfo,
  ConsumerStart,
  HealthCheck,
  MetadataChanges,
  PartitionInfo,
  ProducerInfo,
  RecoveryInfo,
  ReplicaMove,
  Removal,
  TopicInfo,
  TopicSettings,
} from './entities.js'
export { parseMetadataCommand } from './parse-command.js'
export { type BrokerLoad, placeReplicas } from './placement.js'
export { hasRetention } from './topic-settings.js'
export { isHolder, mayHold, wantedReplicas } from './replica-move.js'
export { MetadataState } from './state.js'
export type { MetadataResult } from './state/outcome.js'
export type { MetadataSnapshot } from './state/snapshot.js'
export { DEFAULT_SETTINGS } from './state/tables.js'
export { type Layouts, planChanges, type PlanGoal, type PlannedChange } from './balance/planner.js'
export type { PlanBroker, PlanPartition } from './balance/layout.js'
export { isLeaving } from './balance/leaving.js'
export {
  emptied,
  type LeaderView,
  MOVE_TIMEOUT_MS,
  MOVES_AT_ONCE,
  nextAction,
  ordersFor,
} from './balance/next-action.js'
export { type BalancePlan, isRunning, type PlannedMove, type PlanReason } from './balance/plan.js'
export { GROWTH_KINDS, type TopicGrowth } from './topic-growth.js'
export { isClosing, openPartitions } from './topic-partitions.js'
export {
  DETAILED_AUDIT_LEVEL,
  type FeatureRange,
  FEATURES,
  FIRST_FEATURES,
  HEAD_SNAPSHOTS_LEVEL,
  REPEATED_DELETION_LEVEL,
  supports,
  toFeatureRange,
} from './feature-level.js'
export { changesBrokers } from './entities.js'
