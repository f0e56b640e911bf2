import type { AddressInfo } from 'node:net'
import { ClusterClient } from '@sluice/client'
import { type Clock, Closers, type Random } from '@sluice/foundation'
import { openPartitions, type Removal, type TopicInfo } from '@sluice/metadata'
import { createHttpService } from '@sluice/service'
import type { FastifyInstance } from 'fastify'
import type { Logger } from 'pino'
import { Administration } from './administration.js'
import { BrokerAdministration } from './broker-administration.js'
import { BrokerAdmission } from './broker-admission.js'
import type { WriteManagerConfig } from './config.js'
import { PartitionGatherers } from './partition-gatherers.js'
import { PartitionGrowth } from './partition-growth.js'
import { Publishing } from './publishing.js'
import { addRoutes } from './routes.js'

/** For calls that change or read the metadata, milliseconds. */
const METADATA_TIMEOUT_MS = 10_000

export interface Surroundings {
  readonly clock: Clock
  readonly random: Random
  readonly logger: Logger
}

export interface WriteManager {
  readonly app: FastifyInstance
  /** Where it listens; 0 before it does. */
  readonly port: number
  stop(): Promise<void>
}

/** Takes produce calls and administration. Keeps nothing: any copy of it may die at any time. */
export async function startWriteManager(
  config: WriteManagerConfig,
  { clock, random, logger }: Surroundings,
  signal?: AbortSignal,
): Promise<WriteManager> {
  const closers = new Closers()
  try {
    signal?.throwIfAborted()
    const cluster = new ClusterClient({
      clusterId: config.clusterId,
      nodeId: config.id,
      seeds: config.brokers,
      clock,
      random,
      logger,
    })
    closers.add('cluster client', () => cluster.close())
    const { metadata } = cluster
    const administration = new Administration({
      metadata,
      clock,
      timeoutMs: METADATA_TIMEOUT_MS,
      topicPartitionsMax: config.topicPartitionsMax,
    })
    const gatherers = new PartitionGatherers({
      client: cluster.partitions,
      clock,
      limits: {
        batchBytesMax: config.batchBytesMax,
        batchRecordsMax: config.batchRecordsMax,
        queueBytesMax: config.partitionQueueBytesMax,
        totalBytesMax: config.queueBytesMax,
        timeoutMs: config.produceTimeoutMs,
      },
      onStored: ({ topic }, note) => {
        const known = metadata.state.topic(topic)
        if (known !== undefined) growth.note(known, note)
      },
    })
    closers.add('gatherers', () => gatherers.close())
    const publishing = new Publishing({
      metadata,
      activity: cluster.activity,
      gatherers,
      client: cluster.partitions,
      clock,
      limits: config,
    })
    const growth = new PartitionGrowth({
      limits: config,
      add: (topic, expectedCount) => administration.grow(topic, expectedCount),
      countHeld: (topic) => countHeld(cluster.partitions, topic),
      spreads: (topic) => publishing.spreads(topic),
      clock,
      logger,
    })
    metadata.onChange((changes) => {
      if (changes?.every(({ removed }) => removed.length === 0) === true) return
      const deleted = new Set(changes?.flatMap(({ removed }) => removed.flatMap(nameOf)))
      const exists = (topic: string): boolean =>
        !deleted.has(topic) && metadata.state.topic(topic) !== undefined
      growth.retain(exists)
      publishing.retain(exists)
      gatherers.retain((groupId) => metadata.state.partitionByGroup(groupId) !== undefined)
    })
    const admission = new BrokerAdmission({ cluster, clock, timeoutMs: METADATA_TIMEOUT_MS })
    const brokers = new BrokerAdministration({ metadata, clock, timeoutMs: METADATA_TIMEOUT_MS })
    const app = createHttpService({
      component: 'write-manager',
      logger,
      bodyLimitBytes: config.bodyBytesMax,
      ready: () => metadata.ready || 'no broker has given this write manager the metadata yet',
    })
    // Ends only when every call under way is answered, so the gatherers are empty afterwards.
    closers.add('http server', () => app.close())
    const { messageBytesMax } = config
    addRoutes(app, { cluster, administration, admission, brokers, publishing, clock, messageBytesMax })
    cluster.start()
    gatherers.start()
    await app.listen({ host: config.host, port: config.port })
    const { port } = app.server.address() as AddressInfo
    logger.info({ host: config.host, port }, 'write manager listens')
    return { app, port, stop: () => closers.closeAll() }
  } catch (error) {
    await closers.closeAll()
    throw error
  }
}

function nameOf(removal: Removal): readonly string[] {
  return removal.kind === 'topic' ? [removal.name] : []
}

async function countHeld(client: ClusterClient['partitions'], topic: TopicInfo): Promise<number> {
  const held = await Promise.all(
    openPartitions(topic).map(async ({ groupId }) => {
      const { end, logStart } = await client.offsets(groupId, 0, { timeoutMs: METADATA_TIMEOUT_MS })
      return end - logStart
    }),
  )
  return held.reduce((sum, count) => sum + count, 0)
}
