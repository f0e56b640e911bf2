import { BrokerError } from '@sluice/domain'
import { isClosing, openPartitions, type PartitionInfo, type TopicInfo } from '@sluice/metadata'
import { jumpHash } from './jump-hash.js'
import { partitionIndexOfKey } from './murmur2.js'

/** Where a message wants to go. */
export interface Wish {
  /** Number of the partition, from 1. */
  readonly partition: number | undefined
  readonly key: Uint8Array | null
  /** 32 hex digits, by which a message without a key is placed that may come again; else partitions take turns. */
  readonly id?: string | undefined
}

/**
 * Chooses a message's partition: the named one, the key's, else one after the other. A key belongs to one of
 * the partitions that the topic was made with, whatever is added: its messages keep their order.
 */
export class PartitionChooser {
  readonly #turns = new Map<string, number>()
  /** Topics of which messages could go to any partition. */
  readonly #spreading = new Set<string>()

  /**
   * @param isStalled partitions to leave out while others can take the message
   * @param partitions for messages without a key; those that take messages now
   * @throws BrokerError PARTITION_NOT_FOUND, PARTITION_CLOSED
   */
  choose(
    topic: TopicInfo,
    wish: Wish,
    isStalled: (partition: PartitionInfo) => boolean,
    partitions: readonly PartitionInfo[] = openPartitions(topic),
  ): PartitionInfo {
    if (wish.partition !== undefined) return named(topic, wish.partition)
    // These are never closed, so they are the first ones, without gaps.
    if (wish.key !== null) return topic.partitions[partitionIndexOfKey(wish.key, topic.keyPartitions)]!
    if (wish.id !== undefined) {
      this.#spreading.add(topic.name)
      return partitions[jumpHash(Number.parseInt(wish.id.slice(0, 8), 16), partitions.length)]!
    }
    this.#spreading.add(topic.name)
    const turn = this.#turns.get(topic.name) ?? 0
    for (let i = 0; i < partitions.length; i++) {
      const at = (turn + i) % partitions.length
      if (isStalled(partitions[at]!)) continue
      this.#turns.set(topic.name, at + 1)
      return partitions[at]!
    }
    this.#turns.set(topic.name, turn + 1)
    return partitions[turn % partitions.length]!
  }

  /** True once a message could go to any partition of the topic. */
  spreads(topic: string): boolean {
    return this.#spreading.has(topic)
  }

  /** Topics for which `exists` is false are gone. */
  retain(exists: (topic: string) => boolean): void {
    for (const topic of this.#turns.keys()) if (!exists(topic)) this.#turns.delete(topic)
    for (const topic of this.#spreading) if (!exists(topic)) this.#spreading.delete(topic)
  }
}

function named(topic: TopicInfo, number: number): PartitionInfo {
  const partition = topic.partitions.find((one) => one.number === number)
  if (partition === undefined)
    throw new BrokerError(
      'PARTITION_NOT_FOUND',
      `topic ${topic.name} has ${topic.partitions.length} partitions, no ${topic.name}.${number}`,
      { field: 'partition', outcome: 'no' },
    )
  if (isClosing(topic, number))
    throw new BrokerError('PARTITION_CLOSED', `${partition.name} takes no messages any more`, {
      field: 'partition',
      outcome: 'no',
    })
  return partition
}
