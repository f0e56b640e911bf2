import { delay } from '@sluice/foundation'
import { Api } from '../api.js'
import type { ChaosCluster } from '../chaos/chaos-cluster.js'
import { table } from '../chaos/report.js'
import { type DrillContext, type DrillResult, judgeMessages, withDrillCluster } from './drill.js'
import { FixedRate, type TimedCall } from './fixed-rate.js'

export interface DatabaseDrillOptions extends DrillContext {
  /** Whose PostgreSQL is stopped. */
  readonly scope: 'all' | 'one'
  readonly stopMs: number
  readonly perSecond: number
}

const TOPIC = 'databases'
const PARTITIONS = 6
const WARM_UP_MS = 3000
const AFTER_MS = 3000
const FINISH_LIMIT_MS = 60_000

/**
 * Messages at a fixed rate over all partitions while databases are down: they are behind the acknowledgement,
 * so no call may fail, and afterwards they must have everything.
 */
export async function drillDatabases(options: DatabaseDrillOptions): Promise<DrillResult> {
  return withDrillCluster(options.brokers, async (cluster) => {
    const { perSecond, scope, stopMs, say, stop } = options
    const api = new Api(...cluster.ports)
    const end = new AbortController()
    const giveUp = new AbortController()
    try {
      await api.must('POST', '/topics', { topic_name: TOPIC, partitions: PARTITIONS })
      const producerId = await api.registerProducer(TOPIC)
      const stream = new FixedRate({ api, topic: TOPIC, producerId, perSecond })
      const running = stream.run(end.signal, giveUp.signal)
      await delay(WARM_UP_MS, stop)
      const ids = scope === 'all' ? cluster.brokerIds : cluster.brokerIds.slice(0, 1)
      say(`PostgreSQL of ${scope === 'all' ? 'all brokers' : 'one broker'} is stopped`)
      const span = await stopDatabases(cluster, ids, stopMs, stop)
      say('PostgreSQL is started again')
      await delay(AFTER_MS, stop)
      end.abort(new Error('the drill is over'))
      const timer = setTimeout(() => giveUp.abort(new Error('too late')), FINISH_LIMIT_MS)
      await running
      clearTimeout(timer)
      const endedMs = performance.now()
      const violations = await judgeMessages(cluster, stream.sent)
      const caughtUpS = ((performance.now() - endedMs) / 1000).toFixed(1)
      const failed = stream.calls.filter(({ failedAttempts }) => failedAttempts > 0)
      say(`${stream.calls.length} calls, ${failed.length} failed`)
      return {
        title: `PostgreSQL of ${scope === 'all' ? 'every broker' : 'one broker'} is stopped`,
        missed:
          failed.length === 0
            ? []
            : [
                `${failed.length} produce calls failed while PostgreSQL of ${scope} was stopped: ${failed[0]!.failure}`,
              ],
        violations,
        text: [
          `${perSecond} messages a second over ${PARTITIONS} partitions; PostgreSQL of ${ids.length} of ${options.brokers} brokers is stopped for ${(stopMs / 1000).toFixed(0)} s. Times are from when a call was to be made to its answer. Everything was in the databases and read ${caughtUpS} s after the last call.`,
          tell(stream.calls, span),
        ].join('\n\n'),
      }
    } finally {
      end.abort(new Error('closed'))
      giveUp.abort(new Error('closed'))
      api.close()
    }
  })
}

interface Span {
  readonly fromMs: number
  readonly toMs: number
}

async function stopDatabases(
  { databases }: ChaosCluster,
  ids: readonly number[],
  stopMs: number,
  stop: AbortSignal,
): Promise<Span> {
  const fromMs = performance.now()
  await Promise.all(ids.map((id) => databases.stopOne(id)))
  await delay(stopMs, stop)
  await Promise.all(ids.map((id) => databases.startOne(id)))
  return { fromMs, toMs: performance.now() }
}

function tell(calls: readonly TimedCall[], { fromMs, toMs }: Span): string {
  const row = (name: string, some: readonly TimedCall[]): readonly string[] => [
    name,
    String(some.length),
    String(some.filter(({ failedAttempts }) => failedAttempts > 0).length),
    String(some.reduce((sum, { failedAttempts }) => sum + failedAttempts, 0)),
    ...[0.5, 0.99, 1].map((share) => quantile(some, share).toFixed(0)),
  ]
  return table(
    ['when', 'calls', 'calls that failed', 'attempts that failed', 'median ms', 'p99 ms', 'longest ms'],
    [
      row(
        'before',
        calls.filter(({ dueMs }) => dueMs < fromMs),
      ),
      row(
        'while stopped',
        calls.filter(({ dueMs }) => dueMs >= fromMs && dueMs < toMs),
      ),
      row(
        'after',
        calls.filter(({ dueMs }) => dueMs >= toMs),
      ),
    ],
  )
}

/** The nearest rank; 0 of nothing. */
export function quantile(calls: readonly Pick<TimedCall, 'latencyMs'>[], share: number): number {
  const sorted = calls.map(({ latencyMs }) => latencyMs).sort((a, b) => a - b)
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? 0
}
