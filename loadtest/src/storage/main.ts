import { ClusterClient } from '@sluice/client'
import type { GroupId } from '@sluice/domain'
import { entropy, messageOf, systemClock } from '@sluice/foundation'
import { Command, InvalidArgumentError } from 'commander'
import { pino } from 'pino'
import { findCluster, type RunningCluster, sample, type Sample } from './cluster.js'
import { Feed } from './feed.js'
import { readDatabase } from './read-database.js'

interface Flags {
  readonly dataDir: string
  readonly rate: number
  readonly messages: number
  readonly messageBytes: number
  readonly batch: number
  readonly partitions: number
  readonly readBack: number
}

const SAMPLE_MS = 1000
const SETTLE_LIMIT_MS = 120_000
const CREATE_TIMEOUT_MS = 60_000

const program = new Command('storage')
  .description(
    'Feeds a cluster that runs on this machine at a steady rate, shows how far the databases are behind and what memory the brokers take, and reads messages back from PostgreSQL.',
  )
  .option('--data-dir <path>', 'data directory of the cluster', './.sluice')
  .option('--rate <number>', 'messages a second', positive, 50_000)
  .option('--messages <number>', 'messages in all', positive, 1_500_000)
  .option('--message-bytes <number>', 'size of a message', positive, 100)
  .option('--batch <number>', 'messages in a batch', positive, 100)
  .option('--partitions <number>', 'partitions of the topic', positive, 6)
  .option('--read-back <number>', 'messages to read back from a database', positive, 1_000_000)

try {
  await run(program.parse().opts<Flags>())
} catch (error) {
  process.stderr.write(`The load test ended early: ${messageOf(error)}\n`)
  process.exitCode = 1
}

async function run(flags: Flags): Promise<void> {
  const cluster = findCluster(flags.dataDir)
  const client = new ClusterClient({
    clusterId: cluster.clusterId,
    nodeId: `write-manager-load-${process.pid}`,
    seeds: cluster.brokers.map(({ port }) => ({ host: '127.0.0.1', port })),
    clock: systemClock,
    random: entropy(),
    logger: pino({ level: 'silent' }),
  })
  client.start()
  try {
    await client.metadata.refresh()
    const topic = `load-${systemClock.now().toString(36)}`
    const groupIds = await createTopic(client, topic, flags.partitions)
    await report(cluster, { client, topic, groupIds, flags })
  } finally {
    await client.close()
  }
}

async function createTopic(
  client: ClusterClient,
  topic: string,
  partitions: number,
): Promise<readonly GroupId[]> {
  await client.metadata.propose(
    { kind: 'create-topic', at: systemClock.now(), topic, partitions },
    { timeoutMs: CREATE_TIMEOUT_MS },
  )
  return client.metadata.state.partitionsOf(topic).map(({ groupId }) => groupId)
}

async function report(
  cluster: RunningCluster,
  run: {
    readonly client: ClusterClient
    readonly topic: string
    readonly groupIds: readonly GroupId[]
    readonly flags: Flags
  },
): Promise<void> {
  const { client, topic, groupIds, flags } = run
  const feed = new Feed(client, {
    groupIds,
    rate: flags.rate,
    messages: flags.messages,
    batchMessages: flags.batch,
    messageBytes: flags.messageBytes,
  })
  say(
    `${flags.messages} messages of ${flags.messageBytes} B in batches of ${flags.batch}, ${flags.rate}/s, ${groupIds.length} partitions, ${cluster.brokers.length} brokers`,
  )
  say('seconds  acknowledged/s  acknowledged  behind in the slowest database  memory of the brokers, MB')
  const began = performance.now()
  const state = { done: false }
  const fed = feed.run().finally(() => (state.done = true))
  const samples: Sample[] = []
  let before = 0
  let doneAt: number | undefined
  for (;;) {
    await new Promise((resolve) => setTimeout(resolve, SAMPLE_MS))
    const now = await sample(cluster, topic)
    samples.push(now)
    const seconds = (performance.now() - began) / 1000
    const { acknowledged } = feed
    say(
      [
        seconds.toFixed(1).padStart(7),
        String(acknowledged - before).padStart(14),
        String(acknowledged).padStart(12),
        String(now.stored - now.materialised).padStart(30),
        now.residentMbAll.join(' ').padStart(25),
      ].join('  '),
    )
    before = acknowledged
    if (!state.done) continue
    doneAt ??= seconds
    if (now.stored === now.materialised && now.stored >= acknowledged) break
    if ((seconds - doneAt) * 1000 > SETTLE_LIMIT_MS) throw new Error('the databases do not catch up')
  }
  await fed
  const url = new URL(cluster.postgresUrl)
  url.pathname = `/sluice_broker_${cluster.brokers[0]!.id}`
  const read = await readDatabase(url.href, groupIds, flags.readBack)
  const lags = samples.map(({ stored, materialised }) => stored - materialised)
  say('')
  say(
    `acknowledged        ${feed.acknowledged}, ${Math.round(feed.acknowledged / doneAt)}/s; failed ${feed.failed} ${feed.firstFailure ?? ''}`,
  )
  say(
    `behind, at most     ${Math.max(...lags)} messages, ${(Math.max(...lags) / flags.rate).toFixed(2)} s of the rate`,
  )
  say(
    `in every database   ${((performance.now() - began) / 1000 - doneAt).toFixed(1)} s after the last acknowledgement, reading back included`,
  )
  say(`memory, at most     ${Math.max(...samples.map(({ residentMb }) => residentMb))} MB of one broker`)
  say(`read back           ${read.messages} messages from PostgreSQL, ${Math.round(read.perSecond)}/s`)
}

function say(text: string): void {
  process.stdout.write(`${text}\n`)
}

function positive(text: string): number {
  const value = Number(text)
  if (!Number.isSafeInteger(value) || value < 1) throw new InvalidArgumentError('a positive number')
  return value
}
