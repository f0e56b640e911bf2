export { type ClusterProcess, freePort, LocalCluster, until } from './local-cluster.js'
export { faultsOf, runRealInput, TOPICS } from './real-input.js'
