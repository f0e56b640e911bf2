import {
  type BrokerId,
  type ConsumerId,
  type ErrorCode,
  type GroupId,
  METADATA_GROUP,
  partitionName,
  type ProducerId,
  type TopicName,
} from '@sluice/domain'
import { invariant, unreachable } from '@sluice/foundation'
import { isLeaving } from './balance/leaving.js'
import type { BalancePlan } from './balance/plan.js'
import { PlanDesk, type PlansSnapshot } from './balance/plan-desk.js'
import type { BrokerStateCommand, Mark, MetadataCommand, MoveCommand, PlanCommand } from './command.js'
import type {
  ActorType,
  BrokerInfo,
  ClusterSettings,
  ConsumerInfo,
  HealthCheck,
  MetadataChanges,
  PartitionInfo,
  ProducerInfo,
  TopicInfo,
  TopicSettings,
} from './entities.js'
import { HealthTable } from './health-table.js'
import { type BrokerLoad, placeReplicas } from './placement.js'
import { withSettings } from './topic-settings.js'
import {
  copyDropped,
  finishMove,
  forgetBroker,
  isHolder,
  isRefusal,
  type MoveRefusal,
  settleMove,
  startMove,
  wantedReplicas,
  withMoveFields,
} from './replica-move.js'

/** What a command answers: its fields, or why it was refused; a refusal changes nothing. */
export type MetadataResult =
  | {
      readonly error: {
        readonly code: ErrorCode
        readonly message: string
        readonly field?: string
        readonly outcome: 'no'
      }
    }
  | Readonly<Record<string, unknown>>

type Change = { -readonly [K in keyof MetadataChanges]?: MetadataChanges[K][number][] }

interface Outcome {
  readonly result: MetadataResult
  readonly changes: Change
}

export const DEFAULT_SETTINGS: ClusterSettings = {
  replicationFactor: 3,
  deadAfterMs: 300_000,
  partitionsPerTopicMax: 1000,
}

export interface MetadataSnapshot {
  readonly version: number
  readonly clusterId: string
  readonly settings: ClusterSettings
  readonly nextIds: {
    readonly broker: number
    readonly producer: number
    readonly consumer: number
    readonly group: number
  }
  readonly brokers: readonly BrokerInfo[]
  readonly topics: readonly TopicInfo[]
  readonly producers: readonly ProducerInfo[]
  readonly consumers: readonly ConsumerInfo[]
  readonly healthChecks: readonly HealthCheck[]
  readonly plans: PlansSnapshot
}

/** The cluster as its log makes it: the same commands give the same state everywhere. Look-ups cost O(1). */
export class MetadataState {
  #version = 0
  #clusterId = ''
  #settings = DEFAULT_SETTINGS
  #nextIds = { broker: 1, producer: 1, consumer: 1, group: METADATA_GROUP + 1 }
  readonly #plans = new PlanDesk()
  readonly #brokers = new Map<number, BrokerInfo>()
  readonly #topics = new Map<string, TopicInfo>()
  readonly #partitions = new Map<number, PartitionInfo>()
  readonly #producers = new Map<number, ProducerInfo>()
  readonly #consumers = new Map<number, ConsumerInfo>()
  readonly #health = new HealthTable()
  /** Per broker: how many replicas it holds and how many partitions prefer it. */
  readonly #loads = new Map<number, { replicas: number; preferred: number }>()

  /** Raft index of the last command applied. */
  get version(): number {
    return this.#version
  }

  /** Empty before the first command. */
  get clusterId(): string {
    return this.#clusterId
  }

  get settings(): ClusterSettings {
    return this.#settings
  }

  topic(name: string): TopicInfo | undefined {
    return this.#topics.get(name)
  }

