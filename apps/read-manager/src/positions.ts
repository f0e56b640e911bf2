import { randomBytes } from 'node:crypto'
import type { ActivityReporter, MetadataFollower, PartitionClient } from '@sluice/client'
import type { ConsumerStart, SeekTarget } from '@sluice/contracts'
import { BrokerError, type ConsumerId, type TopicName, toConsumerId } from '@sluice/domain'
import type { Clock } from '@sluice/foundation'
import type { ConsumerInfo, PartitionInfo } from '@sluice/metadata'
import { type ConsumerDirectory, type ConsumerIdentity, topicNotFound } from './consumer-directory.js'

/** Where a consumer is in one partition. */
export interface PartitionPosition {
  /** Name of the partition. */
  readonly partition: string
  /** Next message to deliver. */
  readonly cursor: number
  /** One past the newest message. */
  readonly end: number
  /** Messages between the two. */
  readonly lag: number
}

export interface Registration {
  readonly topic: TopicName
  readonly topicField: string
  readonly start: ConsumerStart
  readonly ack: 'auto' | 'manual'
  readonly autoOffsetReset: 'earliest' | 'none'
}

/** Registers consumers, and reads and moves their cursors. */
export class Positions {
  readonly #directory: ConsumerDirectory
  readonly #metadata: Pick<MetadataFollower, 'state' | 'refresh' | 'propose'>
  readonly #partitions: Pick<PartitionClient, 'seek' | 'offsets'>
  readonly #activity: Pick<ActivityReporter, 'seen'>
  readonly #clock: Clock
  readonly #timeoutMs: number

  constructor(parts: {
    readonly directory: ConsumerDirectory
    readonly metadata: Pick<MetadataFollower, 'state' | 'refresh' | 'propose'>
    readonly partitions: Pick<PartitionClient, 'seek' | 'offsets'>
    readonly activity: Pick<ActivityReporter, 'seen'>
    readonly clock: Clock
    /** For one call. */
    readonly timeoutMs: number
  }) {
    this.#directory = parts.directory
    this.#metadata = parts.metadata
    this.#partitions = parts.partitions
    this.#activity = parts.activity
    this.#clock = parts.clock
    this.#timeoutMs = parts.timeoutMs
  }

  /**
   * Registers a consumer that starts where it asked to in every partition there is. Should moving it
   * there fail, the caller gets the error and the consumer's id is lost: nobody reads from a wrong place.
   * @throws BrokerError TOPIC_NOT_FOUND
   */
  async register(registration: Registration): Promise<ConsumerId> {
    const { topic, topicField, start, ack, autoOffsetReset } = registration
    if (this.#metadata.state.topic(topic) === undefined) {
      await this.#metadata.refresh()
      if (this.#metadata.state.topic(topic) === undefined) throw topicNotFound(topic, topicField)
    }
    const result = await this.#metadata.propose(
      {
        kind: 'register-consumer',
        at: this.#clock.now(),
        topic,
        start: start.kind === 'time' ? { time: start.ms } : start.kind,
        ack,
        autoOffsetReset,
      },
      // A second try leaves at worst an id that nobody uses.
      { timeoutMs: this.#timeoutMs, repeatable: true },
    )
    const consumerId = toConsumerId(result['consumerId'])
    // The proposal was awaited here, so these are all the partitions from before the registration. Who has
    // no position is at offset 0, which is not where a partition begins that messages were deleted from.
    if (start.kind !== 'earliest' || this.#metadata.state.topic(topic)?.trimmed === true)
      await Promise.all(
        this.#directory.partitions(topic).map((partition) => this.#seek(partition, consumerId, start)),
      )
    return consumerId
  }

  /** Moves the cursor behind `offset`, never back; returns where it is then. @throws BrokerError OFFSET_OUT_OF_RANGE */
  async acknowledge(
    call: ConsumerIdentity & { readonly partition: number; readonly offset: number },
  ): Promise<{ readonly partition: string; readonly cursor: number }> {
    const consumer = await this.#consumer(call)
    const partition = await this.#directory.partition(consumer.topic, call.partition)
    const cursor = await this.#seek(partition, consumer.id, { kind: 'acknowledge', offset: call.offset + 1 })
    return { partition: partition.name, cursor }
  }

  /** Moves the cursor in one partition, or in all when none is named. @throws BrokerError OFFSET_OUT_OF_RANGE */
  async seek(
    call: ConsumerIdentity & { readonly partition: number | undefined; readonly target: SeekTarget },
  ): Promise<readonly { readonly partition: string; readonly cursor: number }[]> {
    const consumer = await this.#consumer(call)
    const partitions =
      call.partition === undefined
        ? await this.#directory.partitionsOfNow(consumer.topic)
        : [await this.#directory.partition(consumer.topic, call.partition)]
    return Promise.all(
      partitions.map(async (partition) => ({
        partition: partition.name,
        cursor: await this.#seek(partition, consumer.id, call.target),
      })),
    )
  }

  /** Where the consumer is in every partition. Every one must answer: a sum over some would be wrong. */
  async lag(call: ConsumerIdentity): Promise<readonly PartitionPosition[]> {
    const consumer = await this.#consumer(call)
    const partitions = await this.#directory.partitionsOfNow(consumer.topic)
    return Promise.all(
      partitions.map(async ({ groupId, name }) => {
        const { cursor, end } = await this.#partitions.offsets(groupId, consumer.id, {
          timeoutMs: this.#timeoutMs,
        })
        return { partition: name, cursor, end, lag: Math.max(end - cursor, 0) }
      }),
    )
  }

  async #consumer(call: ConsumerIdentity): Promise<ConsumerInfo> {
    const consumer = await this.#directory.consumer(call)
    this.#activity.seen('consumer', consumer.id)
    return consumer
  }

  async #seek(partition: PartitionInfo, consumerId: ConsumerId, target: SeekTarget): Promise<number> {
    // An id of its own: a cursor movement and a fetch under one id would be taken for each other.
    const requestId = randomBytes(16).toString('hex')
    try {
      return await this.#partitions.seek(
        partition.groupId,
        { consumerId, requestId, target },
        { timeoutMs: this.#timeoutMs },
      )
    } catch (error) {
      if (error instanceof BrokerError && error.code === 'OFFSET_OUT_OF_RANGE')
        throw new BrokerError(error.code, error.message, {
          component: error.component,
          field: 'offset',
          cause: error,
        })
      throw error
    }
  }
}
