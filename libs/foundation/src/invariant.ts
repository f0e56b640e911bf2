/** What must hold if our own code is right did not. Never caught to carry on. */
export class InvariantError extends Error {
  override readonly name = 'InvariantError'
}

/** Checks one condition that our own code guarantees; stays on in production. */
export function invariant(condition: boolean, message: string): asserts condition {
  if (!condition) throw new InvariantError(message)
}

/** Ends a `switch` over a union: a case that is missing becomes a compile error. */
export function unreachable(value: never): never {
  throw new InvariantError(`unreachable: ${JSON.stringify(value)}`)
}
