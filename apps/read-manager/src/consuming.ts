import type { ActivityReporter, MetadataFollower } from '@sluice/client'
import type { Clock } from '@sluice/foundation'
import type { ConsumerInfo, PartitionInfo } from '@sluice/metadata'
import type { ConsumerDirectory, ConsumerIdentity } from './consumer-directory.js'
import type { DeliveredMessage } from './delivered-message.js'
import type { EndWatch } from './end-watch.js'
import { MessageWalk, type WalkParts } from './message-walk.js'

/** The caller of a consume request, who may go away while it waits. */
export interface Caller {
  readonly gone: boolean
  /** Calls `listener` once when the caller goes away. */
  onGone(listener: () => void): void
}

export interface ConsumeCall extends ConsumerIdentity {
  readonly messagesMax: number
  /** How long to wait for a message when there is none. Milliseconds. */
  readonly waitMs: number
  /** 32 hex digits, different for every call; the same for a call that is sent again elsewhere. */
  readonly requestId: string
  /** True when another read manager may have carried out this call. */
  readonly isRetry: boolean
  readonly caller: Caller
}

export interface Consumed {
  readonly messages: readonly DeliveredMessage[]
  /** Messages that were deleted before the consumer read them, by partition, before those it is given now. */
  readonly skipped: ReadonlyMap<string, number>
}

/** Gives consumers their next messages. */
export class Consuming {
  readonly #directory: ConsumerDirectory
  readonly #metadata: Pick<MetadataFollower, 'onChange'>
  readonly #activity: Pick<ActivityReporter, 'seen'>
  readonly #ends: EndWatch
  readonly #walks: WalkParts
  readonly #clock: Clock
  readonly #waiting = new Set<() => void>()
  #stopping = false

  constructor(parts: {
    readonly directory: ConsumerDirectory
    readonly metadata: Pick<MetadataFollower, 'onChange'>
    readonly activity: Pick<ActivityReporter, 'seen'>
    readonly ends: EndWatch
    readonly walks: WalkParts
  }) {
    this.#directory = parts.directory
    this.#metadata = parts.metadata
    this.#activity = parts.activity
    this.#ends = parts.ends
    this.#walks = parts.walks
    this.#clock = parts.walks.clock
  }

  /**
   * The next messages; none only when every partition is empty for the consumer.
   * @throws BrokerError TOPIC_NOT_FOUND, CONSUMER_NOT_FOUND, CONSUMER_TOPIC_MISMATCH; OFFSET_OUT_OF_RANGE; NO_QUORUM, TIMEOUT and
   * others when a partition could not be asked and no other had messages
   */
  async consume(call: ConsumeCall): Promise<Consumed> {
    const consumer = await this.#directory.consumer(call)
    this.#activity.seen('consumer', consumer.id)
    const end = this.#clock.monotonic() + call.waitMs
    for (;;) {
      const { messages, cursors, skipped } = await this.#walk(consumer, call)
      const leftMs = end - this.#clock.monotonic()
      if (messages.length > 0 || leftMs <= 0 || call.caller.gone || this.#stopping)
        return { messages, skipped }
      await this.#news(consumer, cursors, { leftMs, caller: call.caller })
    }
  }

  /** Lets those who wait for messages go with what there is. */
  stopWaiting(): void {
    this.#stopping = true
    for (const wake of this.#waiting) wake()
  }

  async #walk(consumer: ConsumerInfo, call: ConsumeCall): Promise<MessageWalk> {
    const walk = new MessageWalk(this.#walks, {
      consumerId: consumer.id,
      requestId: call.requestId,
      messagesMax: call.messagesMax,
      autoAck: consumer.ack === 'auto',
      isGone: () => call.caller.gone,
      skipDeleted: consumer.autoOffsetReset !== 'none',
    })
    try {
      let partitions = this.#directory.partitions(consumer.topic)
      if (consumer.ack === 'auto') {
        await walk.settle(partitions)
        if (call.isRetry) await walk.lookUp(partitions)
      }
      if (walk.messages.length > 0) return walk
      await walk.run(this.#inOrder(consumer, partitions))
      // "Nothing" is said of all partitions there are, those added a moment ago included.
      while (walk.messages.length === 0 && walk.failure === undefined && !call.caller.gone) {
        const now = await this.#directory.partitionsOfNow(consumer.topic)
        if (now.length === partitions.length && !this.#walks.unsettled.has(consumer.id)) break
        const added = now.slice(partitions.length)
        partitions = now
        await walk.settle(partitions)
        await walk.run(added)
      }
    } finally {
      walk.end()
    }
    if (walk.messages.length === 0 && walk.failure !== undefined) throw walk.failure
    return walk
  }

  #inOrder(consumer: ConsumerInfo, partitions: readonly PartitionInfo[]): readonly PartitionInfo[] {
    const { served, suspects } = this.#walks
    return served.order(consumer.id, partitions, ({ groupId }) => suspects.has(groupId))
  }

  /** Resolves when there may be something new for the consumer, or nobody waits for it any more. */
  #news(
    consumer: ConsumerInfo,
    cursors: ReadonlyMap<number, number>,
    { leftMs, caller }: { readonly leftMs: number; readonly caller: Caller },
  ): Promise<void> {
    return new Promise((resolve) => {
      const stops: (() => void)[] = []
      const wait = { over: false }
      const wake = (): void => {
        if (wait.over) return
        wait.over = true
        clearTimeout(timer)
        this.#waiting.delete(wake)
        for (const stop of stops) stop()
        resolve()
      }
      const timer = setTimeout(wake, leftMs)
      this.#waiting.add(wake)
      caller.onGone(wake)
      const count = this.#directory.partitions(consumer.topic).length
      const stopListening = this.#metadata.onChange(() => {
        if (this.#directory.partitions(consumer.topic).length > count) wake()
      })
      stops.push(() => stopListening())
      for (const [groupId, cursor] of cursors)
        if (!wait.over) stops.push(this.#ends.wait(groupId, cursor, wake))
      // Woken before everything was set up.
      if (wait.over) for (const stop of stops) stop()
    })
  }
}
