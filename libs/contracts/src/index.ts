export {
  type AddBrokerRequest,
  type CreateTopicRequest,
  parseAddBroker,
  parseCreateTopic,
  parseTopicRequest,
  type TopicRequest,
} from './admin-requests.js'
export { decodeJson, encodeJson } from './binary.js'
export { type BrokerStatus, parseBrokerStatus, partitionSizes } from './broker-status.js'
export {
  type AckRequest,
  type ConsumeRequest,
  type ConsumerCall,
  type ConsumerStart,
  parseAck,
  parseConsumeRequest,
  parseConsumerCall,
  parseRegisterConsumer,
  parseSeek,
  type RegisterConsumerRequest,
  type SeekRequest,
  WAIT_MS_MAX,
} from './consumer-requests.js'
export {
  type AwaitCall,
  type ClaimCall,
  decodeAwaitCall,
  decodeClaimAnswer,
  decodeClaimCall,
  decodeFetchAnswer,
  decodeFetchCall,
  decodeOffsetsAnswer,
  decodeOffsetsCall,
  decodePosition,
  decodeProduceAnswer,
  decodeProduceCall,
  decodeReleaseCall,
  decodeSeekCall,
  type EarlierRun,
  encodeAwaitCall,
  encodeClaimAnswer,
  encodeClaimCall,
  encodeFetchAnswer,
  encodeFetchCall,
  encodeOffsetsAnswer,
  encodeOffsetsCall,
  encodePosition,
  encodeProduceAnswer,
  encodeProduceCall,
  encodeReleaseCall,
  encodeSeekCall,
  type FetchAnswer,
  type FetchCall,
  type OffsetsAnswer,
  type OffsetsCall,
  type ProduceAnswer,
  type ProduceCall,
  type ReleaseCall,
  type RepeatedAnswer,
  type SeekCall,
  type SeekTarget,
} from './partition-calls.js'
export {
  type AuditQuery,
  type HealthQuery,
  parseAuditQuery,
  parseHealthQuery,
  parseSettingsChange,
  type SettingsChange,
} from './health-requests.js'
export { openApiDocument } from './openapi.js'
export { errorBody, type FailureBody, problemDetails, PROBLEMS, toBrokerError } from './problem.js'
export {
  type MessageInput,
  MESSAGES_PER_CALL_MAX,
  parsePartitionField,
  parseProduceRequest,
  type ProduceRequest,
} from './produce-request.js'
export {
  type MaintenanceRequest,
  parseMaintenance,
  parseRebalance,
  parseRemoveBroker,
  type RebalanceRequest,
  type RemoveBrokerRequest,
} from './rebalance-requests.js'
export {
  type ForceAnswer,
  type ForceOutcome,
  type ForceRequest,
  type GroupOrder,
  type GroupView,
  parseForceRequest,
  parseRecordRequest,
  type PartitionPlace,
  type RecordRequest,
  RECOVERY_FORMAT,
  RECOVERY_GROUPS_MAX,
  type RecoveryView,
} from './recovery.js'
export { CLUSTER_PROTOCOL, RpcMethod } from './rpc-method.js'
export { SCHEMAS } from './schemas.js'
export { type AlterTopicRequest, parseAlterTopic, type TopicChangeRequest } from './topic-change.js'
