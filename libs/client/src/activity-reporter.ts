import type { Clock } from '@sluice/foundation'
import type { Logger } from 'pino'

export type ActorKind = 'producer' | 'consumer'

/** Who was seen when: pairs of id and milliseconds since 1970. */
export interface ActivityReport {
  /** By the same clock: when it was sent. The receiver's own may tell another time. */
  readonly now: number
  readonly producers: readonly (readonly [number, number])[]
  readonly consumers: readonly (readonly [number, number])[]
  readonly brokers: readonly (readonly [number, number])[]
}

const INTERVAL_MS = 1000
/** Actors in one report; the others wait for the next one. */
const REPORTED_MAX = 10_000
/** Actors remembered; past it those seen longest ago are forgotten, they were reported before. */
const REMEMBERED_MAX = 200_000

/**
 * Gathers who was active and tells the metadata leader once a second, in one message, so that a call
 * costs one entry in a map.
 */
export class ActivityReporter {
  readonly #clock: Clock
  readonly #send: (report: ActivityReport) => Promise<void>
  readonly #logger: Logger
  readonly #seen = { producer: new Map<number, number>(), consumer: new Map<number, number>() }
  readonly #unreported = { producer: new Set<number>(), consumer: new Set<number>() }
  #timer: NodeJS.Timeout | undefined
  #sending: Promise<void> | undefined

  constructor(parts: {
    readonly clock: Clock
    readonly send: (report: ActivityReport) => Promise<void>
    readonly logger: Logger
  }) {
    this.#clock = parts.clock
    this.#send = parts.send
    this.#logger = parts.logger
  }

  start(): void {
    this.#timer ??= setInterval(() => {
      this.#sending ??= this.report().finally(() => (this.#sending = undefined))
    }, INTERVAL_MS)
  }

  seen(kind: ActorKind, id: number): void {
    const seen = this.#seen[kind]
    // Deleted first, so that the map stays in order of time and its first entry is the oldest.
    seen.delete(id)
    seen.set(id, this.#clock.now())
    this.#unreported[kind].add(id)
    if (seen.size > REMEMBERED_MAX) {
      const oldest = seen.keys().next().value!
      seen.delete(oldest)
      this.#unreported[kind].delete(oldest)
    }
  }

  /** When this process saw the actor last, milliseconds since 1970. */
  lastSeen(kind: ActorKind, id: number): number | undefined {
    return this.#seen[kind].get(id)
  }

  /** Sends what is not reported yet; what could not be sent goes with the next report. Never rejects. */
  async report(): Promise<void> {
    const producers = this.#take('producer')
    const consumers = this.#take('consumer')
    if (producers.length + consumers.length === 0) return
    try {
      await this.#send({ now: this.#clock.now(), producers, consumers, brokers: [] })
    } catch (error) {
      for (const [id] of producers) this.#giveBack('producer', id)
      for (const [id] of consumers) this.#giveBack('consumer', id)
      this.#logger.debug({ err: error }, 'activity could not be reported')
    }
  }

  async close(): Promise<void> {
    clearInterval(this.#timer)
    this.#timer = undefined
    await this.#sending
  }

  #take(kind: ActorKind): (readonly [number, number])[] {
    const unreported = this.#unreported[kind]
    const taken: (readonly [number, number])[] = []
    for (const id of unreported) {
      if (taken.length === REPORTED_MAX) break
      unreported.delete(id)
      taken.push([id, this.#seen[kind].get(id)!])
    }
    return taken
  }

  #giveBack(kind: ActorKind, id: number): void {
    if (this.#seen[kind].has(id)) this.#unreported[kind].add(id)
  }
}
