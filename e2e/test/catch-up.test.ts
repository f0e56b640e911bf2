import { readdir, readFile } from 'node:fs/promises'
import path from 'node:path'
import { afterEach, expect, test } from '@jest/globals'
import { acknowledgedInEachDatabase } from '../src/databases.js'
import { LocalCluster, until } from '../src/index.js'

let cluster: LocalCluster | undefined

afterEach(async () => {
  await cluster?.destroy()
  cluster = undefined
}, 30_000)

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
      30_000,
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
}, 120_000)
