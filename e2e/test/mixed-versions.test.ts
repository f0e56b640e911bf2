import path from 'node:path'
import { afterEach, expect, test } from '@jest/globals'
import { until } from '../src/index.js'
import { type Build, currentBuild, previousBuild } from '../src/mixed/build.js'
import { contains, fingerprint } from '../src/mixed/fingerprint.js'
import { MixedCluster } from '../src/mixed/mixed-cluster.js'
import { MixedLoad } from '../src/mixed/mixed-load.js'

const TOPIC = 'orders'
const PARTITIONS = 6
const POSTGRES_URL = process.env['SLUICE_TEST_POSTGRES_URL'] ?? ''
const OLD_LEVEL = 2
const NEW_LEVEL = 3

let cluster: MixedCluster | undefined
let load: MixedLoad | undefined

afterEach(async () => {
  await load?.abort()
  await cluster?.destroy()
  load = undefined
  cluster = undefined
})

/** Everything moves: on every partition that is written to, and for every reader. */
async function movesOn(running: MixedLoad, partitions: readonly string[]): Promise<void> {
  const counts = (): number[] => [
    ...partitions.map((name) => running.acknowledgedOn(name)),
    ...running.delivered,
  ]
  const before = counts()
  await until(
    () => counts().every((count, i) => count > before[i]! + 5),
    60_000,
    () => `${partitions.join(', ')}, readers: ${before.join(' ')} → ${counts().join(' ')}`,
  )
}

/** Partitions with traffic, by the version of their leader; waits until each of the builds leads some. */
async function ledBy(
  running: MixedCluster,
  busy: MixedLoad,
  ...builds: readonly Build[]
): Promise<readonly string[]> {
  let led: readonly { readonly name: string; readonly version: string | undefined }[] = []
  await until(
    async () => {
      led = (await running.led())
        .filter(({ name }) => busy.acknowledgedOn(name) > 0)
        .map(({ name, brokerId }) => ({ name, version: running.broker(brokerId).build?.version }))
      return builds.every(({ version }) => led.some((partition) => partition.version === version))
    },
    60_000,
    () => `not all of ${builds.map(({ version }) => version).join(', ')} lead: ${JSON.stringify(led)}`,
  )
  return led.map(({ name }) => name)
}

/** Registration, a topic's whole life, and both ways of consuming, twice: through either manager of a kind. */
async function everyCall({ api }: MixedCluster, name: string): Promise<void> {
  for (let i = 0; i < 2; i++) {
    const topic = `${name}-${i}`
    const producer_id = await api.registerProducer(topic)
    const consumer_id = await api.registerConsumer(topic)
    await api.must('POST', '/producer/produce', { producer_id, topic_name: topic, message: topic })
    await api.must('POST', '/partition', { topic_name: topic })
    const call = { consumer_id, topic_name: topic }
    expect((await api.must('GET', '/consumer/consume', call))['message']).toBe(topic)
    await api.must('POST', '/consumer/seek', { ...call, to: 'earliest' })
    expect(
      (await api.must('POST', '/consumer/consume', { ...call, max_messages: 9 }))['messages'],
    ).toHaveLength(1)
    expect((await api.raw('DELETE', `/topics/${topic}`, undefined)).status).toBe(200)
  }
}

/** A consume call whose entry is then looked for in a leader's log. */
async function consumeAs(running: MixedCluster, consumerId: number, requestId: string): Promise<void> {
  const body = JSON.stringify({ consumer_id: consumerId, topic_name: 'looked-at', max_messages: 1 })
  const answer = await running.api.raw('POST', '/consumer/consume', body, { 'x-request-id': requestId })
  expect(answer.body['messages']).toHaveLength(1)
}

/** A log that holds one cursor operation for the request, in the form of a feature level. */
function isInLog(
  running: MixedCluster,
  brokerId: number,
  grant: { readonly level: number; readonly consumerId: number; readonly requestId: string },
): boolean {
  const { level, consumerId, requestId } = grant
  const log = path.join(running.directoryOf(brokerId), 'log')
  expect(consumerId).toBeLessThan(0x80)
  const consumer = consumerId.toString(16).padStart(2, '0')
  const entry = level >= NEW_LEVEL ? `060101${consumer}` : `040100000001${consumer}000000`
  return contains(log, Buffer.from(entry + requestId, 'hex'))
}

