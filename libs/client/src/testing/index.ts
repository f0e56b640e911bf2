export { FakeBroker } from './fake-broker.js'
export { type FakeCall, FakeCluster, type Script } from './fake-cluster.js'
export { FakeMetadata } from './fake-metadata.js'
export { FakePartition } from './fake-partition.js'
