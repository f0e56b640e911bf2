/** Why a command was not carried out, or may not have been; PySyncObj's names. */
const FAIL_REASONS = [
  /** Too many commands of this node wait already, or the leader has too much that is not committed. */
  'QUEUE_FULL',
  /** No leader was known for as long as the command could wait. */
  'MISSING_LEADER',
  /** The log holds another leader's entry where the command would have been. */
  'DISCARDED',
  /** The node that was asked does not lead, and waiting for a leader is switched off. */
  'NOT_LEADER',
  /** The leader went away, or this node jumped over the log by a snapshot, before the outcome was seen. */
  'LEADER_CHANGED',
  /** A membership change or another request that is not allowed now. */
  'REQUEST_DENIED',
  /** The caller's signal was aborted. */
  'ABORTED',
  /** This node was destroyed. */
  'DESTROYED',
] as const

export type FailReason = (typeof FAIL_REASONS)[number]

export function isFailReason(text: string): text is FailReason {
  return (FAIL_REASONS as readonly string[]).includes(text)
}

/** 'no': it has no effect and never will. 'unknown': it may have been, or may still be, carried out. */
export type FailOutcome = 'no' | 'unknown'

/** What a replicated object's node tells its callers. */
export abstract class SyncObjectError extends Error {
  /** Never renamed, never reused. */
  abstract readonly code: string
}

export class CommandFailedError extends SyncObjectError {
  override readonly name = 'CommandFailedError'
  readonly code = 'COMMAND_FAILED'
  readonly reason: FailReason
  readonly outcome: FailOutcome

  constructor(reason: FailReason, outcome: FailOutcome, detail?: string, options?: ErrorOptions) {
    const effect = outcome === 'no' ? 'it has no effect' : 'it may or may not have an effect'
    super(
      `the command failed with ${reason}${detail === undefined ? '' : ` (${detail})`}: ${effect}`,
      options,
    )
    this.reason = reason
    this.outcome = outcome
  }
}

/** A command that would not fit the cluster's frames; it was given to nobody. */
export class CommandTooLargeError extends SyncObjectError {
  override readonly name = 'CommandTooLargeError'
  readonly code = 'COMMAND_TOO_LARGE'

  constructor(sizes: { readonly sizeBytes: number; readonly sizeBytesMax: number }) {
    super(`a command of ${sizes.sizeBytes} bytes is over the bound of ${sizes.sizeBytesMax} bytes`)
  }
}

export class InvalidConfigError extends SyncObjectError {
  override readonly name = 'InvalidConfigError'
  readonly code = 'INVALID_CONFIG'
  /** One sentence for each, starting with the field. */
  readonly mistakes: readonly string[]

  constructor(mistakes: readonly string[]) {
    super(`the configuration has ${mistakes.length} mistakes: ${mistakes.join('; ')}`)
    this.mistakes = mistakes
  }
}

export class InvalidAddressError extends SyncObjectError {
  override readonly name = 'InvalidAddressError'
  readonly code = 'INVALID_ADDRESS'

  constructor(text: string, reason: string) {
    super(`'${text}' is no address of a node: ${reason}`)
  }
}

/** Two addresses have the same node id; one of the nodes needs another port or another name. */
export class AddressCollisionError extends SyncObjectError {
  override readonly name = 'AddressCollisionError'
  readonly code = 'ADDRESS_COLLISION'

  constructor(first: string, second: string) {
    super(
      `'${first}' and '${second}' have the same node id: use another port or another name for one of them`,
    )
  }
}

/** The data directory is another node's, or damaged; nothing was changed. */
export class IdentityError extends SyncObjectError {
  override readonly name = 'IdentityError'
  readonly code = 'IDENTITY'
}

/** The address could not be listened on. PySyncObj: SyncObjException('BindError'). */
export class BindError extends SyncObjectError {
  override readonly name = 'BindError'
  readonly code = 'BIND'
}

/** Bytes that are no request or answer of the admin protocol. */
export class AdminProtocolError extends SyncObjectError {
  override readonly name = 'AdminProtocolError'
  readonly code = 'ADMIN_PROTOCOL'
}

/** Recovery of a group by force was refused; nothing was changed. */
export class ForceRecoveryError extends SyncObjectError {
  override readonly name = 'ForceRecoveryError'
  readonly code = 'FORCE_RECOVERY'
}
