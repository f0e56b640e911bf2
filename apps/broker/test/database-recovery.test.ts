import { expect, test } from '@jest/globals'
import { encodeJson, RpcMethod } from '@sluice/contracts'
import type { BrokerId, GroupId, TopicName } from '@sluice/domain'
import type { PartitionInfo } from '@sluice/metadata'
import type { StoredPartition } from '@sluice/persistence'
import { pino } from 'pino'
import { DatabaseRecovery, type DatabaseRecoveryParts } from '../src/database-recovery.js'

/** A log that holds entries 11 to 20, of term 3 from 15 on. */
const LOG = {
  compactedIndex: 10,
  lastIndex: 20,
  term: (index: number) => (index < 10 || index > 20 ? undefined : index < 15 ? 2 : 3),
}

const INFO: PartitionInfo = {
  groupId: 2 as GroupId,
  topic: 'orders' as TopicName,
  number: 1,
  name: 'orders.1',
  replicas: [1 as BrokerId, 3 as BrokerId],
  founders: [1 as BrokerId, 3 as BrokerId],
  moveId: 0,
  departing: [],
  departed: [],
  createdAt: 0,
}

const PARTS: DatabaseRecoveryParts = {
  brokerId: 1,
  linkTo: () => undefined,
  snapshots: { restore: () => Promise.reject(new Error('not asked')) },
  catchUp: { prepare: () => Promise.reject(new Error('not asked')) },
  logOf: (groupId) => (groupId === 2 ? LOG : undefined),
  now: () => 0,
  logger: pino({ level: 'silent' }),
}
const recovery = new DatabaseRecovery(PARTS)

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
  ['an entry that is not the one in the log, from a snapshot of another time', stored(17, 2, true), false],
  ['more than the log, although no snapshot was restored', stored(21, 3), false],
  ['more than the log, from a snapshot', stored(21, 3, true), true],
])('a database that has %s', (_what, has, fits) => {
  expect(recovery.fitsLog(2, has)).toBe(fits)
})

test('a partition without a log may begin anywhere', () => {
  expect(recovery.fitsLog(3, undefined)).toBe(true)
  expect(recovery.fitsLog(3, stored(7, 1, true))).toBe(true)
})

test('what was just copied from a peer is believed, whatever the log has there, and nothing else', async () => {
  const peer = {
    request: (method: number): Promise<Uint8Array> =>
      method === RpcMethod.COPY_OPEN
        ? Promise.resolve(encodeJson({ id: 'a', index: 17, term: 2, configuration: '', sizeBytes: 0 }))
        : Promise.reject(new Error('not asked')),
  }
  const copying = new DatabaseRecovery({
    ...PARTS,
    linkTo: (id) => (id === 3 ? peer : undefined),
    catchUp: { prepare: (_info, source) => Promise.resolve(source) },
    snapshots: { restore: () => Promise.resolve(stored(17, 2)) },
  })
  await new Promise<void>((resolve) => copying.start(INFO, stored(17, 2, true), resolve))
  expect(copying.fitsLog(2, stored(17, 2, true))).toBe(true)
  expect(copying.fitsLog(2, stored(16, 2, true))).toBe(false)
  expect(copying.fitsLog(2, stored(16, 3, true))).toBe(true)
})
