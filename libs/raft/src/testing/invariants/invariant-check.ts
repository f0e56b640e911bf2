import type { PeerProgress } from '../../core/progress.js'
import type {
  Configuration,
  Entry,
  HardState,
  LogIndex,
  NodeId,
  RaftMessage,
  Role,
  SnapshotMeta,
  Term,
} from '../../core/types.js'
import type { MemoryLog } from '../../storage/memory-log.js'
import type { Call } from '../call.js'
import type { SmallLimits } from '../conditions.js'

/** What survives a crash of a node, as far as one group is concerned. */
export interface ObservedDisk {
  readonly log: MemoryLog
  readonly hardState: HardState
}

/** A group on one node, as the invariants see it. */
export interface ObservedReplica {
  readonly node: NodeId
  /** Counts the times that this node has opened the group. */
  readonly opening: number
  readonly role: Role
  readonly term: Term
  readonly leader: NodeId | 0
  readonly commit: LogIndex
  readonly applied: LogIndex
  readonly isQuiesced: boolean
  /** In force, committed or not. */
  readonly configuration: Configuration
  /** What was handed to the storage, durable or not. */
  readonly hardState: HardState
  readonly log: MemoryLog
  /** The lowest index of `log` that changed since it settled the last time; infinite when none. */
  readonly changedFrom: number
  readonly disk: ObservedDisk
  /** Over all entries applied, in order. */
  readonly stateHash: number
  /** Reads and proposals that are not answered. */
  readonly waitingCount: number
  /** Ticks of this node's clock since a frame came from the peer, or since the node started. */
  silentTicks(peer: NodeId): number
  progress(peer: NodeId): PeerProgress | undefined
}

/** One incarnation of a group, on all its nodes. */
export interface ObservedGroup {
  /** Stands in all of its commands and configurations. */
  readonly tag: number
  /** What it began with. */
  readonly initial: Configuration
  readonly limits: SmallLimits
  /** Logs are kept for the slowest member. */
  readonly keepsLogs: boolean
  readonly electionTicks: number
  /** What is synced on a node's disk; those that are gone for ever count as they were. */
  disk(node: NodeId): ObservedDisk | undefined
  /** What was synced on a node's disk, which lost it, as long as the node has not recovered. */
  lostDisk(node: NodeId): ObservedDisk | undefined
  /** A node's disk has lost what was synced, at some time. */
  hasLost(node: NodeId): boolean
  /** The replicas that run. */
  replicas(): Iterable<ObservedReplica>
}

/** A law of a group. It remembers what it needs of the past; a broken one throws `InvariantBroken`. */
export interface InvariantCheck {
  /** The replica was opened, with what is durable. */
  opened?(replica: ObservedReplica): void
  /** After every event that changed something. The log may not show yet what was decided. */
  stepped?(replica: ObservedReplica): void
  /** After every event that leaves nothing to hand out: log and decisions agree. */
  settled?(replica: ObservedReplica): void
  /** A tick of the replica's host is over. */
  ticked?(replica: ObservedReplica): void
  /** A message leaves a node. */
  sent?(replica: ObservedReplica, message: RaftMessage, entries: readonly Entry[]): void
  /** An entry is applied; `stateHash` includes it. */
  applied?(replica: ObservedReplica, entry: Entry): void
  /** A snapshot of the replica's state is made, or has taken its state's place. */
  snapshot?(
    replica: ObservedReplica,
    meta: SnapshotMeta,
    about: { readonly stateHash: number; readonly isRestored: boolean },
  ): void
  invoked?(call: Call): void
  answered?(call: Call): void
  /** All faults are over and all members agree. */
  converged?(members: readonly ObservedReplica[]): void
}

export class InvariantBroken extends Error {
  override readonly name = 'InvariantBroken'
}

/** @throws InvariantBroken unless the condition holds */
export function holds(condition: boolean, law: string, found: () => string): asserts condition {
  if (!condition) throw new InvariantBroken(`${law}: ${found()}`)
}
