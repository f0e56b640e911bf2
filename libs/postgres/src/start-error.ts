/** Why a server could not be started, for callers that can do something about it. */
export type PostgresStartReason =
  'NO_BINARIES' | 'NO_USER' | 'PORT_TAKEN' | 'ALREADY_RUNNING' | 'DATA_DIRECTORY' | 'FAILED'

/** The server was not started; the message is a sentence for the person at the terminal. */
export class PostgresStartError extends Error {
  override readonly name = 'PostgresStartError'
  readonly reason: PostgresStartReason

  constructor(reason: PostgresStartReason, message: string, options?: ErrorOptions) {
    super(message, options)
    this.reason = reason
  }
}
