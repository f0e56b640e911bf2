import { type Clock, delay } from '@sluice/foundation'
import type { RaftHost } from '@sluice/raft'

const HAND_OVER_MS = 1000

/** Gives every leadership to a voter that is there, and waits a second at most for it to be taken. */
export async function handOver(host: RaftHost, self: number, clock: Clock): Promise<void> {
  for (const group of host.groups()) {
    if (!group.isLeader) continue
    const heir = group.configuration.voters.find(
      (voter) => voter !== self && group.progress(voter)?.recentActive === true,
    )
    if (heir !== undefined) group.transferLeadership(heir)
  }
  const end = clock.monotonic() + HAND_OVER_MS
  while (leadsOthers(host) && clock.monotonic() < end) await delay(20)
}

function leadsOthers(host: RaftHost): boolean {
  for (const group of host.groups())
    if (
      group.isLeader &&
      group.configuration.voters.some((voter) => group.progress(voter)?.recentActive === true)
    )
      return true
  return false
}
