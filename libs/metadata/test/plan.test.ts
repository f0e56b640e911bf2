import { describe, expect, test } from '@jest/globals'
import {
  type BalancePlan,
  DEFAULT_SETTINGS,
  type MetadataCommand,
  MetadataState,
  type MoveOrder,
  nextAction,
  type PartitionInfo,
} from '@sluice/metadata'

const AT = 1_700_000_000_000
const LIMITS = { movesAtOnce: 2, moveTimeoutMs: 1000 }

/** Three brokers with six partitions of three replicas, led by a leader of the metadata that is asked for what is next. */
class Cluster {
  readonly state = new MetadataState()
  now = AT
  metadataMembers: readonly number[] = [1, 2, 3]

  constructor(brokers = [1, 2, 3], settings = DEFAULT_SETTINGS) {
    const seats = brokers.map((id) => ({ id, host: `h${id}`, port: 7000 + id, uuid: '' }))
    this.do({ kind: 'bootstrap', at: AT, clusterId: 'c', brokers: seats, settings })
    this.do({ kind: 'create-topic', at: AT, topic: 'orders', partitions: 6 })
  }

  get plan(): BalancePlan {
    return this.state.plan!
  }

  get partitions(): readonly PartitionInfo[] {
    return this.state.partitionsOf('orders')
  }

  do(command: MetadataCommand): Record<string, unknown> {
    return this.state.apply(this.state.version + 1, command).result
  }

  errorOf(command: MetadataCommand): unknown {
    return (this.do(command)['error'] as { code?: string } | undefined)?.code
  }

  add(): number {
    const port = 7000 + this.state.brokers().length + 1
    const added = this.do({ kind: 'add-broker', at: this.now, host: `h${port}`, port, uuid: `u${port}` })
    return added['brokerId'] as number
  }

  seen(...ids: number[]): void {
    const brokers = ids.map((id) => [id, ++this.now] as const)
    this.do({ kind: 'activity', at: this.now, producers: [], consumers: [], brokers })
  }

  /** What the metadata's leader does until nothing is due; the kinds of its decisions. */
  lead(knowsTheDead = true): string[] {
    const kinds: string[] = []
    for (let i = 0; i < 100; i++) {
      const action = nextAction(this.state, {
        now: this.now,
        knowsTheDead,
        metadataMembers: this.metadataMembers,
        by: 'broker 1',
      })
      if (action === undefined) return kinds
      kinds.push(action.kind)
      expect(this.do(action)).not.toHaveProperty('error')
    }
    throw new Error(`there is no end to ${kinds.join()}`)
  }

  /** What the audit trail says from now on. */
  tellFrom(): () => string[] {
    const known = this.state.auditEvents().length
    return () =>
      this.state
        .auditEvents()
        .slice(known)
        .map(({ kind, subject, reason, by }) => `${kind} ${subject}: ${reason} [${by ?? 'nobody'}]`)
  }

  /** Every partition that moves gets there. */
  movesEnd(): void {
    for (const { groupId, moveId, move } of this.partitions)
      if (move !== undefined) this.do({ kind: 'move-done', at: ++this.now, groupId, moveId })
  }

  /** Leads and lets moves end until nothing happens any more. */
  settle(): void {
    while (this.lead().length > 0 || this.partitions.some(({ move }) => move !== undefined)) this.movesEnd()
  }

  states(): Record<string, number> {
    const counts: Record<string, number> = {}
    for (const { state } of this.plan.moves) counts[state] = (counts[state] ?? 0) + 1
    return counts
  }
}

