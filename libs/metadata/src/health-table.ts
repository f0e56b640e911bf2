import type { Mark, Seen } from './command.js'
import type { ActorType, HealthCheck } from './entities.js'

/** When everybody was last active, and who counts as dead. */
export class HealthTable {
  readonly #checks = {
    broker: new Map<number, HealthCheck>(),
    producer: new Map<number, HealthCheck>(),
    consumer: new Map<number, HealthCheck>(),
  }

  get(type: ActorType, id: number): HealthCheck | undefined {
    return this.#checks[type].get(id)
  }

  /** Brokers first, then producers, then consumers, each in the order they came. */
  *all(): IterableIterator<HealthCheck> {
    yield* this.#checks.broker.values()
    yield* this.#checks.producer.values()
    yield* this.#checks.consumer.values()
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

  /** Last seen never goes back; who is not known is left out. Gives the rows that changed. */
  seen(type: ActorType, list: readonly Seen[]): readonly HealthCheck[] {
    const changed: HealthCheck[] = []
    for (const [id, at] of list) {
      const known = this.get(type, id)
      if (known !== undefined && at > known.lastSeenAt) changed.push(this.put({ ...known, lastSeenAt: at }))
    }
    return changed
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

  /** Actors whose status does not match when they were last seen. */
  mismatches(now: number, deadAfterMs: number): readonly Mark[] {
    const marks: Mark[] = []
    for (const { type, id, status, lastSeenAt } of this.all()) {
      const silentMs = now - lastSeenAt
      if (status === 'alive' && silentMs > deadAfterMs)
        marks.push({ type, id, status: 'dead', reason: `silent for ${silentMs} ms` })
      else if (status === 'dead' && silentMs <= deadAfterMs)
        marks.push({ type, id, status: 'alive', reason: 'active again' })
    }
    return marks
  }
}
