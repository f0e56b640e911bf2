import { messageOf, SeededRandom } from '@sluice/foundation'
import { ChaosCluster } from '../chaos/chaos-cluster.js'
import { checkCopies } from '../chaos/check-copies.js'
import { checkLosses } from '../chaos/check-losses.js'
import { checkOrder } from '../chaos/check-order.js'
import { checkReplicas } from '../chaos/check-replicas.js'
import { awaitConvergence, drain } from '../chaos/drain.js'
import type { SentMessage, Violation } from '../chaos/history.js'

/** What one drill found. */
export interface DrillResult {
  readonly title: string
  /** Goals that were missed. */
  readonly missed: readonly string[]
  readonly violations: readonly Violation[]
  /** Markdown. */
  readonly text: string
}

export interface DrillContext {
  readonly brokers: number
  readonly say: (text: string) => void
  readonly stop: AbortSignal
}

const REPLICATION_FACTOR = 3
const CONVERGENCE_LIMIT_MS = 90_000

/** A cluster as `npm start` runs it, with nothing of the suite's between its processes, that lives for one drill. */
export async function withDrillCluster<T>(
  brokers: number,
  run: (cluster: ChaosCluster) => Promise<T>,
): Promise<T> {
  const cluster = await ChaosCluster.start({
    brokers,
    random: new SeededRandom(1),
    hasSmallDisk: false,
    mutant: '',
    isBare: true,
    // A topic that grows would move keys to other partitions while one is watched.
    env: { SLUICE_PARTITION_MESSAGES_MAX: '10000000' },
  })
  try {
    return await run(cluster)
  } finally {
    await cluster.destroy()
  }
}

/** Nothing lost, doubled or reordered, and everything in every database. */
export async function judgeMessages(
  cluster: ChaosCluster,
  sent: readonly SentMessage[],
): Promise<readonly Violation[]> {
  const violations = [...(await awaitConvergence(cluster, CONVERGENCE_LIMIT_MS))]
  try {
    const contents = await drain(cluster)
    violations.push(
      ...checkLosses(sent, contents),
      ...checkCopies(sent, contents),
      ...checkReplicas(contents, REPLICATION_FACTOR),
      ...checkOrder(sent),
    )
  } catch (error) {
    violations.push({ check: 'recovery', detail: `the replicas cannot be read: ${messageOf(error)}` })
  }
  return violations
}
