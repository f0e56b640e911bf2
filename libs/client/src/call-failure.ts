import { toBrokerError } from '@sluice/contracts'
import { BrokerError } from '@sluice/domain'
import { toError } from '@sluice/foundation'
import { RpcError } from '@sluice/rpc'

/** What a failed try means for the next one. */
export interface CallFailure {
  /** `retry`: ask again, here or elsewhere. `final`: the caller must be told. */
  readonly kind: 'retry' | 'final'
  /** `no`: certain that the try changed nothing. */
  readonly outcome: 'no' | 'unknown'
  /** Broker id of the leader, when the broker that was asked knows it. */
  readonly leaderId: number | undefined
  readonly error: Error
}

/** Codes of a broker after which the same call may succeed within this call's time. */
const RETRIED = new Set([
  'NOT_LEADER',
  'NO_QUORUM',
  'TIMEOUT',
  'CONNECTION_LOST',
  'SHUTTING_DOWN',
  'STORAGE_FAILED',
  // The metadata says that it exists: this broker has not heard of it yet.
  'PARTITION_NOT_FOUND',
])

/** Judges what a try threw. */
export function judgeFailure(thrown: unknown): CallFailure {
  const error =
    thrown instanceof RpcError && thrown.code === 'REMOTE' ? toBrokerError(thrown.remote) : toError(thrown)
  if (error instanceof BrokerError)
    return {
      kind: RETRIED.has(error.code) ? 'retry' : 'final',
      outcome: error.outcome,
      leaderId: error.leaderId,
      error,
    }
  // Another member may be of a version that this process understands.
  if (error instanceof RpcError && error.code === 'UNSUPPORTED_VERSION')
    return { kind: 'retry', outcome: 'no', leaderId: undefined, error: unsupported(error) }
  if (error instanceof RpcError)
    return {
      kind: error.code === 'OVERLOADED' ? 'final' : 'retry',
      outcome: error.outcome,
      leaderId: undefined,
      error: error.code === 'OVERLOADED' ? overloaded(error) : error,
    }
  return { kind: 'final', outcome: 'unknown', leaderId: undefined, error }
}

/** No process of this version can talk to that broker: whoever asked must hear that, not that nobody leads. */
export function unsupported(error: RpcError): BrokerError {
  return new BrokerError('UNSUPPORTED_VERSION', error.message, {
    component: 'broker',
    outcome: 'no',
    cause: error,
  })
}

function overloaded(error: RpcError): BrokerError {
  return new BrokerError('OVERLOADED', error.message, { outcome: error.outcome, cause: error })
}
