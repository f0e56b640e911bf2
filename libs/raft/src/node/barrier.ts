import { type Clock, deferred, type Deferred } from '@sluice/foundation'
import type { RaftGroup } from '../host/raft-group.js'
import type { ReadOutcome } from '../host/waiting-reads.js'
import { CommandFailedError } from './errors.js'

interface Waiter {
  readonly settled: Deferred<undefined>
  readonly expiresAt: number
  isOpen: boolean
  isAsking: boolean
}

/** More than this wait for a leader only when something is wrong with their callers. */
const WAITERS_MAX = 100_000

/**
 * Linearizable reads from the state of this node: after a barrier, everything that was committed before
 * it was asked for is applied here (Raft thesis §6.4). Asks again while leaders change.
 */
export class Barriers {
  readonly #group: RaftGroup
  readonly #clock: Clock
  readonly #waitMs: number
  readonly #waiters = new Set<Waiter>()

  constructor(group: RaftGroup, clock: Clock, waitMs: number) {
    this.#group = group
    this.#clock = clock
    this.#waitMs = waitMs
  }

  /** @throws CommandFailedError, always with outcome 'no': a read changes nothing */
  async pass(signal?: AbortSignal): Promise<void> {
    if (signal?.aborted === true) throw new CommandFailedError('ABORTED', 'no')
    if (this.#waiters.size >= WAITERS_MAX) throw new CommandFailedError('QUEUE_FULL', 'no')
    const waiter: Waiter = {
      settled: deferred<undefined>(),
      expiresAt: this.#clock.monotonic() + this.#waitMs,
      isOpen: true,
      isAsking: false,
    }
    const abort = (): void => this.#fail(waiter, new CommandFailedError('ABORTED', 'no'))
    signal?.addEventListener('abort', abort, { once: true })
    this.#waiters.add(waiter)
    this.#ask(waiter)
    try {
      await waiter.settled.promise
    } finally {
      signal?.removeEventListener('abort', abort)
    }
  }

  /** The leader may be another, or a tick is over. */
  changed(): void {
    const now = this.#clock.monotonic()
    for (const waiter of this.#waiters) {
      if (waiter.expiresAt <= now) this.#fail(waiter, new CommandFailedError('MISSING_LEADER', 'no'))
      else this.#ask(waiter)
    }
  }

  destroy(): void {
    for (const waiter of this.#waiters) this.#fail(waiter, new CommandFailedError('DESTROYED', 'no'))
  }

  #ask(waiter: Waiter): void {
    if (waiter.isAsking || !waiter.isOpen) return
    waiter.isAsking = true
    this.#group.readIndex((outcome) => this.#answered(waiter, outcome))
  }

  #answered(waiter: Waiter, outcome: ReadOutcome): void {
    waiter.isAsking = false
    if (outcome.kind === 'ready') {
      this.#waiters.delete(waiter)
      waiter.isOpen = false
      waiter.settled.resolve(undefined)
    } else if (outcome.kind === 'overloaded') {
      this.#fail(waiter, new CommandFailedError('QUEUE_FULL', 'no'))
    }
  }

  #fail(waiter: Waiter, error: CommandFailedError): void {
    this.#waiters.delete(waiter)
    waiter.isOpen = false
    waiter.settled.reject(error)
  }
}
