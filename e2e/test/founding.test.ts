import { readFileSync, writeFileSync } from 'node:fs'
import { rename, rm } from 'node:fs/promises'
import path from 'node:path'
import { afterEach, expect, test } from '@jest/globals'
import { SeededRandom } from '@sluice/foundation'
import { Api } from '../src/api.js'
import { type Ended, type Launch, launchOf, relaunch, sluice } from '../src/command.js'
import { acknowledgedInEachDatabase } from '../src/databases.js'
import { type ClusterProcess, LocalCluster, until } from '../src/index.js'

const LIMIT_MS = 60_000
const KILLS = 6
const KILLED_WITHIN_MS = 3000

let cluster: LocalCluster | undefined

afterEach(async () => {
  await cluster?.destroy()
  cluster = undefined
})

function brokers(running: LocalCluster): readonly ClusterProcess[] {
  return running.processes().filter(({ kind }) => kind === 'broker')
}

async function produce(running: LocalCluster, count: number): Promise<void> {
  const producer = await running.api.registerProducer('orders')
  for (let i = 0; i < count; i++)
    await running.api.must('POST', '/producer/produce', {
      producer_id: producer,
      topic_name: 'orders',
      message: `m${i}`,
    })
  await acknowledgedInEachDatabase(running, ['orders'], count)
}

/** Ends a broker; whoever starts it where it was does not get far. @returns where its data directory is now */
async function takeAway(running: LocalCluster, broker: ClusterProcess): Promise<string> {
  running.kill(broker)
  const directory = path.join(running.dataDirectory, `broker-${broker.id}`)
  await rename(directory, `${directory}.away`)
  writeFileSync(directory, '')
  return `${directory}.away`
}

/** A broker that was taken away, on a new disk and with a new database. */
function anew(
  running: LocalCluster,
  { launch, id }: { readonly launch: Launch; readonly id: number | undefined },
  kill: AbortSignal,
): Promise<Ended> {
  const url = new URL(launch.env['BROKER_DATABASE_URL']!)
  url.pathname += '_anew'
  const directory = path.join(running.dataDirectory, `broker-${id}-anew`)
  return relaunch(launch, { BROKER_DATA_DIR: directory, BROKER_DATABASE_URL: url.href }, kill)
}

/** The cluster that a broker is in, and who decides there; `undefined` while it does not know of a leader. */
async function metadataOf({ port }: { readonly port: number }): Promise<unknown> {
  const api = new Api(port)
  try {
    const { status, body } = await api.get('/recovery')
    if (status !== 200) return undefined
    const { cluster_id, groups } = body as unknown as {
      cluster_id: string
      groups: readonly { name: string; leader: number; voters: readonly number[] }[]
    }
    const metadata = groups.find(({ name }) => name === 'metadata')
    if (metadata === undefined || metadata.leader === 0) return undefined
    return { cluster_id, leader: metadata.leader, voters: metadata.voters }
  } catch {
    return undefined
  } finally {
    api.close()
  }
}

/** What a broker says that does not serve, once it answers. */
async function whatItWaitsFor({ port }: ClusterProcess): Promise<string> {
  let said = ''
  await until(
    async () => {
      const api = new Api(port)
      const { status, body } = await api.get('/health/ready').finally(() => api.close())
      said = `${status} ${JSON.stringify(body)}`
      return status === 503
    },
    LIMIT_MS,
    () => `broker on port ${port}: ${said}`,
  )
  return said
}

