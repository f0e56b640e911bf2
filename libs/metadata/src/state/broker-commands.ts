import type { BrokerId } from '@sluice/domain'
import { isLeaving } from '../balance/leaving.js'
import type { BrokerStateCommand } from '../command.js'
import type { BrokerInfo, HealthCheck, PartitionInfo } from '../entities.js'
import { type FeatureRange, supports } from '../feature-level.js'
import { forgetBroker, isHolder } from '../replica-move.js'
import { type CommandOf, type Outcome, refused } from './outcome.js'
import type { ClusterTables } from './tables.js'

export function bootstrap(tables: ClusterTables, command: CommandOf<'bootstrap'>): Outcome {
  if (tables.clusterId !== '') return { result: { clusterId: tables.clusterId }, changes: {} }
  tables.clusterId = command.clusterId
  tables.settings = command.settings
  const brokers: BrokerInfo[] = []
  const healthChecks: HealthCheck[] = []
  for (const seat of command.brokers.toSorted((a, b) => a.id - b.id)) {
    const broker = { ...seat, id: seat.id as BrokerId, ...FOUNDER, createdAt: command.at }
    tables.putBroker(broker)
    tables.nextIds.broker = Math.max(tables.nextIds.broker, seat.id + 1)
    brokers.push(broker)
    healthChecks.push(tables.health.registered('broker', seat.id, command.at))
  }
  const founded = tables.record(command, 'cluster-founded', 'cluster', `by ${brokers.length} brokers`)
  return {
    result: { clusterId: tables.clusterId },
    changes: { brokers, healthChecks, auditEvents: [founded] },
  }
}

export function addBroker(tables: ClusterTables, command: CommandOf<'add-broker'>): Outcome {
  for (const known of tables.brokers.values()) {
    if (known.uuid !== '' && known.uuid === command.uuid)
      return refused('BROKER_EXISTS', `broker ${known.id} is part of the cluster already`, 'port')
    // One that was given up does not come back: its address may be another's now.
    if (known.host === command.host && known.port === command.port && !tables.lost.has(known.id))
      return refused(
        'BROKER_REFUSED',
        `broker ${known.id} is at ${known.host}:${known.port}, with another data directory: give it its own back, or remove broker ${known.id} first`,
        'port',
      )
  }
  const { host, port, uuid, features, at } = command
  const misfit = levelMisfit(tables, features)
  if (misfit !== undefined) return misfit
  const id = tables.nextIds.broker++ as BrokerId
  const its = features === undefined ? {} : { features }
  const broker: BrokerInfo = { id, host, port, uuid, ...NEW_BROKER, ...its, createdAt: at }
  tables.putBroker(broker)
  return {
    result: { brokerId: broker.id },
    changes: {
      brokers: [broker],
      healthChecks: [tables.health.registered('broker', broker.id, at)],
      auditEvents: [tables.record(command, 'broker-added', `broker/${broker.id}`, `at ${host}:${port}`)],
    },
  }
}

export function updateBroker(tables: ClusterTables, command: CommandOf<'update-broker'>): Outcome {
  if (tables.lost.has(command.id)) return fenced(tables, command.id)
  const known = tables.brokers.get(command.id)
  if (known === undefined) return refused('BROKER_NOT_FOUND', `broker ${command.id} does not exist`, 'id')
  if (known.uuid !== '' && command.uuid !== known.uuid)
    return refused('BROKER_REFUSED', `broker ${command.id} had another data directory before`, 'id')
  const misfit = levelMisfit(tables, command.features)
  if (misfit !== undefined) return misfit
  const { host, port, uuid, rack = known.rack, features } = command
  const broker = { ...known, host, port, uuid, rack, ...(features === undefined ? {} : { features }) }
  tables.brokers.set(broker.id, broker)
  const moved = known.uuid !== '' && (known.host !== broker.host || known.port !== broker.port)
  const reason = moved ? `moved to ${broker.host}:${broker.port}` : `serves at ${broker.host}:${broker.port}`
  const changed = tables.record(command, 'broker-changed', `broker/${broker.id}`, reason)
  return { result: { brokerId: broker.id }, changes: { brokers: [broker], auditEvents: [changed] } }
}