describe('a broker that is added', () => {
  test('gets its share once it was heard of, some moves at a time, and is a broker as any other then', () => {
    const cluster = new Cluster()
    const id = cluster.add()
    expect(cluster.lead()).toEqual([])
    cluster.seen(id)
    cluster.lead()
    expect(cluster.plan).toMatchObject({ reason: 'broker-added', brokerId: 4, state: 'running' })
    expect(cluster.partitions.filter(({ move }) => move !== undefined).length).toBeLessThanOrEqual(4)
    cluster.settle()
    expect(cluster.plan.state).toBe('done')
    expect(
      cluster.partitions.filter(({ replicas }) => (replicas as readonly number[]).includes(id)).length,
    ).toBeGreaterThanOrEqual(4)
    expect(cluster.state.broker(id)!.state).toBe('active')
  })

  test('the plan goes on under a leader that begins from a snapshot', () => {
    const cluster = new Cluster()
    cluster.seen(cluster.add())
    cluster.lead()
    const again = MetadataState.fromJSON(JSON.parse(JSON.stringify(cluster.state)))
    expect(again.toJSON()).toEqual(cluster.state.toJSON())
    expect(again.plan).toEqual(cluster.plan)
  })
})

describe('a partition that was made while a broker was dead', () => {
  const die = (cluster: Cluster, id: number): void => {
    const mark = { type: 'broker', id, status: 'dead', reason: 'silent' } as const
    cluster.do({ kind: 'mark', at: cluster.now, marks: [mark] })
  }

  test('gets the replica that it lacks when the broker is there again', () => {
    const cluster = new Cluster()
    die(cluster, 3)
    cluster.do({ kind: 'add-partition', at: cluster.now, topic: 'orders' })
    const made = (): PartitionInfo => cluster.partitions.at(-1)!
    expect(made().replicas.toSorted()).toEqual([1, 2])
    expect(cluster.lead()).toEqual([])
    cluster.seen(3)
    expect(cluster.lead()).toContain('start-plan')
    expect(cluster.plan).toMatchObject({ reason: 'replicas-missing', state: 'running' })
    expect(cluster.plan.moves.map(({ groupId }) => groupId)).toEqual([made().groupId])
    cluster.settle()
    expect(cluster.plan.state).toBe('done')
    expect(made().replicas.toSorted()).toEqual([1, 2, 3])
    expect(cluster.lead()).toEqual([])
  })

  test('waits for the feature level: the version before does not know the reason', () => {
    const cluster = new Cluster([1, 2, 3], { ...DEFAULT_SETTINGS, featureLevel: 2 })
    die(cluster, 3)
    cluster.do({ kind: 'add-partition', at: cluster.now, topic: 'orders' })
    cluster.seen(3)
    expect(cluster.lead()).toEqual([])
    const plan = { kind: 'start-plan', at: AT, reason: 'replicas-missing', ...LIMITS, moves: [] } as const
    expect(cluster.errorOf(plan)).toBe('UNSUPPORTED_VERSION')
  })
})

describe('a clock of a leader before that ran ahead', () => {
  test('does not hold up the next plan, or a move that takes too long', () => {
    const cluster = new Cluster([1, 2, 3, 4])
    const partition = cluster.partitions.find(({ replicas }) => !(replicas as readonly number[]).includes(4))!
    const { groupId, replicas } = partition
    const moves = [{ groupId, from: replicas, to: [4, ...replicas.slice(0, 2)], bytes: 0 }]
    cluster.now += 3_600_000
    cluster.do({ kind: 'start-plan', at: cluster.now, reason: 'asked-for', ...LIMITS, moves })
    cluster.lead()
    cluster.now = AT
    expect(cluster.lead()).toEqual(['step-plan'])
    expect(cluster.plan.moves[0]).toMatchObject({ state: 'undoing' })
    cluster.now += 3_600_000
    cluster.movesEnd()
    expect(cluster.plan).toMatchObject({ state: 'incomplete', endedAt: cluster.now })
    cluster.now = AT
    cluster.do({ kind: 'set-broker-state', at: AT, brokerId: 1, state: 'removing' })
    expect(cluster.lead()).toContain('start-plan')
  })
})

describe('a plan that nobody asked for', () => {
  test('knows what its moves copy, so that large ones are not undone while they get on', () => {
    const cluster = new Cluster([1, 2, 3, 4])
    cluster.do({ kind: 'set-broker-state', at: AT, brokerId: 1, state: 'removing' })
    const sizes = new Map(cluster.partitions.map(({ groupId }) => [groupId, 5_000_000]))
    const view = { now: AT, knowsTheDead: true, metadataMembers: [], by: 'broker 1', sizes }
    const plan = nextAction(cluster.state, view) as { readonly moves: readonly MoveOrder[] }
    const copying = plan.moves.filter(({ from, to }) => to.some((id) => !from.includes(id)))
    expect(copying.length).toBeGreaterThan(0)
    for (const { bytes } of copying) expect(bytes).toBe(5_000_000)
  })
})

