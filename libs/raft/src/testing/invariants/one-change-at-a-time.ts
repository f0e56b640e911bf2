import { decodeConfiguration, membersOf } from '../../core/configuration.js'
import { isQuorum } from '../../core/quorum.js'
import { type Configuration, type Entry, type LogIndex, type NodeId, Role } from '../../core/types.js'
import { holds, type InvariantCheck, type ObservedGroup } from './invariant-check.js'

/**
 * I16. Raft paper §6, "it is not possible for two leaders to be elected … in the same term" while members
 * change: at most one change is not committed, and every quorum of a configuration has a member in
 * every quorum of the one before.
 */
export function oneChangeAtATime(group: Pick<ObservedGroup, 'initial'>): InvariantCheck {
  const checked = new Map<NodeId, { opening: number; last: Entry; count: number }>()
  return {
    settled({ node, opening, role, commit, log }) {
      const changes = log.configurationEntries()
      const last = changes.at(-1)
      if (last === undefined) return
      const pending = changes.filter(({ index }) => index > commit).map(({ index }) => index)
      if (role === Role.LEADER)
        holds(pending.length <= 1, 'one change at a time', () => `leader ${node}: ${pending.join()}`)
      const before = checked.get(node)
      if (before?.opening === opening && before.last === last && before.count === changes.length) return
      checked.set(node, { opening, last, count: changes.length })
      const base = log.baseConfiguration
      let previous = base === undefined ? group.initial : decodeConfiguration(base)
      for (const { index, data } of changes) {
        const next = decodeConfiguration(data)
        checkStep(node, index, previous, next)
        previous = next
      }
    },
  }
}

function checkStep(node: NodeId, index: LogIndex, previous: Configuration, next: Configuration): void {
  holds(
    quorumsIntersect(previous, next),
    'quorums of successive configurations intersect',
    () => `${node} at ${index}: [${votersOf(previous)}] to [${votersOf(next)}]`,
  )
}

function votersOf({ voters, votersOutgoing }: Configuration): string {
  return votersOutgoing.length === 0 ? voters.join() : `${votersOutgoing.join()} and ${voters.join()}`
}

/** By trying all: some set and what is left of all members might both be quorums. */
function quorumsIntersect(a: Configuration, b: Configuration): boolean {
  const members = [...new Set([...membersOf(a), ...membersOf(b)])]
  for (let mask = 0; mask < 1 << members.length; mask++) {
    const isIn = (id: NodeId): boolean => ((mask >> members.indexOf(id)) & 1) === 1
    if (isQuorum(a, isIn) && isQuorum(b, (id) => !isIn(id))) return false
  }
  return true
}
