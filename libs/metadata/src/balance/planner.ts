import type { BrokerId } from '@sluice/domain'
import { evenLeaders } from './leaders.js'
import { Layout, type PlanBroker, type PlanPartition } from './layout.js'

/** What is to become of one partition; the first of `to` is its preferred leader. */
export interface PlannedChange {
  readonly groupId: number
  readonly from: readonly BrokerId[]
  readonly to: readonly BrokerId[]
}

export interface Layouts {
  readonly brokers: readonly PlanBroker[]
  readonly partitions: readonly PlanPartition[]
}

/**
 * `even`: replicas and leaders within one of even, on top of what must be. `repair`: only what must be:
 * nothing stays on a broker that is to keep nothing, and every partition has its replicas.
 */
export type PlanGoal = 'even' | 'repair'

/**
 * How the replicas shall lie, as changes of those partitions that it is about, the urgent ones first. Moves
 * as few replicas as it can; a partition whose replicas are being changed (`fixed`) counts and stays.
 * What cannot be had, such as more replicas than brokers, is left as near to it as possible.
 */
export function planChanges({ brokers, partitions }: Layouts, goal: PlanGoal): readonly PlannedChange[] {
  const layout = new Layout(brokers, partitions)
  repair(layout)
  const urgent = new Set(layout.changed())
  if (goal === 'even') {
    spread(layout)
    evenReplicas(layout)
    evenLeaders(layout)
  }
  const changed = layout.changed()
  return [...changed.filter((id) => urgent.has(id)), ...changed.filter((id) => !urgent.has(id))].map(
    (id) => ({
      groupId: id,
      from: layout.before(id),
      to: layout.replicasOf(id),
    }),
  )
}

/** Off the brokers that are to keep nothing, and as many replicas as the partition shall have. */
function repair(layout: Layout): void {
  for (const partition of layout.movable()) {
    const { groupId, replicationFactor } = partition
    for (const id of layout.replicasOf(groupId)) {
      const broker = layout.broker(id)
      if (broker?.keeps === true) continue
      const heir = layout.bestCandidate(groupId, id)
      if (heir !== undefined) layout.replace(groupId, id, heir)
      else if (broker?.isEvicted === true && layout.replicasOf(groupId).length > 1) layout.remove(groupId, id)
    }
    while (layout.replicasOf(groupId).length < replicationFactor) {
      const heir = layout.bestCandidate(groupId)
      if (heir === undefined) break
      layout.add(groupId, heir)
    }
    while (layout.replicasOf(groupId).length > replicationFactor)
      layout.remove(groupId, layout.mostLoaded(groupId))
  }
}

/** Two replicas in one place, when there is another place: one of them moves there. */
function spread(layout: Layout): void {
  for (const { groupId } of layout.movable())
    for (const id of layout.replicasOf(groupId)) {
      const crowd = layout.crowding(groupId, id)
      if (crowd === 0) continue
      const heir = layout.bestCandidate(groupId, id)
      if (heir !== undefined && layout.crowding(groupId, heir, id) < crowd) layout.replace(groupId, id, heir)
    }
}

/** From the fullest to the emptiest broker, as long as that makes the two more even. */
function evenReplicas(layout: Layout): void {
  for (;;) {
    const order = layout.balanced()
    const moved = order.some((low) =>
      order
        .toReversed()
        .some((high) => layout.loadOf(high) - layout.loadOf(low) >= 2 && moveOne(layout, high, low)),
    )
    if (!moved) return
  }
}

function moveOne(layout: Layout, from: BrokerId, to: BrokerId): boolean {
  const groupId = layout.cheapestMove(from, to)
  if (groupId === undefined) return false
  layout.replace(groupId, from, to)
  return true
}
