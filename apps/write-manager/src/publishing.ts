import type { ActivityReporter, MetadataFollower } from '@sluice/client'
import type { ProduceRequest } from '@sluice/contracts'
import { BrokerError, type RecordData } from '@sluice/domain'
import { type Clock, invariant } from '@sluice/foundation'
import type { PartitionInfo } from '@sluice/metadata'
import { recordOf, sizeOfRecord } from './message-record.js'
import { PartitionChooser } from './partition-chooser.js'
import type { PartitionGatherers } from './partition-gatherers.js'
import { partialFailure, type PartOutcome } from './partial-failure.js'

/** Where a message is stored. */
export interface Published {
  /** Name of its partition. */
  readonly partition: string
  readonly offset: number
  /** Milliseconds since 1970. */
  readonly timestamp: number
}

export interface PartLimits {
  readonly batchBytesMax: number
  readonly batchRecordsMax: number
}

/** Messages of one call that travel in one batch. */
interface Part {
  readonly partition: PartitionInfo
  readonly records: RecordData[]
  /** Their places in the call. */
  readonly places: number[]
  sizeBytes: number
}

/** Takes messages from producers and has them stored. */
export class Publishing {
  readonly #metadata: Pick<MetadataFollower, 'state' | 'refresh'>
  readonly #activity: Pick<ActivityReporter, 'seen'>
  readonly #gatherers: PartitionGatherers
  readonly #clock: Clock
  readonly #limits: PartLimits
  readonly #chooser = new PartitionChooser()

  constructor(parts: {
    readonly metadata: Pick<MetadataFollower, 'state' | 'refresh'>
    readonly activity: Pick<ActivityReporter, 'seen'>
    readonly gatherers: PartitionGatherers
    readonly clock: Clock
    readonly limits: PartLimits
  }) {
    this.#metadata = parts.metadata
    this.#activity = parts.activity
    this.#gatherers = parts.gatherers
    this.#clock = parts.clock
    this.#limits = parts.limits
  }

  /**
   * Resolves once every message is stored on a majority of its partition's replicas; in the order of the
   * call.
   * @throws BrokerError TOPIC_NOT_FOUND, PRODUCER_NOT_FOUND, PRODUCER_TOPIC_MISMATCH, PARTITION_NOT_FOUND,
   * OVERLOADED, NO_QUORUM: nothing is stored; TIMEOUT with outcome `unknown`: it may be; of several
   * messages some may be stored, which the error says
   */
  async publish(request: ProduceRequest): Promise<readonly Published[]> {
    if (this.#metadata.state.producer(request.producerId)?.topic !== request.topic)
      await this.#findProducer(request)
    this.#activity.seen('producer', request.producerId)
    const partitions = await this.#partitionsFor(request)
    const now = this.#clock.now()
    if (request.messages.length === 1) {
      const record = recordOf(request.messages[0]!, now)
      const wish = { partition: request.messages[0]!.partition, key: record.key }
      const partition = this.#choose(request, wish, partitions)
      const offset = await this.#gatherers.to(partition).add([record], sizeOfRecord(record))
      return [{ partition: partition.name, offset, timestamp: record.timestamp }]
    }
    return this.#publishParts(this.#partsOf(request, partitions, now), request.messages.length)
  }

  async #publishParts(parts: readonly Part[], messageCount: number): Promise<readonly Published[]> {
    const settled = await Promise.allSettled(
      parts.map(({ partition, records, sizeBytes }) => this.#gatherers.to(partition).add(records, sizeBytes)),
    )
    const published: Published[] = new Array<Published>(messageCount)
    const outcomes: PartOutcome[] = []
    for (const [i, outcome] of settled.entries()) {
      const { partition, records, places } = parts[i]!
      const part = { partition: partition.name, places }
      if (outcome.status === 'rejected') {
        outcomes.push({ ...part, kind: 'failed', error: outcome.reason as unknown })
        continue
      }
      outcomes.push({ ...part, kind: 'stored', baseOffset: outcome.value })
      for (const [k, place] of places.entries())
        published[place] = {
          partition: partition.name,
          offset: outcome.value + k,
          timestamp: records[k]!.timestamp,
        }
    }
    if (outcomes.some(({ kind }) => kind === 'failed')) throw partialFailure(outcomes, messageCount)
    return published
  }

  /** What goes to one partition stays together and in order, as far as the bounds of a batch allow. */
  #partsOf(request: ProduceRequest, partitions: readonly PartitionInfo[], now: number): readonly Part[] {
    const parts: Part[] = []
    const open = new Map<number, Part>()
    let shared: PartitionInfo | undefined
    for (const [place, message] of request.messages.entries()) {
      const record = recordOf(message, now)
      const sizeBytes = sizeOfRecord(record)
      const wish = { partition: message.partition, key: record.key }
      const anywhere = wish.partition === undefined && wish.key === null
      const partition: PartitionInfo = anywhere
        ? (shared ??= this.#choose(request, wish, partitions))
        : this.#choose(request, wish, partitions)
      let part = open.get(partition.groupId)
      if (part === undefined || this.#isFull(part, sizeBytes)) {
        part = { partition, records: [], places: [], sizeBytes: 0 }
        open.set(partition.groupId, part)
        parts.push(part)
      }
      part.records.push(record)
      part.places.push(place)
      part.sizeBytes += sizeBytes
    }
    return parts
  }

  #isFull(part: Part, moreBytes: number): boolean {
    return (
      part.records.length >= this.#limits.batchRecordsMax ||
      part.sizeBytes + moreBytes > this.#limits.batchBytesMax
    )
  }

  #choose(
    request: ProduceRequest,
    wish: { readonly partition: number | undefined; readonly key: Uint8Array | null },
    partitions: readonly PartitionInfo[],
  ): PartitionInfo {
    return this.#chooser.choose(request.topic, wish, partitions, (partition) =>
      this.#gatherers.isStalled(partition),
    )
  }

  /** The topic's partitions, as new as needed for the partitions that the messages name. */
  async #partitionsFor(request: ProduceRequest): Promise<readonly PartitionInfo[]> {
    let partitions = this.#metadata.state.partitionsOf(request.topic)
    for (const { partition } of request.messages) {
      if (partition === undefined || partition <= partitions.length) continue
      await this.#metadata.refresh()
      partitions = this.#metadata.state.partitionsOf(request.topic)
      break
    }
    invariant(partitions.length > 0, 'a topic has at least one partition')
    return partitions
  }

  async #findProducer({ producerId, topic, topicField }: ProduceRequest): Promise<void> {
    await this.#metadata.refresh()
    const { state } = this.#metadata
    if (state.topic(topic) === undefined)
      throw new BrokerError('TOPIC_NOT_FOUND', `topic ${topic} does not exist`, { field: topicField })
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
