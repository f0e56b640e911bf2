import type { MessageInput, ProduceRequest } from '@sluice/contracts'
import { BrokerError, MESSAGE_RUN_BYTES, type RecordData } from '@sluice/domain'
import { openPartitions, type PartitionInfo, type TopicInfo } from '@sluice/metadata'
import type { RunIdentity } from './batch-gatherer.js'
import { type CallIdentity, messageRunId, ownRunId, partRunId } from './call-identity.js'
import { placedById } from './earlier-places.js'
import { recordOf, sizeOfRecord } from './message-record.js'
import { PartitionChooser } from './partition-chooser.js'

/** Messages of one call that go to one partition in one batch, under one id. */
export interface PlacedPart {
  readonly partition: PartitionInfo
  readonly records: readonly RecordData[]
  /** Their places in the call. */
  readonly places: readonly number[]
  readonly sizeBytes: number
  readonly run: RunIdentity
  /** Other partitions where an earlier try may have put them, by partitions that were there then. */
  readonly earlier: readonly PartitionInfo[]
}

export interface PartLimits {
  readonly batchBytesMax: number
  readonly batchRecordsMax: number
}

interface Gathered {
  readonly partition: PartitionInfo
  readonly records: RecordData[]
  readonly places: number[]
  sizeBytes: number
}

/** A retried call that was placed by its keys is placed anew only when its topic has not just grown. */
const GROWN_MS = 60_000

/**
 * Decides where messages go and by which ids they are known there. What may come again through another write
 * manager, after its client lost the answer, is placed by its id alone, so that it comes to where it is; what
 * only the load balancer sends again is placed freely, and looked for everywhere when it does.
 */
export class MessagePlacing {
  readonly chooser = new PartitionChooser()
  readonly #limits: PartLimits
  readonly #isStalled: (partition: PartitionInfo) => boolean

  constructor(limits: PartLimits, isStalled: (partition: PartitionInfo) => boolean) {
    this.#limits = limits
    this.#isStalled = isStalled
  }

  /** True when a message of the call is placed by its id: then the metadata must not be old. */
  placesById(request: ProduceRequest, call: CallIdentity): boolean {
    return call.isClients || request.messages.some(({ messageId }) => messageId !== undefined)
  }

  /**
   * In the order of the call for what goes to one partition.
   * @param now for messages without a timestamp
   */
  place(request: ProduceRequest, call: CallIdentity, topic: TopicInfo, now: number): readonly PlacedPart[] {
    if (this.placesById(request, call))
      return request.messages.map((message, place) =>
        this.#placeOne(request, call, { message, place, topic, now }),
      )
    return this.#placeFreely(request, call, topic, now)
  }

  #placeOne(
    request: ProduceRequest,
    call: CallIdentity,
    parts: {
      readonly message: MessageInput
      readonly place: number
      readonly topic: TopicInfo
      readonly now: number
    },
  ): PlacedPart {
    const { message, place, topic, now } = parts
    const id =
      message.messageId === undefined
        ? messageRunId(call.requestId, place, message)
        : ownRunId(request.producerId, message.messageId)
    const record = recordOf(message, now)
    // Messages of a call stay together; one with an id of its own may come in another call next time.
    const wish = {
      partition: message.partition,
      key: record.key,
      id: message.messageId === undefined ? call.requestId : id,
    }
    const isPlaced = message.partition !== undefined || record.key !== null
    const [partition, ...before] = isPlaced
      ? [this.#choose(topic, wish)]
      : placesOf(topic, now).map((some) => this.#choose(topic, wish, some))
    return {
      partition: partition!,
      records: [record],
      places: [place],
      sizeBytes: sizeOfRecord(record) + MESSAGE_RUN_BYTES,
      run: { id, at: now },
      earlier: [...new Set(before)].filter((one) => one !== partition),
    }
  }

  #placeFreely(
    request: ProduceRequest,
    call: CallIdentity,
    topic: TopicInfo,
    now: number,
  ): readonly PlacedPart[] {
    const gathered = this.#gather(request, topic, now)
    if (call.isRetry && gathered.length > 1 && hasChanged(topic, now))
      throw new BrokerError(
        'TIMEOUT',
        `topic ${request.topic} grew or shrank while a write manager died: what of the call is stored cannot be told`,
        { outcome: 'unknown' },
      )
    return gathered.map((part) => ({
      ...part,
      run: {
        id: request.messages.length === 1 ? call.requestId : partRunId(call.requestId, part.places),
        at: now,
      },
      earlier: call.isRetry ? topic.partitions.filter((one) => one !== part.partition) : [],
    }))
  }

  /** What goes to one partition stays together and in order, as far as the bounds of a batch allow. */
  #gather(request: ProduceRequest, topic: TopicInfo, now: number): readonly Gathered[] {
    const parts: Gathered[] = []
    const open = new Map<number, Gathered>()
    let shared: PartitionInfo | undefined
    for (const [place, message] of request.messages.entries()) {
      const record = recordOf(message, now)
      const sizeBytes = sizeOfRecord(record)
      const wish = { partition: message.partition, key: record.key }
      const anywhere = wish.partition === undefined && wish.key === null
      const partition: PartitionInfo = anywhere
        ? (shared ??= this.#choose(topic, wish))
        : this.#choose(topic, wish)
      let part = open.get(partition.groupId)
      if (part === undefined || this.#isFull(part, sizeBytes)) {
        part = { partition, records: [], places: [], sizeBytes: MESSAGE_RUN_BYTES }
        open.set(partition.groupId, part)
        parts.push(part)
      }
      part.records.push(record)
      part.places.push(place)
      part.sizeBytes += sizeBytes
    }
    return parts
  }

  #isFull(part: Gathered, moreBytes: number): boolean {
    return (
      part.records.length >= this.#limits.batchRecordsMax ||
      part.sizeBytes + moreBytes > this.#limits.batchBytesMax
    )
  }

  #choose(
    topic: TopicInfo,
    wish: {
      readonly partition: number | undefined
      readonly key: Uint8Array | null
      readonly id?: string
    },
    partitions?: readonly PartitionInfo[],
  ): PartitionInfo {
    return this.chooser.choose(topic, wish, this.#isStalled, partitions)
  }
}

/** Now, and before: with fewer partitions, and with those that are closing and took messages then. */
function placesOf(topic: TopicInfo, now: number): readonly (readonly PartitionInfo[])[] {
  const open = openPartitions(topic)
  const before = topic.closing.length === 0 ? [] : closedOneByOne(topic)
  return [...placedById(open, now), ...before]
}

/** As it was before each of the partitions was closed, the newest of which was closed first. */
function closedOneByOne(topic: TopicInfo): readonly (readonly PartitionInfo[])[] {
  return topic.closing.map((_number, i) => openPartitions({ ...topic, closing: topic.closing.slice(0, i) }))
}

function hasChanged({ partitions, closing }: TopicInfo, now: number): boolean {
  return closing.length > 0 || now - partitions.at(-1)!.createdAt < GROWN_MS
}
