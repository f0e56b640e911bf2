import { describe, expect, test } from '@jest/globals'
import type { GroupView, RecoveryView } from '@sluice/contracts'
import { withoutMajority } from '../src/recovery/apply.js'
import {
  groupsOf,
  isForced,
  makePlan,
  misfits,
  parsePlan,
  RecoveryError,
  type RecoveryPlan,
} from '../src/recovery/plan.js'

const NOW = new Date(1_700_000_000_000)
const QUIET_MS = 10_000

type GroupFields = Partial<GroupView>

/** A replica with a log of term 3 that ends at 20, of which 18 entries are known to be committed. */
function group(name: string, voters: readonly number[], fields: GroupFields = {}): GroupView {
  return {
    group_id: name === 'metadata' ? 1 : Number(name.slice(1)) + 10,
    name,
    leader: 0,
    leaderless_ms: 60_000,
    unfit: null,
    term: 4,
    commit: 18,
    last_index: 20,
    tail: [[18, 3]],
    voters,
    voters_outgoing: [],
    learners: [],
    move_id: 0,
    end: name === 'metadata' ? null : 100,
    newest_at: name === 'metadata' ? null : 1_600_000_000_000,
    ...fields,
  }
}

/** One broker of `count`, which has heard nothing of the others. */
function view(
  brokerId: number,
  count: number,
  groups: readonly GroupView[],
  fields: Partial<RecoveryView> = {},
): RecoveryView {
  const names = [...new Set(['p1', 'p2', 'p3', ...groups.map(({ name }) => name)])].filter(
    (name) => name !== 'metadata',
  )
  return {
    format: 1,
    cluster_id: 'c',
    broker_id: brokerId,
    node_uuid: `uuid-${brokerId}`,
    quiet_ms: QUIET_MS,
    brokers: Array.from({ length: count }, (_, i) => ({
      broker_id: i + 1,
      host: 'h',
      port: 7001 + i,
      state: 'active',
      silent_ms: i + 1 === brokerId ? 0 : 60_000,
    })),
    partitions: names.map((name) => ({
      group_id: Number(name.slice(1)) + 10,
      name,
      replicas: [1, 2, 3],
      move_id: 2,
    })),
    groups,
    recoveries: [],
    ...fields,
  }
}

function planOf(...views: readonly RecoveryView[]): RecoveryPlan {
  return makePlan(
    views.map((its) => ({ address: `127.0.0.1:${7000 + its.broker_id}`, view: its })),
    NOW,
  )
}

const ALL = [1, 2, 3]
const everything = (fields: GroupFields = {}): GroupView[] => [
  group('metadata', ALL),
  group('p1', ALL, fields),
  group('p2', ALL),
  group('p3', ALL),
]