describe('a broker that is to leave', () => {
  test('gives everything away, then its vote, and is removed', () => {
    const cluster = new Cluster([1, 2, 3, 4])
    cluster.do({ kind: 'set-broker-state', at: AT, brokerId: 1, state: 'removing' })
    cluster.settle()
    for (const { replicas } of cluster.partitions) {
      expect(replicas).not.toContain(1)
      expect(replicas).toHaveLength(3)
    }
    expect(cluster.state.broker(1)).toBeDefined()
    cluster.metadataMembers = [2, 3]
    expect(cluster.lead()).toEqual(['remove-broker'])
    expect(cluster.state.broker(1)).toBeUndefined()
    expect(cluster.state.healthCheck('broker', 1)).toBeUndefined()
    for (const { departing } of cluster.partitions) expect(departing).toEqual([])
  })

  test('is refused when partitions would lose a replica by it, unless it is evicted', () => {
    const cluster = new Cluster()
    const before = cluster.state.broker(1)
    expect(cluster.errorOf({ kind: 'set-broker-state', at: AT, brokerId: 1, state: 'removing' })).toBe(
      'NOT_ENOUGH_BROKERS',
    )
    expect(cluster.state.broker(1)).toBe(before)
    cluster.do({ kind: 'set-broker-state', at: AT, brokerId: 1, state: 'evicted' })
    cluster.settle()
    for (const { replicas } of cluster.partitions) expect([...replicas].sort()).toEqual([2, 3])
  })

  test('is refused when it is the last one that stays', () => {
    const cluster = new Cluster([1, 2], { ...DEFAULT_SETTINGS, replicationFactor: 1 })
    cluster.do({ kind: 'set-broker-state', at: AT, brokerId: 1, state: 'removing' })
    for (const state of ['removing', 'evicted'] as const)
      expect(cluster.errorOf({ kind: 'set-broker-state', at: AT, brokerId: 2, state })).toBe('LAST_BROKER')
    expect(cluster.errorOf({ kind: 'set-broker-state', at: AT, brokerId: 9, state: 'removing' })).toBe(
      'BROKER_NOT_FOUND',
    )
  })

  test('is not removed while it holds something', () => {
    const cluster = new Cluster([1, 2, 3, 4])
    expect(cluster.errorOf({ kind: 'remove-broker', at: AT, brokerId: 1 })).toBe('BROKER_IN_USE')
    expect(cluster.state.broker(1)).toBeDefined()
  })

  test('stays when it is told to, and what was under way is undone', () => {
    const cluster = new Cluster([1, 2, 3, 4])
    cluster.do({ kind: 'set-broker-state', at: AT, brokerId: 1, state: 'removing' })
    cluster.lead()
    const before = cluster.plan.moves.map(({ from }) => from)
    cluster.do({ kind: 'set-broker-state', at: AT, brokerId: 1, state: 'active' })
    expect(cluster.lead()).toEqual(['cancel-plan', 'step-plan'])
    cluster.settle()
    expect(cluster.plan.state).toBe('cancelled')
    expect(
      cluster.plan.moves.map(({ groupId }) => cluster.state.partitionByGroup(groupId)!.replicas),
    ).toEqual(before)
  })
})

