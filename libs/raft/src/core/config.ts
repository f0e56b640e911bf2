import { invariant, type Random } from '@sluice/foundation'
import type { Configuration, HardState, LogIndex, LogView, NodeId, RaftGroupId } from './types.js'
import type { ConfigurationPool } from './configuration-pool.js'
import { refusalOf, simpleConfiguration } from './configuration.js'

export interface CoreConfig {
  readonly id: NodeId
  readonly group: RaftGroupId
  /** The group's first voters, the same on all of its first members; none on a node that is to be added. */
  readonly voters: readonly NodeId[]
  /** The group's first learners: they receive the log, but never count. */
  readonly learners?: readonly NodeId[]
  /** Made once for all groups of a process. */
  readonly limits?: CoreLimits
  /** Shared by the groups of a process. */
  readonly configurations?: ConfigurationPool
  readonly random: Random
  readonly log: LogView
  /** As recovered; all of `log` is durable. */
  readonly hardState: HardState
  /** This node's disk has lost a part of what was durable: it must not vote before it knows what it may have forgotten. */
  readonly isRecovering?: boolean
  /** What the state machine has already; at or after the compacted end of the log and within it. */
  readonly applied: LogIndex
}

export interface CoreLimits {
  /** Ticks without a leader before an election, plus a random part of up to the same length. Default 10. */
  readonly electionTicks: number
  /** Ticks between two heartbeats; below `electionTicks`. Default 1. */
  readonly heartbeatTicks: number
  /** Appends sent to a peer and not answered. Default 64. */
  readonly inflightMessagesMax: number
  /** The same in bytes; an append may start below it and go beyond. Default 8 MiB. */
  readonly inflightBytesMax: number
  /** One append holds so much, or a single larger entry. Four times this is applied at a time. Default 1 MiB. */
  readonly appendBytesMax: number
  /** Proposals beyond this much that is not committed are refused, unless nothing is. Default 64 MiB. */
  readonly uncommittedBytesMax: number
  /** Reads that wait for their index; more are refused. Default 10,000. */
  readonly readsMax: number
  /** A leader with nothing to do for so many ticks sends no more heartbeats until something happens. 0, the default: never. */
  readonly quiesceTicks: number
}

const MIB = 1024 * 1024

/** The limits given, checked, and the usual ones in place of those that are not. */
export function limitsOf(given: Partial<CoreLimits>): CoreLimits {
  const limits = {
    electionTicks: given.electionTicks ?? 10,
    heartbeatTicks: given.heartbeatTicks ?? 1,
    inflightMessagesMax: given.inflightMessagesMax ?? 64,
    inflightBytesMax: given.inflightBytesMax ?? 8 * MIB,
    appendBytesMax: given.appendBytesMax ?? MIB,
    uncommittedBytesMax: given.uncommittedBytesMax ?? 64 * MIB,
    readsMax: given.readsMax ?? 10_000,
  }
  for (const limit of Object.values(limits)) invariant(limit >= 1, 'limits are positive')
  invariant(limits.heartbeatTicks < limits.electionTicks, 'heartbeats come more often than elections')
  return { ...limits, quiesceTicks: given.quiesceTicks ?? 0 }
}

/** What a group starts with, as far as this node knows: a node that is to be added knows nothing. */
export function initialConfiguration(config: CoreConfig): Configuration {
  const configuration = simpleConfiguration(config.voters, config.learners)
  if (config.voters.length === 0) return configuration
  const refusal = refusalOf(configuration)
  invariant(refusal === undefined, refusal ?? '')
  return configuration
}
