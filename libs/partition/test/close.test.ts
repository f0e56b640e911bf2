import { expect, test } from '@jest/globals'
import { encodeRecordBatch, readBatchHeader, stampBatch, toOffset } from '@sluice/domain'
import {
  batchOf,
  decodePartitionCommand,
  encodeAppend,
  encodeClose,
  LeaderProjection,
  PartitionState,
} from '@sluice/partition'

const batch = (sequence: number): Uint8Array =>
  encodeRecordBatch({
    records: [{ timestamp: 1, key: null, value: Buffer.from('m'), headers: [] }],
    producerId: 7n,
    producerEpoch: 0,
    baseSequence: sequence,
  })

function append(state: PartitionState, index: number, sequence: number): void {
  const command = encodeAppend(batch(sequence))
  stampBatch(batchOf(command), toOffset(state.nextOffset), 1)
  state.apply(index, 1, command)
}

test('a partition that is closed takes no messages, here, after a restart and under a new leader', () => {
  const state = new PartitionState()
  append(state, 1, 0)
  expect(state.snapshot()).not.toHaveProperty('isClosed')
  expect(state.apply(2, 1, encodeClose())).toEqual({ kind: 'closed' })
  const delta = state.drain({ groupId: 2, topic: 'a', number: 1 })
  expect(delta).toMatchObject({ isClosed: true, nextOffset: 1 })
  for (const one of [state, new PartitionState(state.snapshot())]) {
    expect(one.isClosed).toBe(true)
    const leader = new LeaderProjection(one)
    expect(leader.planAppend(readBatchHeader(batch(1)))).toEqual({ kind: 'closed' })
    // What was stored before is still known as stored.
    expect(leader.planAppend(readBatchHeader(batch(0)))).toMatchObject({ kind: 'duplicate', baseOffset: 0 })
    expect(() => append(one, 3, 1)).toThrow(/closed/)
  }
})

test('nothing is appended behind a close that is on its way', () => {
  const leader = new LeaderProjection(new PartitionState())
  leader.closed()
  expect(leader.isClosed).toBe(true)
  expect(leader.planAppend(readBatchHeader(batch(0)))).toEqual({ kind: 'closed' })
  const anonymous = encodeRecordBatch({
    records: [{ timestamp: 1, key: null, value: null, headers: [] }],
  })
  expect(leader.planAppend(readBatchHeader(anonymous))).toEqual({ kind: 'closed' })
})

test('a close is one byte, and with more it is none', () => {
  expect(decodePartitionCommand(encodeClose())).toEqual({ kind: 'close' })
  expect(() => decodePartitionCommand(Uint8Array.of(...encodeClose(), 0))).toThrow(
    expect.objectContaining({ code: 'CORRUPT_BATCH' }),
  )
})

test('a kind of command that this version does not know is of a newer one, not damaged', () => {
  for (const kind of [0, 15, 17, 255])
    expect(() => decodePartitionCommand(Uint8Array.of(kind, 1, 2))).toThrow(
      expect.objectContaining({ code: 'UNSUPPORTED_VERSION' }),
    )
})
