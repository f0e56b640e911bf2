import { afterEach, expect, test } from '@jest/globals'
import { BackgroundLoad, readAll } from '../src/background-load.js'
import { LocalCluster, until } from '../src/index.js'

const PARTITIONS = 9
/** Looks at who leads while the broker is in maintenance: leaderships are given back once a second. */
const LOOKS = 20

interface BrokerRow {
  readonly broker_id: number
  readonly state: string
  readonly replicas: number
  readonly preferred: number
  readonly leads: number | null
}

let cluster: LocalCluster | undefined
let load: BackgroundLoad | undefined

afterEach(async () => {
  await load?.stop()
  await cluster?.destroy()
  cluster = undefined
  load = undefined
})

test('a broker in maintenance hands its leaderships over, restarts included, and takes them again when it ends', async () => {
  const running = (cluster = await LocalCluster.start())
  const { api } = running
  await api.must('POST', '/topics', { topic_name: 'kept', partitions: PARTITIONS })
  const producer = await api.registerProducer('kept')
  load = new BackgroundLoad(api, 'kept', producer, { pauseMs: 20 })
  const row = async (): Promise<BrokerRow> => {
    const rows = (await api.must('GET', '/brokers'))['brokers'] as BrokerRow[]
    return rows.find(({ broker_id: id }) => id === 2)!
  }
  const leads = (count: number): Promise<void> =>
    until(
      async () => (await row()).leads === count,
      60_000,
      () => `broker 2 does not come to lead ${count} partitions`,
    )
  const before = await row()
  expect(before.preferred).toBe(3)
  await leads(before.preferred)

  await api.must('POST', '/broker/2/maintenance')
  await leads(0)
  // None comes back: neither by itself nor when the broker is started again, as for an upgrade.
  for (let look = 0; look < LOOKS; look++) {
    expect(await row()).toMatchObject({ state: 'maintenance', leads: 0 })
    const seen = load.count
    await until(
      () => load!.count >= seen + 10,
      60_000,
      () => 'nothing is produced',
    )
  }
  const killed = running.process('broker', 1)
  running.kill(killed)
  await until(
    async () => running.process('broker', 1).pid !== killed.pid && (await row()).leads !== null,
    60_000,
    () => 'broker 2 does not come back',
  )
  for (let look = 0; look < LOOKS; look++) expect((await row()).leads).toBe(0)
  // It gets nothing new, and keeps what it has.
  await expect(api.must('POST', '/topics', { topic_name: 'new', partitions: 3 })).resolves.toBeDefined()
  expect(await row()).toMatchObject({ replicas: before.replicas, preferred: before.preferred })

  await api.must('POST', '/broker/2/maintenance', { enabled: false })
  await leads(before.preferred)
  const { acknowledged } = await load.stop()
  const there = await readAll(api, 'kept')
  const known = new Set(there)
  expect(acknowledged.filter((message) => !known.has(message))).toEqual([])
  expect(known.size).toBe(there.length)
})
