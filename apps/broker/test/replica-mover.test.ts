import { describe, expect, test } from '@jest/globals'
import type { BrokerId, GroupId, TopicName } from '@sluice/domain'
import type { PartitionInfo } from '@sluice/metadata'
import type { Configuration, NodeId } from '@sluice/raft'
import { type MoveStep, nextMoveStep } from '../src/replica-mover.js'

const ids = (...list: number[]): NodeId[] => list as NodeId[]
const context = (moveId: number): Uint8Array => Uint8Array.of(moveId, 0, 0, 0)

function configuration(fields: Partial<Configuration>): Configuration {
  return {
    voters: ids(1, 2, 3),
    votersOutgoing: [],
    learners: [],
    promotable: [],
    context: new Uint8Array(0),
    ...fields,
  }
}

function partition(moveId: number, target: number[], joining: number[] = []): PartitionInfo {
  return {
    groupId: 2 as GroupId,
    topic: 'orders' as TopicName,
    number: 1,
    name: 'orders.1',
    replicas: [1, 2, 3] as BrokerId[],
    founders: [1, 2, 3] as BrokerId[],
    moveId,
    move: { target: target as BrokerId[], joining: joining as BrokerId[], since: 0 },
    departing: [],
    departed: [],
    createdAt: 0,
  }
}

function step(
  present: Partial<Configuration>,
  wanted: PartitionInfo,
  view: { isCommitted?: boolean; caughtUp?: number[] } = {},
): MoveStep {
  const { isCommitted = true, caughtUp = [] } = view
  return nextMoveStep(
    { configuration: configuration(present), isCommitted, caughtUp: new Set(caughtUp) },
    wanted,
  )
}

describe('the next step of a move', () => {
  test('lets the new ones learn first', () => {
    expect(step({}, partition(1, [4, 5, 1]))).toEqual({
      kind: 'change',
      to: { voters: [1, 2, 3], learners: [4, 5], context: context(1) },
    })
  })

  test('waits until all of them have caught up, then changes the voters at once', () => {
    const learning = { learners: ids(4, 5), context: context(1) }
    expect(step(learning, partition(1, [4, 5, 1]), { caughtUp: [1, 2, 3, 4] })).toEqual({ kind: 'wait' })
    expect(step(learning, partition(1, [4, 5, 1]), { caughtUp: [4, 5] })).toEqual({
      kind: 'change',
      to: { voters: [4, 5, 1], context: context(1) },
    })
  })

  test('waits for a change that is on its way', () => {
    expect(step({}, partition(1, [4, 2, 3]), { isCommitted: false })).toEqual({ kind: 'wait' })
    expect(step({ votersOutgoing: ids(1, 2, 4) }, partition(1, [4, 2, 3]))).toEqual({ kind: 'wait' })
  })

  test('only takes voters away when nobody is new', () => {
    expect(step({}, partition(1, [1, 2]))).toEqual({
      kind: 'change',
      to: { voters: [1, 2], context: context(1) },
    })
  })

  test('takes learners of an earlier target away', () => {
    expect(step({ learners: ids(4), context: context(1) }, partition(2, [5, 2, 3], [4, 5]))).toEqual({
      kind: 'change',
      to: { voters: [1, 2, 3], learners: [5], context: context(2) },
    })
    expect(step({ learners: ids(4), context: context(1) }, partition(2, [1, 2, 3], [4]))).toEqual({
      kind: 'change',
      to: { voters: [1, 2, 3], learners: [], context: context(2) },
    })
  })

  test('writes the number of the move into the log even when the members are right already', () => {
    expect(step({ context: context(1) }, partition(2, [3, 2, 1]))).toEqual({
      kind: 'change',
      to: { voters: [3, 2, 1], context: context(2) },
    })
  })

  test('is the end when the members are right under the number of the move', () => {
    const present = { voters: ids(4, 1, 2), context: context(3) }
    expect(step(present, partition(3, [1, 2, 4]))).toEqual({ kind: 'done', isSettled: false })
    expect(step(present, partition(3, [1, 2, 4]), { caughtUp: [1, 2] })).toEqual({
      kind: 'done',
      isSettled: false,
    })
    expect(step(present, partition(3, [1, 2, 4]), { caughtUp: [1, 2, 4] })).toEqual({
      kind: 'done',
      isSettled: true,
    })
  })

  test('is none for a leader whose metadata is older than its log', () => {
    expect(step({ context: context(2) }, partition(1, [4, 5, 1]))).toEqual({ kind: 'wait' })
  })
})