describe('a broker that stays dead', () => {
  const dead = (cluster: Cluster, status: 'dead' | 'alive' = 'dead'): unknown =>
    cluster.do({ kind: 'mark', at: AT, marks: [{ type: 'broker', id: 1, status, reason: 'silent' }] })

  test('has its replicas rebuilt elsewhere, once the leader can know', () => {
    const cluster = new Cluster([1, 2, 3, 4])
    dead(cluster)
    expect(cluster.lead(false)).toEqual([])
    cluster.settle()
    expect(cluster.plan).toMatchObject({ reason: 'broker-dead', brokerId: 1, state: 'done' })
    for (const { replicas } of cluster.partitions) expect(replicas).not.toContain(1)
    expect(cluster.state.broker(1)).toBeDefined()
  })

  test('keeps its replicas until they are due to be rebuilt, other plans included', () => {
    const cluster = new Cluster([1, 2, 3, 4])
    cluster.do({ kind: 'change-settings', at: AT, deadAfterMs: {}, rebuildAfterMs: 60_000 })
    dead(cluster)
    cluster.now = AT + 59_999
    expect(cluster.lead()).toEqual([])
    cluster.do({ kind: 'set-broker-state', at: cluster.now, brokerId: 4, state: 'evicted' })
    cluster.lead()
    expect(cluster.plan.reason).toBe('broker-removed')
    for (const { from, to } of cluster.plan.moves)
      expect(to.includes(1 as never)).toBe(from.includes(1 as never))
    const late = new Cluster([1, 2, 3, 4])
    late.do({ kind: 'change-settings', at: AT, deadAfterMs: {}, rebuildAfterMs: 60_000 })
    dead(late)
    late.now = AT + 60_000
    expect(late.lead()).toEqual(['start-plan', 'step-plan'])
    expect(late.plan).toMatchObject({ reason: 'broker-dead', brokerId: 1 })
  })

  test('that returns ends the rebuilding', () => {
    const cluster = new Cluster([1, 2, 3, 4])
    dead(cluster)
    cluster.lead()
    dead(cluster, 'alive')
    expect(cluster.lead()).toEqual(['cancel-plan', 'step-plan'])
    cluster.settle()
    expect(cluster.plan.state).toBe('cancelled')
  })

  test('is left as it is when nobody else could hold its replicas', () => {
    const cluster = new Cluster()
    dead(cluster)
    expect(cluster.lead()).toEqual([])
  })
})

const withFour = (): Cluster => new Cluster([1, 2, 3, 4], { ...DEFAULT_SETTINGS, replicationFactor: 3 })

