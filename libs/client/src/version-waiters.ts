interface Waiter {
  readonly version: number
  readonly resolve: () => void
}

/** Those who wait until the metadata has reached a version. */
export class VersionWaiters {
  readonly #waiters = new Set<Waiter>()

  get waiting(): boolean {
    return this.#waiters.size > 0
  }

  /** True once `advanced` was called with `version` or a later one; false after `timeoutMs`. */
  wait(version: number, timeoutMs: number, signal: AbortSignal): Promise<boolean> {
    return new Promise((resolve) => {
      const end = (reached: boolean): void => {
        clearTimeout(timer)
        signal.removeEventListener('abort', abandon)
        this.#waiters.delete(waiter)
        resolve(reached)
      }
      const abandon = (): void => end(false)
      const waiter: Waiter = { version, resolve: () => end(true) }
      const timer = setTimeout(abandon, timeoutMs)
      signal.addEventListener('abort', abandon, { once: true })
      this.#waiters.add(waiter)
      if (signal.aborted) abandon()
    })
  }

  advanced(version: number): void {
    for (const waiter of this.#waiters) if (waiter.version <= version) waiter.resolve()
  }
}
