export { Api, type Answer } from './api.js'
export { type ClusterOptions, type ClusterProcess, freePort, LocalCluster, until } from './local-cluster.js'
export { type LogMessage, producerLog } from './producer-logs.js'
export {
  type Delivered,
  faultsOf,
  type Published,
  runRealInput,
  type RunResult,
  TOPICS,
} from './real-input.js'
