import { BrokerError } from '@sluice/domain'
import type { Clock } from '@sluice/foundation'
import type { MetadataCommand, Seen } from '@sluice/metadata'
import type { MetadataReplica } from './metadata-replica.js'

const ACTORS_MAX = 500_000
/** Seen pairs in one command, so that it stays small beside other changes. */
const SEEN_PER_COMMAND = 10_000
const TYPES = ['producers', 'consumers', 'brokers'] as const

/**
 * Who was active, gathered at the metadata leader from every process, and decided on in batches: the
 * health-check table costs per second, not per call.
 */
export class ActivityGatherer {
  readonly #clock: Clock
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
    for (const type of TYPES) {
      const list = fields[type] ?? []
      if (!Array.isArray(list)) throw new BrokerError('INVALID_REQUEST', `${type} must be a list`)
      for (const pair of list as unknown[]) this.#note(type, pair)
    }
  }

  brokerSeen(id: number): void {
    this.#note('brokers', [id, this.#clock.now()])
  }

  /** Decides on what was gathered and on who is dead; only the metadata leader does. */
  async decide(replica: MetadataReplica): Promise<void> {
    if (!replica.serving) {
      for (const type of TYPES) this.#seen[type].clear()
      return
    }
    const at = this.#clock.now()
    const command: MetadataCommand = {
      kind: 'activity',
      at,
      producers: this.#take('producers'),
      consumers: this.#take('consumers'),
      brokers: this.#take('brokers'),
    }
    if (command.producers.length + command.consumers.length + command.brokers.length > 0)
      await replica.propose(command)
    const marks = replica.state.silentActors(at)
    if (marks.length > 0) await replica.propose({ kind: 'mark', at, marks: marks.slice(0, SEEN_PER_COMMAND) })
  }

  #note(type: (typeof TYPES)[number], pair: unknown): void {
    const [id, at] = Array.isArray(pair) ? (pair as unknown[]) : []
    const valid =
      Number.isSafeInteger(id) && Number.isSafeInteger(at) && (id as number) > 0 && (at as number) >= 0
    if (!valid) throw new BrokerError('INVALID_REQUEST', `${type} must hold pairs of id and time`)
    const seen = this.#seen[type]
    if (seen.size >= ACTORS_MAX && !seen.has(id as number))
      throw new BrokerError('OVERLOADED', `more than ${ACTORS_MAX} ${type} are active at once`)
    // Another process's clock may run ahead; nobody was seen in the future.
    const time = Math.min(at as number, this.#clock.now())
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
