import { invariant, type Random } from '@sluice/foundation'
import type { Configuration, HardState, LogIndex, LogView, NodeId, RaftGroupId } from './types.js'
import { refusalOf, simpleConfiguration } from './configuration.js'

export interface CoreConfig {
  readonly id: NodeId
  readonly group: RaftGroupId
  /** The group's first voters, the same on all of its first members; none on a node that is to be added. */
  readonly voters: readonly NodeId[]
  /** The group's first learners: they receive the log, but never count. */
  readonly learners?: readonly NodeId[]
  /** Ticks without a leader before an election, plus a random part of up to the same length. Default 10. */
  readonly electionTicks?: number
  /** Ticks between two heartbeats; below `electionTicks`. Default 1. */
  readonly heartbeatTicks?: number
  /** Appends sent to a peer and not answered. Default 64. */
  readonly inflightMessagesMax?: number
  /** The same in bytes; an append may start below it and go beyond. Default 8 MiB. */
  readonly inflightBytesMax?: number
  /** One append holds so much, or a single larger entry. Four times this is applied at a time. Default 1 MiB. */
  readonly appendBytesMax?: number
  /** Proposals beyond this much that is not committed are refused, unless nothing is. Default 64 MiB. */
  readonly uncommittedBytesMax?: number
  /** Reads that wait for their index; more are refused. Default 10,000. */
  readonly readsMax?: number
  /** A leader with nothing to do for so many ticks sends no more heartbeats until something happens. 0, the default: never. */
  readonly quiesceTicks?: number
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
  readonly electionTicks: number
  readonly heartbeatTicks: number
  readonly inflightMessagesMax: number
  readonly inflightBytesMax: number
  readonly appendBytesMax: number
  readonly uncommittedBytesMax: number
  readonly readsMax: number
  readonly quiesceTicks: number
}

const MIB = 1024 * 1024

/** The limits of a configuration that is checked. */
export function limitsOf(config: CoreConfig): CoreLimits {
  invariant(config.applied >= config.log.compactedIndex, 'what is compacted has been applied')
  invariant(config.applied <= config.log.lastIndex, 'what was applied is in the log, or its disk lost data')
  const limits = {
    electionTicks: config.electionTicks ?? 10,
    heartbeatTicks: config.heartbeatTicks ?? 1,
    inflightMessagesMax: config.inflightMessagesMax ?? 64,
    inflightBytesMax: config.inflightBytesMax ?? 8 * MIB,
    appendBytesMax: config.appendBytesMax ?? MIB,
    uncommittedBytesMax: config.uncommittedBytesMax ?? 64 * MIB,
    readsMax: config.readsMax ?? 10_000,
  }
  for (const limit of Object.values(limits)) invariant(limit >= 1, 'limits are positive')
  invariant(limits.heartbeatTicks < limits.electionTicks, 'heartbeats come more often than elections')
  return { ...limits, quiesceTicks: config.quiesceTicks ?? 0 }
}

/** What a group starts with, as far as this node knows: a node that is to be added knows nothing. */
export function initialConfiguration(config: CoreConfig): Configuration {
  const configuration = simpleConfiguration(config.voters, config.learners)
  if (config.voters.length === 0) return configuration
  const refusal = refusalOf(configuration)
  invariant(refusal === undefined, refusal ?? '')
  return configuration
}
