import { messageOf } from '@sluice/foundation'
import { Command, InvalidArgumentError, Option } from 'commander'
import { measureCatchUp } from './catch-up.js'
import { catchUpReport } from './catch-up-report.js'
import { databaseUrl, findCluster, type RunningCluster, sample, type Sample } from './cluster.js'
import { type FedTopic, withTopic } from './fed-topic.js'
import { Feed } from './feed.js'
import { readDatabase } from './read-database.js'

interface Flags {
  readonly dataDir: string
  readonly rate?: number
  readonly messages: number
  readonly messageBytes: number
  readonly batch: number
  readonly partitions: number
  readonly readBack: number
  readonly catchUp?: 'log' | 'snapshot' | true
  readonly missed: number
}

const SAMPLE_MS = 1000
const SETTLE_LIMIT_MS = 120_000
/** What two cores have room for beside a broker that catches up. */
const CATCH_UP_RATE = 20_000
const STEADY_RATE = 50_000

const program = new Command('storage')
  .description(
    'Feeds a cluster that runs on this machine at a steady rate, shows how far the databases are behind and what memory the brokers take, and reads messages back from PostgreSQL.',
  )
  .option('--data-dir <path>', 'data directory of the cluster', './.sluice')
  .option(
    '--rate <number>',
    `messages a second (default: ${STEADY_RATE}, with --catch-up ${CATCH_UP_RATE})`,
    positive,
  )
  .option('--messages <number>', 'messages in all', positive, 1_500_000)
  .option('--message-bytes <number>', 'size of a message', positive, 100)
  .option('--batch <number>', 'messages in a batch', positive, 100)
  .option('--partitions <number>', 'partitions of the topic', positive, 6)
  .option('--read-back <number>', 'messages to read back from a database', positive, 1_000_000)
  .addOption(
    new Option(
      '--catch-up [way]',
      'starts a cluster of its own and measures how a broker that was away catches up, one way or both',
    ).choices(['log', 'snapshot']),
  )
  .option('--missed <number>', 'with --catch-up: messages that it misses', positive, 200_000)

try {
  const flags = program.parse().opts<Flags>()
  if (flags.catchUp !== undefined) await catchUp(flags)
  else await run(flags)
} catch (error) {
  process.stderr.write(`The load test ended early: ${messageOf(error)}\n`)
  process.exitCode = 1
}

async function catchUp(flags: Flags): Promise<void> {
  const { rate = CATCH_UP_RATE, batch: batchMessages, messageBytes, partitions, missed } = flags
  say(
    `${missed} messages of ${messageBytes} B in batches of ${batchMessages} are missed; ${rate}/s are offered`,
  )
  let isMissed = false
  const ways = flags.catchUp === true ? (['log', 'snapshot'] as const) : [flags.catchUp!]
  for (const by of ways) {
    const result = await measureCatchUp({ by, missed, rate, batchMessages, messageBytes, partitions })
    const { text, goalsMet } = catchUpReport(by, result)
    say(text)
    isMissed ||= !goalsMet
  }
  if (isMissed) process.exitCode = 1
}

async function run(flags: Flags): Promise<void> {
  const cluster = findCluster(flags.dataDir)
  await withTopic(cluster, flags.partitions, (topic) => report(cluster, topic, flags))
}

async function report(cluster: RunningCluster, fed: FedTopic, flags: Flags): Promise<void> {
  const { client, topic, groupIds } = fed
  const { rate = STEADY_RATE } = flags
  const feed = new Feed(client, {
    groupIds,
    rate,
    messages: flags.messages,
    batchMessages: flags.batch,
    messageBytes: flags.messageBytes,
  })
  say(
    `${flags.messages} messages of ${flags.messageBytes} B in batches of ${flags.batch}, ${rate}/s, ${groupIds.length} partitions, ${cluster.brokers.length} brokers`,
  )
  say('seconds  acknowledged/s  acknowledged  behind in the slowest database  memory of the brokers, MB')
  const began = performance.now()
  const elapsed = (): number => (performance.now() - began) / 1000
  const state: { doneAt?: number } = {}
  const feeding = feed.run().finally(() => (state.doneAt = elapsed()))
  const samples: Sample[] = []
  let before = 0
  for (;;) {
    await new Promise((resolve) => setTimeout(resolve, SAMPLE_MS))
    const now = await sample(cluster, topic)
    samples.push(now)
    const { acknowledged } = feed
    say(
      [
        elapsed().toFixed(1).padStart(7),
        String(acknowledged - before).padStart(14),
        String(acknowledged).padStart(12),
        String(now.stored - now.materialised).padStart(30),
        now.residentMbAll.join(' ').padStart(25),
      ].join('  '),
    )
    before = acknowledged
    if (state.doneAt === undefined) continue
    if (now.stored === now.materialised && now.stored >= acknowledged) break
    if ((elapsed() - state.doneAt) * 1000 > SETTLE_LIMIT_MS) throw new Error('the databases do not catch up')
  }
  await feeding
  const doneAt = state.doneAt
  const settledAfter = elapsed() - doneAt
  const read = await readDatabase(databaseUrl(cluster, cluster.brokers[0]!.id), groupIds, flags.readBack)
  const lags = samples.map(({ stored, materialised }) => stored - materialised)
  say('')
  say(
    `acknowledged        ${feed.acknowledged}, ${Math.round(feed.acknowledged / doneAt)}/s; failed ${feed.failed} ${feed.firstFailure ?? ''}`,
  )
  say(
    `behind, at most     ${Math.max(...lags)} messages, ${(Math.max(...lags) / rate).toFixed(2)} s of the rate`,
  )
  say(`in every database   ${settledAfter.toFixed(1)} s after the last acknowledgement`)
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
