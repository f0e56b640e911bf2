import { type Clock, toError } from '@sluice/foundation'
import { openPartitions, type TopicGrowth, type TopicInfo } from '@sluice/metadata'
import type { Logger } from 'pino'

interface GrowthLimits {
  /** What topics do that say nothing themselves: grow when they hold so many messages per partition. */
  readonly partitionMessagesMax: number
  readonly topicPartitionsMax: number
}

interface GrowthParts {
  readonly limits: GrowthLimits
  /** Asks for one more partition; `expectedCount` is how many there are, so that asking twice adds one. */
  readonly add: (topic: string, expectedCount: number) => Promise<unknown>
  /** Messages that the partitions of the topic hold, asked of their leaders. */
  readonly countHeld: (topic: TopicInfo) => Promise<number>
  /** True when messages of the topic may go to a partition that is added. */
  readonly spreads: (topic: string) => boolean
  readonly clock: Clock
  readonly logger: Logger
}

/** A batch was stored in a partition, which ends at `end` now. */
export interface StoredNote {
  readonly groupId: number
  readonly end: number
  readonly records: number
  readonly bytes: number
}

interface TopicLoad {
  readonly ends: Map<number, number>
  sum: number
  /** Of the messages that this process stored: what one weighs on average. */
  records: number
  bytes: number
  /** Messages stored since `windowFrom`, by anybody, as far as ends tell. */
  stored: number
  windowFrom: number
  /** The count at which a partition was asked for, so that it is asked for once. */
  askedAtCount: number
  /** Monotonic milliseconds before which nothing is asked again. */
  notBefore: number
}

const RETRY_MS = 1000
/** Topics that hold less than it seemed, as after their retention, are looked at again after this. */
const RECHECK_MS = 10_000
const RATE_WINDOW_MS = 5000

/** Gives a topic another partition when it has grown, behind the produce calls and never in their way. */
export class PartitionGrowth {
  readonly #topics = new Map<string, TopicLoad>()
  readonly #running = new Map<string, Promise<void>>()
  readonly #parts: GrowthParts

  constructor(parts: GrowthParts) {
    this.#parts = parts
  }

  /**
   * Partitions that nobody produced to since this process started count as empty at first: a topic may grow
   * late. Before it does, the leaders say what there is, so that it never grows early.
   */
  note(topic: TopicInfo, { groupId, end, records, bytes }: StoredNote): void {
    const { clock, limits, spreads } = this.#parts
    const load = this.#topics.get(topic.name) ?? this.#firstNote(topic.name)
    load.records += records
    load.bytes += bytes
    const before = load.ends.get(groupId)
    if (end <= (before ?? 0)) return
    load.ends.set(groupId, end)
    load.sum += end - (before ?? 0)
    load.stored += before === undefined ? records : end - before
    const count = openPartitions(topic).length
    const isAsked = load.askedAtCount >= count || this.#running.has(topic.name)
    const max = Math.min(topic.growthMax ?? limits.topicPartitionsMax, limits.topicPartitionsMax)
    if (count >= max || isAsked || clock.monotonic() < load.notBefore || !spreads(topic.name)) return
    const growth = topic.growth ?? ({ by: 'messages', limit: limits.partitionMessagesMax } as const)
    if (!this.#isOver(growth, load, load.sum, count)) return
    this.#running.set(topic.name, this.#grow(topic, growth, load, count))
  }

  /** Topics for which `exists` is false are gone; one of the same name is another one. */
  retain(exists: (topic: string) => boolean): void {
    for (const topic of this.#topics.keys()) if (!exists(topic)) this.#topics.delete(topic)
  }

  /** Resolves once nothing is asked any more. */
  async close(): Promise<void> {
    await Promise.all(this.#running.values())
  }

  #isOver(growth: TopicGrowth, load: TopicLoad, held: number, count: number): boolean {
    switch (growth.by) {
      case 'off':
        return false
      case 'messages':
        return held >= growth.limit * count
      case 'bytes':
        return held * (load.bytes / Math.max(load.records, 1)) >= growth.limit * count
      case 'rate':
        return this.#rate(load) >= growth.limit * count
    }
  }

  /** Messages a second over the window that ends now; 0 while it is too short to tell. */
  #rate(load: TopicLoad): number {
    const now = this.#parts.clock.monotonic()
    const lengthMs = now - load.windowFrom
    if (lengthMs < RATE_WINDOW_MS) return 0
    const rate = (load.stored * 1000) / lengthMs
    load.windowFrom = now
    load.stored = 0
    return rate
  }

  async #grow(topic: TopicInfo, growth: TopicGrowth, load: TopicLoad, count: number): Promise<void> {
    const { add, countHeld, clock, logger } = this.#parts
    try {
      if (growth.by !== 'rate' && !this.#isOver(growth, load, await countHeld(topic), count)) {
        load.notBefore = clock.monotonic() + RECHECK_MS
        return
      }
      await add(topic.name, count)
      load.askedAtCount = count
      logger.info({ topic: topic.name, partitions: count + 1, growth }, 'a topic has grown by a partition')
    } catch (error) {
      load.notBefore = clock.monotonic() + RETRY_MS
      logger.warn({ topic: topic.name, err: toError(error) }, 'a topic could not grow')
    } finally {
      this.#running.delete(topic.name)
    }
  }

  #firstNote(topic: string): TopicLoad {
    const load: TopicLoad = {
      ends: new Map(),
      sum: 0,
      records: 0,
      bytes: 0,
      stored: 0,
      windowFrom: this.#parts.clock.monotonic(),
      askedAtCount: 0,
      notBefore: 0,
    }
    this.#topics.set(topic, load)
    return load
  }
}
