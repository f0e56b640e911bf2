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
import type { Mark, MetadataCommand } from './command.js'
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
}

/** The cluster as its log makes it: the same commands give the same state everywhere. Look-ups cost O(1). */
export class MetadataState {
  #version = 0
  #clusterId = ''
  #settings = DEFAULT_SETTINGS
  #nextIds = { broker: 1, producer: 1, consumer: 1, group: METADATA_GROUP + 1 }
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
    for (const broker of snapshot.brokers) state.#putBroker(broker)
    for (const topic of snapshot.topics) {
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
      const broker = { ...seat, id: seat.id as BrokerId, createdAt: command.at }
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
    const broker = { id: this.#nextIds.broker++ as BrokerId, host, port, uuid, createdAt: at }
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
    const broker = { ...known, host: command.host, port: command.port, uuid: command.uuid }
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
    const partition = { groupId, topic, number, name: partitionName(topic, number), replicas, createdAt: at }
    this.#countPartition(partition)
    return partition
  }

  #alive(): readonly BrokerLoad[] {
    const loads: BrokerLoad[] = []
    for (const { id } of this.#brokers.values())
      if (this.#health.get('broker', id)?.status === 'alive') loads.push({ id, ...this.#loads.get(id)! })
    return loads
  }

  #putBroker(broker: BrokerInfo): void {
    this.#brokers.set(broker.id, broker)
    this.#loads.set(broker.id, { replicas: 0, preferred: 0 })
  }

  #countPartition(partition: PartitionInfo): void {
    this.#partitions.set(partition.groupId, partition)
    for (const [position, id] of partition.replicas.entries()) {
      const load = this.#loads.get(id)
      if (load === undefined) continue
      load.replicas++
      if (position === 0) load.preferred++
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
}

function refused(code: ErrorCode, message: string, field?: string): Outcome {
  return {
    result: { error: { code, message, outcome: 'no', ...(field === undefined ? {} : { field }) } },
    changes: {},
  }
}
