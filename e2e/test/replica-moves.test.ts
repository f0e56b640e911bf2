import { ClusterClient } from '@sluice/client'
import { SeededRandom, systemClock } from '@sluice/foundation'
import type { PartitionInfo } from '@sluice/metadata'
import { createLogger } from '@sluice/service'
import { afterEach, expect, test } from '@jest/globals'
import { Api } from '../src/api.js'
import { BackgroundLoad, readAll } from '../src/background-load.js'
import { messagesByPartition } from '../src/databases.js'
import { LocalCluster, until } from '../src/index.js'

const BROKERS = [1, 2, 3, 4, 5]
const MOVE_LIMIT_MS = 40_000

let cluster: LocalCluster | undefined
let client: ClusterClient | undefined

afterEach(async () => {
  await client?.close()
  await cluster?.destroy()
  cluster = undefined
  client = undefined
})

async function start(partitions: number): Promise<{ running: LocalCluster; load: BackgroundLoad }> {
  const running = (cluster = await LocalCluster.start({ brokers: BROKERS.length }))
  await running.api.must('POST', '/topics', { topic_name: 'moves', partitions })
  const producer = await running.api.registerProducer('moves')
  const brokers = running.processes().filter(({ kind }) => kind === 'broker')
  const broker = new Api(brokers[0]!.port)
  const { body } = await broker.get('/status')
  broker.close()
  client = new ClusterClient({
    clusterId: body['clusterId'] as string,
    nodeId: 'test',
    seeds: brokers.map(({ id, port }) => ({ id, host: '127.0.0.1', port })),
    clock: systemClock,
    random: new SeededRandom(1),
    logger: createLogger({ component: 'test', level: 'fatal' }),
  })
  client.start()
  await until(
    () => client!.metadata.ready,
    60_000,
    () => 'the metadata is not here',
  )
  return { running, load: new BackgroundLoad(running.api, 'moves', producer, { pauseMs: 10 }) }
}

const partitions = (): readonly PartitionInfo[] => client!.metadata.state.partitionsOf('moves')

async function move(partition: PartitionInfo, target: readonly number[]): Promise<void> {
  await client!.metadata.propose(
    { kind: 'move-replicas', at: Date.now(), groupId: partition.groupId, target },
    { timeoutMs: 10_000, repeatable: true },
  )
}

async function settled(): Promise<void> {
  await until(
    () => partitions().every((it) => it.move === undefined && it.departing.length + it.departed.length === 0),
    MOVE_LIMIT_MS,
    () => `the moves do not end: ${JSON.stringify(partitions())}`,
  )
}

/** Everything that was acknowledged is there once, on the replicas and nowhere else. */
async function checkAll(running: LocalCluster, load: BackgroundLoad): Promise<void> {
  const { acknowledged } = await load.stop()
  const there = await readAll(running.api, 'moves')
  const known = new Set(there)
  expect(acknowledged.filter((message) => !known.has(message))).toEqual([])
  expect(known.size).toBe(there.length)
  const holds = (): Promise<Map<string, number>[]> =>
    Promise.all(BROKERS.map((id) => messagesByPartition(running, id, 'moves')))
  let counts: Map<string, number>[] = []
  await until(
    async () => {
      counts = await holds()
      const all = partitions().flatMap(({ name, replicas }) =>
        replicas.map((id) => counts[id - 1]!.get(name) ?? 0),
      )
      return all.reduce((sum, count) => sum + count, 0) === there.length * 3
    },
    60_000,
    () => `the databases hold ${JSON.stringify(counts.map((it) => [...it]))} of ${there.length} messages`,
  )
  for (const { name, replicas } of partitions())
    for (const id of BROKERS) {
      const isReplica = (replicas as readonly number[]).includes(id)
      expect([name, id, counts[id - 1]!.has(name)]).toEqual([name, id, isReplica])
    }
}

test('a partition moves to other brokers under load, and back to where it was', async () => {
  const { running, load } = await start(1)
  const others = (): number[] =>
    BROKERS.filter((id) => !(partitions()[0]!.replicas as readonly number[]).includes(id))
  for (let round = 0; round < 3; round++) {
    const target = [...others(), partitions()[0]!.replicas[round]!]
    await move(partitions()[0]!, target)
    await settled()
    expect(partitions()[0]!.replicas).toEqual(target)
  }
  await checkAll(running, load)
})

test('brokers are killed at any moment of moves: they end, nothing is lost or doubled, nothing is left behind', async () => {
  const { running, load } = await start(3)
  const random = new SeededRandom(Number(process.env['SLUICE_TEST_SEED'] ?? '7'))
  for (let round = 0; round < 6; round++) {
    const start = random.below(BROKERS.length)
    const target = [0, 1, 2].map((step) => BROKERS[(start + step * (1 + (round % 2))) % BROKERS.length]!)
    for (const partition of partitions()) await move(partition, target)
    await new Promise((resolve) => setTimeout(resolve, random.below(1200)))
    const brokers = running.processes().filter(({ kind }) => kind === 'broker')
    running.kill(brokers[random.below(brokers.length)]!)
    await settled()
    for (const partition of partitions()) expect(partition.replicas).toEqual(target)
  }
  await checkAll(running, load)
}, 360_000)