describe('a plan', () => {
  const target = (cluster: Cluster): readonly PartitionInfo[] => cluster.partitions
  const start = (cluster: Cluster): MetadataCommand => ({
    kind: 'start-plan',
    at: cluster.now,
    reason: 'asked-for',
    ...LIMITS,
    moves: target(cluster).map(({ groupId, replicas }) => ({
      groupId,
      from: replicas,
      to: [4, ...replicas.slice(0, 2)],
      bytes: 0,
    })),
  })

  test('is carried out some moves at a time, and one at a time', () => {
    const cluster = withFour()
    const stay = cluster.partitions.filter(({ replicas }) => !(replicas as readonly number[]).includes(4))
    expect(stay.length).toBeGreaterThan(0)
    const command = start(cluster) as Extract<MetadataCommand, { kind: 'start-plan' }>
    const moves = command.moves.filter(({ from }) => !from.includes(4))
    cluster.do({ ...command, movesAtOnce: 1, moves })
    expect(cluster.errorOf({ ...command, moves })).toBe('PLAN_RUNNING')
    cluster.lead()
    expect(cluster.states()).toEqual({
      moving: 1,
      ...(moves.length > 1 ? { waiting: moves.length - 1 } : {}),
    })
    cluster.settle()
    expect(cluster.states()).toEqual({ done: moves.length })
  })

  test('undoes a move that takes too long, and gives it up when even that does not end', () => {
    const cluster = withFour()
    const [partition] = cluster.partitions.filter(
      ({ replicas }) => !(replicas as readonly number[]).includes(4),
    )
    const { groupId, replicas } = partition!
    const moves = [{ groupId, from: replicas, to: [4, ...replicas.slice(0, 2)], bytes: 0 }]
    cluster.do({ kind: 'start-plan', at: cluster.now, reason: 'asked-for', ...LIMITS, moves })
    cluster.lead()
    cluster.now += 1001
    expect(cluster.lead()).toEqual(['step-plan'])
    expect(cluster.plan.moves[0]).toMatchObject({ state: 'undoing', reason: 'took too long' })
    expect(cluster.state.partitionByGroup(groupId)!.move!.target).toEqual(replicas)
    const stuck = MetadataState.fromJSON(JSON.parse(JSON.stringify(cluster.state)))
    cluster.movesEnd()
    expect(cluster.plan).toMatchObject({ state: 'incomplete', moves: [{ state: 'undone' }] })
    const action = nextAction(stuck, {
      now: cluster.now + 1001,
      knowsTheDead: true,
      metadataMembers: [],
      by: 'broker 1',
    })!
    stuck.apply(stuck.version + 1, action)
    expect(stuck.plan).toMatchObject({ state: 'incomplete', moves: [{ state: 'failed' }] })
  })

  test('skips what is not any more as it was planned', () => {
    const cluster = withFour()
    const [first] = cluster.partitions
    const moves = [
      { groupId: first!.groupId, from: [...first!.replicas].reverse(), to: first!.replicas, bytes: 0 },
      { groupId: 999, from: [1], to: [2], bytes: 0 },
    ]
    cluster.do({ kind: 'start-plan', at: cluster.now, reason: 'asked-for', ...LIMITS, moves })
    cluster.lead()
    expect(cluster.plan).toMatchObject({
      state: 'incomplete',
      moves: [
        { state: 'skipped', reason: 'its replicas were changed meanwhile' },
        { state: 'skipped', reason: 'the partition is gone' },
      ],
    })
  })

  test('ends the moves of partitions that are deleted at once', () => {
    const cluster = withFour()
    const told = cluster.tellFrom()
    const moves = cluster.partitions
      .filter(({ replicas }) => !(replicas as readonly number[]).includes(4))
      .map(({ groupId, replicas }) => ({
        groupId,
        from: replicas,
        to: [4, ...replicas.slice(0, 2)],
        bytes: 0,
      }))
    const limits = { ...LIMITS, movesAtOnce: moves.length - 1 }
    cluster.do({ kind: 'start-plan', at: cluster.now, reason: 'asked-for', ...limits, moves })
    cluster.lead()
    const name = cluster.state.partitionByGroup(moves[0]!.groupId)!.name
    cluster.do({ kind: 'delete-topic', at: cluster.now, topic: 'orders' })
    expect(cluster.states()).toEqual({ failed: moves.length - 1, skipped: 1 })
    expect(cluster.plan).toMatchObject({ state: 'incomplete', endedAt: cluster.now })
    expect(told()).toContain(`move-failed partition/${name}: plan 1: the partition is gone [nobody]`)
    expect(told().at(-1)).toMatch(/^plan-ended plan\/1: incomplete/)
  })

  test('is called off once, by its number', () => {
    const cluster = withFour()
    expect(cluster.errorOf({ kind: 'cancel-plan', at: AT, planId: 1 })).toBe('PLAN_NOT_FOUND')
    cluster.do(start(cluster))
    expect(cluster.errorOf({ kind: 'cancel-plan', at: AT, planId: 2 })).toBe('PLAN_NOT_FOUND')
    cluster.do({ kind: 'cancel-plan', at: AT, planId: 1 })
    expect(cluster.plan.state).toBe('cancelled')
    expect(cluster.errorOf({ kind: 'cancel-plan', at: AT, planId: 1 })).toBe('PLAN_NOT_FOUND')
  })

  test('with nothing to do has ended when it begins', () => {
    const cluster = new Cluster()
    cluster.do({ kind: 'start-plan', at: AT, reason: 'asked-for', ...LIMITS, moves: [] })
    expect(cluster.plan.state).toBe('done')
  })
})

