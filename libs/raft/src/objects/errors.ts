/** A replicated method threw, on every node alike. Its message is that of what was thrown. */
export class ReplicatedMethodError extends Error {
  override readonly name = 'ReplicatedMethodError'
  /** The `name` of what was thrown. */
  readonly thrownName: string
  /** The call was carried out, as far as it went, and is not carried out again. */
  readonly retriable = false

  constructor(thrown: { readonly name: string; readonly message: string }) {
    super(thrown.message)
    this.thrownName = thrown.name
  }
}

/**
 * The group does not know the session any more, so nobody can tell whether the call was carried out
 * before. Trying again in another session may carry it out twice.
 */
export class SessionExpiredError extends Error {
  override readonly name = 'SessionExpiredError'
  readonly outcome = 'unknown'
  readonly retriable = false
}

/** The group runs code that this node does not have: it must not go on. */
export class CodeVersionError extends Error {
  override readonly name = 'CodeVersionError'
}

/** A value would come out otherwise than it went in; nothing was sent. */
export class UnsupportedValueError extends Error {
  override readonly name = 'UnsupportedValueError'
}

/** Bytes that are no command, value or snapshot of this version. */
export class ReplicatedDecodeError extends Error {
  override readonly name = 'ReplicatedDecodeError'
}

/** An object that cannot be replicated as it is; says what is missing. */
export class ReplicatedDefinitionError extends Error {
  override readonly name = 'ReplicatedDefinitionError'
}
