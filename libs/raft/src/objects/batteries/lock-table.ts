import { applyContext } from '../apply-context.js'
import { replicated } from '../definition.js'
import { ArgumentError, checkRoom, ITEMS_MAX, itemsOf, partsOf } from './bounded.js'

export interface LockAnswer {
  readonly acquired: boolean
  /**
   * Grows with every acquisition of any lock. Whoever the lock protects something from refuses what comes
   * with a smaller token than it has seen: a holder that fell asleep cannot do harm.
   */
  readonly fencingToken: number
}

interface Lock {
  readonly owner: string
  readonly token: number
  untilMs: number
}

/**
 * Locks on all nodes, which fall open when their owner does not renew them. Time is the leader's, stamped on
 * each call, so all nodes agree on who holds what; no owner's clock matters.
 */
export class ReplicatedLockTable {
  #locks = new Map<string, Lock>()
  #lastToken = 0
  readonly #autoUnlockMs: number

  /** @param autoUnlockMs a lock that is not renewed for so long falls open, by the leader's time */
  constructor(autoUnlockMs: number) {
    if (!(autoUnlockMs > 0)) throw new ArgumentError('a lock is held for some time')
    this.#autoUnlockMs = autoUnlockMs
  }

  get autoUnlockMs(): number {
    return this.#autoUnlockMs
  }

  /** Who holds it already holds it on, under the same token. */
  @replicated acquire(name: string, owner: string): LockAnswer {
    const { timeMs } = applyContext()
    const held = this.#heldLock(name, timeMs)
    if (held !== undefined && held.owner !== owner) return { acquired: false, fencingToken: held.token }
    if (held === undefined) {
      this.#dropOpen(timeMs)
      checkRoom(this.#locks.size, 1, ITEMS_MAX)
    }
    const token = held?.token ?? ++this.#lastToken
    this.#locks.set(name, { owner, token, untilMs: timeMs + this.#autoUnlockMs })
    return { acquired: true, fencingToken: token }
  }

  /** Holds on what the owner still has; gives the names. */
  @replicated renew(owner: string): string[] {
    const { timeMs } = applyContext()
    this.#dropOpen(timeMs)
    const names: string[] = []
    for (const [name, lock] of this.#locks) {
      if (lock.owner !== owner) continue
      lock.untilMs = timeMs + this.#autoUnlockMs
      names.push(name)
    }
    return names
  }

  /** False when the owner did not hold it. */
  @replicated release(name: string, owner: string): boolean {
    const held = this.#heldLock(name, applyContext().timeMs)
    if (held?.owner !== owner) return false
    this.#locks.delete(name)
    return true
  }

  /** Whether the owner held it at the leader's time `timeMs`; by its last renewal, when no time is given. */
  isHeld(name: string, owner: string, timeMs = 0): boolean {
    const lock = this.#locks.get(name)
    return lock?.owner === owner && timeMs < lock.untilMs
  }

  capture(): Iterable<unknown> {
    const locks = [...this.#locks].map(([name, { owner, token, untilMs }]) => [name, owner, token, untilMs])
    return [[this.#lastToken], ...partsOf(locks)]
  }

  restore(parts: readonly unknown[]): void {
    const [[lastToken] = []] = parts as [[number]?]
    const locks = itemsOf(parts.slice(1)) as [string, string, number, number][]
    this.#locks = new Map(locks.map(([name, owner, token, untilMs]) => [name, { owner, token, untilMs }]))
    this.#lastToken = lastToken ?? 0
  }

  #heldLock(name: string, timeMs: number): Lock | undefined {
    const lock = this.#locks.get(name)
    return lock !== undefined && timeMs < lock.untilMs ? lock : undefined
  }

  #dropOpen(timeMs: number): void {
    for (const [name, lock] of this.#locks) if (timeMs >= lock.untilMs) this.#locks.delete(name)
  }
}
