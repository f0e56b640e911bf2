import {
  type BrokerStatus,
  decodeAwaitCall,
  decodeClaimCall,
  decodeFetchCall,
  decodeJson,
  decodeOffsetsCall,
  decodeProduceCall,
  decodeReleaseCall,
  decodeSeekCall,
  encodeClaimAnswer,
  encodeFetchAnswer,
  encodeJson,
  encodeOffsetsAnswer,
  encodePosition,
  encodeProduceAnswer,
  RpcMethod,
  WAIT_MS_MAX,
} from '@sluice/contracts'
import { BrokerError } from '@sluice/domain'
import { parseMetadataCommand } from '@sluice/metadata'
import type { ActivityGatherer } from './activity-gatherer.js'
import type { DatabaseCopies } from './database-copies.js'
import type { MetadataReplica } from './metadata-replica.js'
import type { PartitionReplica } from './partition-replica.js'
import { type PartitionService, storageFailure } from './partition-service.js'
import type { RangeCalls } from './range-calls.js'
import type { ReplicaSet } from './replica-set.js'

const FETCH_BYTES_MAX = 8 * 1024 * 1024
/** News of the metadata is not held back for longer. */
const GATHER_MS_MAX = 100

/** What a broker that is part of a cluster answers to managers and other brokers. */
export class BrokerCalls {
  readonly #parts: {
    readonly replicas: ReplicaSet
    readonly service: PartitionService
    readonly metadata: MetadataReplica
    /** True for the group of a partition that was deleted. */
    readonly isGone: (groupId: number) => boolean
    readonly activity: ActivityGatherer
    readonly copies: DatabaseCopies
    readonly status: () => Promise<BrokerStatus>
    readonly ranges: RangeCalls
  }

  constructor(parts: {
    readonly replicas: ReplicaSet
    readonly service: PartitionService
    readonly metadata: MetadataReplica
    /** True for the group of a partition that was deleted. */
    readonly isGone: (groupId: number) => boolean
    readonly activity: ActivityGatherer
    readonly copies: DatabaseCopies
    readonly status: () => Promise<BrokerStatus>
    readonly ranges: RangeCalls
  }) {
    this.#parts = parts
  }

  /** @throws BrokerError */
  async answer(method: number, payload: Uint8Array): Promise<Uint8Array> {
    switch (method) {
      case RpcMethod.PRODUCE:
        return this.#produce(payload)
      case RpcMethod.FETCH:
        return this.#fetch(payload)
      case RpcMethod.OFFSETS:
        return this.#offsets(payload)
      case RpcMethod.SEEK:
        return this.#seek(payload)
      case RpcMethod.AWAIT:
        return this.#await(payload)
      case RpcMethod.CLAIM:
        return this.#claim(payload)
      case RpcMethod.RELEASE:
        return this.#release(payload)
      case RpcMethod.META_PROPOSE:
        return encodeJson(await this.#parts.metadata.propose(parseMetadataCommand(decodeJson(payload))))
      case RpcMethod.META_FOLLOW:
        return this.#follow(payload)
      case RpcMethod.META_VERSION:
        return encodeJson({ version: await this.#parts.metadata.currentVersion() })
      case RpcMethod.COPY_OPEN:
        return this.#parts.copies.open(payload)
      case RpcMethod.COPY_READ:
        return this.#parts.copies.read(payload)
      case RpcMethod.RANGE_DIGEST:
      case RpcMethod.RANGE_READ:
      case RpcMethod.RANGE_REPAIR:
        return this.#parts.ranges.answer(method, payload)
      case RpcMethod.META_COPY:
        return encodeJson(this.#parts.metadata.copy())
      case RpcMethod.ACTIVITY:
        if (!this.#parts.metadata.serving)
          throw new BrokerError('NOT_LEADER', 'this broker does not lead the metadata', {
            ...(this.#parts.metadata.leader > 0 ? { leaderId: this.#parts.metadata.leader } : {}),
          })
        this.#parts.activity.report(decodeJson(payload))
        return encodeJson({})
      case RpcMethod.BROKER_STATUS:
        return encodeJson(await this.#status())
      default:
        throw new BrokerError('UNSUPPORTED_VERSION', `this version has no call ${method}`, { outcome: 'no' })
    }
  }

  async #produce(payload: Uint8Array): Promise<Uint8Array> {
    const { groupId, batch } = decodeProduceCall(payload)
    return encodeProduceAnswer(await this.#replica(groupId).produce(batch))
  }

  async #fetch(payload: Uint8Array): Promise<Uint8Array> {
    const call = decodeFetchCall(payload)
    const request = { ...call, bytesMax: Math.min(call.bytesMax, FETCH_BYTES_MAX) }
    if (request.messagesMax < 1)
      throw new BrokerError('INVALID_REQUEST', 'a fetch asks for at least one message')
    try {
      return encodeFetchAnswer(await this.#parts.service.fetch(this.#replica(call.groupId), request))
    } catch (error) {
      throw storageFailure(error)
    }
  }

  async #offsets(payload: Uint8Array): Promise<Uint8Array> {
    const { groupId, consumerId } = decodeOffsetsCall(payload)
    return encodeOffsetsAnswer(await this.#parts.service.offsets(this.#replica(groupId), consumerId))
  }

  async #seek(payload: Uint8Array): Promise<Uint8Array> {
    const call = decodeSeekCall(payload)
    try {
      return encodePosition(await this.#parts.service.seek(this.#replica(call.groupId), call))
    } catch (error) {
      throw storageFailure(error)
    }
  }

  async #claim(payload: Uint8Array): Promise<Uint8Array> {
    const { groupId, ids } = decodeClaimCall(payload)
    return encodeClaimAnswer(await this.#replica(groupId).claim(ids))
  }

  async #release(payload: Uint8Array): Promise<Uint8Array> {
    const { groupId, ...call } = decodeReleaseCall(payload)
    await this.#parts.service.release(this.#replica(groupId), call)
    return encodeJson({})
  }

  async #await(payload: Uint8Array): Promise<Uint8Array> {
    const { groupId, offset, waitMs } = decodeAwaitCall(payload)
    return encodePosition(await this.#replica(groupId).awaitEnd(offset, Math.min(waitMs, WAIT_MS_MAX)))
  }

  async #follow(payload: Uint8Array): Promise<Uint8Array> {
    const fields = decodeJson(payload) as Record<string, unknown>
    // Who is of the version before does not say how long it lets itself be kept waiting for more.
    const { from, waitMs, gatherMs = 0 } = fields
    const isTold = [from, waitMs, gatherMs].every((value) => typeof value === 'number' && value >= 0)
    if (!isTold || !Number.isSafeInteger(from))
      throw new BrokerError('INVALID_REQUEST', 'a follower tells from where and how long it waits')
    const news = await this.#parts.metadata.follow(from as number, {
      waitMs: Math.min(waitMs as number, WAIT_MS_MAX),
      gatherMs: Math.min(gatherMs as number, GATHER_MS_MAX),
    })
    return encodeJson(news)
  }

  async #status(): Promise<BrokerStatus> {
    try {
      return await this.#parts.status()
    } catch (error) {
      throw storageFailure(error)
    }
  }

  #replica(groupId: number): PartitionReplica {
    const replica = this.#parts.replicas.get(groupId)
    if (replica === undefined && this.#parts.isGone(groupId))
      throw new BrokerError('TOPIC_NOT_FOUND', 'the topic was deleted', { outcome: 'no' })
    if (replica === undefined)
      throw new BrokerError('NOT_LEADER', `this broker holds no replica of group ${groupId}`, {
        outcome: 'no',
      })
    return replica
  }
}
