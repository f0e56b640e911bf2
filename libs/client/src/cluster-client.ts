import { encodeJson, RpcMethod } from '@sluice/contracts'
import { type Clock, Closers, type Random } from '@sluice/foundation'
import type { Logger } from 'pino'
import { ActivityReporter } from './activity-reporter.js'
import type { BrokerAddress } from './broker-address.js'
import { BrokerLinks } from './broker-links.js'
import { MetadataFollower } from './metadata-follower.js'
import { NodeCalls } from './node-calls.js'
import { PartitionClient } from './partition-client.js'

const REPORT_TIMEOUT_MS = 2000
const NODE_TIMEOUT_MS = 2000

export interface ClusterClientOptions {
  readonly clusterId: string
  /** How this process calls itself, such as `write-manager-1`. */
  readonly nodeId: string
  /** Some brokers to start from; the others are learnt. At least one. */
  readonly seeds: readonly BrokerAddress[]
  readonly clock: Clock
  readonly random: Random
  readonly logger: Logger
}

/** A manager's view of the cluster: its metadata, its partitions' leaders, and who was active. */
export class ClusterClient {
  readonly metadata: MetadataFollower
  readonly partitions: PartitionClient
  readonly activity: ActivityReporter
  readonly #options: ClusterClientOptions
  readonly #closers = new Closers()

  constructor(options: ClusterClientOptions) {
    const { clusterId, nodeId, seeds, clock, random } = options
    const logger = options.logger.child({ part: 'cluster-client' })
    const links = new BrokerLinks({ identity: { clusterId, nodeId, role: 'manager' }, random, logger })
    const parts = { links, clock, random, logger }
    this.#options = options
    this.metadata = new MetadataFollower({ seeds, ...parts })
    this.partitions = new PartitionClient(this.metadata, parts)
    this.activity = new ActivityReporter({
      clock,
      logger,
      send: async (report) => {
        await this.metadata.callLeader(RpcMethod.ACTIVITY, encodeJson(report), {
          timeoutMs: REPORT_TIMEOUT_MS,
          repeatable: true,
          kind: 'change',
        })
      },
    })
    this.#closers.add('connections to brokers', () => links.close())
    this.#closers.add('metadata', () => this.metadata.close())
    this.#closers.add('activity', () => this.activity.close())
  }

  start(): void {
    this.metadata.start()
    this.activity.start()
  }

  /** A connection of its own to a broker process that may not be part of this cluster; the caller closes it. */
  node(address: BrokerAddress): NodeCalls {
    const { nodeId, random } = this.#options
    return new NodeCalls(address, { nodeId, random, timeoutMs: NODE_TIMEOUT_MS })
  }

  close(): Promise<void> {
    return this.#closers.closeAll()
  }
}
