import type { BrokerId } from '@sluice/domain'
import type { Layout } from './layout.js'

interface Step {
  readonly from: BrokerId
  readonly groupId: number
}

/**
 * Makes preferred leaders even, without moving a replica: a leadership goes from one replica of a partition
 * to another. Where the fullest and the emptiest broker share no partition, it goes through those between
 * them, along the shortest way.
 */
export function evenLeaders(layout: Layout): void {
  const balanced = new Set(layout.balanced())
  const led = new Map<BrokerId, Set<number>>([...balanced].map((id) => [id, new Set<number>()]))
  for (const { groupId, fixed } of layout.partitions()) {
    const [leader] = layout.replicasOf(groupId)
    if (!fixed && leader !== undefined && !balanced.has(leader)) {
      // Nobody shall prefer a broker that takes nothing, as long as another one is there.
      const heir = layout
        .replicasOf(groupId)
        .filter((id) => balanced.has(id))
        .sort((a, b) => led.get(a)!.size - led.get(b)!.size)[0]
      if (heir !== undefined && layout.broker(leader)?.keeps !== true) layout.lead(groupId, heir)
    }
    led.get(layout.replicasOf(groupId)[0]!)?.add(groupId)
  }
  const fixed = new Set([...layout.partitions()].filter((it) => it.fixed).map((it) => it.groupId))
  for (;;) {
    const order = [...balanced].sort((a, b) => led.get(b)!.size - led.get(a)!.size || a - b)
    const way = order
      .map((from) => shortestWay(layout, { led, from, fixed }))
      .find((found) => found !== undefined)
    if (way === undefined) return
    let to = way.to
    for (const { from, groupId } of way.steps.toReversed()) {
      layout.lead(groupId, to)
      led.get(from)!.delete(groupId)
      led.get(to)!.add(groupId)
      to = from
    }
  }
}

/** From a broker to one that leads at least two fewer, over partitions that both ends of a step hold. */
function shortestWay(
  layout: Layout,
  search: {
    readonly led: ReadonlyMap<BrokerId, ReadonlySet<number>>
    readonly from: BrokerId
    readonly fixed: ReadonlySet<number>
  },
): { readonly steps: readonly Step[]; readonly to: BrokerId } | undefined {
  const { led, from, fixed } = search
  const goal = led.get(from)!.size - 2
  const reached = new Map<BrokerId, readonly Step[]>([[from, []]])
  for (const [at, steps] of reached)
    for (const groupId of led.get(at)!) {
      if (fixed.has(groupId)) continue
      for (const to of layout.replicasOf(groupId)) {
        if (reached.has(to) || !led.has(to)) continue
        const way = [...steps, { from: at, groupId }]
        if (led.get(to)!.size <= goal) return { steps: way, to }
        reached.set(to, way)
      }
    }
  return undefined
}
