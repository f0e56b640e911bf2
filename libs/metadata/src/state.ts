import {
  BrokerError,
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
import { type AuditEvent, type AuditKind, type AuditSnapshot, AuditTrail } from './audit-trail.js'
import { isLeaving } from './balance/leaving.js'
import type { BalancePlan } from './balance/plan.js'
import { PlanDesk, type PlansSnapshot } from './balance/plan-desk.js'
import {
  type BrokerStateCommand,
  type Mark,
  type MetadataCommand,
  type MoveCommand,
  type PlanCommand,
  type TopicChange,
  toThresholds,
} from './command.js'
import type {
  ActorType,
  BrokerInfo,
  ClusterSettings,
  ConsumerInfo,
  HealthCheck,
  MetadataChanges,
  PartitionInfo,
  ProducerInfo,
  Removal,
  TopicInfo,
} from './entities.js'
import { levelOf } from './command-level.js'
import { type FeatureRange, FEATURES, FIRST_FEATURES, supports } from './feature-level.js'
import { HealthTable } from './health-table.js'
import { type BrokerLoad, placeReplicas } from './placement.js'
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
import { withSettingsChange } from './topic-settings.js'
import { TopicActors } from './topic-actors.js'
import { isClosing, nextToClose, openPartitions, withPartitionFields } from './topic-partitions.js'

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
  deadAfterMs: { broker: 300_000, producer: 300_000, consumer: 300_000 },
  partitionsPerTopicMax: 1000,
  featureLevel: FEATURES.max,
}

/** Of the form of snapshots; what is added and may be absent needs no other one. */
const SNAPSHOT_FORMAT = 1

export interface MetadataSnapshot {
  readonly format?: number
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
  readonly audit: AuditSnapshot
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
  readonly #producers = new TopicActors<ProducerInfo>()
  readonly #consumers = new TopicActors<ConsumerInfo>()
  /** Topics with partitions that are closing. */
  readonly #closing = new Set<string>()
  readonly #health = new HealthTable()
  readonly #audit = new AuditTrail()
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