describe('a plan', () => {
  test('names who is given up, what each group goes on with, and what may be lost', () => {
    const plan = planOf(view(1, 3, everything()))
    expect(plan.lost.map(({ broker_id }) => broker_id)).toEqual([2, 3])
    expect(groupsOf(plan).map(({ name }) => name)).toEqual(['metadata', 'p1', 'p2', 'p3'])
    expect(plan.partitions[0]).toMatchObject({
      chosen: 1,
      voters: [1],
      members: ALL,
      last_index: 20,
      last_term: 3,
    })
    expect(plan.partitions[0]!.loss).toBe(
      'offsets 0 to 99 are kept, the newest of 2020-09-13T12:26:40.000Z. 2 entries behind that are kept too, committed or not. Messages from offset 100 on that only brokers 2, 3 had are lost, also when they were acknowledged.',
    )
  })

  test('has terms and numbers of changes above all that somebody who is lost can have', () => {
    const plan = planOf(view(1, 3, everything({ term: 7, move_id: 5 })))
    expect(plan.partitions[0]!.term).toBeGreaterThan(7 + 100_000)
    expect(plan.partitions[0]!.move_id).toBeGreaterThan(5 + 100)
  })

  test('takes the log of the latest term, which all survivors follow', () => {
    const five = [1, 2, 3, 4, 5]
    const groups = (fields: GroupFields): GroupView[] => [
      group('metadata', five),
      group('p1', five, fields),
      group('p2', five),
      group('p3', five),
    ]
    const later = [
      [18, 3],
      [19, 4],
    ] as const
    const plan = planOf(view(4, 5, groups({})), view(5, 5, groups({ tail: later, last_index: 19 })))
    expect(plan.partitions[0]).toMatchObject({ chosen: 5, voters: [5, 4], last_index: 19, last_term: 4 })
  })

  test('leaves groups alone that have a leader, or a majority to elect one', () => {
    const five = [1, 2, 3, 4, 5]
    const groups = [
      group('metadata', five),
      group('p1', [1, 2, 3], { leader: 1, leaderless_ms: 0 }),
      group('p2', [1, 2, 3], { leaderless_ms: 0 }),
      group('p3', [1, 4, 5]),
    ]
    const plan = planOf(view(1, 5, groups), view(2, 5, groups.slice(0, 3)))
    expect(groupsOf(plan).map(({ name }) => name)).toEqual(['metadata', 'p3'])
    expect(plan.untouched).toBe(2)
  })

  test('a change of members that is under way needs both majorities', () => {
    const five = [1, 2, 3, 4, 5]
    const joint = group('p1', [1, 2, 3], { voters_outgoing: [1, 4, 5] })
    const rest = [group('metadata', five), group('p2', [1, 2, 3]), group('p3', [1, 2, 3])]
    const plan = planOf(view(1, 5, [joint, ...rest]), view(2, 5, [joint, ...rest]))
    expect(plan.partitions).toMatchObject([{ name: 'p1', voters: [1, 2], members: five }])
  })

  test('names partitions of which nothing is left, and why', () => {
    const groups = [
      group('metadata', ALL),
      group('p1', ALL),
      group('p2', ALL, { unfit: 'its log has lost something' }),
    ]
    const plan = planOf(view(1, 3, groups))
    expect(plan.gone).toMatchObject([
      { name: 'p2', replicas: ALL, why: 'broker 1: its log has lost something' },
      { name: 'p3', why: 'no survivor has a replica' },
    ])
  })

  test('a replica of a broker that is no member of the group is no survivor', () => {
    const groups = [group('metadata', ALL), group('p1', [2, 3]), group('p2', ALL), group('p3', ALL)]
    expect(planOf(view(1, 3, groups)).gone).toMatchObject([{ name: 'p1' }])
  })

  test('is the same for the same survivors, and is not taken when a letter of it was changed', () => {
    const plan = planOf(view(1, 3, everything()))
    expect(planOf(view(1, 3, everything()))).toEqual(plan)
    const text = JSON.stringify(plan)
    expect(parsePlan(text)).toEqual(plan)
    expect(() => parsePlan(text.replace('"chosen":1', '"chosen":2'))).toThrow(/was changed/)
    expect(() => parsePlan(text.replace(plan.id, '000000000000'))).toThrow(/was changed/)
    expect(() => parsePlan(text.slice(1))).toThrow(RecoveryError)
    expect(plan.id).toBe(plan.checksum.slice(0, 12))
  })
})

