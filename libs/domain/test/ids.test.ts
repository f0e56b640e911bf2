import { describe, expect, test } from '@jest/globals'
import {
  BrokerError,
  ERROR_CODES,
  type ErrorCode,
  isErrorCode,
  parsePartitionName,
  partitionName,
  toOffset,
  toProducerId,
  toTopicName,
} from '@sluice/domain'

describe('gates', () => {
  test.each(['orders', 'T-1', 'a.b_c', 'x'.repeat(200)])('topic name %s passes', (name) => {
    expect(toTopicName(name)).toBe(name)
  })

  test.each([undefined, null, 5, '', '.', '..', 'a b', 'ä', 'a/b', 'x'.repeat(201)])(
    'topic name %p is refused',
    (name) => {
      expect(() => toTopicName(name, 'topic')).toThrow(
        expect.objectContaining({ code: 'INVALID_REQUEST', field: 'topic', outcome: 'no' }),
      )
    },
  )

  test('ids may be numbers or digits', () => {
    expect(toProducerId(7)).toBe(7)
    expect(toProducerId('7')).toBe(7)
  })

  test.each([0, -1, 1.5, Number.NaN, '', 'x', '-3', '1e3', 2 ** 32, {}, true])('id %p is refused', (id) => {
    expect(() => toProducerId(id)).toThrow(
      expect.objectContaining({ code: 'INVALID_REQUEST', field: 'producer_id' }),
    )
  })

  test.each([-1, 0.5, 2 ** 53])('offset %p is refused', (offset) => {
    expect(() => toOffset(offset)).toThrow(expect.objectContaining({ code: 'INVALID_REQUEST' }))
  })
})

describe('partition names', () => {
  test('are topic and number, and come apart again, dots or not', () => {
    for (const topic of ['orders', 'a.1', 'x.y.z']) {
      expect(parsePartitionName(partitionName(topic, 12))).toEqual({ topic, number: 12 })
    }
  })

  test.each(['orders', 'orders.', '.1', 'orders.0', 'orders.x', 'orders.01', ''])('%p is none', (name) => {
    expect(parsePartitionName(name)).toBeUndefined()
  })
})

test('every code says whether it can be tried again, and its error reports that', () => {
  for (const [code, { retriable, summary }] of Object.entries(ERROR_CODES)) {
    expect(new BrokerError(code as ErrorCode, 'x').retriable).toBe(retriable)
    expect(summary).not.toBe('')
    expect(isErrorCode(code)).toBe(true)
  }
  expect(isErrorCode('toString')).toBe(false)
})

test('what may have happened is unknown only where it is', () => {
  expect(new BrokerError('TIMEOUT', 'x').outcome).toBe('unknown')
  expect(new BrokerError('TIMEOUT', 'x', { outcome: 'no' }).outcome).toBe('no')
  expect(new BrokerError('TOPIC_NOT_FOUND', 'x').outcome).toBe('no')
})
