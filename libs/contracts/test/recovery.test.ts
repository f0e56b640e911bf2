import { describe, expect, test } from '@jest/globals'
import { BrokerError } from '@sluice/domain'
import { parseForceRequest, parseRecordRequest, RECOVERY_GROUPS_MAX } from '@sluice/contracts'

const GROUP = {
  group_id: 2,
  name: 'orders.1',
  voters: [1],
  move_id: 1000,
  term: 1_000_004,
  last_index: 20,
  last_term: 3,
}
const FORCE = { format: 1, plan_id: 'p', confirm: 'p', cluster_id: 'c', lost: [2, 3], groups: [GROUP] }
const RECORD = { format: 1, plan_id: 'p', cluster_id: 'c' }
const STEPS = [
  { kind: 'begin', operator: 'ann', lost: [2], skips_ids: true, summary: 's' },
  { kind: 'partitions', partitions: [{ group_id: 2, move_id: 1000, replicas: [1], loss: 'l' }] },
  { kind: 'end', summary: 's' },
]

/** The field at fault. */
function fault(parse: (body: unknown) => unknown, body: unknown): unknown {
  try {
    parse(body)
  } catch (error) {
    expect(error).toBeInstanceOf(BrokerError)
    expect((error as BrokerError).outcome).toBe('no')
    return (error as BrokerError).field
  }
  return undefined
}

describe('an order to force a configuration', () => {
  test('is taken as it is', () => {
    expect(parseForceRequest(FORCE)).toEqual(FORCE)
  })

  test.each([
    ['body', null],
    ['format', { ...FORCE, format: 2 }],
    ['plan_id', { ...FORCE, plan_id: '' }],
    ['confirm', { ...FORCE, confirm: undefined }],
    ['lost', { ...FORCE, lost: [0] }],
    ['groups', { ...FORCE, groups: Array.from({ length: RECOVERY_GROUPS_MAX + 1 }, () => GROUP) }],
    ['voters', { ...FORCE, groups: [{ ...GROUP, voters: ['1'] }] }],
    ['term', { ...FORCE, groups: [{ ...GROUP, term: 1.5 }] }],
    ['last_index', { ...FORCE, groups: [{ ...GROUP, last_index: -1 }] }],
  ])('is refused for its %s', (field, body) => {
    expect(fault(parseForceRequest, body)).toBe(field)
  })
})

describe('what is to be recorded', () => {
  test.each(STEPS)('is taken as it is: $kind', (step) => {
    expect(parseRecordRequest({ ...RECORD, step })).toEqual({ ...RECORD, step })
  })

  test.each([
    ['step', { ...RECORD }],
    ['kind', { ...RECORD, step: { kind: 'other' } }],
    ['operator', { ...RECORD, step: { ...STEPS[0], operator: 7 } }],
    ['replicas', { ...RECORD, step: { kind: 'partitions', partitions: [{ ...GROUP, replicas: {} }] } }],
    ['summary', { ...RECORD, step: { kind: 'end', summary: 'x'.repeat(1001) } }],
  ])('is refused for its %s', (field, body) => {
    expect(fault(parseRecordRequest, body)).toBe(field)
  })
})
