import { setTimeout as sleep } from 'node:timers/promises'
import { LocalCluster, until } from '@sluice/e2e'
import {
  type BrokerProcess,
  databaseUrl,
  findCluster,
  type PartitionStatus,
  partitionsOf,
  type RunningCluster,
} from './cluster.js'
import { type FedTopic, withTopic } from './fed-topic.js'
import { Feed } from './feed.js'
import { readDatabase } from './read-database.js'

export interface CatchUpOptions {
  /** How what was missed comes: from the others' logs, or in a snapshot because their logs are gone. */
  readonly by: 'log' | 'snapshot'
  /** Messages that are produced while the broker is away. */
  readonly missed: number
  /** Messages a second that are offered, all the time. */
  readonly rate: number
  readonly batchMessages: number
  readonly messageBytes: number
  readonly partitions: number
}

export interface CatchUpResult {
  /** From its start on. */
  readonly seconds: number
  /** Messages acknowledged a second: with all brokers, and while one catches up. */
  readonly rateBefore: number
  readonly rateDuring: number
  readonly missed: number
  /** Messages that its database has in the end, and those that were acknowledged. */
  readonly stored: number
  readonly acknowledged: number
  readonly failed: number
}

const WARM_UP_MS = 5000
const MEASURED_MS = 10_000
const LOOK_MS = 100
/** So far behind is a broker that was never away. */
const BEHIND_MS_MAX = 1000
const LIMIT_MS = 180_000
/** Shorter than what is missed, longer than what comes while a snapshot is sent. */
const SHORT_LOG = { BROKER_LOG_SEGMENT_BYTES: String(1024 ** 2), BROKER_LOG_BYTES: String(8 * 1024 ** 2) }

/**
 * Kills a broker of a cluster of its own, starts it again when it has missed enough, and measures how long it
 * takes until its database has what the others have, while messages keep coming.
 */
export async function measureCatchUp(options: CatchUpOptions): Promise<CatchUpResult> {
  const local = await LocalCluster.start(options.by === 'snapshot' ? { env: SHORT_LOG } : {})
  try {
    const cluster = findCluster(local.dataDirectory)
    return await withTopic(cluster, options.partitions, async (topic) => {
      const { groupIds } = topic
      const feed = new Feed(topic.client, { groupIds, ...options })
      const fed = feed.run()
      try {
        return await measure({ local, cluster, topic, feed, fed, options })
      } finally {
        feed.stop()
        await fed
      }
    })
  } finally {
    await local.destroy()
  }
}

async function measure(run: {
  readonly local: LocalCluster
  readonly cluster: RunningCluster
  readonly topic: FedTopic
  readonly feed: Feed
  readonly fed: Promise<void>
  readonly options: CatchUpOptions
}): Promise<CatchUpResult> {
  const { local, cluster, feed, fed, options } = run
  const { topic, groupIds } = run.topic
  const away = cluster.brokers.at(-1)!
  const others = cluster.brokers.filter((broker) => broker !== away)
  await sleep(WARM_UP_MS)
  const before = await paceOf(feed, () => sleep(MEASURED_MS))

  const atKill = feed.acknowledged
  const left = await partitionsOf(away.port, topic)
  // Else it would start the broker again at once.
  process.kill(local.supervisorPid, 'SIGSTOP')
  try {
    process.kill(away.pid, 'SIGKILL')
    await reached('messages that are missed', () => feed.acknowledged >= atKill + options.missed)
    if (options.by === 'snapshot')
      await reached('logs that are gone', async () => isLogGone(left, await statuses(others, topic)))
  } finally {
    process.kill(local.supervisorPid, 'SIGCONT')
  }

  const missed = feed.acknowledged - atKill
  const during = await paceOf(feed, () => caughtUp(away, others, topic))
  feed.stop()
  await fed
  await reached('everything in its database', async () => {
    const own = await partitionsOf(away.port, topic)
    const stored = own.reduce((sum, { materialised }) => sum + materialised, 0)
    return stored >= feed.acknowledged && own.every(({ materialised, end }) => materialised === end)
  })
  const read = await readDatabase(databaseUrl(cluster, away.id), groupIds, Number.POSITIVE_INFINITY)
  const { acknowledged, failed } = feed
  return {
    seconds: during.seconds,
    rateBefore: before.perSecond,
    rateDuring: during.perSecond,
    missed,
    stored: read.messages,
    acknowledged,
    failed,
  }
}

async function paceOf(
  feed: Feed,
  wait: () => Promise<unknown>,
): Promise<{ readonly seconds: number; readonly perSecond: number }> {
  const began = performance.now()
  const first = feed.acknowledged
  await wait()
  const seconds = (performance.now() - began) / 1000
  return { seconds, perSecond: (feed.acknowledged - first) / seconds }
}

/** Resolves when the broker's database has what the others had a moment ago, of every partition. */
async function caughtUp(away: BrokerProcess, others: readonly BrokerProcess[], topic: string): Promise<void> {
  let seen: { readonly at: number; readonly ends: ReadonlyMap<string, number> }[] = []
  await reached('the end of catching up', async () => {
    seen.push({ at: performance.now(), ends: endsOf(await statuses(others, topic)) })
    const due = seen.findLast(({ at }) => at < performance.now() - BEHIND_MS_MAX)
    if (due === undefined) return false
    seen = seen.filter(({ at }) => at >= due.at)
    const own = new Map((await partitionsOf(away.port, topic)).map((one) => [one.name, one.materialised]))
    return [...due.ends].every(([name, end]) => (own.get(name) ?? 0) >= end)
  })
}

async function statuses(
  brokers: readonly BrokerProcess[],
  topic: string,
): Promise<readonly PartitionStatus[]> {
  return (await Promise.all(brokers.map(({ port }) => partitionsOf(port, topic)))).flat()
}

function endsOf(all: readonly PartitionStatus[]): ReadonlyMap<string, number> {
  const ends = new Map<string, number>()
  for (const { name, end } of all) ends.set(name, Math.max(ends.get(name) ?? 0, end))
  return ends
}

/** Nobody's log goes back to where the broker left. */
function isLogGone(left: readonly PartitionStatus[], now: readonly PartitionStatus[]): boolean {
  const applied = new Map(left.map((one) => [one.name, one.applied]))
  return now.every(({ name, compacted }) => compacted > (applied.get(name) ?? 0))
}

function reached(what: string, probe: () => boolean | Promise<boolean>): Promise<void> {
  return until(
    async () => {
      await sleep(LOOK_MS)
      return probe()
    },
    LIMIT_MS,
    () => `after ${LIMIT_MS / 1000} s there is not yet what was waited for: ${what}`,
  )
}
