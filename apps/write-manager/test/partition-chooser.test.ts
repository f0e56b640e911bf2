import { describe, expect, test } from '@jest/globals'
import { toGroupId, toTopicName } from '@sluice/domain'
import type { PartitionInfo, TopicInfo } from '@sluice/metadata'
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
const orders: TopicInfo = {
  name: toTopicName('orders'),
  replicationFactor: 1,
  createdAt: 0,
  partitions,
  keyPartitions: 3,
  nextNumber: 4,
  closing: [],
  settings: {},
  trimmed: false,
}
const others = { ...orders, name: toTopicName('others') }
const anywhere = { partition: undefined, key: null }
const none = (): boolean => false

describe('PartitionChooser', () => {
  test('messages without a wish take turns, per topic', () => {
    const chooser = new PartitionChooser()
    const turns = Array.from({ length: 4 }, () => chooser.choose(orders, anywhere, none).number)
    expect(turns).toEqual([1, 2, 3, 1])
    expect(chooser.choose(others, anywhere, none).number).toBe(1)
  })

  test('a partition that is stalled is left out while others are not', () => {
    const chooser = new PartitionChooser()
    const isStalled = (partition: PartitionInfo): boolean => partition.number === 2
    const turns = Array.from({ length: 4 }, () => chooser.choose(orders, anywhere, isStalled).number)
    expect(turns).toEqual([1, 3, 1, 3])
    const all = Array.from({ length: 4 }, () => chooser.choose(orders, anywhere, () => true).number)
    expect(new Set(all).size).toBe(3)
  })

  test('a key goes where Kafka would put it, stalled or not', () => {
    const key = Buffer.from('customer-7')
    const chosen = new PartitionChooser().choose(orders, { partition: undefined, key }, () => true)
    expect(chosen).toBe(partitions[partitionIndexOfKey(key, 3)])
  })

  test('a key keeps its partition when partitions are added or closed; other messages use them all', () => {
    const more = [4, 5].map((number) => ({ ...partitions[0]!, number, name: `orders.${number}` }))
    const grown = { ...orders, partitions: [...partitions, ...more], nextNumber: 6 }
    const shrunk = { ...grown, partitions: [...partitions, more[1]!], closing: [5] }
    const chooser = new PartitionChooser()
    for (let i = 0; i < 100; i++) {
      const wish = { partition: undefined, key: Buffer.from(`customer-${i}`) }
      const places = [orders, grown, shrunk].map((topic) => chooser.choose(topic, wish, none).number)
      expect(new Set(places).size).toBe(1)
    }
    expect(chooser.spreads('orders')).toBe(false)
    const turns = (topic: TopicInfo) =>
      new Set(Array.from({ length: 9 }, () => chooser.choose(topic, anywhere, none).number))
    expect(turns(grown)).toEqual(new Set([1, 2, 3, 4, 5]))
    expect(turns(shrunk)).toEqual(new Set([1, 2, 3]))
    expect(chooser.spreads('orders')).toBe(true)
    expect(chooser.choose(shrunk, { partition: 3, key: null }, none).number).toBe(3)
    expect(() => chooser.choose(shrunk, { partition: 5, key: null }, none)).toThrow(
      expect.objectContaining({ code: 'PARTITION_CLOSED', field: 'partition' }),
    )
  })

  test('a partition that is named is taken, or refused when it is not there', () => {
    const chooser = new PartitionChooser()
    const named = { partition: 3, key: Buffer.from('k') }
    expect(chooser.choose(orders, named, none).number).toBe(3)
    expect(() => chooser.choose(orders, { partition: 4, key: null }, none)).toThrow(
      expect.objectContaining({ code: 'PARTITION_NOT_FOUND', field: 'partition' }),
    )
  })
})
