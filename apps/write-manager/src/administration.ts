import type { ClusterClient } from '@sluice/client'
import type { CreateTopicRequest, TopicRequest } from '@sluice/contracts'
import { BrokerError, partitionName, type ProducerId, toProducerId } from '@sluice/domain'
import type { Clock } from '@sluice/foundation'
import type { TopicInfo } from '@sluice/metadata'

/** Topics, partitions and producers: what an operator changes in the metadata. */
export class Administration {
  readonly #metadata: ClusterClient['metadata']
  readonly #clock: Clock
  readonly #timeoutMs: number
  readonly #topicPartitionsMax: number

  constructor(parts: {
    readonly metadata: ClusterClient['metadata']
    readonly clock: Clock
    readonly timeoutMs: number
    readonly topicPartitionsMax: number
  }) {
    this.#metadata = parts.metadata
    this.#clock = parts.clock
    this.#timeoutMs = parts.timeoutMs
    this.#topicPartitionsMax = parts.topicPartitionsMax
  }

  /** @throws BrokerError TOPIC_EXISTS, NOT_ENOUGH_BROKERS, PARTITION_LIMIT */
  async createTopic(request: CreateTopicRequest): Promise<TopicInfo> {
    const { topic, topicField, partitions, replicationFactor, retention } = request
    if (partitions > this.#topicPartitionsMax)
      throw new BrokerError('PARTITION_LIMIT', `a topic has at most ${this.#topicPartitionsMax} partitions`, {
        field: 'partitions',
      })
    await spelt(topicField, () =>
      this.#metadata.propose(
        {
          kind: 'create-topic',
          at: this.#clock.now(),
          topic,
          partitions,
          ...(replicationFactor === undefined ? {} : { replicationFactor }),
          settings: retention,
        },
        { timeoutMs: this.#timeoutMs },
      ),
    )
    const created = this.#metadata.state.topic(topic)
    if (created === undefined) throw new BrokerError('INTERNAL', 'a topic that was created is not there')
    return created
  }

  /** @throws BrokerError TOPIC_NOT_FOUND */
  async topic(request: TopicRequest): Promise<TopicInfo> {
    const known = this.#metadata.state.topic(request.topic)
    if (known !== undefined) return known
    await this.#metadata.refresh()
    const topic = this.#metadata.state.topic(request.topic)
    if (topic === undefined)
      throw new BrokerError('TOPIC_NOT_FOUND', `topic ${request.topic} does not exist`, {
        field: request.topicField,
      })
    return topic
  }

  /** Gives the topic one more partition; returns its name. @throws BrokerError TOPIC_NOT_FOUND, PARTITION_LIMIT */
  async addPartition(request: TopicRequest): Promise<string> {
    const { partitions } = await this.topic(request)
    if (partitions.length >= this.#topicPartitionsMax)
      throw new BrokerError(
        'PARTITION_LIMIT',
        `topic ${request.topic} has ${partitions.length} partitions, which is the limit`,
        { field: request.topicField },
      )
    const result = await spelt(request.topicField, () =>
      this.#metadata.propose(
        { kind: 'add-partition', at: this.#clock.now(), topic: request.topic },
        { timeoutMs: this.#timeoutMs },
      ),
    )
    return partitionName(request.topic, Number(result['partition']))
  }

  /** One more partition, unless the topic has other than `expectedCount` by now. */
  async grow(topic: string, expectedCount: number): Promise<void> {
    await this.#metadata.propose(
      { kind: 'add-partition', at: this.#clock.now(), topic, expectedCount },
      { timeoutMs: this.#timeoutMs, repeatable: true },
    )
  }

  /** Registers a producer, and creates its topic when there is none. */
  async registerProducer(request: TopicRequest): Promise<ProducerId> {
    const result = await spelt(request.topicField, () =>
      this.#metadata.propose(
        { kind: 'register-producer', at: this.#clock.now(), topic: request.topic },
        // A second try leaves at worst an id that nobody uses.
        { timeoutMs: this.#timeoutMs, repeatable: true },
      ),
    )
    return toProducerId(result['producerId'])
  }
}

/** Names the topic's field as the caller spelt it. */
async function spelt<T>(topicField: string, run: () => Promise<T>): Promise<T> {
  try {
    return await run()
  } catch (error) {
    if (!(error instanceof BrokerError) || error.field !== 'topic_name' || topicField === 'topic_name')
      throw error
    const { component, outcome, leaderId } = error
    throw new BrokerError(error.code, error.message, {
      component,
      outcome,
      leaderId,
      field: topicField,
      cause: error,
    })
  }
}
