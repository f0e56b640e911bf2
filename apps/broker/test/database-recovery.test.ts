import { expect, test } from '@jest/globals'
import type { StoredPartition } from '@sluice/persistence'
import { pino } from 'pino'
import { DatabaseRecovery } from '../src/database-recovery.js'

/** A log that holds entries 11 to 20, of term 3 from 15 on. */
const LOG = {
  compactedIndex: 10,
  lastIndex: 20,
  term: (index: number) => (index < 10 || index > 20 ? undefined : index < 15 ? 2 : 3),
}

const recovery = new DatabaseRecovery({
  brokerId: 1,
  linkTo: () => undefined,
  snapshots: { restore: () => Promise.reject(new Error('not asked')) },
  catchUp: { prepare: () => Promise.reject(new Error('not asked')) },
  logOf: (groupId) => (groupId === 2 ? LOG : undefined),
  now: () => 0,
  logger: pino({ level: 'silent' }),
})

function stored(appliedIndex: number, appliedTerm: number, restored = false): StoredPartition {
  const state = { appliedIndex, appliedTerm, nextOffset: 0, logStart: 0, cursors: [], sequences: [] }
  return restored ? { ...state, configuration: new Uint8Array(1) } : state
}

test.each([
  ['nothing', undefined, false],
  ['less than the log was relieved of', stored(9, 2), false],
  ['just what the log was relieved of', stored(10, 2), true],
  ['part of the log', stored(17, 3), true],
  ['an entry that is not the one in the log', stored(17, 2), false],
  ['more than the log, although no snapshot was restored', stored(21, 3), false],
  ['more than the log, from a snapshot', stored(21, 3, true), true],
])('a database that has %s', (_what, has, fits) => {
  expect(recovery.fitsLog(2, has)).toBe(fits)
})

test('a partition without a log may begin anywhere', () => {
  expect(recovery.fitsLog(3, undefined)).toBe(true)
  expect(recovery.fitsLog(3, stored(7, 1, true))).toBe(true)
})