  /** Topics, partitions, producers and consumers, all together. */
  get size(): number {
    return this.#topics.size + this.#partitions.size + this.#producers.size + this.#consumers.size
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

  /** True once the group was a partition's, and is no more. */
  wasRemoved(groupId: number): boolean {
    return groupId > METADATA_GROUP && groupId < this.#nextIds.group && !this.#partitions.has(groupId)
  }

  partitions(): IterableIterator<PartitionInfo> {
    return this.#partitions.values()
  }

  producer(id: number): ProducerInfo | undefined {
    return this.#producers.get(id)
  }

  /** Topics of which partitions are closing. */
  closingTopics(): readonly TopicInfo[] {
    return Array.from(this.#closing, (name) => this.#topics.get(name)!)
  }

  /** Ids of the consumers of a topic. */
  consumersOf(topic: string): ReadonlySet<number> {
    return this.#consumers.of(topic)
  }

  /** The partition of this number, whether it takes messages or not. */
  partition(topic: string, number: number): PartitionInfo | undefined {
    return this.#topics.get(topic)?.partitions.find((partition) => partition.number === number)
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

  /** Brokers first, then producers, then consumers; of one type, or after a row, when that is given. */
  healthChecks(...page: Parameters<HealthTable['all']>): IterableIterator<HealthCheck> {
    return this.#health.all(...page)
  }

  /** The newest events, oldest first. */
  auditEvents(): IterableIterator<AuditEvent> {
    return this.#audit.all()
  }

  /** Actors that count as alive and are silent for too long: what a leader proposes to mark. */
  silentActors(now: number): readonly Mark[] {
    return this.#health.silent(now, this.#settings.deadAfterMs)
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
      format: SNAPSHOT_FORMAT,
      version: this.#version,
      clusterId: this.#clusterId,
      settings: this.#settings,
      nextIds: { ...this.#nextIds },
      brokers: [...this.#brokers.values()],
      topics: [...this.#topics.values()],
      producers: [...this.#producers.all()],
      consumers: [...this.#consumers.all()],
      healthChecks: [...this.healthChecks()],
      plans: this.#plans.toJSON(),
      audit: this.#audit.toJSON(),
    }
  }

  /** The state of a snapshot that this code wrote, here or in another process of the cluster. */
  static fromJSON(value: unknown): MetadataState {
    const snapshot = value as MetadataSnapshot
    invariant(
      typeof value === 'object' && value !== null && 'version' in value && 'topics' in value,
      'a metadata snapshot has a version and topics',
    )
    const format = snapshot.format ?? SNAPSHOT_FORMAT
    if (format !== SNAPSHOT_FORMAT)
      throw new BrokerError(
        'UNSUPPORTED_VERSION',
        `a metadata snapshot of format ${format}; this version knows ${SNAPSHOT_FORMAT}`,
      )
    const state = new MetadataState()
    state.#version = snapshot.version
    state.#clusterId = snapshot.clusterId
    state.#settings = {
      ...snapshot.settings,
      // The first version had none.
      featureLevel: (snapshot.settings as Partial<ClusterSettings>).featureLevel ?? 1,
      deadAfterMs: toThresholds(snapshot.settings.deadAfterMs),
    }
    state.#nextIds = { ...snapshot.nextIds }
    state.#plans.load(snapshot.plans)
    for (const broker of snapshot.brokers) {
      // Absent in snapshots of the first version.
      const { rack = '', state: its = 'active' } = broker as Partial<BrokerInfo>
      state.#putBroker({ ...broker, rack, state: its })
    }
    for (const stored of snapshot.topics) {
      const topic = withPartitionFields({ ...stored, partitions: stored.partitions.map(withMoveFields) })
      state.#topics.set(topic.name, topic)
      if (topic.closing.length > 0) state.#closing.add(topic.name)
      for (const partition of topic.partitions) state.#countPartition(partition)
    }
    for (const producer of snapshot.producers) state.#producers.put(producer)
    for (const consumer of snapshot.consumers) state.#consumers.put(consumer)
    for (const check of snapshot.healthChecks) state.#health.put(check)
    // Absent in snapshots of the first version.
    const { audit } = snapshot as Partial<MetadataSnapshot>
    if (audit !== undefined) state.#audit.load(audit)
    return state
  }

  #carryOut(command: MetadataCommand): Outcome {
    const level = levelOf(command)
    if (level > this.#settings.featureLevel)
      return refused(
        'UNSUPPORTED_VERSION',
        `${command.kind} takes feature level ${level}, the cluster is at ${this.#settings.featureLevel}: raise it when every broker can`,
      )
    switch (command.kind) {
      case 'bootstrap':
        return this.#bootstrap(command)
      case 'add-broker':
        return this.#addBroker(command)
      case 'update-broker':
        return this.#updateBroker(command)
      case 'create-topic':
        return this.#createTopic(command)
      case 'alter-topic':
        return this.#alterTopic(command)
      case 'close-partition':
        return this.#closePartition(command)
      case 'remove-partition':
        return this.#removePartition(command)
      case 'delete-topic':
        return this.#deleteTopic(command)
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
      case 'raise-feature-level':
        return this.#raiseFeatureLevel(command)
      case 'change-settings':
        return this.#changeSettings(command)
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
    for (const seat of command.brokers.toSorted((a, b) => a.id - b.id)) {
      const broker = { ...seat, id: seat.id as BrokerId, ...FOUNDER, createdAt: command.at }
      this.#putBroker(broker)
      this.#nextIds.broker = Math.max(this.#nextIds.broker, seat.id + 1)
      brokers.push(broker)
      healthChecks.push(this.#health.registered('broker', seat.id, command.at))
    }
    const founded = this.#record(command, 'cluster-founded', 'cluster', `by ${brokers.length} brokers`)
    return {
      result: { clusterId: this.#clusterId },
      changes: { brokers, healthChecks, auditEvents: [founded] },
    }
  }

  #addBroker(command: Extract<MetadataCommand, { kind: 'add-broker' }>): Outcome {
    for (const known of this.#brokers.values()) {
      if (known.uuid !== '' && known.uuid === command.uuid)
        return refused('BROKER_EXISTS', `broker ${known.id} is part of the cluster already`, 'port')
      if (known.host === command.host && known.port === command.port)
        return refused(
          'BROKER_REFUSED',
          `broker ${known.id} is at ${known.host}:${known.port}, with another data directory: give it its own back, or remove broker ${known.id} first`,
          'port',
        )
    }
    const { host, port, uuid, features, at } = command
    const misfit = this.#misfit(features)
    if (misfit !== undefined) return misfit
    const id = this.#nextIds.broker++ as BrokerId
    const its = features === undefined ? {} : { features }
    const broker: BrokerInfo = { id, host, port, uuid, ...NEW_BROKER, ...its, createdAt: at }
    this.#putBroker(broker)
    return {
      result: { brokerId: broker.id },
      changes: {
        brokers: [broker],
        healthChecks: [this.#health.registered('broker', broker.id, at)],
        auditEvents: [this.#record(command, 'broker-added', `broker/${broker.id}`, `at ${host}:${port}`)],
      },
    }
  }

  #updateBroker(command: Extract<MetadataCommand, { kind: 'update-broker' }>): Outcome {
    const known = this.#brokers.get(command.id)
    if (known === undefined) return refused('BROKER_NOT_FOUND', `broker ${command.id} does not exist`, 'id')
    if (known.uuid !== '' && command.uuid !== known.uuid)
      return refused('BROKER_REFUSED', `broker ${command.id} had another data directory before`, 'id')
    const misfit = this.#misfit(command.features)
    if (misfit !== undefined) return misfit
    const { host, port, uuid, rack = known.rack, features } = command
    const broker = { ...known, host, port, uuid, rack, ...(features === undefined ? {} : { features }) }
    this.#brokers.set(broker.id, broker)
    const moved = known.uuid !== '' && (known.host !== broker.host || known.port !== broker.port)
    const reason = moved
      ? `moved to ${broker.host}:${broker.port}`
      : `serves at ${broker.host}:${broker.port}`
    const changed = this.#record(command, 'broker-changed', `broker/${broker.id}`, reason)
    return { result: { brokerId: broker.id }, changes: { brokers: [broker], auditEvents: [changed] } }
  }

  /** Why a broker of these levels cannot be part of the cluster. */
  #misfit(features: FeatureRange | undefined): Outcome | undefined {
    const { featureLevel } = this.#settings
    if (features === undefined || supports(features, featureLevel)) return undefined
    return refused(
      'UNSUPPORTED_VERSION',
      `the cluster is at feature level ${featureLevel}, the broker runs in ${features.min} to ${features.max}`,
      'port',
    )
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
      command,
    )
    if (topic === undefined) return refused('NOT_ENOUGH_BROKERS', 'no broker is alive')
    return {
      result: { topic: topic.name, partitions: topic.partitions.map((partition) => partition.name) },
      changes: {
        topics: [topic],
        partitions: [...topic.partitions],
        auditEvents: [this.#topicCreated(topic, 'asked for')],
      },
    }
  }

  #alterTopic(command: Extract<MetadataCommand, { kind: 'alter-topic' }>): Outcome {
    const topic = this.#topics.get(command.topic)
    if (topic === undefined)
      return refused('TOPIC_NOT_FOUND', `topic ${command.topic} does not exist`, 'topic_name')
    const altered = changed(topic, command)
    this.#topics.set(topic.name, altered)
    const event = this.#record(command, 'topic-changed', `topic/${topic.name}`, changeText(command))
    return { result: { topic: topic.name }, changes: { topics: [altered], auditEvents: [event] } }
  }

  #closePartition(command: Extract<MetadataCommand, { kind: 'close-partition' }>): Outcome {
    const topic = this.#topics.get(command.topic)
    if (topic === undefined)
      return refused('TOPIC_NOT_FOUND', `topic ${command.topic} does not exist`, 'topic_name')
    const count = openPartitions(topic).length
    if (command.expectedCount !== undefined && command.expectedCount !== count)
      return { result: { closed: false }, changes: {} }
    const partition = nextToClose(topic)
    if (partition === undefined)
      return refused(
        'PARTITION_LIMIT',
        `topic ${topic.name} keeps the ${topic.keyPartitions} partitions that it was made with, to which its keys belong`,
        'partitions',
      )
    const shrunk = { ...topic, closing: [...topic.closing, partition.number] }
    this.#topics.set(topic.name, shrunk)
    this.#closing.add(topic.name)
    const event = this.#record(command, 'partition-closed', `partition/${partition.name}`, 'asked for')
    return {
      result: { closed: true, partition: partition.number },
      changes: { topics: [shrunk], auditEvents: [event] },
    }
  }

  /** Only what takes no messages any more. Once more, it is gone already. */
  #removePartition(command: Extract<MetadataCommand, { kind: 'remove-partition' }>): Outcome {
    const partition = this.#partitions.get(command.groupId)
    if (partition === undefined) return { result: { removed: false }, changes: {} }
    const topic = this.#topics.get(partition.topic)!
    if (!isClosing(topic, partition.number))
      return refused('PARTITION_LIMIT', `${partition.name} takes messages: it is closed first`)
    const newest = Math.max(0, ...this.#consumers.of(topic.name))
    if (command.newestConsumer !== undefined && newest > command.newestConsumer)
      return refused('PARTITION_LIMIT', `consumer ${newest} has not read ${partition.name} yet`)
    const rest = {
      ...topic,
      partitions: topic.partitions.filter(({ number }) => number !== partition.number),
      closing: topic.closing.filter((number) => number !== partition.number),
    }
    this.#topics.set(topic.name, rest)
    if (rest.closing.length === 0) this.#closing.delete(topic.name)
    this.#forgetPartition(partition)
    const event = this.#record(command, 'partition-removed', `partition/${partition.name}`, command.reason)
    return {
      result: { removed: true },
      changes: {
        topics: [rest],
        removed: [{ kind: 'partition', groupId: partition.groupId, partition }],
        auditEvents: [event],
      },
    }
  }

  /** With everything that belongs to it. Ids are not used again, so nothing of it can come back. */
  #deleteTopic(command: Extract<MetadataCommand, { kind: 'delete-topic' }>): Outcome {
    const topic = this.#topics.get(command.topic)
    if (topic === undefined)
      return refused('TOPIC_NOT_FOUND', `topic ${command.topic} does not exist`, 'topic_name')
    this.#topics.delete(topic.name)
    this.#closing.delete(topic.name)
    const removed: Removal[] = [{ kind: 'topic', name: topic.name }]
    for (const partition of topic.partitions) {
      this.#forgetPartition(partition)
      removed.push({ kind: 'partition', groupId: partition.groupId, partition })
    }
    const actors = { producer: this.#producers, consumer: this.#consumers }
    for (const kind of ['producer', 'consumer'] as const)
      for (const id of actors[kind].removeOf(topic.name)) {
        this.#health.remove(kind, id)
        removed.push({ kind, id })
      }
    const reason = `asked for: ${topic.partitions.length} partitions went`
    const deleted = this.#record(command, 'topic-deleted', `topic/${topic.name}`, reason)
    return { result: { topic: topic.name }, changes: { removed, auditEvents: [deleted] } }
  }

  #addPartition(command: Extract<MetadataCommand, { kind: 'add-partition' }>): Outcome {
    const topic = this.#topics.get(command.topic)
    if (topic === undefined)
      return refused('TOPIC_NOT_FOUND', `topic ${command.topic} does not exist`, 'topic_name')
    const count = openPartitions(topic).length
    if (command.expectedCount !== undefined && command.expectedCount !== count)
      return { result: { partition: count, added: false }, changes: {} }
    if (count >= this.#settings.partitionsPerTopicMax)
      return refused(
        'PARTITION_LIMIT',
        `topic ${topic.name} has ${count} partitions, which is the limit`,
        'topic_name',
      )
    const partition = this.#newPartition(topic.name, topic.nextNumber, topic.replicationFactor, command.at)
    if (partition === undefined) return refused('NOT_ENOUGH_BROKERS', 'no broker is alive')
    const grown = {
      ...topic,
      partitions: [...topic.partitions, partition],
      nextNumber: topic.nextNumber + 1,
    }
    this.#topics.set(topic.name, grown)
    return {
      result: { partition: partition.number, added: true },
      changes: {
        topics: [grown],
        partitions: [partition],
        auditEvents: [
          this.#record(
            command,
            'partition-added',
            `partition/${partition.name}`,
            command.expectedCount === undefined ? 'asked for' : 'the topic grew',
          ),
        ],
      },
    }
  }

  #registerProducer(command: Extract<MetadataCommand, { kind: 'register-producer' }>): Outcome {
    const known = this.#topics.get(command.topic)
    const topic =
      known ?? this.#newTopic(command.topic as TopicName, 1, this.#settings.replicationFactor, command.at)
    if (topic === undefined) return refused('NOT_ENOUGH_BROKERS', 'no broker is alive')
    const producer = { id: this.#nextIds.producer++ as ProducerId, topic: topic.name, createdAt: command.at }
    this.#producers.put(producer)
    const changes: Change = {
      producers: [producer],
      healthChecks: [this.#health.registered('producer', producer.id, command.at)],
    }
    if (known === undefined) {
      changes.topics = [topic]
      changes.partitions = [...topic.partitions]
      changes.auditEvents = [this.#topicCreated(topic, `producer ${producer.id} registered for it`)]
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
    this.#consumers.put(consumer)
    return {
      result: { consumerId: consumer.id },
      changes: {
        consumers: [consumer],
        healthChecks: [this.#health.registered('consumer', consumer.id, command.at)],
      },
    }
  }

  #noteActivity(command: Extract<MetadataCommand, { kind: 'activity' }>): Outcome {
    const healthChecks: HealthCheck[] = []
    const auditEvents: AuditEvent[] = []
    const seen = { producer: command.producers, consumer: command.consumers, broker: command.brokers }
    for (const type of ['producer', 'consumer', 'broker'] as const) {
      const deadAfterMs = this.#settings.deadAfterMs[type]
      const { changed, revived } = this.#health.seen(type, seen[type], { now: command.at, deadAfterMs })
      for (const check of changed) healthChecks.push(check)
      for (const check of revived) auditEvents.push(this.#statusChanged(command, check))
    }
    return { result: {}, changes: { healthChecks, auditEvents } }
  }

  #mark(command: Extract<MetadataCommand, { kind: 'mark' }>): Outcome {
    const healthChecks = [...this.#health.mark(command.marks, command.at)]
    const auditEvents = healthChecks.map((check) => this.#statusChanged(command, check))
    return { result: {}, changes: { healthChecks, auditEvents } }
  }

  /** Brokers that are dead count too: they may come back. */
  #raiseFeatureLevel(command: Extract<MetadataCommand, { kind: 'raise-feature-level' }>): Outcome {
    const { featureLevel } = this.#settings
    if (command.level <= featureLevel) return { result: { featureLevel }, changes: {} }
    for (const { id, features = FIRST_FEATURES } of this.#brokers.values())
      if (!supports(features, command.level))
        return refused(
          'UNSUPPORTED_VERSION',
          `broker ${id} runs in feature levels ${features.min} to ${features.max}, not in ${command.level}`,
          'feature_level',
        )
    this.#settings = { ...this.#settings, featureLevel: command.level }
    const reason = `from ${featureLevel} to ${command.level}`
    const raised = this.#record(command, 'feature-level-raised', 'cluster', reason)
    return { result: { featureLevel: command.level }, changes: { auditEvents: [raised] } }
  }

  #changeSettings(command: Extract<MetadataCommand, { kind: 'change-settings' }>): Outcome {
    const deadAfterMs = { ...this.#settings.deadAfterMs, ...command.deadAfterMs }
    this.#settings = { ...this.#settings, deadAfterMs }
    const given = Object.entries(command.deadAfterMs).map(([type, ms]) => `${type} dead after ${ms} ms`)
    const changed = this.#record(command, 'settings-changed', 'cluster', given.join(', '))
    return { result: {}, changes: { auditEvents: [changed] } }
  }

  #record(command: { readonly at: number }, kind: AuditKind, subject: string, reason: string): AuditEvent {
    return this.#audit.record({ at: command.at, kind, subject, reason })
  }

  #statusChanged(command: MetadataCommand, { type, id, status, reason }: HealthCheck): AuditEvent {
    return this.#record(command, `${type}-${status}`, `${type}/${id}`, reason)
  }

  #topicCreated(topic: TopicInfo, why: string): AuditEvent {
    const reason = `${why}: ${topic.partitions.length} partitions, ${topic.replicationFactor} replicas`
    return this.#record({ at: topic.createdAt }, 'topic-created', `topic/${topic.name}`, reason)
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
    const subject = `partition/${partition.name}`
    const replicas = `replicas are ${changed.replicas.join(', ')}`
    const auditEvents =
      command.kind === 'move-done' ? [this.#record(command, 'replicas-moved', subject, replicas)] : []
    return { result, changes: { partitions: [changed], auditEvents } }
  }

  #replacePartition(known: PartitionInfo, changed: PartitionInfo): void {
    this.#count(known, -1)
    this.#countPartition(changed)
    const topic = this.#topics.get(known.topic)!
    const partitions = topic.partitions.map((one) => (one === known ? changed : one))
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
      const reason = `from ${broker.state} to ${changed.state}`
      const event = this.#record(command, 'broker-state-changed', `broker/${broker.id}`, reason)
      return { result, changes: { brokers: [changed], auditEvents: [event] } }
    }
    const partitions = this.#removeBroker(broker.id)
    if ('result' in partitions) return partitions
    const event = this.#record(command, 'broker-removed', `broker/${broker.id}`, 'nothing is left on it')
    return { result, changes: { partitions, removedBrokers: [broker.id], auditEvents: [event] } }
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

  /** The partitions that are different without it, or why it cannot go. */
  #removeBroker(brokerId: BrokerId): Outcome | PartitionInfo[] {
    for (const partition of this.#partitions.values())
      if (isHolder(partition, brokerId))
        return refused(
          'BROKER_IN_USE',
          `broker ${brokerId} holds a replica of ${partition.name}`,
          'broker_id',
        )
    const partitions: PartitionInfo[] = []
    for (const partition of [...this.#partitions.values()]) {
      const changed = forgetBroker(partition, brokerId)
      if (changed === partition) continue
      this.#replacePartition(partition, changed)
      partitions.push(changed)
    }
    this.#brokers.delete(brokerId)
    this.#loads.delete(brokerId)
    this.#health.remove('broker', brokerId)
    return partitions
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
    return {
      result: outcome,
      changes: { partitions, auditEvents: this.#planEvents(command, outcome.planId) },
    }
  }

  #planEvents(command: PlanCommand, planId: number): AuditEvent[] {
    switch (command.kind) {
      case 'start-plan':
        return [
          this.#record(
            command,
            'plan-started',
            `plan/${planId}`,
            `${command.reason}: ${command.moves.length} moves`,
          ),
        ]
      case 'cancel-plan':
        return [this.#record(command, 'plan-cancelled', `plan/${planId}`, 'asked for')]
      case 'step-plan':
        return []
    }
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
    change: TopicChange = {},
  ): TopicInfo | undefined {
    if (this.#alive().length === 0) return undefined
    const partitions: PartitionInfo[] = []
    for (let number = 1; number <= partitionCount; number++)
      partitions.push(this.#newPartition(name, number, replicationFactor, at)!)
    const fields = { keyPartitions: partitionCount, nextNumber: partitionCount + 1, closing: [] }
    const made = {
      name,
      replicationFactor,
      settings: {},
      trimmed: false,
      createdAt: at,
      partitions,
      ...fields,
    }
    const topic = changed(made, change)
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

  #forgetPartition(partition: PartitionInfo): void {
    this.#partitions.delete(partition.groupId)
    this.#count(partition, -1)
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
  auditEvents: [],
  removed: [],
}

const FOUNDER = { rack: '', state: 'active' } as const
const NEW_BROKER = { rack: '', state: 'joining' } as const

function refused(code: ErrorCode, message: string, field?: string): Outcome {
  return {
    result: { error: { code, message, outcome: 'no', ...(field === undefined ? {} : { field }) } },
    changes: {},
  }
}

/** The topic with what the change says; null takes a setting away. */
function changed(topic: TopicInfo, { growth, growthMax, settings }: TopicChange): TopicInfo {
  const {
    growth: growthBefore,
    growthMax: growthMaxBefore,
    ...rest
  } = withSettingsChange(topic, settings ?? {})
  const growthNow = growth === undefined ? growthBefore : growth
  const growthMaxNow = growthMax === undefined ? growthMaxBefore : growthMax
  return {
    ...rest,
    ...(growthNow === null || growthNow === undefined ? {} : { growth: growthNow }),
    ...(growthMaxNow === null || growthMaxNow === undefined ? {} : { growthMax: growthMaxNow }),
  }
}

/** Null is what the cluster does. */
function changeText({ growth, growthMax, settings }: TopicChange): string {
  return JSON.stringify({ growth, growthMax, ...settings })
}
