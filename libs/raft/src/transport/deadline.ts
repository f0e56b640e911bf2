import { toError } from '@sluice/foundation'

/**
 * Does some work under a signal of its own, which aborts with `late()` after `timeoutMs`, or with the
 * reason of `signal`. The work must heed its signal.
 */
export async function withDeadline<T>(
  limit: { readonly timeoutMs: number; readonly late: () => Error; readonly signal: AbortSignal },
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const { timeoutMs, late, signal } = limit
  const controller = new AbortController()
  const onAbort = (): void => controller.abort(toError(signal.reason))
  if (signal.aborted) onAbort()
  signal.addEventListener('abort', onAbort, { once: true })
  const timer = setTimeout(() => controller.abort(late()), timeoutMs)
  try {
    return await work(controller.signal)
  } finally {
    clearTimeout(timer)
    signal.removeEventListener('abort', onAbort)
  }
}
