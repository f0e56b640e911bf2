/** The message of anything that was thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}

/** The value as an Error, so that it can be logged and chained. */
export function toError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error))
}
