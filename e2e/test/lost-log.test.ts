import { readdir, readFile, rm, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { afterEach, expect, test } from '@jest/globals'
import { acknowledgedInEachDatabase } from '../src/databases.js'
import { type ClusterProcess, LocalCluster, until } from '../src/index.js'

let cluster: LocalCluster | undefined

afterEach(async () => {
  await cluster?.destroy()
  cluster = undefined
})

const MESSAGES_A_CALL = 20

interface Status {
  readonly lostLog: { readonly lost: string; readonly groups: number } | null
}

async function statusOf(broker: ClusterProcess): Promise<Status> {
  const response = await fetch(`http://127.0.0.1:${broker.port}/status`)
  return (await response.json()) as Status
}

/** The newest segment, changed. */
async function changeLog(directory: string, change: (bytes: Buffer, end: number) => Buffer): Promise<void> {
  const names = (await readdir(directory)).filter((name) => name.endsWith('.seg')).sort()
  const file = path.join(directory, names.at(-1)!)
  const bytes = await readFile(file)
  let end = bytes.length
  while (end > 0 && bytes[end - 1] === 0) end--
  await writeFile(file, change(bytes, end))
}

/** One after the other without a pause. @returns how many */
async function makeTopics({ api }: LocalCluster, stop: AbortSignal): Promise<number> {
  let count = 0
  for (; !stop.aborted; count++) await api.must('POST', '/topics', { topic_name: `meanwhile-${count}` })
  return count
}

const DAMAGES: readonly { readonly name: string; readonly damage: (directory: string) => Promise<void> }[] = [
  {
    name: 'has a flipped bit',
    damage: (directory) =>
      changeLog(directory, (bytes, end) => {
        bytes[end >> 1]! ^= 4
        return bytes
      }),
  },
  {
    name: 'lost its end',
    damage: (directory) => changeLog(directory, (bytes, end) => bytes.subarray(0, end - 1500)),
  },
  { name: 'is gone', damage: (directory) => rm(directory, { recursive: true }) },
]

test.each(DAMAGES)(
  'a broker whose log $name is told by the others what it may have forgotten, and votes again',
  async ({ damage }) => {
    cluster = await LocalCluster.start({ env: { SLUICE_RESTART_DELAY_MS: '2500' } })
    const running = cluster
    const producer = await running.api.registerProducer('lost')
    let sent = 0
    const produce = async (): Promise<void> => {
      await running.api.must('POST', '/producer/produce', {
        producer_id: producer,
        topic_name: 'lost',
        messages: Array.from({ length: MESSAGES_A_CALL }, () => `message ${sent++}`),
      })
    }
    for (let i = 0; i < 40; i++) await produce()
    const damaged = await running.leaderOf('lost.1')
    const directory = path.join(running.dataDirectory, `broker-${damaged.id}`, 'log')
    running.kill(damaged)
    await until(
      () => running.processes().every(({ pid }) => pid !== damaged.pid),
      60_000,
      () => 'it lives',
    )
    await damage(directory)
    // Partitions that are made meanwhile are nobody's to remember, and must not keep the broker from coming to an end.
    const grown = new AbortController()
    const growing = makeTopics(running, grown.signal)
    for (let i = 0; i < 10; i++) await produce()
    const again = (): ClusterProcess =>
      running.processes().find(({ kind, id }) => kind === 'broker' && id === damaged.id)!
    await until(
      async () => (await statusOf(again())).lostLog === null,
      60_000,
      () => `the broker has not recovered:\n${running.output.slice(-3000)}`,
    )
    grown.abort()
    expect(await growing).toBeGreaterThan(0)
    const log = await readFile(path.join(running.dataDirectory, 'logs', `broker-${damaged.id}.log`), 'utf8')
    expect(log).toContain('the log has lost what was durable')
    expect(log).toContain('everything that the log had lost is here again')
    expect(await acknowledgedInEachDatabase(running, ['lost'], sent)).toEqual([sent, sent, sent])

    // Its vote is needed, and its copy of everything: one of the others dies.
    const leader = await running.leaderOf('lost.1')
    const other = running
      .processes()
      .find(({ kind, id }) => kind === 'broker' && id !== damaged.id && id !== leader.id)!
    running.kill(leader.id === damaged.id ? other : leader)
    await until(
      () => produce().then(() => true),
      60_000,
      () => 'nothing is taken without the other broker',
    )
    await acknowledgedInEachDatabase(running, ['lost'], sent)
  },
)
