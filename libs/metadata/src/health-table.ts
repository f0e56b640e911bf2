import type { Mark, Seen } from './command.js'
import type { ActorType, ClusterSettings, HealthCheck } from './entities.js'

/** Rows looked at in one round, those of brokers apart: with more actors a round takes turns among them. */
const CHECKED_PER_ROUND = 10_000

const TYPES = ['broker', 'producer', 'consumer'] as const

/** When everybody was last active, and who counts as dead. */
export class HealthTable {
  readonly #checks = {
    broker: new Map<number, HealthCheck>(),
    producer: new Map<number, HealthCheck>(),
    consumer: new Map<number, HealthCheck>(),
  }

  /** Where the next look at producers and consumers goes on. */
  readonly #turn = { producer: this.#checks.producer.values(), consumer: this.#checks.consumer.values() }

  get(type: ActorType, id: number): HealthCheck | undefined {
    return this.#checks[type].get(id)
  }

  /**
   * Brokers first, then producers, then consumers, each in the order of their ids; only those of `only`, and
   * only those that follow the row `after`, which need not exist any more.
   */
  *all(only?: ActorType, after?: { readonly type: ActorType; readonly id: number }): Generator<HealthCheck> {
    const from = after === undefined ? 0 : TYPES.indexOf(after.type)
    for (const [position, type] of TYPES.entries()) {
      if ((only !== undefined && type !== only) || position < from) continue
      if (type !== after?.type) yield* this.#checks[type].values()
      else for (const check of this.#checks[type].values()) if (check.id > after.id) yield check
    }
  }

  put(check: HealthCheck): HealthCheck {
    this.#checks[check.type].set(check.id, check)
    return check
  }

  remove(type: ActorType, id: number): void {
    this.#checks[type].delete(id)
  }

  registered(type: ActorType, id: number, at: number): HealthCheck {
    return this.put({ type, id, lastSeenAt: at, status: 'alive', since: at, reason: 'registered' })
  }

  /**
   * Last seen never goes back, unless a clock that ran ahead has put it behind `now`; who is not known is left
   * out; who was dead is alive again, unless it was seen too long before `now`. Gives the rows that changed, and
   * which of them are alive again.
   */
  seen(
    type: ActorType,
    list: readonly Seen[],
    {
      now,
      deadAfterMs,
      goesBack,
    }: { readonly now: number; readonly deadAfterMs: number; readonly goesBack: boolean },
  ): { readonly changed: readonly HealthCheck[]; readonly revived: readonly HealthCheck[] } {
    const changed: HealthCheck[] = []
    const revived: HealthCheck[] = []
    for (const [id, at] of list) {
      const known = this.get(type, id)
      if (known === undefined) continue
      if (at <= known.lastSeenAt && !(goesBack && known.lastSeenAt > now)) continue
      const isBack = known.status === 'dead' && now - at <= deadAfterMs
      const check = isBack
        ? this.put({ ...known, lastSeenAt: at, status: 'alive', since: now, reason: 'active again' })
        : this.put({ ...known, lastSeenAt: at })
      changed.push(check)
      if (isBack) revived.push(check)
    }
    return { changed, revived }
  }

  /** Gives the rows that changed. */
  mark(marks: readonly Mark[], at: number): readonly HealthCheck[] {
    const changed: HealthCheck[] = []
    for (const { type, id, status, reason } of marks) {
      const known = this.get(type, id)
      if (known !== undefined && known.status !== status)
        changed.push(this.put({ ...known, status, since: at, reason }))
    }
    return changed
  }

  /**
   * Actors that are silent for longer than their threshold and still count as alive. Of many producers and
   * consumers a call looks at some, and the next one at those that follow.
   *
   * @param heardSince before it nobody listened by this clock: no silence is longer
   * @param goesBack false: who was seen in the future stays so, whatever is heard of it, and is not silent before
   */
  silent(
    now: number,
    {
      heardSince,
      deadAfterMs,
      goesBack,
    }: {
      readonly heardSince: number
      readonly deadAfterMs: ClusterSettings['deadAfterMs']
      readonly goesBack: boolean
    },
  ): readonly Mark[] {
    const marks: Mark[] = []
    const look = ({ type, id, status, lastSeenAt }: HealthCheck): void => {
      const silentMs = now - (goesBack && lastSeenAt > now ? heardSince : Math.max(lastSeenAt, heardSince))
      if (status === 'alive' && silentMs > deadAfterMs[type])
        marks.push({ type, id, status: 'dead', reason: `silent for ${silentMs} ms` })
    }
    for (const check of this.#checks.broker.values()) look(check)
    for (const type of ['producer', 'consumer'] as const) {
      const count = Math.min(CHECKED_PER_ROUND, this.#checks[type].size)
      for (let i = 0; i < count; i++) look(this.#nextInTurn(type))
    }
    return marks
  }

  /** From the start again after the end; there must be one. */
  #nextInTurn(type: 'producer' | 'consumer'): HealthCheck {
    const next = this.#turn[type].next()
    if (next.done !== true) return next.value
    this.#turn[type] = this.#checks[type].values()
    return this.#turn[type].next().value!
  }
}
