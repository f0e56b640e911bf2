import { isDeepStrictEqual } from 'node:util'
import { afterEach, expect, test } from '@jest/globals'
import { BackgroundLoad, readAll } from '../src/background-load.js'
import { replicasByPartition } from '../src/databases.js'
import { ExtraBroker } from '../src/extra-broker.js'
import { LocalCluster, until } from '../src/index.js'

const PARTITIONS = 12
const LIMIT_MS = 90_000

interface Plan {
  readonly rebalance_id: number
  readonly state: string
  readonly moves: readonly {
    readonly partition: string
    readonly from: readonly number[]
    readonly to: readonly number[]
    readonly state: string
    readonly reason?: string
  }[]
}

interface Event {
  readonly kind: string
  readonly subject: string
  readonly by: string | null
}

let cluster: LocalCluster | undefined
let extra: ExtraBroker | undefined
let load: BackgroundLoad | undefined

afterEach(async () => {
  await load?.stop()
  await extra?.stop()
  await cluster?.destroy()
  cluster = undefined
  extra = undefined
  load = undefined
})

/** Four brokers, and a topic under load of which the fourth holds nothing. */
async function uneven(): Promise<LocalCluster> {
  const running = (cluster = await LocalCluster.start())
  const { api } = running
  extra = await ExtraBroker.start(running)
  await api.must('POST', '/broker', { port: extra.port })
  await until(
    async () => (await brokerOf(running, 4)).state === 'active',
    60_000,
    () => 'broker 4 does not join',
  )
  await api.must('POST', '/broker/4/maintenance')
  await api.must('POST', '/topics', { topic_name: 'moves', partitions: PARTITIONS })
  await api.must('POST', '/broker/4/maintenance', { enabled: false })
  load = new BackgroundLoad(api, 'moves', await api.registerProducer('moves'), { pauseMs: 20 })
  return running
}

async function brokerOf({ api }: LocalCluster, id: number): Promise<{ state: string; replicas: number }> {
  const { brokers } = await api.must('GET', '/brokers')
  return (brokers as { broker_id: number; state: string; replicas: number }[]).find(
    ({ broker_id: its }) => its === id,
  )!
}

async function planOf({ api }: LocalCluster): Promise<Plan> {
  return (await api.must('GET', '/rebalance')) as unknown as Plan
}

async function ended(running: LocalCluster): Promise<Plan> {
  let plan: Plan | undefined
  await until(
    async () => !['running', 'cancelling'].includes((plan = await planOf(running)).state),
    LIMIT_MS,
    () => `the plan does not end: ${JSON.stringify(plan).slice(0, 2000)}`,
  )
  return plan!
}

/** The tables follow what was decided. */
async function lieAs(running: LocalCluster, moves: Plan['moves']): Promise<void> {
  const wanted = moves.map(({ partition, from, to, state }) => [partition, state === 'done' ? to : from])
  let found: unknown[] = []
  await until(
    async () => {
      const replicas = await replicasByPartition(running, 1, 'moves')
      found = moves.map(({ partition }) => [partition, replicas.get(partition)])
      return isDeepStrictEqual(found, wanted)
    },
    60_000,
    () => `the replicas are ${JSON.stringify(found)}, not ${JSON.stringify(wanted)}`,
  )
}

async function eventsOf({ api }: LocalCluster, subject: string): Promise<readonly Event[]> {
  return (await api.must('GET', `/audit-events?subject=${subject}`))['audit_events'] as Event[]
}

/** Everything is where the plan says, and nothing of the load is lost or there twice. */
async function checkAll(running: LocalCluster, plan: Plan): Promise<void> {
  await lieAs(running, plan.moves)
  const { acknowledged } = await load!.stop()
  const there = await readAll(running.api, 'moves')
  const known = new Set(there)
  expect(acknowledged.filter((message) => !known.has(message))).toEqual([])
  expect(known.size).toBe(there.length)
}

test('a plan that is called off moves nothing more, undoes what is under way, and leaves everything in its place', async () => {
  const running = await uneven()
  await running.api.must('POST', '/rebalance', { moves_at_once: 2 })
  await until(
    async () => (await planOf(running)).moves.some(({ state }) => state === 'moving'),
    LIMIT_MS,
    () => 'no move begins',
  )
  const id = '00000000000000000000000000000042'
  const answer = await running.api.raw('DELETE', '/rebalance', undefined, { 'x-request-id': id })
  expect(answer).toMatchObject({ status: 200 })
  const plan = await ended(running)
  expect(plan.state).toBe('cancelled')
  const states = plan.moves.map(({ state }) => state)
  expect(states).toContain('waiting')
  expect(states.filter((state) => !['waiting', 'done', 'undone'].includes(state))).toEqual([])
  const events = await eventsOf(running, `plan/${plan.rebalance_id}`)
  expect(events.map(({ kind }) => kind)).toEqual(['plan-started', 'plan-cancelled', 'plan-ended'])
  expect(events[1]).toMatchObject({ by: `request ${id}` })
  expect((await running.api.raw('DELETE', '/rebalance', undefined)).body).toMatchObject({
    code: 'PLAN_NOT_FOUND',
  })
  await checkAll(running, plan)
})

test('a move whose new replica does not come is undone by itself; when it can, the same plan is done', async () => {
  const running = await uneven()
  process.kill(extra!.pid, 'SIGSTOP')
  let plan: Plan
  try {
    await running.api.must('POST', '/rebalance', { moves_at_once: 10, move_timeout_ms: 1000 })
    plan = await ended(running)
  } finally {
    process.kill(extra!.pid, 'SIGCONT')
  }
  expect(plan.state).toBe('incomplete')
  const undone = plan.moves.filter(({ state }) => state === 'undone')
  expect(undone.length).toBeGreaterThan(0)
  for (const { to, reason } of undone) expect([to.includes(4), reason]).toEqual([true, 'took too long'])
  await lieAs(running, undone)
  const story = (await eventsOf(running, `partition/${undone[0]!.partition}`)).map(({ kind }) => kind)
  expect(story.slice(0, 3)).toEqual(['move-started', 'move-undoing', 'move-undone'])

  let again: Plan | undefined
  await until(
    async () => {
      // What the broker was sent of moves that were undone goes first.
      await running.api.raw('POST', '/rebalance', undefined)
      again = await ended(running)
      return again.state === 'done' && again.moves.length > 0
    },
    LIMIT_MS,
    () => `it is not made even: ${JSON.stringify(again).slice(0, 2000)}`,
  )
  expect((await brokerOf(running, 4)).replicas).toBeGreaterThan(0)
  await checkAll(running, again!)
})
