import { METADATA_GROUP } from '@sluice/domain'
import { invariant, unreachable } from '@sluice/foundation'
import type { AuditEvent } from './audit-trail.js'
import type { BalancePlan } from './balance/plan.js'
import type { Mark, MetadataCommand } from './command.js'
import { levelOf } from './command-level.js'
import type {
  ActorType,
  BrokerInfo,
  ClusterSettings,
  ConsumerInfo,
  HealthCheck,
  MetadataChanges,
  PartitionInfo,
  ProducerInfo,
  RecoveryInfo,
  TopicInfo,
} from './entities.js'
import { CLOCKS_SET_LEVEL } from './feature-level.js'
import type { HealthTable } from './health-table.js'
import { mark, noteActivity, registerConsumer, registerProducer } from './state/actor-commands.js'
import { addBroker, bootstrap, changeBroker, updateBroker } from './state/broker-commands.js'
import { type MetadataResult, type Outcome, refused } from './state/outcome.js'
import { beginRecovery, endRecovery, recoverPartitions } from './state/recovery-commands.js'
import { changePlan, changeReplicas } from './state/replica-commands.js'
import { changeSettings, raiseFeatureLevel } from './state/settings-commands.js'
import { type MetadataSnapshot, restored, snapshotOf } from './state/snapshot.js'
import { ClusterTables } from './state/tables.js'
import {
  addPartition,
  alterTopic,
  closePartition,
  createTopic,
  deleteTopic,
  removePartition,
} from './state/topic-commands.js'

const NO_CHANGES: MetadataChanges = {
  brokers: [],
  topics: [],
  partitions: [],
  producers: [],
  consumers: [],
  healthChecks: [],
  removedBrokers: [],
  auditEvents: [],
  removed: [],
}

/** The cluster as its log makes it: the same commands give the same state everywhere. Look-ups cost O(1). */
export class MetadataState {
  #version: number
  readonly #tables: ClusterTables

  constructor(version = 0, tables = new ClusterTables()) {
    this.#version = version
    this.#tables = tables
  }

  /** Raft index of the last command applied. */
  get version(): number {
    return this.#version
  }

  /** Empty before the first command. */
  get clusterId(): string {
    return this.#tables.clusterId
  }

  get settings(): ClusterSettings {
    return this.#tables.settings
  }

  /** Topics, partitions, producers and consumers, all together. */
  get size(): number {
    return (
      this.#tables.topics.size +
      this.#tables.partitions.size +
      this.#tables.producers.size +
      this.#tables.consumers.size
    )
  }

  topic(name: string): TopicInfo | undefined {
    return this.#tables.topics.get(name)
  }

