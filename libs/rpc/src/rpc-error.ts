export type RpcErrorCode =
  /** Nothing answered at the address: the request was never sent. */
  | 'CONNECT_FAILED'
  /** The peer refused the hello, for example as a member of another cluster. */
  | 'REFUSED'
  /** The peer speaks no version of the frames that this side speaks. */
  | 'UNSUPPORTED_VERSION'
  /** The connection broke while the answer was awaited. */
  | 'CONNECTION_LOST'
  | 'TIMEOUT'
  /** Too many requests, or too many bytes, wait on this connection. */
  | 'OVERLOADED'
  /** The peer answered with an error of its own: see `remote`. */
  | 'REMOTE'
  /** This side has closed. */
  | 'CLOSED'
  /** The peer sent what is no frame. */
  | 'PROTOCOL'

/** A call between processes that failed. */
export class RpcError extends Error {
  override readonly name = 'RpcError'
  readonly code: RpcErrorCode
  /** `no`: the peer has certainly not acted on the request. */
  readonly outcome: 'no' | 'unknown'
  /** What the peer said, for REMOTE. */
  readonly remote: Readonly<Record<string, unknown>> | undefined

  constructor(
    code: RpcErrorCode,
    message: string,
    details: {
      readonly outcome: 'no' | 'unknown'
      readonly remote?: Readonly<Record<string, unknown>>
      readonly cause?: unknown
    },
  ) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause })
    this.code = code
    this.outcome = details.outcome
    this.remote = details.remote
  }
}
