import type { TopicName } from '@sluice/domain'
import type { TopicChange } from '../command.js'
import type { Removal } from '../entities.js'
import { withTopicChange } from '../topic-change.js'
import { isClosing, nextToClose, openPartitions } from '../topic-partitions.js'
import { type CommandOf, type Outcome, refused } from './outcome.js'
import { endMoves } from './replica-commands.js'
import type { ClusterTables } from './tables.js'

export function createTopic(tables: ClusterTables, command: CommandOf<'create-topic'>): Outcome {
  if (tables.topics.has(command.topic))
    return refused('TOPIC_EXISTS', `topic ${command.topic} exists`, 'topic_name')
  if (command.partitions > tables.settings.partitionsPerTopicMax)
    return refused(
      'PARTITION_LIMIT',
      `a topic has at most ${tables.settings.partitionsPerTopicMax} partitions`,
      'partitions',
    )
  if (command.replicationFactor !== undefined && command.replicationFactor > tables.placeable().length)
    return refused(
      'NOT_ENOUGH_BROKERS',
      `${tables.placeable().length} brokers are alive, ${command.replicationFactor} replicas are asked for`,
      'replication_factor',
    )
  const replicationFactor = command.replicationFactor ?? tables.settings.replicationFactor
  const topic = tables.newTopic(
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
      auditEvents: [tables.topicCreated(command, topic, 'asked for')],
    },
  }
}

export function alterTopic(tables: ClusterTables, command: CommandOf<'alter-topic'>): Outcome {
  const topic = tables.topics.get(command.topic)
  if (topic === undefined)
    return refused('TOPIC_NOT_FOUND', `topic ${command.topic} does not exist`, 'topic_name')
  const altered = withTopicChange(topic, command)
  tables.topics.set(topic.name, altered)
  const event = tables.record(command, 'topic-changed', `topic/${topic.name}`, changeText(command))
  return { result: { topic: topic.name }, changes: { topics: [altered], auditEvents: [event] } }
}

export function closePartition(tables: ClusterTables, command: CommandOf<'close-partition'>): Outcome {
  const topic = tables.topics.get(command.topic)
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
  tables.topics.set(topic.name, shrunk)
  tables.closing.add(topic.name)
  const event = tables.record(command, 'partition-closed', `partition/${partition.name}`, 'asked for')
  return {
    result: { closed: true, partition: partition.number },
    changes: { topics: [shrunk], auditEvents: [event] },
  }
}

/** Only what takes no messages any more. Once more, it is gone already. */
export function removePartition(tables: ClusterTables, command: CommandOf<'remove-partition'>): Outcome {
  const partition = tables.partitions.get(command.groupId)
  if (partition === undefined) return { result: { removed: false }, changes: {} }
  const topic = tables.topics.get(partition.topic)!
  if (!isClosing(topic, partition.number))
    return refused('PARTITION_LIMIT', `${partition.name} takes messages: it is closed first`)
  const newest = Math.max(0, ...tables.consumers.of(topic.name))
  if (command.newestConsumer !== undefined && newest > command.newestConsumer)
    return refused('PARTITION_LIMIT', `consumer ${newest} has not read ${partition.name} yet`)
  const rest = {
    ...topic,
    partitions: topic.partitions.filter(({ number }) => number !== partition.number),
    closing: topic.closing.filter((number) => number !== partition.number),
  }
  tables.topics.set(topic.name, rest)
  if (rest.closing.length === 0) tables.closing.delete(topic.name)
  tables.forgetPartition(partition)
  const event = tables.record(command, 'partition-removed', `partition/${partition.name}`, command.reason)
  return {
    result: { removed: true },
    changes: {
      topics: [rest],
      removed: [{ kind: 'partition', groupId: partition.groupId, partition }],
      auditEvents: [event, ...endMoves(tables, command, [partition])],
    },
  }
}

/**
 * With everything that belongs to it. Ids are not used again, so nothing of it can come back. A topic's first
 * partition is there as long as the topic: one that is named by it and is not there is gone already.
 */
export function deleteTopic(tables: ClusterTables, command: CommandOf<'delete-topic'>): Outcome {
  const topic = tables.topics.get(command.topic)
  if (command.groupId !== undefined && topic?.partitions[0]?.groupId !== command.groupId)
    return { result: { topic: command.topic }, changes: {} }
  if (topic === undefined)
    return refused('TOPIC_NOT_FOUND', `topic ${command.topic} does not exist`, 'topic_name')
  tables.topics.delete(topic.name)
  tables.closing.delete(topic.name)
  const removed: Removal[] = [{ kind: 'topic', name: topic.name }]
  for (const partition of topic.partitions) {
    tables.forgetPartition(partition)
    removed.push({ kind: 'partition', groupId: partition.groupId, partition })
  }
  const actors = { producer: tables.producers, consumer: tables.consumers }
  for (const kind of ['producer', 'consumer'] as const)
    for (const id of actors[kind].removeOf(topic.name)) {
      tables.health.remove(kind, id)
      removed.push({ kind, id })
    }
  const reason = `asked for: ${topic.partitions.length} partitions went`
  const deleted = tables.record(command, 'topic-deleted', `topic/${topic.name}`, reason)
  return {
    result: { topic: topic.name },
    changes: { removed, auditEvents: [deleted, ...endMoves(tables, command, topic.partitions)] },
  }
}

export function addPartition(tables: ClusterTables, command: CommandOf<'add-partition'>): Outcome {
  const topic = tables.topics.get(command.topic)
  if (topic === undefined)
    return refused('TOPIC_NOT_FOUND', `topic ${command.topic} does not exist`, 'topic_name')
  const count = openPartitions(topic).length
  if (command.expectedCount !== undefined && command.expectedCount !== count)
    return { result: { partition: count, added: false }, changes: {} }
  if (count >= tables.settings.partitionsPerTopicMax)
    return refused(
      'PARTITION_LIMIT',
      `topic ${topic.name} has ${count} partitions, which is the limit`,
      'topic_name',
    )
  const partition = tables.newPartition(topic.name, topic.nextNumber, topic.replicationFactor, command.at)
  if (partition === undefined) return refused('NOT_ENOUGH_BROKERS', 'no broker is alive')
  const grown = {
    ...topic,
    partitions: [...topic.partitions, partition],
    nextNumber: topic.nextNumber + 1,
  }
  tables.topics.set(topic.name, grown)
  return {
    result: { partition: partition.number, added: true },
    changes: {
      topics: [grown],
      partitions: [partition],
      auditEvents: [
        tables.record(
          command,
          'partition-added',
          `partition/${partition.name}`,
          command.expectedCount === undefined ? 'asked for' : 'the topic grew',
        ),
      ],
    },
  }
}

/** Null is what the cluster does. */
function changeText({ growth, growthMax, settings }: TopicChange): string {
  return JSON.stringify({ growth, growthMax, ...settings })
}
