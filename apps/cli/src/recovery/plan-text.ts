import { table } from '../text-table.js'
import type { GroupPlan, RecoveryPlan } from './plan.js'

/** What an operator must know before confirming. */
export function describePlan(plan: RecoveryPlan): readonly string[] {
  const { id, cluster_id, survivors, lost, metadata, partitions, gone, untouched } = plan
  const rows = [...(metadata === null ? [] : [metadata]), ...partitions].map(rowOf)
  return [
    `Plan ${id} for cluster ${cluster_id}`,
    `Survivors: ${survivors.map(({ broker_id, address }) => `broker ${broker_id} (${address})`).join(', ')}`,
    `GIVEN UP FOR GOOD: ${lost.map(({ broker_id, address }) => `broker ${broker_id} (${address})`).join(', ')}`,
    '',
    ...table([['group', 'voters so far', 'voters then', 'log of', 'ends at', 'term'], ...rows]),
    '',
    'What may be lost:',
    ...[...(metadata === null ? [] : [metadata]), ...partitions].map(
      ({ name, loss }) => `  ${name}: ${loss}`,
    ),
    ...gone.map(
      ({ name, replicas, why }) =>
        `  ${name}: LOST WHOLLY, with replicas on brokers ${replicas.join(', ')}: ${why}. It is left as it is.`,
    ),
    untouched === 1
      ? '1 partition has its majority and is left alone.'
      : `${untouched} partitions have their majority and are left alone.`,
  ]
}

function rowOf({ name, members, voters, chosen, last_index, last_term }: GroupPlan): readonly string[] {
  return [
    name,
    members.join(', '),
    voters.join(', '),
    `broker ${chosen}`,
    String(last_index),
    String(last_term),
  ]
}
