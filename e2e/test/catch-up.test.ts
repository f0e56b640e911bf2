import { readdir, readFile } from 'node:fs/promises'
import path from 'node:path'
import { afterEach, expect, test } from '@jest/globals'
import { acknowledgedInEachDatabase } from '../src/databases.js'
import { Api } from '../src/api.js'
import { LocalCluster, until } from '../src/index.js'
import type { ClusterProcess } from '../src/local-cluster.js'

let cluster: LocalCluster | undefined

afterEach(async () => {
  await cluster?.destroy()
  cluster = undefined
})

const MIB = 1024 * 1024
const MESSAGE = 'x'.repeat(4000)
const CALLS = 500
const MESSAGES_A_CALL = 10

async function segmentsOf(running: LocalCluster, brokerId: number): Promise<string[]> {
  const names = await readdir(path.join(running.dataDirectory, `broker-${brokerId}`, 'log'))
  return names.filter((name) => name.endsWith('.seg')).sort()
}

test('a broker that was away for longer than the log is kept gets a snapshot, and everything since', async () => {
  cluster = await LocalCluster.start({
    env: { BROKER_LOG_SEGMENT_BYTES: String(MIB), BROKER_LOG_BYTES: String(2 * MIB) },
  })
  const running = cluster
  const producer = await running.api.registerProducer('away')
  const produce = (text: string): Promise<unknown> =>
    running.api.must('POST', '/producer/produce', {
      producer_id: producer,
      topic_name: 'away',
      messages: Array.from({ length: MESSAGES_A_CALL }, (_, i) => `${text}-${i} ${MESSAGE}`),
    })
  await produce('before')
  const leader = await running.leaderOf('away.1')
  const absent = running.processes().find(({ kind, id }) => kind === 'broker' && id !== leader.id)!
  process.kill(absent.pid, 'SIGSTOP')
  try {
    for (let i = 0; i < CALLS; i++) await produce(`${i}`)
    const first = (await segmentsOf(running, absent.id)).at(-1)!
    await until(
      async () => (await segmentsOf(running, leader.id))[0]! > first,
      60_000,
      () => 'the leader keeps its log although it has grown past its bound',
    )
  } finally {
    process.kill(absent.pid, 'SIGCONT')
  }
  await produce('after')
  const expected = (CALLS + 2) * MESSAGES_A_CALL
  expect(await acknowledgedInEachDatabase(running, ['away'], expected)).toEqual([
    expected,
    expected,
    expected,
  ])
  const log = await readFile(path.join(running.dataDirectory, 'logs', `broker-${absent.id}.log`), 'utf8')
  expect(log).toContain('took a snapshot of a partition')
  await produce('and on')
  await acknowledgedInEachDatabase(running, ['away'], expected + MESSAGES_A_CALL)
})

interface CatchUp {
  readonly batches: number
  readonly bytes: number
}

async function catchUpOf(port: number): Promise<CatchUp> {
  const api = new Api(port)
  try {
    return (await api.must('GET', '/status'))['catch_up'] as CatchUp
  } finally {
    api.close()
  }
}

test('catching up goes on where it was, whichever side is killed in the middle, and brings nothing twice', async () => {
  cluster = await LocalCluster.start({
    env: { BROKER_LOG_SEGMENT_BYTES: String(MIB), BROKER_LOG_BYTES: String(2 * MIB) },
  })
  const running = cluster
  const producer = await running.api.registerProducer('away')
  const produce = (text: string): Promise<unknown> =>
    running.api.must('POST', '/producer/produce', {
      producer_id: producer,
      topic_name: 'away',
      messages: Array.from({ length: 20 }, (_, i) => `${text}-${i} ${MESSAGE}`),
    })
  await produce('before')
  const leader = await running.leaderOf('away.1')
  const absent = running.processes().find(({ kind, id }) => kind === 'broker' && id !== leader.id)!
  const lives: CatchUp[] = []
  /** Kills a broker when the one that was away has got so much since it was started. */
  const killAt = async (
    bytes: number,
    victim: () => Promise<ClusterProcess> | ClusterProcess,
  ): Promise<void> => {
    let seen: CatchUp | undefined
    await until(
      async () => {
        const { port } = running.processes().find(({ kind, id }) => kind === 'broker' && id === absent.id)!
        seen = await catchUpOf(port)
        return seen.bytes >= bytes
      },
      60_000,
      () => `the broker that was away has got ${seen?.bytes ?? 0} bytes`,
    )
    lives.push(seen!)
    running.kill(await victim())
  }
  process.kill(running.supervisorPid, 'SIGSTOP')
  try {
    running.kill(absent)
    for (let i = 0; i < 2 * CALLS; i += 10)
      await Promise.all(Array.from({ length: 10 }, (_, j) => produce(`${i + j}`)))
    const first = (await segmentsOf(running, absent.id)).at(-1)!
    await until(
      async () => (await segmentsOf(running, leader.id))[0]! > first,
      60_000,
      () => 'the leader keeps its log although it has grown past its bound',
    )
  } finally {
    process.kill(running.supervisorPid, 'SIGCONT')
  }
  await killAt(8 * MIB, () =>
    running.processes().find(({ kind, id }) => kind === 'broker' && id === absent.id)!,
  )
  await killAt(8 * MIB, () => running.leaderOf('away.1'))
  const expected = (2 * CALLS + 1) * 20
  expect(await acknowledgedInEachDatabase(running, ['away'], expected)).toEqual([
    expected,
    expected,
    expected,
  ])
  const { port } = running.processes().find(({ kind, id }) => kind === 'broker' && id === absent.id)!
  const last = await catchUpOf(port)
  expect(lives[0]!.batches).toBeGreaterThan(0)
  expect(lives[0]!.batches + last.batches).toBeLessThanOrEqual(2 * CALLS)
  expect(lives[1]!.batches).toBeLessThan(last.batches)
})
