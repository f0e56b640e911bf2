import { BrokerError } from '@sluice/domain'
import type { Clock } from '@sluice/foundation'
import type { MetadataCommand, Seen } from '@sluice/metadata'
import type { MetadataReplica } from './metadata-replica.js'

const ACTORS_MAX = 500_000
/** Seen pairs in one command, so that it stays small beside other changes. */
const SEEN_PER_COMMAND = 10_000
/** A wall clock that gains or loses more between two looks was set. Milliseconds. */
const CLOCK_SET_MS = 1000
const TYPES = ['producers', 'consumers', 'brokers'] as const

/**
 * Who was active, gathered at the metadata leader from every process, and decided on in batches: the
 * health-check table costs per second, not per call.
 */
export class ActivityGatherer {
  readonly #clock: Clock
  /** Both clocks at the last look, while this broker leads. */
  #looked: { readonly now: number; readonly monotonic: number } | undefined
  /** Since when this broker has listened, by a clock that was not set meanwhile. */
  #heardSince = 0
  readonly #seen = {
    producers: new Map<number, number>(),
    consumers: new Map<number, number>(),
    brokers: new Map<number, number>(),
  }

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** A report of another process. @throws BrokerError INVALID_REQUEST, OVERLOADED */
  report(json: unknown): void {
    const fields = (json ?? {}) as Record<string, unknown>
    const sentAt = Number.isSafeInteger(fields['now']) ? (fields['now'] as number) : this.#clock.now()
    for (const type of TYPES) {
      const list = fields[type] ?? []
      if (!Array.isArray(list)) throw new BrokerError('INVALID_REQUEST', `${type} must be a list`)
      for (const pair of list as unknown[]) this.#note(type, pair, sentAt)
    }
  }

  brokerSeen(id: number): void {
    const now = this.#clock.now()
    this.#note('brokers', [id, now], now)
  }

  /** Decides on what was gathered and on who is dead; only the metadata leader does. */
  async decide(replica: Pick<MetadataReplica, 'serving' | 'state' | 'propose'>): Promise<void> {
    if (!replica.serving) {
      for (const type of TYPES) this.#seen[type].clear()
      this.#looked = undefined
      return
    }
    const at = this.#clock.now()
    this.#watchClock(at)
    const command: MetadataCommand = {
      kind: 'activity',
      at,
      producers: this.#take('producers'),
      consumers: this.#take('consumers'),
      brokers: this.#take('brokers'),
    }
    if (command.producers.length + command.consumers.length + command.brokers.length > 0)
      await replica.propose(command)
    const marks = replica.state.silentActors(at, this.#heardSince)
    if (marks.length > 0) await replica.propose({ kind: 'mark', at, marks: marks.slice(0, SEEN_PER_COMMAND) })
  }

  /** A clock that was set says nothing of how long anybody was silent. */
  #watchClock(now: number): void {
    const monotonic = this.#clock.monotonic()
    const before = this.#looked
    const gainedMs = before === undefined ? Infinity : now - before.now - (monotonic - before.monotonic)
    if (Math.abs(gainedMs) > CLOCK_SET_MS) this.#heardSince = now
    this.#looked = { now, monotonic }
  }

  /** @param sentAt by the clock that says when they were seen, which may be another process's */
  #note(type: (typeof TYPES)[number], pair: unknown, sentAt: number): void {
    const [id, at] = Array.isArray(pair) ? (pair as unknown[]) : []
    const valid =
      Number.isSafeInteger(id) && Number.isSafeInteger(at) && (id as number) > 0 && (at as number) >= 0
    if (!valid) throw new BrokerError('INVALID_REQUEST', `${type} must hold pairs of id and time`)
    const seen = this.#seen[type]
    if (seen.size >= ACTORS_MAX && !seen.has(id as number))
      throw new BrokerError('OVERLOADED', `more than ${ACTORS_MAX} ${type} are active at once`)
    // A report is as new as it gets: only how long before it counts. Nobody was seen in the future.
    const time = this.#clock.now() - Math.max(sentAt - (at as number), 0)
    seen.set(id as number, Math.max(seen.get(id as number) ?? 0, time))
  }

  #take(type: (typeof TYPES)[number]): Seen[] {
    const taken: Seen[] = []
    for (const [id, at] of this.#seen[type]) {
      if (taken.length === SEEN_PER_COMMAND) break
      taken.push([id, at])
      this.#seen[type].delete(id)
    }
    return taken
  }
}
