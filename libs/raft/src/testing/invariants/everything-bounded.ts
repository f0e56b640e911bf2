import { type LogIndex, type NodeId, Role, type Term } from '../../core/types.js'
import type { MemoryLog } from '../../storage/memory-log.js'
import type { Call } from '../call.js'
import { holds, type InvariantCheck, type ObservedGroup, type ObservedReplica } from './invariant-check.js'

/** What an entry costs besides its data, as the core counts. Bytes. */
const ENTRY_OVERHEAD_BYTES = 32
/** A no-op and a configuration are never refused. Bytes. */
const OWN_ENTRIES_BYTES = 512

/**
 * I19. What is not committed, what is on its way to a peer and who waits for an answer stay within their
 * bounds; and every call that was accepted is answered in the end: with success, with no, or with unknown
 * when its node is gone.
 */
export function everythingBounded(group: Pick<ObservedGroup, 'limits'>): InvariantCheck {
  const { inflightBytesMax, appendBytesMax, uncommittedBytesMax, readsMax } = group.limits
  const leaderships = new Map<NodeId, { opening: number; term: Term; floorBytes: number; last: LogIndex }>()
  const pending = new Set<Call>()
  /** The largest entry so far: a window may be overrun by one append, and an append by one entry. */
  let entryBytesMax = 0

  function checkLeader(replica: ObservedReplica): void {
    const { node, opening, term, commit, log } = replica
    let leadership = leaderships.get(node)
    const bytes = bytesBetween(log, commit, log.lastIndex)
    if (leadership?.opening !== opening || leadership.term !== term) {
      // What a leader finds when it begins is not its own doing.
      leadership = { opening, term, floorBytes: bytes, last: 0 }
      leaderships.set(node, leadership)
    }
    if (leadership.last === log.lastIndex) return
    for (let i = Math.max(leadership.last, log.compactedIndex) + 1; i <= log.lastIndex; i++)
      entryBytesMax = Math.max(entryBytesMax, log.sizeBytes(i) + ENTRY_OVERHEAD_BYTES)
    leadership.last = log.lastIndex
    // Four commands at most go in one proposal, and the first proposal is never refused.
    const allowed = Math.max(uncommittedBytesMax, leadership.floorBytes, 4 * entryBytesMax)
    holds(
      bytes <= allowed + OWN_ENTRIES_BYTES,
      'what is not committed is bounded',
      () => `leader ${node}: ${bytes} bytes of ${allowed}`,
    )
    checkFlights(replica)
  }

  function checkFlights(replica: ObservedReplica): void {
    const { node, log, configuration } = replica
    const allowed = inflightBytesMax + 2 * (appendBytesMax + entryBytesMax)
    for (const peer of [...configuration.voters, ...configuration.learners]) {
      const progress = replica.progress(peer)
      if (progress?.state !== 'replicate' || progress.match < log.compactedIndex) continue
      const bytes = bytesBetween(log, progress.match, progress.next - 1)
      holds(bytes <= allowed, 'what is on its way is bounded', () => {
        return `leader ${node} to ${peer}: ${bytes} bytes of ${allowed}`
      })
    }
  }

  return {
    settled(replica) {
      if (replica.role === Role.LEADER) checkLeader(replica)
      holds(
        replica.waitingCount <= 3 * readsMax,
        'reads that wait are bounded',
        () => `${replica.node}: ${replica.waitingCount} of ${readsMax}`,
      )
    },
    invoked(call) {
      pending.add(call)
    },
    answered(call) {
      pending.delete(call)
    },
    converged() {
      const [call] = pending
      holds(call === undefined, 'every call is answered in the end', () => {
        return `${call?.kind ?? ''} ${call?.serial ?? 0}, one of ${pending.size}`
      })
    },
  }
}

/** Of the entries in (from, to]. */
function bytesBetween(log: MemoryLog, from: LogIndex, to: LogIndex): number {
  let bytes = 0
  for (let i = Math.max(from, log.compactedIndex) + 1; i <= to; i++)
    bytes += log.sizeBytes(i) + ENTRY_OVERHEAD_BYTES
  return bytes
}