describe('there is no plan', () => {
  test('while somebody who is not named is heard', () => {
    const its = view(1, 3, everything())
    const brokers = its.brokers.map((broker) => ({
      ...broker,
      silent_ms: broker.broker_id === 3 ? 200 : 60_000,
    }))
    expect(() => planOf({ ...its, brokers })).toThrow(
      /broker 3 is not named, and broker 1 heard it 200 ms ago/,
    )
  })

  test('while a group may still elect a leader', () => {
    expect(() => planOf(view(1, 3, everything({ leaderless_ms: 500 })))).toThrow(
      /p1 has been without a leader for 500 ms/,
    )
  })

  test('while a leader has not noticed that its majority is silent: it is no sign that there is one', () => {
    const groups = everything().map((its) =>
      its.name === 'metadata' ? { ...its, leader: 1, leaderless_ms: 0 } : its,
    )
    expect(() => planOf(view(1, 3, groups))).toThrow(
      /metadata is led by broker 1, says broker 1, but too many of its voters are silent/,
    )
  })

  test('while a survivor is not done with what it has: that is not gone', () => {
    const opening = { unfit: 'it is not open yet', unsettled: 'it is not open yet', voters: [] }
    expect(() => planOf(view(1, 3, everything(opening)))).toThrow(
      /broker 1 cannot say yet what it has of p1: it is not open yet/,
    )
    const unsettled = 'it has applied 3 of 18 entries'
    expect(() => planOf(view(1, 3, everything({ unsettled })))).toThrow(/of p1: it has applied 3 of 18/)
    const metadata = everything().map((its) => (its.name === 'metadata' ? { ...its, unsettled } : its))
    expect(() => planOf(view(1, 3, metadata))).toThrow(/of metadata: it has applied 3 of 18/)
    // One that has its majority is none of the plan's business.
    const five = [1, 2, 3, 4, 5]
    const led = group('p1', ALL, { leader: 2, leaderless_ms: 0, unsettled })
    const groups = [group('metadata', five), led, group('p2', [1, 4, 5]), group('p3', [2, 4, 5])]
    expect(planOf(view(1, 5, groups), view(2, 5, groups)).untouched).toBe(1)
  })

  test('when nobody is lost, nothing is to be forced, or the brokers are of different clusters', () => {
    expect(() => planOf()).toThrow(/no broker answers/)
    expect(() => planOf(view(1, 1, everything()))).toThrow(/nobody is lost/)
    const led = everything().map((its) => ({ ...its, leader: 1 }))
    expect(() => planOf(view(1, 3, led), view(2, 3, led))).toThrow(/nothing is to be forced/)
    expect(() => planOf(view(1, 3, led), view(2, 3, led, { cluster_id: 'd' }))).toThrow(/different clusters/)
  })
})

test('partitions that a plan did not know, and that have lost their majority too, are named', () => {
  const plan = planOf(view(1, 3, everything()))
  const its = view(1, 3, everything())
  const place = (id: number, replicas: readonly number[]) => ({
    group_id: 10 + id,
    name: `p${id}`,
    replicas,
    move_id: 0,
  })
  const partitions = [...its.partitions, place(4, ALL), place(5, [1]), place(6, [1, 2]), place(7, [1, 4, 3])]
  expect(withoutMajority(plan, [{ ...its, partitions }, its])).toEqual(['p4', 'p6'])
})

describe('a plan does not fit any more', () => {
  const plan = planOf(view(1, 3, everything()))

  test('unless everything is as it was', () => {
    expect(misfits(plan, [view(1, 3, everything())])).toEqual([])
  })

  test.each([
    ['the log has grown', view(1, 3, everything({ last_index: 21 })), /log of p1 on broker 1 has changed/],
    [
      'the log ends in another term',
      view(1, 3, everything({ tail: [[18, 9]] })),
      /p1 on broker 1 has changed/,
    ],
    ['more is known to be committed', view(1, 3, everything({ commit: 19 })), /p1 on broker 1 has changed/],
    ['somebody leads', view(1, 3, everything({ leader: 1 })), /broker 1 leads p1/],
    ['the replica is gone', view(1, 3, everything().slice(0, 3)), /does not have p3 any more/],
    ['the directory is another', view(1, 3, everything(), { node_uuid: 'x' }), /another data directory/],
    ['the cluster is another', view(1, 3, everything(), { cluster_id: 'd' }), /belongs to cluster d/],
  ])('when %s', (_what, its, problem) => {
    expect(misfits(plan, [its]).join()).toMatch(problem)
  })

  test('when somebody who was given up is heard again, or a survivor does not answer', () => {
    const its = view(1, 3, everything())
    const brokers = its.brokers.map((broker) => ({ ...broker, silent_ms: 0 }))
    expect(misfits(plan, [{ ...its, brokers }]).join()).toMatch(/broker 2 was heard by broker 1/)
    expect(misfits(plan, [])).toEqual(['broker 1 does not answer'])
  })

  test('but what an interrupted run has done already is no reason', () => {
    const [metadata] = groupsOf(plan)
    const forced = everything().map((its) =>
      its.name === 'metadata'
        ? { ...its, term: metadata!.term + 1, leader: 1, last_index: 22, voters: [1] }
        : its,
    )
    const now = view(1, 3, forced)
    expect(misfits(plan, [now])).toEqual([])
    expect(isForced(metadata!, [now])).toBe(true)
    expect(isForced(plan.partitions[0]!, [now])).toBe(false)
  })
})
