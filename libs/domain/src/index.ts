export {
  BrokerError,
  type BrokerErrorDetails,
  type Component,
  ERROR_CODES,
  type ErrorCode,
  isErrorCode,
} from './errors.js'
export {
  type BrokerId,
  type ConsumerId,
  type GroupId,
  METADATA_GROUP,
  parsePartitionName,
  partitionName,
  type ProducerId,
  toBrokerId,
  toConsumerId,
  toGroupId,
  toProducerId,
  type TopicName,
  toTopicName,
} from './ids.js'
export { type Offset, toOffset } from './offset.js'
export {
  type BatchHeader,
  decodeRecords,
  readBatchHeader,
  type RecordData,
  type RecordHeader,
  stampBatch,
  type StoredRecord,
  verifyRecordBatch,
} from './record-batch.js'
export { type BatchInput, encodeRecordBatch } from './record-encoder.js'
export { recordPositions, type RecordPositions } from './record-positions.js'
export {
  decodeRuns,
  MESSAGE_RUN_BYTES,
  type MessageRun,
  OWN_HEADER_PREFIX,
  packedRuns,
  readRuns,
  withRuns,
} from './message-runs.js'
