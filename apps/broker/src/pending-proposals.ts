import { BrokerError } from '@sluice/domain'
import { type Deferred, deferred } from '@sluice/foundation'

interface Pending<T> {
  readonly term: number
  readonly answer: Deferred<T>
}

/**
 * Proposals that wait to be applied. Each is settled exactly once: by its own entry, by another entry
 * at its index, or as unknown when leadership is lost before either.
 */
export class PendingProposals<T> {
  readonly #byIndex = new Map<number, Pending<T>>()

  wait(index: number, term: number): Promise<T> {
    const answer = deferred<T>()
    this.#byIndex.set(index, { term, answer })
    return answer.promise
  }

  applied(index: number, term: number, result: T): void {
    const pending = this.#byIndex.get(index)
    if (pending === undefined) return
    this.#byIndex.delete(index)
    if (pending.term === term) pending.answer.resolve(result)
    else
      pending.answer.reject(
        new BrokerError('NOT_LEADER', 'another leader wrote in its place', {
          component: 'broker',
          outcome: 'no',
        }),
      )
  }

  leadershipLost(leader: number): void {
    for (const pending of this.#byIndex.values())
      pending.answer.reject(
        new BrokerError('NOT_LEADER', 'leadership was lost before the outcome was known', {
          component: 'broker',
          outcome: 'unknown',
          ...(leader > 0 ? { leaderId: leader } : {}),
        }),
      )
    this.#byIndex.clear()
  }
}
