import type { ErrorCode } from '@sluice/domain'
import { messageOf } from '@sluice/foundation'
import { errors } from 'undici'

/**
 * How a manager failed to answer:
 *
 * - `refused`: the call was never sent, or the manager said that it did nothing; another may be asked
 * - `lost`: the connection broke after the call was sent
 * - `empty`: the manager closed the connection, or ended its answer, without a word
 * - `broken`: half an answer, or bytes that are not one
 * - `too-large`: more than this process keeps in memory for one answer
 * - `time-out`: no whole answer in time
 * - `unsendable`: the call cannot be put on the wire; nobody could take it
 */
export type UpstreamFailureKind =
  'refused' | 'lost' | 'empty' | 'broken' | 'too-large' | 'time-out' | 'unsendable'

export interface UpstreamFailure {
  readonly kind: UpstreamFailureKind
  /** `host:port` of the manager. */
  readonly address: string
  /** What happened, to end the sentence "write-manager at host:port …". */
  readonly reason: string
}

/** What the caller is told about each kind; only a call that was not sent is certain to have done nothing. */
export const FAILURES = {
  refused: { code: 'MANAGER_UNAVAILABLE', outcome: 'no' },
  lost: { code: 'CONNECTION_LOST', outcome: 'unknown' },
  empty: { code: 'BAD_UPSTREAM_ANSWER', outcome: 'unknown' },
  broken: { code: 'BAD_UPSTREAM_ANSWER', outcome: 'unknown' },
  'too-large': { code: 'BAD_UPSTREAM_ANSWER', outcome: 'unknown' },
  'time-out': { code: 'TIMEOUT', outcome: 'unknown' },
  unsendable: { code: 'INVALID_REQUEST', outcome: 'no' },
} as const satisfies Record<UpstreamFailureKind, { code: ErrorCode; outcome: 'no' | 'unknown' }>

/** How far an attempt had come when it failed. */
export interface AttemptProgress {
  /** The request may have reached the manager. */
  readonly sent: boolean
  /** The head of an answer arrived. */
  readonly answered: boolean
}

/** Says what an error of the HTTP client means for the call. */
export function classify(error: unknown, address: string, progress: AttemptProgress): UpstreamFailure {
  const message = messageOf(error)
  if (error instanceof errors.InvalidArgumentError || error instanceof errors.NotSupportedError) {
    return { kind: 'unsendable', address, reason: `cannot be sent this request: ${message}` }
  }
  if (!progress.sent) {
    return { kind: 'refused', address, reason: `cannot be reached (connection error: ${message})` }
  }
  if (error instanceof errors.HTTPParserError || error instanceof errors.HeadersOverflowError) {
    return { kind: 'broken', address, reason: `answered with something that is not HTTP (${message})` }
  }
  if (error instanceof errors.ResponseExceededMaxSizeError) {
    return { kind: 'too-large', address, reason: `answered with more than may be passed on (${message})` }
  }
  if (error instanceof errors.HeadersTimeoutError || error instanceof errors.BodyTimeoutError) {
    return { kind: 'time-out', address, reason: 'did not answer in time (time-out)' }
  }
  if (progress.answered) {
    return { kind: 'broken', address, reason: `broke its answer off half-way (connection error: ${message})` }
  }
  if (error instanceof errors.SocketError && message === 'other side closed') {
    return { kind: 'empty', address, reason: 'closed the connection without an answer (empty answer)' }
  }
  return {
    kind: 'lost',
    address,
    reason: `broke the connection before it answered (connection error: ${message})`,
  }
}
