import { membersOf } from '../../core/configuration.js'
import { type Entry, EntryKind, Role } from '../../core/types.js'
import { commandOf, configurationTag } from './fingerprint.js'
import { holds, type InvariantCheck, type ObservedGroup, type ObservedReplica } from './invariant-check.js'

/**
 * I20. Groups share processes, links and disks, and nothing else: no entry of one, or of an earlier
 * incarnation, surfaces in another. A group that sleeps has no live member that lacks anything, and no
 * follower sleeps on for two election timeouts when nothing is heard of its leader any more.
 */
export function groupsApart(group: ObservedGroup): InvariantCheck {
  const sleepsWithout = new Map<string, number>()
  const patienceTicks = 2 * group.electionTicks

  function checkLeader(replica: ObservedReplica): void {
    const { node, configuration, log } = replica
    for (const peer of membersOf(configuration)) {
      const progress = replica.progress(peer)
      if (progress === undefined || progress.isLost || group.lostDisk(peer) !== undefined) continue
      holds(
        (group.disk(peer)?.log.lastIndex ?? 0) >= log.lastIndex,
        'a group sleeps when its members have everything',
        () => `leader ${node} at ${log.lastIndex}, member ${peer}`,
      )
    }
  }

  function checkLostPeers(replica: ObservedReplica): void {
    const { node, configuration } = replica
    for (const peer of membersOf(configuration)) {
      const key = `${node} of ${peer}`
      const isBack = replica.progress(peer)?.isLost === true && replica.silentTicks(peer) <= 2
      const ticks = isBack ? (sleepsWithout.get(key) ?? 0) + 1 : 0
      sleepsWithout.set(key, ticks)
      holds(ticks <= patienceTicks, 'a group wakes for a member that comes back', () => key)
    }
  }

  return {
    applied({ node }, entry) {
      const tag = tagOf(entry)
      holds(
        tag === undefined || tag === group.tag,
        'groups never mix',
        () => `${node} applied entry ${entry.index} of ${tag ?? 0} in ${group.tag}`,
      )
    },
    settled(replica) {
      if (replica.isQuiesced && replica.role === Role.LEADER) checkLeader(replica)
    },
    ticked(replica) {
      const { node, role, leader, isQuiesced } = replica
      if (role === Role.LEADER && isQuiesced) checkLostPeers(replica)
      if (role === Role.LEADER || !isQuiesced) return
      holds(leader !== 0, 'who sleeps has a leader', () => `${node}`)
      holds(
        replica.silentTicks(leader) <= patienceTicks,
        'nobody sleeps on when the leader is gone',
        () => `${node} of ${leader}: ${replica.silentTicks(leader)} ticks`,
      )
    },
  }
}

function tagOf(entry: Entry): number | undefined {
  if (entry.kind === EntryKind.CONFIGURATION) return configurationTag(entry.data)
  return commandOf(entry)?.tag
}
