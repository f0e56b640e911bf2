import { afterEach, expect, test } from '@jest/globals'
import { BackgroundLoad, readAll } from '../src/background-load.js'
import { messagesByPartition } from '../src/databases.js'
import { LocalCluster, until } from '../src/index.js'

const PARTITIONS = 6
const DEAD_AFTER_MS = 3000
const RETURN_MS = 30_000

interface BrokerRow {
  readonly broker_id: number
  readonly status: string
  readonly replicas: number
}

let cluster: LocalCluster | undefined
let load: BackgroundLoad | undefined

afterEach(async () => {
  await load?.stop()
  await cluster?.destroy()
  cluster = undefined
  load = undefined
})

test('what a broker held that stays dead is rebuilt on others; when it returns, it keeps nothing of it', async () => {
  const running = (cluster = await LocalCluster.start({
    brokers: 4,
    env: { SLUICE_DEAD_AFTER_MS: String(DEAD_AFTER_MS), SLUICE_RESTART_DELAY_MS: String(RETURN_MS) },
  }))
  await running.api.must('POST', '/topics', { topic_name: 'rebuild', partitions: PARTITIONS })
  const producer = await running.api.registerProducer('rebuild')
  load = new BackgroundLoad(running.api, 'rebuild', producer, { pauseMs: 20 })
  const brokers = async (): Promise<BrokerRow[]> =>
    (await running.api.must('GET', '/brokers'))['brokers'] as BrokerRow[]
  const counted = load
  await until(
    () => counted.count > 100,
    60_000,
    () => 'nothing is acknowledged',
  )
  const victim = (await brokers()).find(({ broker_id: id, replicas }) => id > 1 && replicas > 0)!.broker_id
  running.kill(running.processes().find(({ kind, id }) => kind === 'broker' && id === victim)!)

  let rows: BrokerRow[] = []
  let plan: Record<string, unknown> = {}
  await until(
    async () => {
      rows = await brokers()
      plan = (await running.api.get('/rebalance')).body
      return rows.find((row) => row.broker_id === victim)?.replicas === 0 && plan['state'] === 'done'
    },
    RETURN_MS - 2000,
    () => `not rebuilt: ${JSON.stringify(rows)} ${JSON.stringify(plan)}`,
  )
  expect(plan).toMatchObject({ reason: 'broker-dead', broker_id: victim })
  expect(rows.find((row) => row.broker_id === victim)).toMatchObject({ status: 'dead' })
  expect(rows.reduce((sum, row) => sum + row.replicas, 0)).toBe(PARTITIONS * 3)

  await until(
    async () => (await brokers()).find((row) => row.broker_id === victim)?.status === 'alive',
    RETURN_MS + 20_000,
    () => 'the broker does not return',
  )
  let kept = new Map<string, number>()
  await until(
    async () => {
      kept = await messagesByPartition(running, victim, 'rebuild')
      return kept.size === 0
    },
    60_000,
    () => `the broker keeps ${JSON.stringify([...kept])}`,
  )
  const { acknowledged } = await load.stop()
  const there = await readAll(running.api, 'rebuild')
  const known = new Set(there)
  expect(acknowledged.filter((message) => !known.has(message))).toEqual([])
  expect(known.size).toBe(there.length)
})
