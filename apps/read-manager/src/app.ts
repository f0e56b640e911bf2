import type { AddressInfo } from 'node:net'
import { ClusterClient } from '@sluice/client'
import { toGroupId } from '@sluice/domain'
import { type Clock, Closers, type Random } from '@sluice/foundation'
import { createHttpService } from '@sluice/service'
import type { FastifyInstance } from 'fastify'
import type { Logger } from 'pino'
import type { ReadManagerConfig } from './config.js'
import { ConsumerDirectory } from './consumer-directory.js'
import { Consuming } from './consuming.js'
import { EndWatch } from './end-watch.js'
import { Positions } from './positions.js'
import { Releases } from './releases.js'
import { addRoutes } from './routes.js'
import { ServedPartitions } from './served-partition.js'
import { SuspectPartitions } from './suspect-partitions.js'

/** Calls here are small: ids, names and numbers. */
const BODY_BYTES_MAX = 64 * 1024

export interface Surroundings {
  readonly clock: Clock
  readonly random: Random
  readonly logger: Logger
}

export interface ReadManager {
  readonly app: FastifyInstance
  readonly port: number
  stop(): Promise<void>
}

/** Takes consume calls. Keeps nothing that counts: positions live in the partitions. */
export async function startReadManager(
  config: ReadManagerConfig,
  { clock, random, logger }: Surroundings,
  signal?: AbortSignal,
): Promise<ReadManager> {
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
    const { metadata, partitions, activity } = cluster
    const ends = new EndWatch((groupId, offset, options) =>
      partitions.awaitEnd(toGroupId(groupId), offset, options),
    )
    closers.add('waits for new messages', () => ends.close())
    const releases = new Releases({ partitions, clock, logger })
    closers.add('messages to be given back', () => releases.close())
    const directory = new ConsumerDirectory(metadata)
    const consuming = new Consuming({
      directory,
      metadata,
      activity,
      ends,
      random,
      walks: {
        partitions,
        served: new ServedPartitions(),
        suspects: new SuspectPartitions(clock),
        releases,
        clock,
        limits: {
          timeoutMs: config.consumeTimeoutMs,
          patienceMs: config.partitionPatienceMs,
          answerBytesMax: config.answerBytesMax,
        },
      },
    })
    const positions = new Positions({
      directory,
      metadata,
      partitions,
      activity,
      clock,
      timeoutMs: config.consumeTimeoutMs,
    })
    const app = createHttpService({
      component: 'read-manager',
      logger,
      bodyLimitBytes: BODY_BYTES_MAX,
      ready: () => metadata.ready || 'no broker has given this read manager the metadata yet',
    })
    closers.add('http server', () => app.close())
    closers.add('waiting consumers', () => consuming.stopWaiting())
    addRoutes(app, { consuming, positions })
    cluster.start()
    await app.listen({ host: config.host, port: config.port })
    const { port } = app.server.address() as AddressInfo
    logger.info({ host: config.host, port }, 'read manager listens')
    return { app, port, stop: () => closers.closeAll() }
  } catch (error) {
    await closers.closeAll()
    throw error
  }
}
