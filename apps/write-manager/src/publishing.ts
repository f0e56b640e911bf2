import type { ActivityReporter, MetadataFollower, PartitionClient } from '@sluice/client'
import type { EarlierRun, ProduceRequest } from '@sluice/contracts'
import { BrokerError, toGroupId } from '@sluice/domain'
import type { Clock } from '@sluice/foundation'
import type { PartitionInfo, TopicInfo } from '@sluice/metadata'
import type { Stored } from './batch-gatherer.js'
import type { CallIdentity } from './call-identity.js'
import { MessagePlacing, type PartLimits, type PlacedPart } from './message-placing.js'
import type { PartitionGatherers } from './partition-gatherers.js'
import { partialFailure, type PartOutcome } from './partial-failure.js'

/** Where a message is stored. */
export interface Published {
  /** Name of its partition. */
  readonly partition: string
  readonly offset: number
  /** Milliseconds since 1970. */
  readonly timestamp: number
  /** An earlier call has stored it. */
  readonly duplicate?: true
}

export interface PublishingLimits extends PartLimits {
  readonly produceTimeoutMs: number
}

/** A part of the call that is stored, and where. */
interface StoredPart {
  readonly partition: PartitionInfo
  readonly stored: Stored
}

/** How old the metadata may be for messages that are placed by their ids. Milliseconds; see `placedById`. */
const OLD_MS = 20_000
/** Older than that they are renewed, while calls go on. Milliseconds. */
const FRESH_MS = 5000

/** Takes messages from producers and has them stored. */
export class Publishing {
  readonly #metadata: Pick<MetadataFollower, 'state' | 'refresh'>
  readonly #activity: Pick<ActivityReporter, 'seen'>
  readonly #gatherers: PartitionGatherers
  readonly #client: Pick<PartitionClient, 'claim'>
  readonly #clock: Clock
  readonly #placing: MessagePlacing
  readonly #timeoutMs: number
  /** Monotonic milliseconds. */
  #refreshedAt = -Infinity

  constructor(parts: {
    readonly metadata: Pick<MetadataFollower, 'state' | 'refresh'>
    readonly activity: Pick<ActivityReporter, 'seen'>
    readonly gatherers: PartitionGatherers
    readonly client: Pick<PartitionClient, 'claim'>
    readonly clock: Clock
    readonly limits: PublishingLimits
  }) {
    const { gatherers, limits } = parts
    this.#metadata = parts.metadata
    this.#activity = parts.activity
    this.#gatherers = gatherers
    this.#client = parts.client
    this.#clock = parts.clock
    this.#timeoutMs = limits.produceTimeoutMs
    this.#placing = new MessagePlacing(limits, (partition) => gatherers.isStalled(partition))
  }

  /**
   * Resolves once every message is stored on a majority of its partition's replicas, by this call or by an
   * earlier try of it; in the order of the call.
   * @throws BrokerError TOPIC_NOT_FOUND, PRODUCER_NOT_FOUND, PRODUCER_TOPIC_MISMATCH, PARTITION_NOT_FOUND,
   * OVERLOADED, NO_QUORUM: nothing is stored; TIMEOUT with outcome `unknown`: it may be; of several
   * messages some may be stored, which the error says
   */
  async publish(request: ProduceRequest, call: CallIdentity): Promise<readonly Published[]> {
    await this.#checkProducer(request)
    this.#activity.seen('producer', request.producerId)
    try {
      return await this.#publishTo(await this.#topicFor(request, call), request, call)
    } catch (error) {
      if (!isClosed(error) || request.messages.some(({ partition }) => partition !== undefined)) throw error
      // The partition was closed before this process heard of it: what has no place of its own goes elsewhere.
      await this.#refresh()
      await this.#checkProducer(request)
      return this.#publishTo(await this.#topicFor(request, call), request, call)
    }
  }

  /** True once this process took a message that could go to any partition of the topic. */
  spreads(topic: string): boolean {
    return this.#placing.chooser.spreads(topic)
  }

  /** Topics for which `exists` is false are gone. */
  retain(exists: (topic: string) => boolean): void {
    this.#placing.chooser.retain(exists)
  }

