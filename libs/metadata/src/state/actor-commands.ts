import type { ConsumerId, ProducerId, TopicName } from '@sluice/domain'
import type { AuditEvent } from '../audit-trail.js'
import type { MetadataCommand } from '../command.js'
import type { HealthCheck } from '../entities.js'
import { CLOCKS_SET_LEVEL } from '../feature-level.js'
import { type Change, type CommandOf, type Outcome, refused } from './outcome.js'
import type { ClusterTables } from './tables.js'

export function registerProducer(tables: ClusterTables, command: CommandOf<'register-producer'>): Outcome {
  const known = tables.topics.get(command.topic)
  const topic =
    known ?? tables.newTopic(command.topic as TopicName, 1, tables.settings.replicationFactor, command.at)
  if (topic === undefined) return refused('NOT_ENOUGH_BROKERS', 'no broker is alive')
  const producer = { id: tables.nextIds.producer++ as ProducerId, topic: topic.name, createdAt: command.at }
  tables.producers.put(producer)
  const changes: Change = {
    producers: [producer],
    healthChecks: [tables.health.registered('producer', producer.id, command.at)],
  }
  if (known === undefined) {
    changes.topics = [topic]
    changes.partitions = [...topic.partitions]
    changes.auditEvents = [tables.topicCreated(command, topic, `producer ${producer.id} registered for it`)]
  }
  return { result: { producerId: producer.id, topicCreated: known === undefined }, changes }
}

export function registerConsumer(tables: ClusterTables, command: CommandOf<'register-consumer'>): Outcome {
  const topic = tables.topics.get(command.topic)
  if (topic === undefined)
    return refused('TOPIC_NOT_FOUND', `topic ${command.topic} does not exist`, 'topic_name')
  const consumer = {
    id: tables.nextIds.consumer++ as ConsumerId,
    topic: topic.name,
    start: command.start,
    ack: command.ack,
    autoOffsetReset: command.autoOffsetReset ?? 'earliest',
    createdAt: command.at,
  }
  tables.consumers.put(consumer)
  return {
    result: { consumerId: consumer.id },
    changes: {
      consumers: [consumer],
      healthChecks: [tables.health.registered('consumer', consumer.id, command.at)],
    },
  }
}

export function noteActivity(tables: ClusterTables, command: CommandOf<'activity'>): Outcome {
  const healthChecks: HealthCheck[] = []
  const auditEvents: AuditEvent[] = []
  const goesBack = tables.settings.featureLevel >= CLOCKS_SET_LEVEL
  const seen = { producer: command.producers, consumer: command.consumers, broker: command.brokers }
  for (const type of ['producer', 'consumer', 'broker'] as const) {
    const deadAfterMs = tables.settings.deadAfterMs[type]
    const { changed, revived } = tables.health.seen(type, seen[type], {
      now: command.at,
      deadAfterMs,
      goesBack,
    })
    for (const check of changed) healthChecks.push(check)
    for (const check of revived) auditEvents.push(statusChanged(tables, command, check))
  }
  return { result: {}, changes: { healthChecks, auditEvents } }
}

export function mark(tables: ClusterTables, command: CommandOf<'mark'>): Outcome {
  const healthChecks = [...tables.health.mark(command.marks, command.at)]
  const auditEvents = healthChecks.map((check) => statusChanged(tables, command, check))
  return { result: {}, changes: { healthChecks, auditEvents } }
}

function statusChanged(
  tables: ClusterTables,
  command: MetadataCommand,
  { type, id, status, reason }: HealthCheck,
): AuditEvent {
  return tables.record(command, `${type}-${status}`, `${type}/${id}`, reason)
}
