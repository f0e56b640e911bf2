import { describe, expect, test } from '@jest/globals'
import { type Deferred, deferred } from '@sluice/foundation'
import { eventually, ManualClock } from '@sluice/foundation/testing'
import { pino } from 'pino'
import { PartitionGrowth } from '../src/partition-growth.js'

function open() {
  const asked: { topic: string; expectedCount: number; answer: Deferred<unknown> }[] = []
  const clock = new ManualClock()
  const growth = new PartitionGrowth({
    limits: { partitionMessagesMax: 100, topicPartitionsMax: 3 },
    add: (topic, expectedCount) => {
      const answer = deferred<unknown>()
      asked.push({ topic, expectedCount, answer })
      return answer.promise
    },
    clock,
    logger: pino({ level: 'silent' }),
  })
  return { asked, clock, growth }
}

describe('PartitionGrowth', () => {
  test('asks for a partition once when the messages per partition reach the threshold', async () => {
    const { asked, growth } = open()
    growth.noteEnd('a', { groupId: 2, end: 99, partitionCount: 1 })
    expect(asked).toEqual([])
    growth.noteEnd('a', { groupId: 2, end: 100, partitionCount: 1 })
    growth.noteEnd('a', { groupId: 2, end: 120, partitionCount: 1 })
    expect(asked).toMatchObject([{ topic: 'a', expectedCount: 1 }])
    asked[0]!.answer.resolve(undefined)
    await growth.close()
    growth.noteEnd('a', { groupId: 2, end: 130, partitionCount: 1 })
    expect(asked).toHaveLength(1)
  })

  test('counts all partitions of the topic, and of no other topic', () => {
    const { asked, growth } = open()
    growth.noteEnd('a', { groupId: 2, end: 90, partitionCount: 2 })
    growth.noteEnd('b', { groupId: 4, end: 90, partitionCount: 1 })
    growth.noteEnd('a', { groupId: 3, end: 109, partitionCount: 2 })
    expect(asked).toEqual([])
    growth.noteEnd('a', { groupId: 3, end: 110, partitionCount: 2 })
    expect(asked).toMatchObject([{ topic: 'a', expectedCount: 2 }])
  })

  test('stops at the limit', () => {
    const { asked, growth } = open()
    growth.noteEnd('a', { groupId: 2, end: 100_000, partitionCount: 3 })
    expect(asked).toEqual([])
  })

  test('asks again after a failure, a second later', async () => {
    const { asked, clock, growth } = open()
    growth.noteEnd('a', { groupId: 2, end: 100, partitionCount: 1 })
    asked[0]!.answer.reject(new Error('no leader'))
    await growth.close()
    growth.noteEnd('a', { groupId: 2, end: 101, partitionCount: 1 })
    expect(asked).toHaveLength(1)
    clock.advance(1000)
    growth.noteEnd('a', { groupId: 2, end: 102, partitionCount: 1 })
    await eventually(() => expect(asked).toHaveLength(2))
  })
})
