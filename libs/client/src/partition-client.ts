import {
  decodeClaimAnswer,
  decodeFetchAnswer,
  decodeOffsetsAnswer,
  decodePosition,
  decodeProduceAnswer,
  type EarlierRun,
  encodeAwaitCall,
  encodeClaimCall,
  encodeFetchCall,
  encodeOffsetsCall,
  encodeProduceCall,
  encodeReleaseCall,
  encodeSeekCall,
  type FetchAnswer,
  type FetchCall,
  type OffsetsAnswer,
  type ProduceAnswer,
  type ReleaseCall,
  type RepeatedAnswer,
  RpcMethod,
  type SeekTarget,
} from '@sluice/contracts'
import { BrokerError, type GroupId } from '@sluice/domain'
import type { Clock, Random } from '@sluice/foundation'
import type { BrokerAddress } from './broker-address.js'
import type { BrokerLinks } from './broker-links.js'
import { GroupLeader } from './group-leader.js'
import type { MetadataFollower } from './metadata-follower.js'

/** What a fetch asks for; see the fetch call between processes. */
export type FetchWish = Omit<FetchCall, 'groupId'>

export interface CallTime {
  /** For all tries together, milliseconds. */
  readonly timeoutMs: number
}

export interface FetchTime extends CallTime {
  /** Whether somebody waits for the messages still. Asked before each try: later ones might overtake a later call's. */
  readonly isWanted?: () => Promise<boolean>
}

/** An answer to a wait arrives at the latest this long after the time waited for. Milliseconds. */
const AWAIT_SLACK_MS = 2000

/**
 * Calls the leaders of partitions: finds them, follows them when they move, and tries again until the
 * deadline. Every call may be repeated: a batch carries its sequence, a fetch and a seek their request id.
 */
export class PartitionClient {
  readonly #metadata: MetadataFollower
  readonly #parts: { readonly links: BrokerLinks; readonly clock: Clock; readonly random: Random }
  readonly #leaders = new Map<number, GroupLeader>()

