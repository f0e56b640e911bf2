import { BrokerError } from '@sluice/domain'
import type { PartitionInfo } from '@sluice/metadata'
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

/** Chooses a message's partition: the named one, the key's, else one after the other. */
export class PartitionChooser {
  readonly #turns = new Map<string, number>()

  /**
   * @param partitions of the topic, in order of their numbers, never empty
   * @param isStalled partitions to leave out while others can take the message
   * @throws BrokerError PARTITION_NOT_FOUND
   */
  choose(
    topic: string,
    wish: Wish,
    partitions: readonly PartitionInfo[],
    isStalled: (partition: PartitionInfo) => boolean,
  ): PartitionInfo {
    if (wish.partition !== undefined) {
      const named = partitions[wish.partition - 1]
      if (named === undefined)
        throw new BrokerError(
          'PARTITION_NOT_FOUND',
          `topic ${topic} has ${partitions.length} partitions, no ${topic}.${wish.partition}`,
          { field: 'partition', outcome: 'no' },
        )
      return named
    }
    if (wish.key !== null) return partitions[partitionIndexOfKey(wish.key, partitions.length)]!
    if (wish.id !== undefined)
      return partitions[jumpHash(Number.parseInt(wish.id.slice(0, 8), 16), partitions.length)]!
    const turn = this.#turns.get(topic) ?? 0
    for (let i = 0; i < partitions.length; i++) {
      const at = (turn + i) % partitions.length
      if (isStalled(partitions[at]!)) continue
      this.#turns.set(topic, at + 1)
      return partitions[at]!
    }
    this.#turns.set(topic, turn + 1)
    return partitions[turn % partitions.length]!
  }
}
