import { setImmediate } from 'node:timers/promises'

/**
 * Resolves once this process has looked at everything that had arrived at it when it was called. A process that
 * stood still finds requests whose callers have left since, and only then that they have: what a connection
 * brought is handed out before its end is read, which the next turn of the event loop does.
 */
export async function arrivalsSeen(): Promise<void> {
  await setImmediate()
  await setImmediate()
}