  topics(): readonly TopicInfo[] {
    return [...this.#tables.topics.values()]
  }

  partitionsOf(topic: string): readonly PartitionInfo[] {
    return this.#tables.topics.get(topic)?.partitions ?? []
  }

  partitionByGroup(groupId: number): PartitionInfo | undefined {
    return this.#tables.partitions.get(groupId)
  }

  /** True once the group was a partition's, and is no more. */
  wasRemoved(groupId: number): boolean {
    return (
      groupId > METADATA_GROUP &&
      groupId < this.#tables.nextIds.group &&
      !this.#tables.partitions.has(groupId)
    )
  }

  /** Every group that is ever made from now on has this id or a higher one. */
  get nextGroupId(): number {
    return this.#tables.nextIds.group
  }

  partitions(): IterableIterator<PartitionInfo> {
    return this.#tables.partitions.values()
  }

  producer(id: number): ProducerInfo | undefined {
    return this.#tables.producers.get(id)
  }

  /** Topics of which partitions are closing. */
  closingTopics(): readonly TopicInfo[] {
    return Array.from(this.#tables.closing, (name) => this.#tables.topics.get(name)!)
  }

  /** Ids of the consumers of a topic. */
  consumersOf(topic: string): ReadonlySet<number> {
    return this.#tables.consumers.of(topic)
  }

  /** The partition of this number, whether it takes messages or not. */
  partition(topic: string, number: number): PartitionInfo | undefined {
    return this.#tables.topics.get(topic)?.partitions.find((partition) => partition.number === number)
  }

  consumer(id: number): ConsumerInfo | undefined {
    return this.#tables.consumers.get(id)
  }

  broker(id: number): BrokerInfo | undefined {
    return this.#tables.brokers.get(id)
  }

  brokers(): readonly BrokerInfo[] {
    return [...this.#tables.brokers.values()]
  }

  /** The newest plan of moves, running or not. */
  get plan(): BalancePlan | undefined {
    return this.#tables.plans.plan
  }

  /** A recovery by force, by the id of its plan. */
  recovery(planId: string): RecoveryInfo | undefined {
    return this.#tables.recoveries.get(planId)
  }

  recoveries(): readonly RecoveryInfo[] {
    return [...this.#tables.recoveries.values()]
  }

  /** The recovery that gave the broker up, for good; `undefined` for every other broker. */
  lostBy(brokerId: number): RecoveryInfo | undefined {
    const planId = this.#tables.lost.get(brokerId)
    return planId === undefined ? undefined : this.#tables.recoveries.get(planId)
  }

  healthCheck(type: ActorType, id: number): HealthCheck | undefined {
    return this.#tables.health.get(type, id)
  }

  /** Brokers first, then producers, then consumers; of one type, or after a row, when that is given. */
  healthChecks(...page: Parameters<HealthTable['all']>): IterableIterator<HealthCheck> {
    return this.#tables.health.all(...page)
  }

  /** The newest events, oldest first. */
  auditEvents(): readonly AuditEvent[] {
    return this.#tables.audit.all()
  }

  /**
   * Actors that count as alive and are silent for too long: what a leader proposes to mark.
   * @param heardSince since when the leader has listened, by a clock that nobody has set meanwhile
   */
  silentActors(now: number, heardSince: number): readonly Mark[] {
    const { deadAfterMs, featureLevel } = this.#tables.settings
    return this.#tables.health.silent(now, {
      heardSince,
      deadAfterMs,
      goesBack: featureLevel >= CLOCKS_SET_LEVEL,
    })
  }

  apply(
    index: number,
    command: MetadataCommand,
  ): { readonly result: MetadataResult; readonly changes: MetadataChanges } {
    invariant(index > this.#version, `command ${index} comes after ${this.#version}`)
    this.#version = index
    const { result, changes } = this.#carryOut(command)
    return { result, changes: { ...NO_CHANGES, ...changes } }
  }

  toJSON(): MetadataSnapshot {
    return snapshotOf(this.#version, this.#tables)
  }

  /** The state of a snapshot that this code wrote, here or in another process of the cluster. */
  static fromJSON(value: unknown): MetadataState {
    const { version, tables } = restored(value)
    return new MetadataState(version, tables)
  }

  #carryOut(command: MetadataCommand): Outcome {
    const level = levelOf(command)
    if (level > this.#tables.settings.featureLevel)
      return refused(
        'UNSUPPORTED_VERSION',
        `${command.kind} takes feature level ${level}, the cluster is at ${this.#tables.settings.featureLevel}: raise it when every broker can`,
      )
    switch (command.kind) {
      case 'bootstrap':
        return bootstrap(this.#tables, command)
      case 'add-broker':
        return addBroker(this.#tables, command)
      case 'update-broker':
        return updateBroker(this.#tables, command)
      case 'create-topic':
        return createTopic(this.#tables, command)
      case 'alter-topic':
        return alterTopic(this.#tables, command)
      case 'close-partition':
        return closePartition(this.#tables, command)
      case 'remove-partition':
        return removePartition(this.#tables, command)
      case 'delete-topic':
        return deleteTopic(this.#tables, command)
      case 'add-partition':
        return addPartition(this.#tables, command)
      case 'register-producer':
        return registerProducer(this.#tables, command)
      case 'register-consumer':
        return registerConsumer(this.#tables, command)
      case 'activity':
        return noteActivity(this.#tables, command)
      case 'mark':
        return mark(this.#tables, command)
      case 'move-replicas':
      case 'move-done':
      case 'move-settled':
      case 'cancel-move':
      case 'replica-dropped':
        return changeReplicas(this.#tables, command)
      case 'set-broker-state':
      case 'remove-broker':
        return changeBroker(this.#tables, command)
      case 'start-plan':
      case 'step-plan':
      case 'cancel-plan':
        return changePlan(this.#tables, command)
      case 'begin-recovery':
        return beginRecovery(this.#tables, command)
      case 'recover-partitions':
        return recoverPartitions(this.#tables, command)
      case 'end-recovery':
        return endRecovery(this.#tables, command)
      case 'raise-feature-level':
        return raiseFeatureLevel(this.#tables, command)
      case 'change-settings':
        return changeSettings(this.#tables, command)
      default:
        return unreachable(command)
    }
  }
}
