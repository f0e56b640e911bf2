import { describe, expect, test } from '@jest/globals'
import { toGroupId, toTopicName } from '@sluice/domain'
import type { PartitionInfo } from '@sluice/metadata'
import { partitionIndexOfKey } from '../src/murmur2.js'
import { PartitionChooser } from '../src/partition-chooser.js'

const partitions: readonly PartitionInfo[] = [1, 2, 3].map((number) => ({
  groupId: toGroupId(number + 1),
  topic: toTopicName('orders'),
  number,
  name: `orders.${number}`,
  replicas: [],
  founders: [],
  moveId: 0,
  departing: [],
  departed: [],
  createdAt: 0,
}))
const anywhere = { partition: undefined, key: null }
const none = (): boolean => false

describe('PartitionChooser', () => {
  test('messages without a wish take turns, per topic', () => {
    const chooser = new PartitionChooser()
    const turns = Array.from({ length: 4 }, () => chooser.choose('orders', anywhere, partitions, none).number)
    expect(turns).toEqual([1, 2, 3, 1])
    expect(chooser.choose('others', anywhere, partitions, none).number).toBe(1)
  })

  test('a partition that is stalled is left out while others are not', () => {
    const chooser = new PartitionChooser()
    const isStalled = (partition: PartitionInfo): boolean => partition.number === 2
    const turns = Array.from(
      { length: 4 },
      () => chooser.choose('orders', anywhere, partitions, isStalled).number,
    )
    expect(turns).toEqual([1, 3, 1, 3])
    const all = Array.from(
      { length: 4 },
      () => chooser.choose('orders', anywhere, partitions, () => true).number,
    )
    expect(new Set(all).size).toBe(3)
  })

  test('a key goes where Kafka would put it, stalled or not', () => {
    const key = Buffer.from('customer-7')
    const chosen = new PartitionChooser().choose(
      'orders',
      { partition: undefined, key },
      partitions,
      () => true,
    )
    expect(chosen).toBe(partitions[partitionIndexOfKey(key, 3)])
  })

  test('a partition that is named is taken, or refused when it is not there', () => {
    const chooser = new PartitionChooser()
    const named = { partition: 3, key: Buffer.from('k') }
    expect(chooser.choose('orders', named, partitions, none).number).toBe(3)
    expect(() => chooser.choose('orders', { partition: 4, key: null }, partitions, none)).toThrow(
      expect.objectContaining({ code: 'PARTITION_NOT_FOUND', field: 'partition' }),
    )
  })
})