  constructor(
    metadata: MetadataFollower,
    parts: { readonly links: BrokerLinks; readonly clock: Clock; readonly random: Random },
  ) {
    this.#metadata = metadata
    this.#parts = parts
    metadata.onChange((changes) => {
      if (changes === undefined) {
        for (const groupId of this.#leaders.keys())
          if (metadata.state.partitionByGroup(groupId) === undefined) this.#leaders.delete(groupId)
      } else {
        for (const { removed } of changes)
          for (const removal of removed)
            if (removal.kind === 'partition') this.#leaders.delete(removal.groupId)
      }
    })
  }

  /**
   * Stores a record batch that names its producer, epoch and sequence. The batch is not changed.
   * @throws BrokerError TIMEOUT: it may be stored; NO_QUORUM and others: it is not
   */
  async produce(
    groupId: GroupId,
    batch: Uint8Array,
    { timeoutMs }: CallTime,
  ): Promise<ProduceAnswer | RepeatedAnswer> {
    const answer = await this.#leader(groupId).call({
      method: RpcMethod.PRODUCE,
      payload: encodeProduceCall({ groupId, batch }),
      timeoutMs,
      repeatable: true,
      kind: 'change',
    })
    return decodeProduceAnswer(answer)
  }

  /**
   * The next messages of a consumer. When it fails with outcome `unknown`, the same wish again gives
   * what was given. MANAGER_UNAVAILABLE: it is not wanted any more.
   */
  async fetch(groupId: GroupId, wish: FetchWish, { timeoutMs, isWanted }: FetchTime): Promise<FetchAnswer> {
    const answer = await this.#leader(groupId).call({
      method: RpcMethod.FETCH,
      payload: encodeFetchCall({ groupId, ...wish }),
      timeoutMs,
      isWanted,
      repeatable: true,
      kind: 'question',
    })
    return decodeFetchAnswer(answer)
  }

  /**
   * What became of messages that may have been sent under these ids; what is not stored by now never is.
   * @throws BrokerError TIMEOUT, NO_QUORUM and others: it is not known
   */
  async claim(
    groupId: GroupId,
    ids: readonly string[],
    { timeoutMs }: CallTime,
  ): Promise<readonly EarlierRun[]> {
    const answer = await this.#leader(groupId).call({
      method: RpcMethod.CLAIM,
      payload: encodeClaimCall({ groupId, ids }),
      timeoutMs,
      repeatable: true,
      kind: 'question',
    })
    return decodeClaimAnswer(answer)
  }

  /** Gives back what a fetch gave and nobody received. Resolves also when there is nothing to give back. */
  async release(
    groupId: GroupId,
    release: Omit<ReleaseCall, 'groupId'>,
    { timeoutMs }: CallTime,
  ): Promise<void> {
    await this.#leader(groupId).call({
      method: RpcMethod.RELEASE,
      payload: encodeReleaseCall({ groupId, ...release }),
      timeoutMs,
      repeatable: true,
      kind: 'change',
    })
  }

  /** @param consumerId 0 when only the partition's own offsets are wanted */
  async offsets(groupId: GroupId, consumerId: number, { timeoutMs }: CallTime): Promise<OffsetsAnswer> {
    const answer = await this.#leader(groupId).call({
      method: RpcMethod.OFFSETS,
      payload: encodeOffsetsCall({ groupId, consumerId }),
      timeoutMs,
      repeatable: true,
      kind: 'question',
    })
    return decodeOffsetsAnswer(answer)
  }

  /** Moves a consumer's cursor and returns where it is then. @throws BrokerError OFFSET_OUT_OF_RANGE, TIMEOUT */
  async seek(
    groupId: GroupId,
    seek: { readonly consumerId: number; readonly requestId: string; readonly target: SeekTarget },
    { timeoutMs }: CallTime,
  ): Promise<number> {
    const answer = await this.#leader(groupId).call({
      method: RpcMethod.SEEK,
      payload: encodeSeekCall({ groupId, ...seek }),
      timeoutMs,
      repeatable: true,
      kind: 'change',
    })
    return decodePosition(answer)
  }

  /** The partition's end once it is past `offset`, or as it is after `waitMs`. */
  async awaitEnd(
    groupId: GroupId,
    offset: number,
    options: { readonly waitMs: number; readonly signal: AbortSignal },
  ): Promise<number> {
    const { waitMs, signal } = options
    const answer = await this.#leader(groupId).call({
      method: RpcMethod.AWAIT,
      payload: encodeAwaitCall({ groupId, offset, waitMs }),
      timeoutMs: waitMs + AWAIT_SLACK_MS,
      tryTimeoutMs: waitMs + AWAIT_SLACK_MS,
      signal,
      repeatable: true,
      kind: 'question',
    })
    return decodePosition(answer)
  }

  #leader(groupId: GroupId): GroupLeader {
    const known = this.#leaders.get(groupId)
    if (known !== undefined) return known
    const leader = new GroupLeader(
      {
        name: this.#metadata.state.partitionByGroup(groupId)?.name ?? `group ${groupId}`,
        members: () => this.#members(groupId),
        addressOf: (brokerId) => this.#metadata.addressOf(brokerId),
        gone: () => this.#gone(groupId),
        probe: { method: RpcMethod.OFFSETS, payload: encodeOffsetsCall({ groupId, consumerId: 0 }) },
      },
      this.#parts,
    )
    this.#leaders.set(groupId, leader)
    return leader
  }

  #gone(groupId: GroupId): BrokerError | undefined {
    if (!this.#metadata.state.wasRemoved(groupId)) return undefined
    return new BrokerError('TOPIC_NOT_FOUND', 'the topic was deleted', { component: 'broker', outcome: 'no' })
  }

  #members(groupId: GroupId): readonly BrokerAddress[] {
    const members: BrokerAddress[] = []
    for (const brokerId of this.#metadata.state.partitionByGroup(groupId)?.replicas ?? []) {
      const address = this.#metadata.addressOf(brokerId)
      if (address !== undefined) members.push(address)
    }
    return members
  }
}
