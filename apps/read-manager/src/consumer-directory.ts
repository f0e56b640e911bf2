import type { MetadataFollower } from '@sluice/client'
import { BrokerError, type ConsumerId, type TopicName } from '@sluice/domain'
import type { ConsumerInfo, PartitionInfo } from '@sluice/metadata'

/** Who calls, as the request says. */
export interface ConsumerIdentity {
  readonly consumerId: ConsumerId
  readonly topic: TopicName
  /** How the caller spelt the topic's field, for errors. */
  readonly topicField: string
}

/**
 * Finds consumers, topics and partitions in the metadata. What is not there is looked for once more in
 * metadata as new as the call, so that a registration that was just answered is never denied.
 */
export class ConsumerDirectory {
  readonly #metadata: Pick<MetadataFollower, 'state' | 'refresh'>

  constructor(metadata: Pick<MetadataFollower, 'state' | 'refresh'>) {
    this.#metadata = metadata
  }

  /** @throws BrokerError TOPIC_NOT_FOUND, CONSUMER_NOT_FOUND, CONSUMER_TOPIC_MISMATCH */
  async consumer(identity: ConsumerIdentity): Promise<ConsumerInfo> {
    const known = this.#metadata.state.consumer(identity.consumerId)
    if (known?.topic === identity.topic) return known
    await this.#metadata.refresh()
    const { state } = this.#metadata
    if (state.topic(identity.topic) === undefined) throw topicNotFound(identity.topic, identity.topicField)
    const consumer = state.consumer(identity.consumerId)
    if (consumer === undefined)
      throw new BrokerError('CONSUMER_NOT_FOUND', `consumer ${identity.consumerId} is not registered`, {
        field: 'consumer_id',
      })
    if (consumer.topic !== identity.topic)
      throw new BrokerError(
        'CONSUMER_TOPIC_MISMATCH',
        `consumer ${consumer.id} is registered for topic ${consumer.topic}, not ${identity.topic}`,
        { field: 'consumer_id' },
      )
    return consumer
  }

  /** @throws BrokerError PARTITION_NOT_FOUND naming the field `partition` */
  async partition(topic: TopicName, number: number): Promise<PartitionInfo> {
    const known = this.#metadata.state.partition(topic, number)
    if (known !== undefined) return known
    await this.#metadata.refresh()
    const { state } = this.#metadata
    const partition = state.partition(topic, number)
    if (partition === undefined)
      throw new BrokerError(
        'PARTITION_NOT_FOUND',
        `topic ${topic} has ${state.partitionsOf(topic).length} partitions, no ${topic}.${number}`,
        { field: 'partition' },
      )
    return partition
  }

  /** In order of their numbers; perhaps without one that was just added. */
  partitions(topic: TopicName): readonly PartitionInfo[] {
    return this.#metadata.state.partitionsOf(topic)
  }

  /** In order of their numbers, with every one that was there when this was called. */
  async partitionsOfNow(topic: TopicName): Promise<readonly PartitionInfo[]> {
    await this.#metadata.refresh()
    return this.partitions(topic)
  }
}

export function topicNotFound(topic: TopicName, field: string): BrokerError {
  return new BrokerError('TOPIC_NOT_FOUND', `topic ${topic} does not exist`, { field })
}