test('a cluster is upgraded one process after the other under load, one broker goes back, and nothing is lost, doubled or reordered', async () => {
  const [previous, current] = [previousBuild(), currentBuild()]
  expect(previous.version).not.toBe(current.version)
  const running = await MixedCluster.start(previous, POSTGRES_URL)
  cluster = running
  const { api } = running
  const [writeManagerA, writeManagerB] = running.writeManagers
  const [readManagerA, readManagerB] = running.readManagers

  // The version before, alone.
  await api.must('POST', '/topics', { name: TOPIC, partitions: PARTITIONS })
  const busy = await MixedLoad.start(api, TOPIC)
  load = busy
  const producer_id = await api.registerProducer('once')
  const once = { producer_id, topic_name: 'once', message: 'once', message_id: 'the only one' }
  const first = await api.must('POST', '/producer/produce', once)
  await movesOn(busy, await ledBy(running, busy, previous))

  // Half of the managers, the load balancer, and a broker; the others are of the version before.
  for (const process of [writeManagerA!, readManagerA!, running.loadBalancer])
    await running.replace(process, current)
  await movesOn(busy, await ledBy(running, busy, previous))
  await running.replace(running.broker(1), current)
  await movesOn(busy, await ledBy(running, busy, previous, current))
  await everyCall(running, 'one-of-three')
  expect(await api.must('POST', '/producer/produce', once)).toMatchObject({
    offset: first['offset'],
    duplicate: true,
  })

  // Most are new; what came with the new level is refused while one broker does not know it.
  await running.replace(running.broker(2), current)
  await movesOn(busy, await ledBy(running, busy, previous, current))
  await everyCall(running, 'two-of-three')
  const early = await api.raw('PATCH', '/settings', JSON.stringify({ feature_level: NEW_LEVEL }))
  expect(early.body).toMatchObject({ code: 'UNSUPPORTED_VERSION', field: 'feature_level', outcome: 'no' })
  expect(early.body['message']).toContain('broker 3')

  // One goes back, on a log and a database that the new version wrote to, and leads again.
  await running.replace(running.broker(2), previous)
  await movesOn(busy, await ledBy(running, busy, previous, current))
  await everyCall(running, 'one-went-back')
  const migrations = await running.query<{ name: string }>(2, 'SELECT name FROM kysely_migration')
  expect(migrations.map(({ name }) => name)).toContain('0016_incompatible_migrations')

  // All new, at the level of before.
  for (const process of [running.broker(2), running.broker(3), writeManagerB!, readManagerB!])
    await running.replace(process, current)
  await movesOn(busy, await ledBy(running, busy, current))
  expect((await api.get('/settings')).body['feature_level']).toBe(OLD_LEVEL)
  const lookedAt = await api.registerProducer('looked-at')
  const consumerId = await api.registerConsumer('looked-at')
  await api.must('POST', '/producer/produce', {
    producer_id: lookedAt,
    topic_name: 'looked-at',
    messages: ['a', 'b'].map((message) => ({ message })),
  })
  const inEveryLog = (grant: Parameters<typeof isInLog>[2]): Promise<void> =>
    until(
      () => [1, 2, 3].every((id) => isInLog(running, id, grant)),
      60_000,
      () => `not every log has ${JSON.stringify(grant)}`,
    )
  const [wide, compact] = ['a1'.repeat(16), 'b2'.repeat(16)]
  await consumeAs(running, consumerId, wide)
  await inEveryLog({ level: OLD_LEVEL, consumerId, requestId: wide })

  // The new level.
  const raised = await api.raw('PATCH', '/settings', JSON.stringify({ feature_level: NEW_LEVEL }))
  expect(raised.body).toMatchObject({ status: 'success', feature_level: NEW_LEVEL })
  await until(
    async () => {
      const levels = await Promise.all(
        [1, 2, 3].map(async (id) => (await running.statusOf(id))['featureLevel']),
      )
      return levels.every((level) => level === NEW_LEVEL)
    },
    60_000,
    () => 'not every broker has noted the level',
  )
  await consumeAs(running, consumerId, compact)
  await inEveryLog({ level: NEW_LEVEL, consumerId, requestId: compact })
  await movesOn(busy, await ledBy(running, busy, current))
  await everyCall(running, 'raised')
  expect(await api.must('POST', '/producer/produce', once)).toMatchObject({
    offset: first['offset'],
    duplicate: true,
  })

  // From here on there is no way back: it is refused before it changes anything.
  await running.broker(3).stop()
  const state = async (): Promise<unknown> => ({
    files: fingerprint(running.directoryOf(3)),
    tables: await running.query(3, 'SELECT * FROM partition_state ORDER BY 1'),
    migrations: await running.query(3, 'SELECT name FROM kysely_migration ORDER BY 1'),
  })
  const before = await state()
  expect(await running.broker(3).runToEnd(previous)).toBe(1)
  for (const text of [
    'UNSUPPORTED_VERSION',
    `at feature level ${NEW_LEVEL}, as version ${current.version} noted`,
    `version ${previous.version} runs in levels 1 to ${OLD_LEVEL}`,
    `start version ${current.version} or a later one`,
    'nothing was changed',
  ])
    expect(running.broker(3).output).toContain(text)
  expect(await state()).toEqual(before)
  await running.broker(3).start(current)
  await movesOn(busy, await ledBy(running, busy, current))

  expect(await busy.finish()).toEqual([])
  expect(busy.acknowledged).toBeGreaterThan(1000)
  expect(busy.delivered).toEqual([busy.acknowledged, busy.acknowledged])
  for (const id of [1, 2, 3])
    await until(
      async () => {
        const [row] = await running.query<{ count: string }>(
          id,
          `SELECT count(*) FROM messages WHERE topic = '${TOPIC}'`,
        )
        return Number(row!.count) === busy.acknowledged
      },
      60_000,
      () => `the database of broker ${id} has not ${busy.acknowledged} messages`,
    )
}, 400_000)
