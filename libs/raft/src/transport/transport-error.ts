import type { Refusal } from './refusal.js'

export type TransportErrorCode =
  /** There is no connection to the peer now. */
  | 'NOT_CONNECTED'
  /** Too much waits already, here or at the peer. */
  | 'OVERLOADED'
  | 'TIMEOUT'
  /** The connection broke, or nothing was heard on it for too long. */
  | 'CONNECTION_LOST'
  /** This side was closed. */
  | 'CLOSED'
  /** The peer's handler failed. */
  | 'REMOTE'
  /** What arrived is no frame, no hello, or was changed on its way. */
  | 'MALFORMED'
  /** One of the two sides does not want the other. */
  | 'REFUSED'
  | 'CONNECT_FAILED'
  | 'BIND_FAILED'
  | 'TOO_LARGE'
  | 'INVALID_OPTION'

/** 'no': the peer has certainly not acted on it. 'unknown': it may have. */
export type TransportOutcome = 'no' | 'unknown'

/** A failure of the network or of a peer. Callers branch on `code` and `outcome`, never on the text. */
export class TransportError extends Error {
  override readonly name: string = 'TransportError'
  readonly code: TransportErrorCode
  readonly outcome: TransportOutcome

  constructor(
    code: TransportErrorCode,
    message: string,
    options: { readonly outcome?: TransportOutcome; readonly cause?: unknown } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.code = code
    this.outcome = options.outcome ?? 'no'
  }
}

/** A connection that one of its sides refused; both know why. */
export class RefusedError extends TransportError {
  override readonly name = 'RefusedError'
  readonly refusal: Refusal
  /** Which side refused. */
  readonly by: 'self' | 'peer'

  constructor(refusal: Refusal, by: 'self' | 'peer') {
    super(
      'REFUSED',
      `${by === 'self' ? 'refused' : 'the peer refused'} (${refusal.code}): ${refusal.message}`,
    )
    this.refusal = refusal
    this.by = by
  }
}

/** What the peer's request handler threw. */
export class RemoteError extends TransportError {
  override readonly name = 'RemoteError'
  /** The `code` of what was thrown there; empty when it had none. */
  readonly remoteCode: string

  constructor(message: string, remote: { readonly code: string; readonly outcome: TransportOutcome }) {
    super('REMOTE', message, { outcome: remote.outcome })
    this.remoteCode = remote.code
  }
}

export function malformed(message: string, cause?: unknown): TransportError {
  return new TransportError('MALFORMED', message, { outcome: 'unknown', cause })
}
