/**
 * Every failure a caller can be told about. Codes are public API: never renamed, never reused.
 * `retriable`: the same request may succeed later, or elsewhere, without being changed.
 */
export const ERROR_CODES = {
  INVALID_REQUEST: { retriable: false, summary: 'a field is missing, unknown or of the wrong type' },
  MALFORMED_JSON: { retriable: false, summary: 'the body is not JSON' },
  UNSUPPORTED_MEDIA_TYPE: { retriable: false, summary: 'the content type is not application/json' },
  PAYLOAD_TOO_LARGE: { retriable: false, summary: 'the body is over the size limit' },
  MESSAGE_TOO_LARGE: { retriable: false, summary: 'a message is over the size limit' },
  ROUTE_NOT_FOUND: { retriable: false, summary: 'no such path' },
  METHOD_NOT_ALLOWED: { retriable: false, summary: 'the path exists, the method does not' },
  TOPIC_NOT_FOUND: { retriable: false, summary: 'the topic does not exist' },
  TOPIC_EXISTS: { retriable: false, summary: 'a topic of that name exists' },
  PARTITION_NOT_FOUND: { retriable: false, summary: 'the topic has no such partition' },
  PARTITION_CLOSED: { retriable: false, summary: 'the partition takes no messages any more' },
  PARTITION_LIMIT: { retriable: false, summary: 'the topic has as many partitions as it may have' },
  PRODUCER_NOT_FOUND: { retriable: false, summary: 'no producer has this id' },
  PRODUCER_TOPIC_MISMATCH: { retriable: false, summary: 'the producer is registered for another topic' },
  CONSUMER_NOT_FOUND: { retriable: false, summary: 'no consumer has this id' },
  CONSUMER_TOPIC_MISMATCH: { retriable: false, summary: 'the consumer is registered for another topic' },
  NO_MESSAGES: { retriable: true, summary: 'every partition is empty for this consumer' },
  OFFSET_OUT_OF_RANGE: {
    retriable: false,
    summary: 'the offset is before the first or after the last message',
  },
  BROKER_NOT_FOUND: { retriable: false, summary: 'no broker has this id' },
  BROKER_EXISTS: { retriable: false, summary: 'that broker is part of the cluster already' },
  BROKER_UNREACHABLE: { retriable: true, summary: 'nothing answers at the address of the broker' },
  BROKER_REFUSED: { retriable: false, summary: 'what answers there cannot join this cluster' },
  BROKER_FENCED: {
    retriable: false,
    summary: 'the broker was given up by a forced recovery; it comes back only with an empty data directory',
  },
  RECOVERY_REFUSED: {
    retriable: false,
    summary: 'a forced recovery is not possible, or not as it was planned; nothing was changed',
  },
  NOT_ENOUGH_BROKERS: {
    retriable: true,
    summary: 'fewer brokers are alive than the replication factor asks for',
  },
  LAST_BROKER: { retriable: false, summary: 'a cluster keeps at least one broker' },
  BROKER_IN_USE: { retriable: true, summary: 'the broker still holds replicas' },
  PLAN_RUNNING: { retriable: true, summary: 'replicas are being moved by an earlier plan' },
  PLAN_NOT_FOUND: { retriable: false, summary: 'no plan of moves was ever made, or none is running' },
  MOVE_CONFLICT: { retriable: true, summary: 'another change of these replicas is under way' },
  NOT_LEADER: { retriable: true, summary: 'another broker leads this partition' },
  NO_QUORUM: { retriable: true, summary: 'no majority of the replicas can be reached' },
  OVERLOADED: { retriable: true, summary: 'a limit is reached; slow down' },
  TIMEOUT: { retriable: true, summary: 'no answer in time; the outcome is not known' },
  STALE_SEQUENCE: { retriable: false, summary: 'the batch is older than one stored already' },
  UNSUPPORTED_VERSION: {
    retriable: false,
    summary: 'it takes a newer version of a component, or a higher feature level of the cluster',
  },
  CORRUPT_BATCH: { retriable: false, summary: 'a record batch does not match its checksum' },
  MANAGER_UNAVAILABLE: { retriable: true, summary: 'no manager that serves this call can be reached' },
  CONNECTION_LOST: { retriable: true, summary: 'the connection broke; the outcome is not known' },
  BAD_UPSTREAM_ANSWER: {
    retriable: true,
    summary: 'a component answered with something that is not an answer',
  },
  SHUTTING_DOWN: { retriable: true, summary: 'the component is stopping' },
  STORAGE_FAILED: { retriable: true, summary: 'the disk or the database of the component failed' },
  INTERNAL: { retriable: false, summary: 'an error of the component itself; its log has the details' },
} as const satisfies Record<string, { retriable: boolean; summary: string }>

export type ErrorCode = keyof typeof ERROR_CODES

/** The processes that can fail, as the caller is told. */
export type Component = 'load-balancer' | 'write-manager' | 'read-manager' | 'broker' | 'client'

export interface BrokerErrorDetails {
  /** Which process found it; filled in by the process that answers when absent. */
  readonly component?: Component | undefined
  /** The request field at fault, as the caller spelt it. */
  readonly field?: string | undefined
  /** Where to try instead: the leader's broker id, for NOT_LEADER. */
  readonly leaderId?: number | undefined
  /** For a refused or failed change: `no` is certain that nothing changed, `unknown` is not. */
  readonly outcome?: 'no' | 'unknown' | undefined
  readonly cause?: unknown
}

/** A failure the caller can be told about. Callers branch on `code` and `retriable`, never on the text. */
export class BrokerError extends Error {
  override readonly name = 'BrokerError'
  readonly code: ErrorCode
  readonly component: Component | undefined
  readonly field: string | undefined
  readonly leaderId: number | undefined
  readonly outcome: 'no' | 'unknown'

  constructor(code: ErrorCode, message: string, details: BrokerErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause })
    this.code = code
    this.component = details.component
    this.field = details.field
    this.leaderId = details.leaderId
    this.outcome = details.outcome ?? (code === 'TIMEOUT' || code === 'CONNECTION_LOST' ? 'unknown' : 'no')
  }

  get retriable(): boolean {
    return ERROR_CODES[this.code].retriable
  }
}

/** True for a code that this version knows; one from a newer process may not be. */
export function isErrorCode(value: unknown): value is ErrorCode {
  return typeof value === 'string' && Object.hasOwn(ERROR_CODES, value)
}