describe('the audit trail', () => {
  const moveOf = (cluster: Cluster, number = 0): MoveOrder => {
    const { groupId, replicas } = cluster.partitions.filter(
      ({ replicas: its }) => !(its as readonly number[]).includes(4),
    )[number]!
    return { groupId, from: replicas, to: [4, ...replicas.slice(0, 2)], bytes: 0 }
  }
  const plan = (cluster: Cluster, moves: readonly MoveOrder[]): MetadataCommand => ({
    kind: 'start-plan',
    at: cluster.now,
    reason: 'asked-for',
    ...LIMITS,
    moves,
    by: 'request 1',
  })
  const nameOf = (cluster: Cluster, { groupId }: MoveOrder): string =>
    `partition/${cluster.state.partitionByGroup(groupId)!.name}`

  test('tells of a plan, its moves and its end, and who asked for each', () => {
    const cluster = withFour()
    const told = cluster.tellFrom()
    const move = moveOf(cluster)
    cluster.do(plan(cluster, [move]))
    cluster.lead()
    cluster.movesEnd()
    cluster.do({ kind: 'replica-dropped', at: cluster.now, groupId: move.groupId, brokerId: move.from[2]! })
    const name = nameOf(cluster, move)
    expect(told()).toEqual([
      `plan-started plan/1: asked-for: 1 moves, ${LIMITS.movesAtOnce} at once [request 1]`,
      `move-started ${name}: plan 1: from ${move.from.join(', ')} to ${move.to.join(', ')} [broker 1]`,
      `replicas-moved ${name}: replicas are ${move.to.join(', ')} [nobody]`,
      'plan-ended plan/1: done: 1 done [nobody]',
      `replica-dropped ${name}: nothing is left of it on broker ${move.from[2]!} [nobody]`,
    ])
  })

  test('tells of moves that are undone, given up or skipped, and why', () => {
    const cluster = withFour()
    const told = cluster.tellFrom()
    const moves = [moveOf(cluster, 0), moveOf(cluster, 1), { groupId: 999, from: [1], to: [2], bytes: 0 }]
    cluster.do(plan(cluster, moves))
    cluster.lead()
    cluster.now += 1001
    cluster.lead()
    const [{ groupId }] = moves as [MoveOrder]
    const { moveId } = cluster.state.partitionByGroup(groupId)!
    cluster.do({ kind: 'move-done', at: cluster.now, groupId, moveId })
    cluster.now += 1001
    cluster.lead()
    const [first, second] = [nameOf(cluster, moves[0]!), nameOf(cluster, moves[1]!)]
    expect(told().filter((text) => !text.startsWith('move-started'))).toEqual([
      `plan-started plan/1: asked-for: 3 moves, ${LIMITS.movesAtOnce} at once [request 1]`,
      `move-undoing ${first}: plan 1: took too long [broker 1]`,
      `move-undoing ${second}: plan 1: took too long [broker 1]`,
      `move-undone ${first}: replicas are ${moves[0]!.from.join(', ')} [nobody]`,
      `move-failed ${second}: plan 1: could not be undone in time [broker 1]`,
      'move-skipped group/999: plan 1: the partition is gone [broker 1]',
      'plan-ended plan/1: incomplete: 1 undone, 1 failed, 1 skipped [broker 1]',
    ])
  })

  test('tells that a plan was called off, by whom, and what became of it', () => {
    const cluster = withFour()
    const told = cluster.tellFrom()
    const moves = [moveOf(cluster)]
    cluster.do(plan(cluster, moves))
    cluster.do({ kind: 'cancel-plan', at: cluster.now, planId: 1, by: 'request 2' })
    expect(told().slice(1)).toEqual([
      'plan-cancelled plan/1: asked for [request 2]',
      'plan-ended plan/1: cancelled: 1 waiting [request 2]',
    ])
  })

  test('keeps moves apart from what else happens: many of them push nothing else out', () => {
    const cluster = withFour()
    const { groupId, replicas } = cluster.partitions[0]!
    for (let i = 0; i < 2100; i++)
      cluster.do({
        kind: 'move-replicas',
        at: cluster.now,
        groupId,
        target: i % 2 === 0 ? [...replicas].reverse() : replicas,
      })
    const kinds = cluster.state.auditEvents().map(({ kind }) => kind)
    expect(kinds[0]).toBe('cluster-founded')
    expect(kinds.filter((kind) => kind === 'replicas-moved')).toHaveLength(2000)
    const ids = cluster.state.auditEvents().map(({ id }) => id)
    expect(ids).toEqual(ids.toSorted((a, b) => a - b))
  })
})
