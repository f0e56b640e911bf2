import type { NodeId } from '../core/types.js'
import type { SnapshotSource } from '../host/state-machine.js'
import type { Conditions, DiskTimes } from './conditions.js'
import type { GroupIncarnation } from './group-incarnation.js'
import type { RunCounts } from './run-counts.js'
import type { Sabotage } from './sabotage.js'
import type { Trace } from './trace.js'

/** What a simulated node needs of its world. */
export interface Surroundings {
  readonly conditions: Conditions
  readonly trace: Trace
  readonly sabotage: Sabotage | undefined
  readonly counts: RunCounts
  readonly now: () => number
  readonly later: (delayMs: number, run: () => void) => void
  /** Promises were made or settled: what waits for them runs before the next event. */
  readonly promisesMoved: () => void
  readonly diskTimes: () => DiskTimes
  /** The part of snapshots that fail on the way. */
  readonly snapshotLost: () => number
  /** How fast time runs on a node; 1 is right. */
  readonly clockRate: (node: NodeId) => number
  readonly send: (from: NodeId, to: NodeId, frame: Uint8Array) => boolean
  readonly isCut: (from: NodeId, to: NodeId) => boolean
  /** Hands a snapshot to another node, if the group has a place there. */
  readonly sendSnapshot: (to: NodeId, incarnation: GroupIncarnation, source: SnapshotSource) => void
  readonly processEnded: (node: NodeId) => void
  /** The newest incarnation of every group. */
  readonly groups: () => Iterable<GroupIncarnation>
  /** Something broke where nobody could throw. */
  readonly failed: (error: Error) => void
  /** @throws what `failed` was told */
  readonly throwFailure: () => void
}