  topics(): readonly TopicInfo[] {
    return [...this.#topics.values()]
  }

  partitionsOf(topic: string): readonly PartitionInfo[] {
    return this.#topics.get(topic)?.partitions ?? []
  }

  partitionByGroup(groupId: number): PartitionInfo | undefined {
    return this.#partitions.get(groupId)
  }

  partitions(): IterableIterator<PartitionInfo> {
    return this.#partitions.values()
  }

  producer(id: number): ProducerInfo | undefined {
    return this.#producers.get(id)
  }

  consumer(id: number): ConsumerInfo | undefined {
    return this.#consumers.get(id)
  }

  broker(id: number): BrokerInfo | undefined {
    return this.#brokers.get(id)
  }

  brokers(): readonly BrokerInfo[] {
    return [...this.#brokers.values()]
  }

  /** The newest plan of moves, running or not. */
  get plan(): BalancePlan | undefined {
    return this.#plans.plan
  }

  healthCheck(type: ActorType, id: number): HealthCheck | undefined {
    return this.#health.get(type, id)
  }

  /** Brokers first, then producers, then consumers, each in the order they came. */
  healthChecks(): IterableIterator<HealthCheck> {
    return this.#health.all()
  }

  /** Actors whose status does not match when they were last seen: what a leader proposes to mark. */
  staleActors(now: number): readonly Mark[] {
    return this.#health.mismatches(now, this.#settings.deadAfterMs)
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
    return {
      version: this.#version,
      clusterId: this.#clusterId,
      settings: this.#settings,
      nextIds: { ...this.#nextIds },
      brokers: [...this.#brokers.values()],
      topics: [...this.#topics.values()],
      producers: [...this.#producers.values()],
      consumers: [...this.#consumers.values()],
      healthChecks: [...this.healthChecks()],
      plans: this.#plans.toJSON(),
    }
  }

  /** The state of a snapshot that this code wrote, here or in another process of the cluster. */
  static fromJSON(value: unknown): MetadataState {
    const snapshot = value as MetadataSnapshot
    invariant(
      typeof value === 'object' && value !== null && 'version' in value && 'topics' in value,
      'a metadata snapshot has a version and topics',
    )
    const state = new MetadataState()
    state.#version = snapshot.version
    state.#clusterId = snapshot.clusterId
    state.#settings = snapshot.settings
    state.#nextIds = { ...snapshot.nextIds }
    state.#plans.load(snapshot.plans)
    for (const broker of snapshot.brokers) {
      // Absent in snapshots of the first version.
      const { rack = '', state: its = 'active' } = broker as Partial<BrokerInfo>
      state.#putBroker({ ...broker, rack, state: its })
    }
    for (const stored of snapshot.topics) {
      const topic = { ...stored, partitions: stored.partitions.map(withMoveFields) }
      state.#topics.set(topic.name, topic)
      for (const partition of topic.partitions) state.#countPartition(partition)
    }
    for (const producer of snapshot.producers) state.#producers.set(producer.id, producer)
    for (const consumer of snapshot.consumers) state.#consumers.set(consumer.id, consumer)
    for (const check of snapshot.healthChecks) state.#health.put(check)
    return state
  }

  #carryOut(command: MetadataCommand): Outcome {
    switch (command.kind) {
      case 'bootstrap':
        return this.#bootstrap(command)
      case 'add-broker':
        return this.#addBroker(command)
      case 'update-broker':
        return this.#updateBroker(command)
      case 'create-topic':
        return this.#createTopic(command)
      case 'add-partition':
        return this.#addPartition(command)
      case 'register-producer':
        return this.#registerProducer(command)
      case 'register-consumer':
        return this.#registerConsumer(command)
      case 'activity':
        return this.#noteActivity(command)
      case 'mark':
        return this.#mark(command)
      case 'move-replicas':
      case 'move-done':
      case 'move-settled':
      case 'cancel-move':
      case 'replica-dropped':
        return this.#changeReplicas(command)
      case 'set-broker-state':
      case 'remove-broker':
        return this.#changeBroker(command)
      case 'start-plan':
      case 'step-plan':
      case 'cancel-plan':
        return this.#changePlan(command)
      default:
        return unreachable(command)
    }
  }

  #bootstrap(command: Extract<MetadataCommand, { kind: 'bootstrap' }>): Outcome {
    if (this.#clusterId !== '') return { result: { clusterId: this.#clusterId }, changes: {} }
    this.#clusterId = command.clusterId
    this.#settings = command.settings
    const brokers: BrokerInfo[] = []
    const healthChecks: HealthCheck[] = []
    for (const seat of command.brokers) {
      const broker = { ...seat, id: seat.id as BrokerId, ...FOUNDER, createdAt: command.at }
      this.#putBroker(broker)
      this.#nextIds.broker = Math.max(this.#nextIds.broker, seat.id + 1)
      brokers.push(broker)
      healthChecks.push(this.#health.registered('broker', seat.id, command.at))
    }
    return { result: { clusterId: this.#clusterId }, changes: { brokers, healthChecks } }
  }

  #addBroker(command: Extract<MetadataCommand, { kind: 'add-broker' }>): Outcome {
    for (const known of this.#brokers.values()) {
      const same = known.uuid !== '' && known.uuid === command.uuid
      if (same || (known.host === command.host && known.port === command.port))
        return refused('BROKER_EXISTS', `broker ${known.id} is part of the cluster already`, 'port')
    }
    const { host, port, uuid, at } = command
    const id = this.#nextIds.broker++ as BrokerId
    const broker = { id, host, port, uuid, ...NEW_BROKER, createdAt: at }
    this.#putBroker(broker)
    return {
      result: { brokerId: broker.id },
      changes: { brokers: [broker], healthChecks: [this.#health.registered('broker', broker.id, at)] },
    }
  }

  #updateBroker(command: Extract<MetadataCommand, { kind: 'update-broker' }>): Outcome {
    const known = this.#brokers.get(command.id)
    if (known === undefined) return refused('BROKER_NOT_FOUND', `broker ${command.id} does not exist`, 'id')
    if (known.uuid !== '' && command.uuid !== known.uuid)
      return refused('BROKER_REFUSED', `broker ${command.id} had another data directory before`, 'id')
    const { host, port, uuid, rack = known.rack } = command
    const broker = { ...known, host, port, uuid, rack }
    this.#brokers.set(broker.id, broker)
    return { result: { brokerId: broker.id }, changes: { brokers: [broker] } }
  }

  #createTopic(command: Extract<MetadataCommand, { kind: 'create-topic' }>): Outcome {
    if (this.#topics.has(command.topic))
      return refused('TOPIC_EXISTS', `topic ${command.topic} exists`, 'topic_name')
    if (command.partitions > this.#settings.partitionsPerTopicMax)
      return refused(
        'PARTITION_LIMIT',
        `a topic has at most ${this.#settings.partitionsPerTopicMax} partitions`,
        'partitions',
      )
    if (command.replicationFactor !== undefined && command.replicationFactor > this.#alive().length)
      return refused(
        'NOT_ENOUGH_BROKERS',
        `${this.#alive().length} brokers are alive, ${command.replicationFactor} replicas are asked for`,
        'replication_factor',
      )
    const replicationFactor = command.replicationFactor ?? this.#settings.replicationFactor
    const topic = this.#newTopic(
      command.topic as TopicName,
      command.partitions,
      replicationFactor,
      command.at,
      command.settings,
    )
    if (topic === undefined) return refused('NOT_ENOUGH_BROKERS', 'no broker is alive')
    return {
      result: { topic: topic.name, partitions: topic.partitions.map((partition) => partition.name) },
      changes: { topics: [topic], partitions: [...topic.partitions] },
    }
  }

  #addPartition(command: Extract<MetadataCommand, { kind: 'add-partition' }>): Outcome {
    const topic = this.#topics.get(command.topic)
    if (topic === undefined)
      return refused('TOPIC_NOT_FOUND', `topic ${command.topic} does not exist`, 'topic_name')
    const count = topic.partitions.length
    if (command.expectedCount !== undefined && command.expectedCount !== count)
      return { result: { partition: count, added: false }, changes: {} }
    if (count >= this.#settings.partitionsPerTopicMax)
      return refused(
        'PARTITION_LIMIT',
        `topic ${topic.name} has ${count} partitions, which is the limit`,
        'topic_name',
      )
    const partition = this.#newPartition(topic.name, count + 1, topic.replicationFactor, command.at)
    if (partition === undefined) return refused('NOT_ENOUGH_BROKERS', 'no broker is alive')
    const grown = { ...topic, partitions: [...topic.partitions, partition] }
    this.#topics.set(topic.name, grown)
    return {
      result: { partition: partition.number, added: true },
      changes: { topics: [grown], partitions: [partition] },
    }
  }

  #registerProducer(command: Extract<MetadataCommand, { kind: 'register-producer' }>): Outcome {
    const known = this.#topics.get(command.topic)
    const topic =
      known ?? this.#newTopic(command.topic as TopicName, 1, this.#settings.replicationFactor, command.at)
    if (topic === undefined) return refused('NOT_ENOUGH_BROKERS', 'no broker is alive')
    const producer = { id: this.#nextIds.producer++ as ProducerId, topic: topic.name, createdAt: command.at }
    this.#producers.set(producer.id, producer)
    const changes: Change = {
      producers: [producer],
      healthChecks: [this.#health.registered('producer', producer.id, command.at)],
    }
    if (known === undefined) {
      changes.topics = [topic]
      changes.partitions = [...topic.partitions]
    }
    return { result: { producerId: producer.id, topicCreated: known === undefined }, changes }
  }

  #registerConsumer(command: Extract<MetadataCommand, { kind: 'register-consumer' }>): Outcome {
    const topic = this.#topics.get(command.topic)
    if (topic === undefined)
      return refused('TOPIC_NOT_FOUND', `topic ${command.topic} does not exist`, 'topic_name')
    const consumer = {
      id: this.#nextIds.consumer++ as ConsumerId,
      topic: topic.name,
      start: command.start,
      ack: command.ack,
      autoOffsetReset: command.autoOffsetReset ?? 'earliest',
      createdAt: command.at,
    }
    this.#consumers.set(consumer.id, consumer)
    return {
      result: { consumerId: consumer.id },
      changes: {
        consumers: [consumer],
        healthChecks: [this.#health.registered('consumer', consumer.id, command.at)],
      },
    }
  }

  #noteActivity(command: Extract<MetadataCommand, { kind: 'activity' }>): Outcome {
    const healthChecks = [
      ...this.#health.seen('producer', command.producers),
      ...this.#health.seen('consumer', command.consumers),
      ...this.#health.seen('broker', command.brokers),
    ]
    return { result: {}, changes: { healthChecks } }
  }

  #mark(command: Extract<MetadataCommand, { kind: 'mark' }>): Outcome {
    return { result: {}, changes: { healthChecks: [...this.#health.mark(command.marks, command.at)] } }
  }

  #changeReplicas(command: MoveCommand): Outcome {
    const partition = this.#partitions.get(command.groupId)
    if (partition === undefined)
      return refused('PARTITION_NOT_FOUND', `there is no partition of group ${command.groupId}`, 'groupId')
    const changed = this.#afterMoveCommand(partition, command)
    if (isRefusal(changed)) return refused(changed.code, changed.message)
    if (command.kind === 'move-done') this.#plans.moveEnded(command, command.at)
    const result = { moveId: changed.moveId }
    if (changed === partition) return { result, changes: {} }
    this.#replacePartition(partition, changed)
    return { result, changes: { partitions: [changed] } }
  }

  #replacePartition(known: PartitionInfo, changed: PartitionInfo): void {
    this.#count(known, -1)
    this.#countPartition(changed)
    const topic = this.#topics.get(known.topic)!
    const partitions = topic.partitions.with(known.number - 1, changed)
    this.#topics.set(topic.name, { ...topic, partitions })
  }

  #changeBroker(command: BrokerStateCommand): Outcome {
    const broker = this.#brokers.get(command.brokerId)
    if (broker === undefined)
      return refused('BROKER_NOT_FOUND', `broker ${command.brokerId} does not exist`, 'broker_id')
    const leaves = command.kind === 'remove-broker' || isLeaving(command)
    const stay = [...this.#brokers.values()].filter((it) => it.id !== broker.id && !isLeaving(it))
    if (leaves && stay.length === 0)
      return refused('LAST_BROKER', `broker ${broker.id} is the last one that stays`, 'broker_id')
    const result = { brokerId: broker.id }
    if (command.kind === 'set-broker-state') {
      const missing = command.state === 'removing' ? this.#missedWithout(broker.id) : undefined
      if (missing !== undefined) return refused('NOT_ENOUGH_BROKERS', missing, 'broker_id')
      const changed = { ...broker, state: command.state }
      this.#brokers.set(broker.id, changed)
      return { result, changes: { brokers: [changed] } }
    }
    return this.#removeBroker(broker.id) ?? { result, changes: { removedBrokers: [broker.id] } }
  }

  /** Why the cluster cannot do without the broker. */
  #missedWithout(brokerId: BrokerId): string | undefined {
    const stay = this.#alive().filter(({ id }) => id !== brokerId).length
    for (const { name, replicationFactor } of this.#topics.values())
      if (
        replicationFactor > stay &&
        this.#topics.get(name)!.partitions.some((it) => it.replicas.length > stay)
      )
        return `topic ${name} has ${replicationFactor} replicas, and ${stay} brokers would be left to hold them`
    return undefined
  }

  #removeBroker(brokerId: BrokerId): Outcome | undefined {
    for (const partition of this.#partitions.values())
      if (isHolder(partition, brokerId))
        return refused(
          'BROKER_IN_USE',
          `broker ${brokerId} holds a replica of ${partition.name}`,
          'broker_id',
        )
    for (const partition of [...this.#partitions.values()]) {
      const changed = forgetBroker(partition, brokerId)
      if (changed !== partition) this.#replacePartition(partition, changed)
    }
    this.#brokers.delete(brokerId)
    this.#loads.delete(brokerId)
    this.#health.remove('broker', brokerId)
    return undefined
  }

  #changePlan(command: PlanCommand): Outcome {
    const partitions: PartitionInfo[] = []
    const outcome = this.#plans.carryOut(command, {
      partition: (groupId) => this.#partitions.get(groupId),
      knowsBroker: (id) => this.#brokers.has(id),
      replace: (known, changed) => {
        this.#replacePartition(known, changed)
        partitions.push(changed)
      },
    })
    if ('code' in outcome) return refused(outcome.code, outcome.message)
    return { result: outcome, changes: { partitions } }
  }

  #afterMoveCommand(partition: PartitionInfo, command: MoveCommand): PartitionInfo | MoveRefusal {
    switch (command.kind) {
      case 'move-replicas': {
        const unknown = command.target.find((id) => !this.#brokers.has(id))
        if (unknown !== undefined)
          return { code: 'BROKER_NOT_FOUND', message: `broker ${unknown} does not exist` }
        return startMove(partition, command.target as readonly BrokerId[], command.at)
      }
      case 'move-done':
        return finishMove(partition, command.moveId)
      case 'move-settled':
        return settleMove(partition, command.moveId)
      case 'cancel-move':
        if (partition.move === undefined || partition.moveId !== command.moveId)
          return {
            code: 'MOVE_CONFLICT',
            message: `move ${command.moveId} of ${partition.name} is not under way`,
          }
        return startMove(partition, partition.replicas, command.at)
      case 'replica-dropped':
        return copyDropped(partition, command.brokerId as BrokerId)
      default:
        return unreachable(command)
    }
  }

  #newTopic(
    name: TopicName,
    partitionCount: number,
    replicationFactor: number,
    at: number,
    settings?: TopicSettings,
  ): TopicInfo | undefined {
    if (this.#alive().length === 0) return undefined
    const partitions: PartitionInfo[] = []
    for (let number = 1; number <= partitionCount; number++)
      partitions.push(this.#newPartition(name, number, replicationFactor, at)!)
    const topic = withSettings(
      { name, replicationFactor, settings: {}, trimmed: false, createdAt: at, partitions },
      settings ?? {},
    )
    this.#topics.set(name, topic)
    return topic
  }

  #newPartition(
    topic: TopicName,
    number: number,
    replicationFactor: number,
    at: number,
  ): PartitionInfo | undefined {
    const replicas = placeReplicas(this.#alive(), replicationFactor)
    if (replicas.length === 0) return undefined
    const groupId = this.#nextIds.group++ as GroupId
    const partition: PartitionInfo = {
      groupId,
      topic,
      number,
      name: partitionName(topic, number),
      replicas,
      founders: replicas,
      moveId: 0,
      departing: [],
      departed: [],
      createdAt: at,
    }
    this.#countPartition(partition)
    return partition
  }

  /** Brokers that may get replicas. */
  #alive(): readonly BrokerLoad[] {
    const loads: BrokerLoad[] = []
    for (const { id, state } of this.#brokers.values())
      if ((state === 'active' || state === 'joining') && this.#health.get('broker', id)?.status === 'alive')
        loads.push({ id, ...this.#loads.get(id)! })
    return loads
  }

  #putBroker(broker: BrokerInfo): void {
    this.#brokers.set(broker.id, broker)
    this.#loads.set(broker.id, { replicas: 0, preferred: 0 })
  }

  #countPartition(partition: PartitionInfo): void {
    this.#partitions.set(partition.groupId, partition)
    this.#count(partition, 1)
  }

  /** What a partition is to have counts, from the moment that it is decided. */
  #count(partition: PartitionInfo, sign: 1 | -1): void {
    for (const [position, id] of wantedReplicas(partition).entries()) {
      const load = this.#loads.get(id)
      if (load === undefined) continue
      load.replicas += sign
      if (position === 0) load.preferred += sign
    }
  }
}

const NO_CHANGES: MetadataChanges = {
  brokers: [],
  topics: [],
  partitions: [],
  producers: [],
  consumers: [],
  healthChecks: [],
  removedBrokers: [],
}

const FOUNDER = { rack: '', state: 'active' } as const
const NEW_BROKER = { rack: '', state: 'joining' } as const

function refused(code: ErrorCode, message: string, field?: string): Outcome {
  return {
    result: { error: { code, message, outcome: 'no', ...(field === undefined ? {} : { field }) } },
    changes: {},
  }
}
