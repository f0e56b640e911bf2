import { BrokerError } from '@sluice/domain'

interface Waiter {
  readonly offset: number
  readonly deadline: number
  readonly resolve: () => void
  readonly reject: (error: Error) => void
}

const WAITERS_MAX = 10_000
const SWEEP_MS = 25

/** Readers that wait for a partition to grow past an offset; one timer for all of them. */
export class EndWaiters {
  #waiters: Waiter[] = []
  #sweeper: NodeJS.Timeout | undefined

  /** Resolves when the end is past `offset`, or after `waitMs`. */
  wait(offset: number, waitMs: number): Promise<void> {
    if (this.#waiters.length >= WAITERS_MAX)
      throw new BrokerError('OVERLOADED', `${WAITERS_MAX} readers wait for this partition`, {
        component: 'broker',
      })
    return new Promise((resolve, reject) => {
      this.#waiters.push({ offset, deadline: performance.now() + waitMs, resolve, reject })
      this.#sweeper ??= setInterval(() => {
        const now = performance.now()
        this.#release((waiter) => waiter.deadline <= now)
      }, SWEEP_MS)
    })
  }

  advanced(end: number): void {
    if (this.#waiters.length > 0) this.#release((waiter) => waiter.offset < end)
  }

  refuse(error: Error): void {
    const waiters = this.#waiters
    this.#waiters = []
    this.#stopIfIdle()
    for (const waiter of waiters) waiter.reject(error)
  }

  #release(isDone: (waiter: Waiter) => boolean): void {
    const done = this.#waiters.filter(isDone)
    if (done.length === 0) return
    this.#waiters = this.#waiters.filter((waiter) => !isDone(waiter))
    this.#stopIfIdle()
    for (const waiter of done) waiter.resolve()
  }

  #stopIfIdle(): void {
    if (this.#waiters.length > 0) return
    clearInterval(this.#sweeper)
    this.#sweeper = undefined
  }
}
