/**
 * The promise, unless the signal is aborted first; what the promise does is not stopped by that.
 * @throws what the promise rejects with, or the signal's reason
 */
export function awaitUnless(promise: Promise<unknown>, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    const abort = (): void => reject(signal?.reason as Error)
    if (signal?.aborted === true) {
      abort()
      return
    }
    signal?.addEventListener('abort', abort, { once: true })
    promise.then(() => resolve(), reject).finally(() => signal?.removeEventListener('abort', abort))
  })
}
