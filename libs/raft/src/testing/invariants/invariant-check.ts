import type { PeerProgress } from '../../core/progress.js'
import type { Entry, HardState, LogIndex, NodeId, RaftMessage, Role, Term } from '../../core/types.js'
import type { MemoryLog } from '../../storage/memory-log.js'

/** A node as the invariants see it. */
export interface ObservedNode {
  readonly id: NodeId
  readonly isVoter: boolean
  /** Counts restarts. */
  readonly incarnation: number
  readonly role: Role
  readonly term: Term
  readonly vote: NodeId | 0
  readonly commit: LogIndex
  readonly applied: LogIndex
  readonly durableIndex: LogIndex
  /** What was handed to the storage. */
  readonly log: MemoryLog
  /** The lowest index of `log` that changed since the node settled the last time; infinite when none. */
  readonly changedFrom: number
  readonly durableLog: MemoryLog
  readonly durableHardState: HardState
  /** Over all entries applied, in order. */
  readonly stateHash: number
  progress(peer: NodeId): PeerProgress | undefined
}

export interface ObservedCluster {
  /** Those that are down, too: their disks count. */
  readonly nodes: readonly ObservedNode[]
  readonly voterCount: number
}

/** A law of the cluster. It remembers what it needs of the past; a broken one throws `InvariantBroken`. */
export interface InvariantCheck {
  /** After every event of a node. Its log may not show yet what it decided. */
  stepped?(node: ObservedNode): void
  /** After every event that leaves nothing to hand out: log and decisions agree. */
  settled?(node: ObservedNode): void
  /** A message leaves a node. */
  sent?(node: ObservedNode, message: RaftMessage): void
  /** An entry is applied; `stateHash` includes it. */
  applied?(node: ObservedNode, entry: Entry): void
  restarted?(node: ObservedNode): void
  /** A client was told that its command is at `index`. */
  acknowledged?(serial: number, index: LogIndex): void
  /** A read was answered that began when `acknowledgedIndex` had been acknowledged. */
  readAnswered?(read: { readonly index: LogIndex; readonly acknowledgedIndex: LogIndex }): void
  /** All faults are over and all nodes have converged. */
  converged?(cluster: ObservedCluster): void
}

export class InvariantBroken extends Error {
  override readonly name = 'InvariantBroken'
}

/** @throws InvariantBroken unless the condition holds */
export function holds(condition: boolean, law: string, found: () => string): asserts condition {
  if (!condition) throw new InvariantBroken(`${law}: ${found()}`)
}
