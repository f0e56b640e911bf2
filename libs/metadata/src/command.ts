import type { PlanReason } from './balance/plan.js'
import type { ActorType, AutoOffsetReset, BrokerState, ClusterSettings, ConsumerStart } from './entities.js'
import type { FeatureRange } from './feature-level.js'
import type { TopicGrowth } from './topic-growth.js'
import type { TopicSettingsChange } from './topic-settings.js'

/** Id and time last seen, milliseconds since 1970. */
export type Seen = readonly [id: number, at: number]

export interface Mark {
  readonly type: ActorType
  readonly id: number
  readonly status: 'alive' | 'dead'
  readonly reason: string
}

export interface BrokerSeat {
  readonly id: number
  readonly host: string
  readonly port: number
  readonly uuid: string
}

/** What of a topic can be changed; what is absent stays as it is, null is what the cluster does. */
export interface TopicChange {
  readonly growth?: TopicGrowth | null
  readonly growthMax?: number | null
  readonly settings?: TopicSettingsChange
}

/**
 * What the cluster's log says. `at` is stamped by the proposer: milliseconds since 1970. `by` is who asked for it, for
 * the audit trail.
 */
export type MetadataCommand = CommandFields & { readonly by?: string }

type CommandFields =
  | {
      readonly kind: 'bootstrap'
      readonly at: number
      readonly clusterId: string
      readonly brokers: readonly BrokerSeat[]
      readonly settings: ClusterSettings
    }
  | {
      readonly kind: 'add-broker'
      readonly at: number
      readonly host: string
      readonly port: number
      readonly uuid: string
      readonly features?: FeatureRange
    }
  | ({
      readonly kind: 'update-broker'
      readonly at: number
      readonly rack?: string
      readonly features?: FeatureRange
    } & BrokerSeat)
  | ({
      readonly kind: 'create-topic'
      readonly at: number
      readonly topic: string
      readonly partitions: number
      readonly replicationFactor?: number
    } & TopicChange)
  | ({ readonly kind: 'alter-topic'; readonly at: number; readonly topic: string } & TopicChange)
  | {
      readonly kind: 'close-partition'
      readonly at: number
      readonly topic: string
      readonly expectedCount?: number
    }
  | {
      readonly kind: 'remove-partition'
      readonly at: number
      readonly groupId: number
      readonly reason: string
      /** Of the topic, as far as the one that asks knows: somebody who came later has not read the partition. */
      readonly newestConsumer?: number
    }
  | {
      readonly kind: 'delete-topic'
      readonly at: number
      readonly topic: string
      /** Of its first partition: one that began anew under the name is not meant. With it, it may be said again. */
      readonly groupId?: number
    }
  | {
      readonly kind: 'add-partition'
      readonly at: number
      readonly topic: string
      readonly expectedCount?: number
    }
  | { readonly kind: 'register-producer'; readonly at: number; readonly topic: string }
  | {
      readonly kind: 'register-consumer'
      readonly at: number
      readonly topic: string
      readonly start: ConsumerStart
      readonly ack: 'auto' | 'manual'
      /** Default `earliest`. */
      readonly autoOffsetReset?: AutoOffsetReset
    }
  | {
      readonly kind: 'activity'
      readonly at: number
      readonly producers: readonly Seen[]
      readonly consumers: readonly Seen[]
      readonly brokers: readonly Seen[]
    }
  | { readonly kind: 'mark'; readonly at: number; readonly marks: readonly Mark[] }
  | { readonly kind: 'raise-feature-level'; readonly at: number; readonly level: number }
  | {
      readonly kind: 'change-settings'
      readonly at: number
      readonly deadAfterMs: Partial<ClusterSettings['deadAfterMs']>
      readonly rebuildAfterMs?: number
    }
  | MoveCommand
  | BrokerStateCommand
  | PlanCommand
  | RecoveryCommand

/** About one broker's part in the cluster. */
export type BrokerStateCommand =
  | {
      readonly kind: 'set-broker-state'
      readonly at: number
      readonly brokerId: number
      readonly state: BrokerState
    }
  /** Refused while it holds anything. Its identity is never taken back. */
  | { readonly kind: 'remove-broker'; readonly at: number; readonly brokerId: number }

/** What an operator forces on a cluster that lost majorities for good. Each may be said again. */
type RecoveryCommand =
  | {
      readonly kind: 'begin-recovery'
      readonly at: number
      /** Of the operator's plan. */
      readonly planId: string
      readonly operator: string
      /** Brokers that are given up, for good. */
      readonly lost: readonly number[]
      /** Decisions of the metadata may be lost: the ids that they may have given out are not given out again. */
      readonly skipsIds: boolean
      readonly summary: string
    }
  | {
      readonly kind: 'recover-partitions'
      readonly at: number
      readonly planId: string
      readonly partitions: readonly RecoveredPartition[]
    }
  | { readonly kind: 'end-recovery'; readonly at: number; readonly planId: string; readonly summary: string }

export interface RecoveredPartition {
  readonly groupId: number
  /** Above every number that the partition's group may know. */
  readonly moveId: number
  /** The survivors; the first is the preferred leader. */
  readonly replicas: readonly number[]
  /** What may be lost. */
  readonly loss: string
}

/** About the plan that moves replicas. */
export type PlanCommand =
  | {
      readonly kind: 'start-plan'
      readonly at: number
      readonly reason: PlanReason
      readonly brokerId?: number
      readonly movesAtOnce: number
      readonly moveTimeoutMs: number
      readonly moves: readonly MoveOrder[]
    }
  /** Groups whose moves begin, are undone, or are given up although they could not be undone. */
  | {
      readonly kind: 'step-plan'
      readonly at: number
      readonly planId: number
      readonly start: readonly number[]
      readonly undo: readonly number[]
      readonly giveUp: readonly number[]
    }
  | {
      readonly kind: 'cancel-plan'
      readonly at: number
      readonly planId: number
      /** Default: it was asked for. */
      readonly reason?: string
    }

export interface MoveOrder {
  readonly groupId: number
  /** The replicas as the plan found them: of others it is not. */
  readonly from: readonly number[]
  readonly to: readonly number[]
  readonly bytes: number
}

/** About one partition's replicas. */
export type MoveCommand =
  | {
      readonly kind: 'move-replicas'
      readonly at: number
      readonly groupId: number
      /** The first is the preferred leader. */
      readonly target: readonly number[]
    }
  /** Said by the partition's leader: the Raft group has the target of this move for its members. */
  | { readonly kind: 'move-done'; readonly at: number; readonly groupId: number; readonly moveId: number }
  /** Said by the partition's leader: every replica knows of the last change. */
  | { readonly kind: 'move-settled'; readonly at: number; readonly groupId: number; readonly moveId: number }
  /** Back to the replicas of before; refused when another move is under way by now. */
  | { readonly kind: 'cancel-move'; readonly at: number; readonly groupId: number; readonly moveId: number }
  /** Said by a broker that was a replica: nothing is left of it there. */
  | {
      readonly kind: 'replica-dropped'
      readonly at: number
      readonly groupId: number
      readonly brokerId: number
    }

/** Of the form of commands. A new kind, or a field that may be left out, needs no other version. */
export const COMMAND_VERSION = 1

/** What is written into the log. */
export function encodeMetadataCommand(command: MetadataCommand): Uint8Array {
  return new TextEncoder().encode(JSON.stringify({ v: COMMAND_VERSION, ...command }))
}
