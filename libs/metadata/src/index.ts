export { type Mark, type MetadataCommand, parseMetadataCommand, type Seen } from './command.js'
export type {
  ActorType,
  AutoOffsetReset,
  BrokerInfo,
  ClusterSettings,
  ConsumerInfo,
  ConsumerStart,
  HealthCheck,
  MetadataChanges,
  PartitionInfo,
  ProducerInfo,
  TopicInfo,
  TopicSettings,
} from './entities.js'
export { type BrokerLoad, placeReplicas } from './placement.js'
export { hasRetention, withSettings } from './topic-settings.js'
export { DEFAULT_SETTINGS, type MetadataResult, type MetadataSnapshot, MetadataState } from './state.js'
