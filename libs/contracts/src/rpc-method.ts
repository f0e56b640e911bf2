/** Calls between managers and brokers; numbers are on the wire and never change their meaning. */
export const RpcMethod = {
  PRODUCE: 1,
  FETCH: 2,
  OFFSETS: 3,
  SEEK: 4,
  AWAIT: 5,
  RELEASE: 6,
  CLAIM: 7,
  META_PROPOSE: 10,
  META_FOLLOW: 11,
  META_VERSION: 12,
  NODE_INFO: 20,
  NODE_JOIN: 21,
  ACTIVITY: 22,
  BROKER_STATUS: 23,
  /** A broker copies a partition out of another's database, or the metadata, when its own has lost it. */
  COPY_OPEN: 24,
  COPY_READ: 25,
  META_COPY: 26,
  /** Replicas compare what their databases have of a range of a partition, and take it from each other. */
  RANGE_DIGEST: 27,
  RANGE_READ: 28,
  RANGE_REPAIR: 29,
  /** A one-way message between brokers; its content is Raft's. */
  RAFT: 30,
} as const
export type RpcMethod = (typeof RpcMethod)[keyof typeof RpcMethod]

/** Of the calls and of the metadata's commands: a broker of another one cannot be added. */
export const CLUSTER_PROTOCOL = 1
