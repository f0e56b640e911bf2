import { type Clock, systemClock, toError } from '@sluice/foundation'
import type { CallOptions, Replicated } from '../handle.js'
import type { LockAnswer, ReplicatedLockTable } from './lock-table.js'

export interface LockManagerOptions {
  /** Unlike that of any other holder of locks. */
  readonly owner: string
  readonly clock?: Clock
  /** Runs again and again until the result is called; milliseconds. A timer unless given. */
  readonly every?: (intervalMs: number, run: () => void) => () => void
  /** A renewal failed, or a lock is lost: whoever holds it must stop what it protects. */
  readonly onLost?: (names: readonly string[], error: Error | undefined) => void
}

/** One holder's locks: renewed while they are held, and given up when it is too late to be sure of them. */
export class LockManager {
  readonly owner: string
  readonly #table: Replicated<ReplicatedLockTable>
  readonly #clock: Clock
  readonly #onLost: (names: readonly string[], error: Error | undefined) => void
  readonly #held = new Map<string, number>()
  readonly #stop: () => void

  constructor(table: Replicated<ReplicatedLockTable>, options: LockManagerOptions) {
    this.owner = options.owner
    this.#table = table
    this.#clock = options.clock ?? systemClock
    this.#onLost = options.onLost ?? (() => undefined)
    const every = options.every ?? timer
    this.#stop = every(table.local.autoUnlockMs / 4, () => void this.#renew())
  }

  /** An answer that took longer than half of the lock's time is too old to rely on: the lock is given back. */
  async tryAcquire(name: string, options: CallOptions = {}): Promise<LockAnswer> {
    const askedMs = this.#clock.monotonic()
    const answer = await this.#table.with(options).acquire(name, this.owner)
    if (!answer.acquired) return answer
    if (this.#clock.monotonic() - askedMs > this.#table.local.autoUnlockMs / 2) {
      await this.#table.with(options).release(name, this.owner)
      return { ...answer, acquired: false }
    }
    this.#held.set(name, askedMs)
    return answer
  }

  /** As far as this holder can be sure, without asking anybody. */
  isAcquired(name: string): boolean {
    const renewedMs = this.#held.get(name)
    return renewedMs !== undefined && this.#clock.monotonic() - renewedMs < this.#table.local.autoUnlockMs
  }

  async release(name: string, options: CallOptions = {}): Promise<boolean> {
    this.#held.delete(name)
    return this.#table.with(options).release(name, this.owner)
  }

  /** Renews nothing any more; what is held falls open. */
  destroy(): void {
    this.#stop()
    this.#held.clear()
  }

  async #renew(): Promise<void> {
    if (this.#held.size === 0) return
    const askedMs = this.#clock.monotonic()
    try {
      const renewed = new Set(await this.#table.renew(this.owner))
      const lost = [...this.#held.keys()].filter((name) => !renewed.has(name))
      for (const name of lost) this.#held.delete(name)
      for (const name of this.#held.keys()) this.#held.set(name, askedMs)
      if (lost.length > 0) this.#onLost(lost, undefined)
    } catch (error) {
      const lost = [...this.#held.keys()].filter((name) => !this.isAcquired(name))
      for (const name of lost) this.#held.delete(name)
      if (lost.length > 0) this.#onLost(lost, toError(error))
    }
  }
}

function timer(intervalMs: number, run: () => void): () => void {
  const interval = setInterval(run, intervalMs).unref()
  return () => clearInterval(interval)
}