function fenced(tables: ClusterTables, brokerId: number): Outcome {
  return refused(
    'BROKER_FENCED',
    `broker ${brokerId} was given up by recovery ${tables.lost.get(brokerId)}: start it with an empty data directory and a database of its own, and add it as a new one`,
    'broker_id',
  )
}

/** Why a broker of these levels cannot be part of the cluster. */
function levelMisfit(tables: ClusterTables, features: FeatureRange | undefined): Outcome | undefined {
  const { featureLevel } = tables.settings
  if (features === undefined || supports(features, featureLevel)) return undefined
  return refused(
    'UNSUPPORTED_VERSION',
    `the cluster is at feature level ${featureLevel}, the broker runs in ${features.min} to ${features.max}`,
    'port',
  )
}

export function changeBroker(tables: ClusterTables, command: BrokerStateCommand): Outcome {
  const broker = tables.brokers.get(command.brokerId)
  if (broker === undefined)
    return refused('BROKER_NOT_FOUND', `broker ${command.brokerId} does not exist`, 'broker_id')
  const leaves = command.kind === 'remove-broker' || isLeaving(command)
  const stay = [...tables.brokers.values()].filter((it) => it.id !== broker.id && !isLeaving(it))
  if (leaves && stay.length === 0)
    return refused('LAST_BROKER', `broker ${broker.id} is the last one that stays`, 'broker_id')
  const result = { brokerId: broker.id }
  if (command.kind === 'set-broker-state') {
    if (tables.lost.has(broker.id)) return fenced(tables, broker.id)
    const missing = command.state === 'removing' ? missedWithout(tables, broker.id) : undefined
    if (missing !== undefined) return refused('NOT_ENOUGH_BROKERS', missing, 'broker_id')
    const changed = { ...broker, state: command.state }
    tables.brokers.set(broker.id, changed)
    const reason = `from ${broker.state} to ${changed.state}`
    const event = tables.record(command, 'broker-state-changed', `broker/${broker.id}`, reason)
    return { result, changes: { brokers: [changed], auditEvents: [event] } }
  }
  const partitions = removeBroker(tables, broker.id)
  if ('result' in partitions) return partitions
  const event = tables.record(command, 'broker-removed', `broker/${broker.id}`, 'nothing is left on it')
  return { result, changes: { partitions, removedBrokers: [broker.id], auditEvents: [event] } }
}

/** Why the cluster cannot do without the broker. */
function missedWithout(tables: ClusterTables, brokerId: BrokerId): string | undefined {
  const stay = tables.placeable().filter(({ id }) => id !== brokerId).length
  for (const { name, replicationFactor } of tables.topics.values())
    if (
      replicationFactor > stay &&
      tables.topics.get(name)!.partitions.some((it) => it.replicas.length > stay)
    )
      return `topic ${name} has ${replicationFactor} replicas, and ${stay} brokers would be left to hold them`
  return undefined
}

/** The partitions that are different without it, or why it cannot go. */
function removeBroker(tables: ClusterTables, brokerId: BrokerId): Outcome | PartitionInfo[] {
  for (const partition of tables.partitions.values())
    if (isHolder(partition, brokerId))
      return refused('BROKER_IN_USE', `broker ${brokerId} holds a replica of ${partition.name}`, 'broker_id')
  const partitions: PartitionInfo[] = []
  for (const partition of [...tables.partitions.values()]) {
    const changed = forgetBroker(partition, brokerId)
    if (changed === partition) continue
    tables.replacePartition(partition, changed)
    partitions.push(changed)
  }
  tables.removeBroker(brokerId)
  return partitions
}

const FOUNDER = { rack: '', state: 'active' } as const
const NEW_BROKER = { rack: '', state: 'joining' } as const