test('founders with new disks wait for all the others, and are refused by the one that knows the cluster', async () => {
  const running = (cluster = await LocalCluster.start({
    env: { SLUICE_RESTART_DELAY_MS: '60000', BROKER_RECOVERY_QUIET_MS: '1000' },
  }))
  await produce(running, 20)
  const [first, second, third] = brokers(running).map((broker) => ({ ...broker, launch: launchOf(broker) }))
  const kept = await takeAway(running, first!)
  for (const broker of [second!, third!]) await takeAway(running, broker)

  // Two of three are a majority: together they would found an empty cluster over what the first one has.
  const limit = AbortSignal.timeout(LIMIT_MS)
  const ends = Promise.all([second!, third!].map((broker) => anew(running, broker, limit)))
  for (const broker of [second!, third!])
    expect(await whatItWaitsFor(broker)).toContain('waits until every founder of the cluster answers')
  const end = new AbortController()
  const survivor = relaunch(first!.launch, { BROKER_DATA_DIR: kept }, end.signal)
  for (const { code, output } of await ends) {
    expect(code).toBe(1)
    expect(output).toMatch(/BROKER_REFUSED.*of this cluster has another data directory/)
  }
  // It has everything, and waits for somebody to say what becomes of it.
  let said = ''
  await until(
    async () => {
      const args = ['recover', 'plan', '--broker', `127.0.0.1:${first!.port}`, '--out', 'plan.json']
      const { code, output } = await sluice(args, running.dataDirectory)
      said = output
      return code === 0
    },
    LIMIT_MS,
    () => said,
  )
  // The first plan that there is: one that leaves something out would be carried out.
  expect(said).toMatch(/orders\.1: offsets 0 to 19 are kept/)
  const again = ['recover', 'plan', '--broker', `127.0.0.1:${first!.port}`, '--out', 'plan.json']
  expect(await sluice(again, running.dataDirectory)).toMatchObject({
    code: 1,
    output: expect.stringContaining('plan.json is there already'),
  })
  end.abort()
  await survivor
})

test('founders that are killed while they agree found one cluster all the same', async () => {
  const running = (cluster = await LocalCluster.start({ env: { SLUICE_RESTART_DELAY_MS: '60000' } }))
  const founders = brokers(running).map((broker) => ({ ...broker, launch: launchOf(broker) }))
  for (const broker of founders) await takeAway(running, broker)
  const seed = Date.now() % 2 ** 32
  const random = new SeededRandom(seed)
  const end = new AbortController()
  const ends = founders.map(async (broker) => {
    for (let kills = 0; kills < KILLS; kills++)
      await anew(running, broker, AbortSignal.timeout(random.below(KILLED_WITHIN_MS)))
    return anew(running, broker, end.signal)
  })
  let views: unknown[] = []
  await until(
    async () => {
      views = await Promise.all(founders.map(metadataOf))
      return views.every((view) => view !== undefined)
    },
    LIMIT_MS * 2,
    () => `the founders: ${JSON.stringify(views)}, killed as seed ${seed} says`,
  ).finally(() => end.abort())
  expect(new Set(views.map((view) => JSON.stringify(view))).size).toBe(1)
  expect(views[0]).toMatchObject({ voters: [1, 2, 3] })
  const noted = founders.map(
    ({ id }) =>
      JSON.parse(
        readFileSync(path.join(running.dataDirectory, `broker-${id}-anew`, 'node.json'), 'utf8'),
      ) as Record<string, unknown>,
  )
  const agreed = founders.map(({ id }, i) => ({ id, uuid: noted[i]!['nodeUuid'] }))
  for (const identity of noted) expect(identity['founders']).toEqual(agreed)
  await Promise.all(ends)
})

test('a broker whose directory is gone does not start beside the database that it had, and the others go on', async () => {
  const running = (cluster = await LocalCluster.start())
  await produce(running, 20)
  await running.down()
  const directory = path.join(running.dataDirectory, 'broker-3')
  await rename(directory, `${directory}.away`)
  await running.up()
  await until(
    () => running.output.includes('is empty, and the database has partitions of a broker'),
    LIMIT_MS,
    () => running.output,
  )
  expect(running.output).toContain('broker-3 cannot start')
  const producer = await running.api.registerProducer('orders')
  const one = { producer_id: producer, topic_name: 'orders', message: 'one more' }
  await running.api.must('POST', '/producer/produce', one)
  await rm(directory, { recursive: true })
  await rename(`${directory}.away`, directory)
  await until(
    () => brokers(running).length === 3 && running.output.includes('broker-3 serves again'),
    LIMIT_MS,
    () => running.output.slice(-3000),
  )
  await acknowledgedInEachDatabase(running, ['orders'], 21)
})
