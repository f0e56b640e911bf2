import { topicOf } from './check-copies.js'
import type { Contents, History, Violation } from './history.js'

/**
 * A log starts behind its first message only where the topic says so, at the same offset on every replica, and
 * with at least as many messages left as the topic keeps.
 */
export function checkRetention(kept: History['kept'], { replicas }: Contents): readonly Violation[] {
  const violations: Violation[] = []
  const first = new Map<string, { readonly brokerId: number; readonly start: number }>()
  for (const { brokerId, partitions, starts } of replicas)
    for (const [partition, stored] of partitions) {
      const start = starts.get(partition) ?? 0
      const other = first.get(partition)
      if (other === undefined) first.set(partition, { brokerId, start })
      else if (other.start !== start)
        violations.push({
          check: 'log-start',
          detail: `${partition} starts at ${other.start} on broker ${other.brokerId} and at ${start} on broker ${brokerId}`,
        })
      const keep = kept.get(topicOf(partition)) ?? Infinity
      if (start > 0 && stored.length < keep)
        violations.push({
          check: 'deleted-too-much',
          detail: `${partition} on broker ${brokerId} starts at ${start} with ${stored.length} messages left, and keeps ${keep === Infinity ? 'all' : keep}`,
        })
    }
  return violations
}
