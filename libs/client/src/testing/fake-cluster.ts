import { type ClusterSettings, DEFAULT_SETTINGS } from '@sluice/metadata'
import { decodeJson, encodeJson, RpcMethod } from '@sluice/contracts'
import { BrokerError } from '@sluice/domain'
import { BUILD_VERSION } from '@sluice/foundation'
import type { BrokerAddress } from '../broker-address.js'
import { FakeBroker } from './fake-broker.js'
import { FakeMetadata } from './fake-metadata.js'
import { FakePartition } from './fake-partition.js'

export interface FakeCall {
  readonly method: number
  readonly brokerId: number
  readonly payload: Uint8Array
}

/** Stands between a call and its answer: may fail before or after `next` has carried the call out. */
export type Script = (
  call: FakeCall,
  next: () => Uint8Array | Promise<Uint8Array>,
) => Uint8Array | Promise<Uint8Array>

/** A cluster's brokers as managers see them over the wire, with one memory behind them. */
export class FakeCluster {
  readonly clusterId = 'fake-cluster'
  readonly metadata = new FakeMetadata()
  /** Every call in the order of arrival. */
  readonly calls: FakeCall[] = []
  /** What managers reported of who was active. */
  readonly activity: unknown[] = []
  metadataLeader = 1
  script: Script = (_call, next) => next()
  readonly #brokers = new Map<number, FakeBroker>()
  readonly #partitions = new Map<number, FakePartition>()
  readonly #leaders = new Map<number, number>()

  static async start(brokerCount = 3, settings: Partial<ClusterSettings> = {}): Promise<FakeCluster> {
    const cluster = new FakeCluster()
    for (let id = 1; id <= brokerCount; id++) {
      const broker = new FakeBroker({
        nodeId: `broker-${id}`,
        clusterId: () => cluster.clusterId,
        answer: (method, payload) => cluster.#answer({ method, brokerId: id, payload }),
      })
      await broker.start()
      cluster.#brokers.set(id, broker)
    }
    cluster.metadata.propose({
      kind: 'bootstrap',
      at: Date.now(),
      clusterId: cluster.clusterId,
      brokers: Array.from(cluster.#brokers, ([id, { port }]) => ({
        id,
        host: '127.0.0.1',
        port,
        uuid: `uuid-${id}`,
      })),
      settings: { ...DEFAULT_SETTINGS, partitionsPerTopicMax: 100, ...settings },
    })
    return cluster
  }

  addresses(): readonly BrokerAddress[] {
    return Array.from(this.#brokers.values(), ({ port }) => ({ host: '127.0.0.1', port }))
  }

  broker(id: number): FakeBroker {
    return this.#brokers.get(id)!
  }

  /** The partition `orders.1` and so on. */
  partition(topic: string, number = 1): FakePartition {
    return this.#partition(this.groupOf(topic, number))
  }

  groupOf(topic: string, number = 1): number {
    return this.metadata.state.partitionsOf(topic)[number - 1]!.groupId
  }

  leaderOf(groupId: number): number {
    return this.#leaders.get(groupId) ?? this.metadata.state.partitionByGroup(groupId)!.replicas[0]!
  }

  moveLeader(groupId: number, brokerId: number): void {
    this.#leaders.set(groupId, brokerId)
  }

  /** Calls of one kind so far. */
  callsOf(method: number): readonly FakeCall[] {
    return this.calls.filter((call) => call.method === method)
  }

  async close(): Promise<void> {
    this.metadata.close()
    for (const partition of this.#partitions.values()) partition.close()
    await Promise.all(Array.from(this.#brokers.values(), (broker) => broker.stop()))
  }

  #answer(call: FakeCall): Uint8Array | Promise<Uint8Array> {
    this.calls.push(call)
    return this.script(call, () => this.#carryOut(call))
  }

  #carryOut({ method, payload, brokerId }: FakeCall): Uint8Array | Promise<Uint8Array> {
    switch (method) {
      case RpcMethod.META_FOLLOW:
        return this.metadata.answerFollow(payload)
      case RpcMethod.META_PROPOSE:
        this.#leads(this.metadataLeader, brokerId)
        return this.metadata.answerPropose(payload)
      case RpcMethod.META_VERSION:
        this.#leads(this.metadataLeader, brokerId)
        return this.metadata.answerVersion()
      case RpcMethod.ACTIVITY:
        this.#leads(this.metadataLeader, brokerId)
        this.activity.push(decodeJson(payload))
        return encodeJson({})
      case RpcMethod.NODE_INFO:
        return encodeJson({
          clusterId: this.clusterId,
          nodeUuid: `uuid-${brokerId}`,
          brokerId,
          version: BUILD_VERSION,
          protocol: 1,
          state: 'serving',
          groups: 0,
          led: 0,
        })
      default: {
        const groupId = new DataView(payload.buffer, payload.byteOffset).getUint32(0, true)
        this.#leads(this.leaderOf(groupId), brokerId)
        return this.#partition(groupId).answer(method, payload)
      }
    }
  }

  #leads(leaderId: number, brokerId: number): void {
    if (leaderId !== brokerId)
      throw new BrokerError('NOT_LEADER', `broker ${leaderId} leads`, {
        component: 'broker',
        leaderId,
        outcome: 'no',
      })
  }

  #partition(groupId: number): FakePartition {
    const known = this.#partitions.get(groupId)
    if (known !== undefined) return known
    const partition = new FakePartition()
    this.#partitions.set(groupId, partition)
    return partition
  }
}
