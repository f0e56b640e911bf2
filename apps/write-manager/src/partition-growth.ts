import { type Clock, toError } from '@sluice/foundation'
import type { Logger } from 'pino'

export interface GrowthLimits {
  /** A topic grows when it holds this many messages per partition. */
  readonly partitionMessagesMax: number
  readonly topicPartitionsMax: number
}

/** Asks for one more partition; `expectedCount` is how many there are, so that asking twice adds one. */
export type AddPartition = (topic: string, expectedCount: number) => Promise<unknown>

interface TopicEnds {
  readonly ends: Map<number, number>
  sum: number
  /** The count at which a partition was asked for, so that it is asked for once. */
  askedAtCount: number
  /** Monotonic milliseconds before which nothing is asked again. */
  notBefore: number
}

const RETRY_MS = 1000

/** Gives a topic another partition when it has grown, behind the produce calls and never in their way. */
export class PartitionGrowth {
  readonly #topics = new Map<string, TopicEnds>()
  readonly #running = new Map<string, Promise<void>>()
  readonly #limits: GrowthLimits
  readonly #add: AddPartition
  readonly #clock: Clock
  readonly #logger: Logger

  constructor(parts: {
    readonly limits: GrowthLimits
    readonly add: AddPartition
    readonly clock: Clock
    readonly logger: Logger
  }) {
    this.#limits = parts.limits
    this.#add = parts.add
    this.#clock = parts.clock
    this.#logger = parts.logger
  }

  /**
   * A partition of the topic ends at `end`. Partitions that nobody produced to since this process
   * started count as empty: a topic may grow late, never early.
   */
  noteEnd(
    topic: string,
    place: { readonly groupId: number; readonly end: number; readonly partitionCount: number },
  ): void {
    const known = this.#topics.get(topic) ?? this.#firstNote(topic)
    const before = known.ends.get(place.groupId) ?? 0
    if (place.end <= before) return
    known.ends.set(place.groupId, place.end)
    known.sum += place.end - before
    const count = place.partitionCount
    if (known.sum < this.#limits.partitionMessagesMax * count || count >= this.#limits.topicPartitionsMax)
      return
    if (known.askedAtCount >= count || this.#running.has(topic) || this.#clock.monotonic() < known.notBefore)
      return
    this.#running.set(topic, this.#grow(topic, known, count))
  }

  /** Resolves once nothing is asked any more. */
  async close(): Promise<void> {
    await Promise.all(this.#running.values())
  }

  async #grow(topic: string, known: TopicEnds, count: number): Promise<void> {
    try {
      await this.#add(topic, count)
      known.askedAtCount = count
      this.#logger.info({ topic, partitions: count + 1 }, 'a topic has grown by a partition')
    } catch (error) {
      known.notBefore = this.#clock.monotonic() + RETRY_MS
      this.#logger.warn({ topic, err: toError(error) }, 'a topic could not grow')
    } finally {
      this.#running.delete(topic)
    }
  }

  #firstNote(topic: string): TopicEnds {
    const ends: TopicEnds = { ends: new Map(), sum: 0, askedAtCount: 0, notBefore: 0 }
    this.#topics.set(topic, ends)
    return ends
  }
}
