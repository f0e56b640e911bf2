import type { ClusterClient } from '@sluice/client'
import type { AlterTopicRequest, CreateTopicRequest, SettingsChange, TopicRequest } from '@sluice/contracts'
import { BrokerError, partitionName, type ProducerId, toProducerId, type TopicName } from '@sluice/domain'
import type { Clock } from '@sluice/foundation'
import {
  type ClusterSettings,
  DETAILED_AUDIT_LEVEL,
  openPartitions,
  REPEATED_DELETION_LEVEL,
  type TopicInfo,
} from '@sluice/metadata'

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

  /**
   * Repeated when an answer is lost, where the audit trail can tell whose the topic is that there is then.
   * @throws BrokerError TOPIC_EXISTS, NOT_ENOUGH_BROKERS, PARTITION_LIMIT
   */
  async createTopic(request: CreateTopicRequest, by: string): Promise<TopicInfo> {
    const { topic, topicField, partitions, replicationFactor, change } = request
    if (partitions > this.#topicPartitionsMax)
      throw new BrokerError('PARTITION_LIMIT', `a topic has at most ${this.#topicPartitionsMax} partitions`, {
        field: 'partitions',
      })
    const at = this.#clock.now()
    const repeatable = this.#metadata.state.settings.featureLevel >= DETAILED_AUDIT_LEVEL
    const replicas = replicationFactor === undefined ? {} : { replicationFactor }
    try {
      await spelt(topicField, () =>
        this.#metadata.propose(
          { kind: 'create-topic', at, topic, partitions, ...replicas, ...change, by },
          { timeoutMs: this.#timeoutMs, repeatable },
        ),
      )
    } catch (error) {
      const mayBeOurs = repeatable && error instanceof BrokerError && error.code === 'TOPIC_EXISTS'
      if (!mayBeOurs || !(await this.#wasMadeBy(topic, at, by))) throw error
    }
    const created = this.#metadata.state.topic(topic)
    if (created === undefined) throw new BrokerError('INTERNAL', 'a topic that was created is not there')
    return created
  }

  /** @throws BrokerError TIMEOUT when the audit trail has forgotten who made it, and it may have been this call */
  async #wasMadeBy(topic: TopicName, at: number, by: string): Promise<boolean> {
    await this.#metadata.refresh()
    const { state } = this.#metadata
    if (state.topic(topic)?.createdAt !== at) return false
    const made = state
      .auditEvents()
      .findLast(({ kind, subject }) => kind === 'topic-created' && subject === `topic/${topic}`)
    if (made?.at === at) return made.by === by
    throw new BrokerError(
      'TIMEOUT',
      `topic ${topic} exists, and whether this call has made it cannot be told any more`,
      { outcome: 'unknown' },
    )
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

  /**
   * Changes what is given of a topic, first what it does, then how many of its partitions take messages.
   * @throws BrokerError TOPIC_NOT_FOUND; PARTITION_LIMIT when it cannot have that many, or so few
   */
  async alterTopic({ topic, change, partitions }: AlterTopicRequest, by: string): Promise<TopicInfo> {
    const known = await this.topic({ topic, topicField: 'topic_name' })
    if (partitions !== undefined) this.#checkCount(known, partitions)
    if (Object.keys(change).length > 0)
      await this.#metadata.propose(
        { kind: 'alter-topic', at: this.#clock.now(), topic, ...change, by },
        { timeoutMs: this.#timeoutMs, repeatable: true },
      )
    if (partitions !== undefined) await this.#bringTo(topic, partitions, by)
    return this.topic({ topic, topicField: 'topic_name' })
  }

  /** Step by step, each from a count that is known: with several managers at it, none goes too far. */
  async #bringTo(topic: TopicName, wanted: number, by: string): Promise<void> {
    for (;;) {
      const count = openPartitions(await this.topic({ topic, topicField: 'topic_name' })).length
      if (count === wanted) return
      const kind = count < wanted ? 'add-partition' : 'close-partition'
      await this.#metadata.propose(
        { kind, at: this.#clock.now(), topic, expectedCount: count, by },
        { timeoutMs: this.#timeoutMs, repeatable: true },
      )
    }
  }

  #checkCount({ name, keyPartitions }: TopicInfo, wanted: number): void {
    if (wanted > this.#topicPartitionsMax)
      throw new BrokerError('PARTITION_LIMIT', `a topic has at most ${this.#topicPartitionsMax} partitions`, {
        field: 'partitions',
      })
    if (wanted < keyPartitions)
      throw new BrokerError(
        'PARTITION_LIMIT',
        `topic ${name} keeps the ${keyPartitions} partitions that it was made with, to which its keys belong`,
        { field: 'partitions' },
      )
  }

  /**
   * Deletes the topic that has the name now, with its messages, producers and consumers. Repeated when an answer is
   * lost, since the command says which topic it means; below the feature level for that, another try could take a
   * new one of the same name.
   * @throws BrokerError TOPIC_NOT_FOUND
   */
  async deleteTopic(request: TopicRequest, by: string): Promise<void> {
    // What is known here may be a topic that was deleted and made anew since.
    await this.#metadata.refresh()
    const { partitions } = await this.topic(request)
    const repeatable = this.#metadata.state.settings.featureLevel >= REPEATED_DELETION_LEVEL
    await spelt(request.topicField, () =>
      this.#metadata.propose(
        {
          kind: 'delete-topic',
          at: this.#clock.now(),
          topic: request.topic,
          ...(repeatable ? { groupId: partitions[0]!.groupId } : {}),
          by,
        },
        { timeoutMs: this.#timeoutMs, repeatable },
      ),
    )
  }

  /** @throws BrokerError UNSUPPORTED_VERSION when a broker cannot run in the feature level */
  async changeSettings(
    { deadAfterMs, rebuildAfterMs, featureLevel }: SettingsChange,
    by: string,
  ): Promise<ClusterSettings> {
    if (featureLevel !== undefined)
      await this.#metadata.propose(
        { kind: 'raise-feature-level', at: this.#clock.now(), level: featureLevel, by },
        { timeoutMs: this.#timeoutMs, repeatable: true },
      )
    if (Object.keys(deadAfterMs).length === 0 && rebuildAfterMs === undefined)
      return this.#metadata.state.settings
    const rebuild = rebuildAfterMs === undefined ? {} : { rebuildAfterMs }
    await this.#metadata.propose(
      { kind: 'change-settings', at: this.#clock.now(), deadAfterMs, ...rebuild, by },
      { timeoutMs: this.#timeoutMs, repeatable: true },
    )
    return this.#metadata.state.settings
  }

  /** Gives the topic one more partition; returns its name. @throws BrokerError TOPIC_NOT_FOUND, PARTITION_LIMIT */
  async addPartition(request: TopicRequest, by: string): Promise<string> {
    const count = openPartitions(await this.topic(request)).length
    if (count >= this.#topicPartitionsMax)
      throw new BrokerError(
        'PARTITION_LIMIT',
        `topic ${request.topic} has ${count} partitions, which is the limit`,
        { field: request.topicField },
      )
    const result = await spelt(request.topicField, () =>
      this.#metadata.propose(
        { kind: 'add-partition', at: this.#clock.now(), topic: request.topic, by },
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
