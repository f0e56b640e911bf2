import { describe, expect, test } from '@jest/globals'
import { toGroupId, toTopicName } from '@sluice/domain'
import { type Deferred, deferred } from '@sluice/foundation'
import { eventually, ManualClock } from '@sluice/foundation/testing'
import type { TopicGrowth, TopicInfo } from '@sluice/metadata'
import { pino } from 'pino'
import { PartitionGrowth } from '../src/partition-growth.js'

function topicOf(name: string, count: number, more: Partial<TopicInfo> = {}): TopicInfo {
  const topic = toTopicName(name)
  const partitions = Array.from({ length: count }, (_, i) => ({
    groupId: toGroupId(i + 2),
    topic,
    number: i + 1,
    name: `${name}.${i + 1}`,
    replicas: [],
    founders: [],
    moveId: 0,
    departing: [],
    departed: [],
    createdAt: 0,
  }))
  const fields = { keyPartitions: 1, nextNumber: count + 1, closing: [], settings: {}, trimmed: false }
  return { name: topic, replicationFactor: 1, createdAt: 0, partitions, ...fields, ...more }
}

function open() {
  const asked: { topic: string; expectedCount: number; answer: Deferred<unknown> }[] = []
  const clock = new ManualClock()
  const world = { held: 1_000_000, spreads: true }
  const growth = new PartitionGrowth({
    limits: { partitionMessagesMax: 100, topicPartitionsMax: 3 },
    add: (topic, expectedCount) => {
      const answer = deferred<unknown>()
      asked.push({ topic, expectedCount, answer })
      return answer.promise
    },
    countHeld: () => Promise.resolve(world.held),
    spreads: () => world.spreads,
    clock,
    logger: pino({ level: 'silent' }),
  })
  const note = (topic: TopicInfo, groupId: number, end: number, bytes = 10): void =>
    growth.note(topic, { groupId, end, records: 1, bytes })
  const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))
  return { asked, clock, growth, note, settled, world }
}

describe('a topic that says nothing itself', () => {
  test('gets a partition once when the messages per partition reach the threshold', async () => {
    const { asked, growth, note, settled } = open()
    note(topicOf('a', 1), 2, 99)
    await settled()
    expect(asked).toEqual([])
    note(topicOf('a', 1), 2, 100)
    note(topicOf('a', 1), 2, 120)
    await settled()
    expect(asked).toMatchObject([{ topic: 'a', expectedCount: 1 }])
    asked[0]!.answer.resolve(undefined)
    await growth.close()
    note(topicOf('a', 1), 2, 130)
    await settled()
    expect(asked).toHaveLength(1)
  })

  test('counts all its partitions, and those of no other topic', async () => {
    const { asked, note, settled } = open()
    note(topicOf('a', 2), 2, 90)
    note(topicOf('b', 1), 4, 90)
    note(topicOf('a', 2), 3, 109)
    await settled()
    expect(asked).toEqual([])
    note(topicOf('a', 2), 3, 110)
    await settled()
    expect(asked).toMatchObject([{ topic: 'a', expectedCount: 2 }])
  })

  test('stops at the limit of the cluster, and at its own; partitions that are closing do not count', async () => {
    const { asked, note, settled } = open()
    note(topicOf('a', 3), 2, 100_000)
    note(topicOf('b', 2, { growthMax: 2 }), 2, 100_000)
    note(topicOf('c', 3, { growthMax: 99 }), 2, 100_000)
    await settled()
    expect(asked).toEqual([])
    note(topicOf('d', 3, { closing: [2] }), 2, 100_000)
    await settled()
    expect(asked).toMatchObject([{ topic: 'd', expectedCount: 2 }])
  })

  test('asks again after a failure, a second later', async () => {
    const { asked, clock, growth, note, settled } = open()
    note(topicOf('a', 1), 2, 100)
    await settled()
    asked[0]!.answer.reject(new Error('no leader'))
    await growth.close()
    note(topicOf('a', 1), 2, 101)
    await settled()
    expect(asked).toHaveLength(1)
    clock.advance(1000)
    note(topicOf('a', 1), 2, 102)
    await eventually(() => expect(asked).toHaveLength(2))
  })

  test('does not grow by messages that are deleted already, and is looked at again later', async () => {
    const { asked, clock, note, settled, world } = open()
    world.held = 50
    note(topicOf('a', 1), 2, 5000)
    await settled()
    world.held = 500
    note(topicOf('a', 1), 2, 5001)
    await settled()
    expect(asked).toEqual([])
    clock.advance(10_000)
    note(topicOf('a', 1), 2, 5002)
    await settled()
    expect(asked).toHaveLength(1)
  })

  test('does not grow by messages with keys, which no new partition would take', async () => {
    const { asked, note, settled, world } = open()
    world.spreads = false
    note(topicOf('a', 1), 2, 5000)
    await settled()
    expect(asked).toEqual([])
  })
})

describe('a topic of its own mind', () => {
  const by = (growth: TopicGrowth): TopicInfo => topicOf('a', 1, { growth })

  test('that is off never grows', async () => {
    const { asked, note, settled } = open()
    note(by({ by: 'off' }), 2, 100_000)
    await settled()
    expect(asked).toEqual([])
  })

  test('grows by the bytes that its messages weigh on average', async () => {
    const { asked, note, settled, world } = open()
    world.held = 20
    note(by({ by: 'bytes', limit: 10_000 }), 2, 1, 400)
    note(by({ by: 'bytes', limit: 10_000 }), 2, 20, 400)
    await settled()
    expect(asked).toEqual([])
    note(by({ by: 'bytes', limit: 8000 }), 2, 21, 400)
    await settled()
    expect(asked).toMatchObject([{ expectedCount: 1 }])
  })

  test('grows by messages a second, whoever stored them, but not by those from before it looked', async () => {
    const { asked, clock, note, settled } = open()
    const topic = by({ by: 'rate', limit: 100 })
    note(topic, 2, 1_000_000)
    clock.advance(5000)
    note(topic, 2, 1_000_400)
    await settled()
    expect(asked).toEqual([])
    clock.advance(2000)
    note(topic, 2, 1_001_400)
    await settled()
    expect(asked).toEqual([])
    clock.advance(3000)
    note(topic, 2, 1_001_500)
    await settled()
    expect(asked).toMatchObject([{ expectedCount: 1 }])
  })
})

test('a topic that is gone is forgotten', async () => {
  const { asked, growth, note, settled } = open()
  note(topicOf('a', 1), 2, 99)
  growth.retain(() => false)
  note(topicOf('a', 1), 9, 1)
  await settled()
  expect(asked).toEqual([])
})
