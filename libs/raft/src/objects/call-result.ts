import { ReplicatedMethodError, SessionExpiredError } from './errors.js'

/** What became of a call, the same on every node. An error is a result: the replica goes on. */
export type CallResult =
  | { readonly kind: 'value'; readonly value: unknown }
  | { readonly kind: 'thrown'; readonly name: string; readonly message: string }
  | { readonly kind: 'session-expired' }

export function thrownResult(error: unknown): CallResult {
  if (error instanceof Error) return { kind: 'thrown', name: error.name, message: error.message }
  return { kind: 'thrown', name: typeof error, message: String(error) }
}

/** The value, or what was thrown. @throws ReplicatedMethodError, SessionExpiredError */
export function valueOf(result: CallResult): unknown {
  switch (result.kind) {
    case 'value':
      return result.value
    case 'thrown':
      throw new ReplicatedMethodError(result)
    case 'session-expired':
      throw new SessionExpiredError(
        'the group has forgotten the session: whether the call was carried out is unknown',
      )
  }
}
