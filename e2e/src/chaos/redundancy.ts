import type { RecoveryView } from '@sluice/contracts'
import { until } from '../local-cluster.js'
import type { ChaosCluster } from './chaos-cluster.js'
import type { Violation } from './history.js'

/** Of every partition: one that was made while a broker was dead gets its third when that is back. */
const REPLICAS = 3

/**
 * Waits until every partition has a leader and all its replicas, each as a voter that knows everything committed
 * that any of them knew at first: a copy that is silently missing is seen only when the next broker fails.
 */
export async function awaitRedundancy(
  cluster: ChaosCluster,
  limitMs: number,
  after: string,
): Promise<readonly Violation[]> {
  const goals = new Map<string, number>()
  let missing: readonly string[] = ['nobody was asked']
  try {
    await until(
      async () => {
        const views = await cluster.recoveryViews()
        missing = missingCopies(views, goals)
        return missing.length === 0
      },
      limitMs,
      () => '',
    )
    return []
  } catch {
    const detail = `after ${after}, and ${limitMs} ms: ${missing.slice(0, 8).join('; ')}`
    return [{ check: 'redundancy', detail }]
  }
}

/**
 * What a partition lacks, as the brokers tell it themselves.
 * @param goals of each partition, the commit index that all are to know; noted at the first sight
 */
export function missingCopies(
  views: readonly (RecoveryView | undefined)[],
  goals: Map<string, number>,
): readonly string[] {
  const answered = views.flatMap((view) => view ?? [])
  if (answered.length < views.length) return [`${views.length - answered.length} brokers do not answer`]
  // Who follows the metadata may be a little behind: what any of them knows is to be there.
  const placed = new Map(answered.flatMap(({ partitions }) => partitions.map((one) => [one.name, one])))
  const missing: string[] = []
  for (const { name, replicas } of placed.values()) {
    if (replicas.length < REPLICAS) missing.push(`${name} has replicas on ${replicas.join(', ')} only`)
    const groups = answered.flatMap(({ broker_id: id, groups: all }) =>
      replicas.includes(id) ? all.flatMap((group) => (group.name === name ? [{ id, group }] : [])) : [],
    )
    const goal = goals.get(name) ?? Math.max(0, ...groups.map(({ group }) => group.commit))
    goals.set(name, goal)
    for (const id of replicas) {
      const group = groups.find((one) => one.id === id)?.group
      if (group === undefined) missing.push(`${name} is not open on broker ${id}`)
      else if (group.unfit !== null) missing.push(`${name} on broker ${id}: ${group.unfit}`)
      else if (group.leader === 0) missing.push(`broker ${id} knows no leader of ${name}`)
      else if (group.commit < goal)
        missing.push(`broker ${id} knows ${name} up to ${group.commit}, not to ${goal}`)
      else if (group.learners.length + group.voters_outgoing.length > 0 || !isSame(group.voters, replicas))
        missing.push(
          `${name} has voters ${group.voters.join(', ')} on broker ${id}, not ${replicas.join(', ')}`,
        )
    }
  }
  return missing
}

function isSame(a: readonly number[], b: readonly number[]): boolean {
  return a.length === b.length && a.every((id) => b.includes(id))
}
