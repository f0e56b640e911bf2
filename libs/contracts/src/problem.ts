import { BrokerError, type Component, ERROR_CODES, type ErrorCode, isErrorCode } from '@sluice/domain'

/** The HTTP answer of every code: a code without one does not compile. */
export const PROBLEMS = {
  INVALID_REQUEST: { status: 400, title: 'The request is not valid' },
  MALFORMED_JSON: { status: 400, title: 'The body is not JSON' },
  UNSUPPORTED_MEDIA_TYPE: { status: 415, title: 'The content type is not taken' },
  PAYLOAD_TOO_LARGE: { status: 413, title: 'The body is too large' },
  MESSAGE_TOO_LARGE: { status: 413, title: 'A message is too large' },
  ROUTE_NOT_FOUND: { status: 404, title: 'No such path' },
  METHOD_NOT_ALLOWED: { status: 405, title: 'The path does not take this method' },
  TOPIC_NOT_FOUND: { status: 404, title: 'The topic does not exist' },
  TOPIC_EXISTS: { status: 409, title: 'The topic exists' },
  PARTITION_NOT_FOUND: { status: 404, title: 'The partition does not exist' },
  PARTITION_CLOSED: { status: 409, title: 'Partition is closed' },
  PARTITION_LIMIT: { status: 409, title: 'The topic has all the partitions it may have' },
  PRODUCER_NOT_FOUND: { status: 404, title: 'The producer does not exist' },
  PRODUCER_TOPIC_MISMATCH: { status: 403, title: 'The producer belongs to another topic' },
  CONSUMER_NOT_FOUND: { status: 404, title: 'The consumer does not exist' },
  CONSUMER_TOPIC_MISMATCH: { status: 403, title: 'The consumer belongs to another topic' },
  NO_MESSAGES: { status: 404, title: 'Nothing left to read' },
  OFFSET_OUT_OF_RANGE: { status: 416, title: 'The offset is out of range' },
  BROKER_NOT_FOUND: { status: 404, title: 'The broker does not exist' },
  BROKER_EXISTS: { status: 409, title: 'The broker is part of the cluster' },
  BROKER_UNREACHABLE: { status: 502, title: 'The broker cannot be reached' },
  BROKER_FENCED: { status: 409, title: 'The broker was given up' },
  RECOVERY_REFUSED: { status: 409, title: 'The recovery is not possible as it was planned' },
  BROKER_REFUSED: { status: 409, title: 'The broker cannot join' },
  NOT_ENOUGH_BROKERS: { status: 503, title: 'Too few brokers are alive' },
  LAST_BROKER: { status: 409, title: 'The last broker stays' },
  BROKER_IN_USE: { status: 409, title: 'The broker holds replicas' },
  PLAN_RUNNING: { status: 409, title: 'Replicas are being moved' },
  PLAN_NOT_FOUND: { status: 404, title: 'There is no such plan' },
  MOVE_CONFLICT: { status: 409, title: 'The replicas are being changed' },
  NOT_LEADER: { status: 421, title: 'Another broker leads this partition' },
  NO_QUORUM: { status: 503, title: 'No majority of the replicas can be reached' },
  OVERLOADED: { status: 503, title: 'Too much at once' },
  TIMEOUT: { status: 504, title: 'No answer in time' },
  STALE_SEQUENCE: { status: 409, title: 'A newer batch is stored already' },
  UNSUPPORTED_VERSION: { status: 501, title: 'Not supported by this version' },
  CORRUPT_BATCH: { status: 400, title: 'The record batch is damaged' },
  MANAGER_UNAVAILABLE: { status: 503, title: 'No manager can be reached' },
  CONNECTION_LOST: { status: 502, title: 'The connection broke' },
  BAD_UPSTREAM_ANSWER: { status: 502, title: 'A component gave no proper answer' },
  SHUTTING_DOWN: { status: 503, title: 'The component is stopping' },
  STORAGE_FAILED: { status: 503, title: 'The storage of a component failed' },
  INTERNAL: { status: 500, title: 'Internal error' },
} as const satisfies Record<ErrorCode, { readonly status: number; readonly title: string }>

/** What a failed call is answered with, and what an error frame between processes carries. */
export interface FailureBody {
  readonly status: 'failure'
  readonly code: ErrorCode
  readonly message: string
  readonly component: Component
  readonly retriable: boolean
  /** `unknown`: the call may have taken effect. */
  readonly outcome: 'no' | 'unknown'
  readonly field?: string
  readonly leaderId?: number
}

/** @param component who answers; an error that names its component keeps it */
export function errorBody(error: BrokerError, component: Component): FailureBody {
  return {
    status: 'failure',
    code: error.code,
    message: error.message,
    component: error.component ?? component,
    retriable: error.retriable,
    outcome: error.outcome,
    ...(error.field === undefined ? {} : { field: error.field }),
    ...(error.leaderId === undefined ? {} : { leaderId: error.leaderId }),
  }
}

const COMPONENTS: ReadonlySet<unknown> = new Set([
  'load-balancer',
  'write-manager',
  'read-manager',
  'broker',
  'client',
] satisfies Component[])

/** The error in another process's answer. A code this version does not know becomes INTERNAL. */
export function toBrokerError(json: unknown): BrokerError {
  const fields = (typeof json === 'object' && json !== null ? json : {}) as Record<string, unknown>
  const { code, message, component, field, leaderId, outcome } = fields
  return new BrokerError(
    isErrorCode(code) ? code : 'INTERNAL',
    typeof message === 'string' ? message : `another process failed: ${JSON.stringify(json)}`.slice(0, 500),
    {
      component: COMPONENTS.has(component) ? (component as Component) : undefined,
      field: typeof field === 'string' ? field : undefined,
      leaderId: typeof leaderId === 'number' ? leaderId : undefined,
      outcome: outcome === 'no' ? 'no' : 'unknown',
    },
  )
}

/** The same failure as RFC 9457 problem details. */
export function problemDetails(body: FailureBody, instance: string): Record<string, unknown> {
  const { status, title } = PROBLEMS[body.code]
  return {
    type: `/problems/${body.code}`,
    title,
    status,
    detail: body.message,
    instance,
    code: body.code,
    component: body.component,
    retriable: body.retriable,
    outcome: body.outcome,
    summary: ERROR_CODES[body.code].summary,
    ...(body.field === undefined ? {} : { field: body.field }),
  }
}
