export { type Mark, type MetadataCommand, parseMetadataCommand, type Seen } from './command.js'
export type {
  ActorType,
  BrokerInfo,
  ClusterSettings,
  ConsumerInfo,
  ConsumerStart,
  HealthCheck,
  MetadataChanges,
  PartitionInfo,
  ProducerInfo,
  TopicInfo,
} from './entities.js'
export { type BrokerLoad, placeReplicas } from './placement.js'
export { DEFAULT_SETTINGS, type MetadataResult, type MetadataSnapshot, MetadataState } from './state.js'