  async #publishTo(
    topic: TopicInfo,
    request: ProduceRequest,
    call: CallIdentity,
  ): Promise<readonly Published[]> {
    const parts = this.#placing.place(request, call, topic, this.#clock.now())
    const [first] = parts
    if (request.messages.length === 1) return publishedOf(request, first!, await this.#store(first!))
    return this.#storeAll(request, parts)
  }

  async #storeAll(request: ProduceRequest, parts: readonly PlacedPart[]): Promise<readonly Published[]> {
    const settled = await Promise.allSettled(parts.map((part) => this.#store(part)))
    const published: Published[] = new Array<Published>(request.messages.length)
    const outcomes: PartOutcome[] = []
    for (const [i, outcome] of settled.entries()) {
      const part = parts[i]!
      const { places } = part
      if (outcome.status === 'rejected') {
        const error: unknown = outcome.reason
        outcomes.push({ partition: part.partition.name, places, kind: 'failed', error })
        continue
      }
      const { partition, stored } = outcome.value
      outcomes.push({ partition: partition.name, places, kind: 'stored', baseOffset: stored.baseOffset })
      for (const [k, one] of publishedOf(request, part, outcome.value).entries()) published[places[k]!] = one
    }
    if (outcomes.some(({ kind }) => kind === 'failed')) throw partialFailure(outcomes, published.length)
    return published
  }

  /** Not async where nothing is to be looked for: what goes to one partition keeps the order of the calls. */
  #store(part: PlacedPart): Promise<StoredPart> {
    if (part.earlier.length === 0) return this.#send(part)
    return this.#findEarlier(part).then((found) => found ?? this.#send(part))
  }

  async #send(part: PlacedPart): Promise<StoredPart> {
    const { partition, records, sizeBytes, run } = part
    return { partition, stored: await this.#gatherers.to(partition).add(records, sizeBytes, run) }
  }

  /**
   * Where an earlier try has put the messages; after `undefined` it never puts them there.
   * @throws BrokerError with outcome `unknown`, as long as one of the places cannot be asked
   */
  async #findEarlier({ earlier, run }: PlacedPart): Promise<StoredPart | undefined> {
    let answers: readonly EarlierRun[]
    try {
      const asked = await Promise.all(
        earlier.map(({ groupId }) =>
          this.#client.claim(toGroupId(groupId), [run.id], { timeoutMs: this.#timeoutMs }),
        ),
      )
      answers = asked.flat()
    } catch (error) {
      if (!(error instanceof BrokerError)) throw error
      throw new BrokerError(error.code, `whether an earlier try is stored cannot be told: ${error.message}`, {
        component: error.component,
        outcome: 'unknown',
        cause: error,
      })
    }
    for (const [i, answer] of answers.entries())
      if (answer.kind === 'stored')
        return { partition: earlier[i]!, stored: { baseOffset: answer.baseOffset, earlierAt: answer.at } }
    return undefined
  }

  /** The topic, as new as needed for the partitions that the messages name, and for their ids. */
  async #topicFor(request: ProduceRequest, call: CallIdentity): Promise<TopicInfo> {
    const isUnknown = (number: number | undefined): boolean =>
      number !== undefined && this.#metadata.state.partition(request.topic, number) === undefined
    const isNamed = request.messages.some(({ partition }) => isUnknown(partition))
    const byId = this.#placing.placesById(request, call)
    if (isNamed || call.isRetry || (byId && this.#isOlderThan(OLD_MS))) await this.#refresh()
    else if (byId && this.#isOlderThan(FRESH_MS)) void this.#refresh().catch(() => undefined)
    const topic = this.#metadata.state.topic(request.topic)
    if (topic === undefined) throw topicNotFound(request)
    return topic
  }

  #isOlderThan(ms: number): boolean {
    return this.#clock.monotonic() - this.#refreshedAt > ms
  }

  async #refresh(): Promise<void> {
    const asked = this.#clock.monotonic()
    await this.#metadata.refresh()
    this.#refreshedAt = Math.max(this.#refreshedAt, asked)
  }

  async #checkProducer(request: ProduceRequest): Promise<void> {
    if (this.#metadata.state.producer(request.producerId)?.topic !== request.topic)
      await this.#findProducer(request)
  }

  async #findProducer({ producerId, topic, topicField }: ProduceRequest): Promise<void> {
    await this.#metadata.refresh()
    const { state } = this.#metadata
    if (state.topic(topic) === undefined) throw topicNotFound({ topic, topicField })
    const producer = state.producer(producerId)
    if (producer === undefined)
      throw new BrokerError('PRODUCER_NOT_FOUND', `producer ${producerId} is not registered`, {
        field: 'producer_id',
      })
    if (producer.topic !== topic)
      throw new BrokerError(
        'PRODUCER_TOPIC_MISMATCH',
        `producer ${producerId} is registered for topic ${producer.topic}, not ${topic}`,
        { field: 'producer_id' },
      )
  }
}

function publishedOf(
  request: ProduceRequest,
  { records, places }: PlacedPart,
  { partition, stored }: StoredPart,
): readonly Published[] {
  const { baseOffset, earlierAt } = stored
  return records.map((record, i) => {
    const place = { partition: partition.name, offset: baseOffset + i }
    if (earlierAt === undefined) return { ...place, timestamp: record.timestamp }
    return { ...place, timestamp: request.messages[places[i]!]!.timestamp ?? earlierAt, duplicate: true }
  })
}

function topicNotFound({ topic, topicField }: Pick<ProduceRequest, 'topic' | 'topicField'>): BrokerError {
  return new BrokerError('TOPIC_NOT_FOUND', `topic ${topic} does not exist`, { field: topicField })
}

/** Nothing is stored, because a partition takes no messages any more, or is gone, perhaps with its topic. */
function isClosed(error: unknown): boolean {
  if (!(error instanceof BrokerError) || error.outcome !== 'no') return false
  return error.code === 'PARTITION_CLOSED' || error.code === 'TOPIC_NOT_FOUND'
}
