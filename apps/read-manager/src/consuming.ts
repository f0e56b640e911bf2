import type { ActivityReporter, MetadataFollower } from '@sluice/client'
import { BrokerError } from '@sluice/domain'
import type { Clock, Random } from '@sluice/foundation'
import type { ConsumerInfo, PartitionInfo } from '@sluice/metadata'
import { type Caller, CallerWatch } from './caller.js'
import type { ConsumerDirectory, ConsumerIdentity } from './consumer-directory.js'
import type { DeliveredMessage } from './delivered-message.js'
import type { EndWatch } from './end-watch.js'
import { MessageWalk, type WalkParts } from './message-walk.js'

export interface ConsumeCall extends ConsumerIdentity {
  readonly messagesMax: number
  /** How long to wait for a message when there is none. Milliseconds. */
  readonly waitMs: number
  /** 32 hex digits, different for every call; the same for a call that is sent again elsewhere. */
  readonly requestId: string
  /** True when another read manager may have carried out this call. */
  readonly isRetry: boolean
  /** Larger than those of all earlier tries of the call; absent when nobody counted. */
  readonly tryNumber: number | undefined
  readonly caller: Caller
}

/** What a call is to be answered with. */
export interface Delivery {
  readonly messages: readonly DeliveredMessage[]
  /** Messages that were deleted before the consumer read them, by partition, before those it is given now. */
  readonly skipped: ReadonlyMap<string, number>
  /** The caller went away before it was answered: the messages are for whoever asks next. */
  readonly giveBack: () => void
}

/** Holders of one millisecond differ by chance. */
const HOLDERS_PER_MS = 1024

/** Gives consumers their next messages. */
export class Consuming {
  readonly #directory: ConsumerDirectory
  readonly #metadata: Pick<MetadataFollower, 'onChange'>
  readonly #activity: Pick<ActivityReporter, 'seen'>
  readonly #ends: EndWatch
  readonly #walks: WalkParts
  readonly #clock: Clock
  readonly #random: Random
  readonly #waiting = new Set<() => void>()
  #stopping = false

  constructor(parts: {
    readonly directory: ConsumerDirectory
    readonly metadata: Pick<MetadataFollower, 'onChange'>
    readonly activity: Pick<ActivityReporter, 'seen'>
    readonly ends: EndWatch
    readonly walks: WalkParts
    readonly random: Random
  }) {
    this.#directory = parts.directory
    this.#metadata = parts.metadata
    this.#activity = parts.activity
    this.#ends = parts.ends
    this.#walks = parts.walks
    this.#clock = parts.walks.clock
    this.#random = parts.random
  }

  /**
   * The next messages; none only when every partition is empty for the consumer.
   * @throws BrokerError TOPIC_NOT_FOUND, CONSUMER_NOT_FOUND, CONSUMER_TOPIC_MISMATCH; OFFSET_OUT_OF_RANGE; NO_QUORUM,
   * TIMEOUT and others when a partition could not be asked and no other had messages; MANAGER_UNAVAILABLE when the
   * caller had left before the call was begun
   */
  async consume(call: ConsumeCall): Promise<Delivery> {
    const start = this.#clock.monotonic()
    const end = start + call.waitMs
    const holder = call.tryNumber ?? this.#clock.now() * HOLDERS_PER_MS + this.#random.below(HOLDERS_PER_MS)
    const caller = new CallerWatch(call.caller, this.#clock)
    // Messages are not taken for a caller that has left, and perhaps has them from elsewhere by now.
    if (!(await caller.isThere())) throw hasLeft()
    for (let isFirst = true; ; isFirst = false) {
      // Once more after a wait: its topic may have been deleted meanwhile.
      const consumer = await this.#directory.consumer(call)
      this.#activity.seen('consumer', consumer.id)
      const walk = await this.#walk(consumer, call, { caller, holder, lookUp: isFirst && call.isRetry })
      // "Nothing" is not the answer when the topic was deleted meanwhile.
      if (walk.messages.length === 0) await this.#directory.consumer(call)
      const leftMs = end - this.#clock.monotonic()
      if (walk.messages.length > 0 || leftMs <= 0 || caller.gone || this.#stopping) {
        if (walk.messages.length > 0) await this.#settle(consumer.id, walk, start)
        // Who sends the answer looks whether the caller is gone, and has to know it by then.
        await caller.isThere()
        return { messages: walk.messages, skipped: walk.skipped, giveBack: () => walk.giveBack() }
      }
      await this.#news(consumer, walk.cursors, { leftMs, caller })
    }
  }

  /**
   * What this call was given elsewhere and does not deliver comes before what its consumer asks for next, perhaps
   * of another read manager: the answer waits until it is given back.
   * @throws BrokerError NO_QUORUM when that takes too long
   */
  async #settle(consumerId: number, walk: MessageWalk, startedMs: number): Promise<void> {
    const { releases, limits } = this.#walks
    if (walk.released.size === 0) return
    const leftMs = startedMs + limits.timeoutMs - this.#clock.monotonic()
    await releases.settled(consumerId, Math.max(leftMs, limits.patienceMs))
    const isOpen = (): boolean => [...walk.released].some((groupId) => releases.isOpen(consumerId, groupId))
    if (!isOpen()) return
    walk.giveBack()
    await releases.settled(consumerId, limits.patienceMs)
    throw new BrokerError(
      'NO_QUORUM',
      'what an earlier try of this call was given could not be found out: it comes before anything else',
      { component: 'broker', outcome: 'no' },
    )
  }

  /** Lets those who wait for messages go with what there is. */
  stopWaiting(): void {
    this.#stopping = true
    for (const wake of this.#waiting) wake()
  }

  async #walk(
    consumer: ConsumerInfo,
    call: ConsumeCall,
    {
      caller,
      holder,
      lookUp,
    }: { readonly caller: CallerWatch; readonly holder: number; readonly lookUp: boolean },
  ): Promise<MessageWalk> {
    const autoAck = consumer.ack === 'auto'
    const walk = new MessageWalk(this.#walks, {
      consumerId: consumer.id,
      requestId: call.requestId,
      holder,
      messagesMax: call.messagesMax,
      autoAck,
      caller,
      skipDeleted: consumer.autoOffsetReset !== 'none',
    })
    try {
      let partitions = this.#directory.partitions(consumer.topic)
      if (autoAck) {
        await this.#walks.releases.settled(consumer.id, this.#walks.limits.patienceMs)
        if (lookUp) await walk.lookUp(partitions)
      }
      if (walk.messages.length > 0) return walk
      await walk.run(this.#inOrder(consumer, partitions))
      // "Nothing" is said of all partitions there are, those added a moment ago included.
      while (walk.messages.length === 0 && walk.failure === undefined && !caller.gone) {
        const now = await this.#directory.partitionsOfNow(consumer.topic)
        const known = new Set(partitions.map(({ groupId }) => groupId))
        const added = now.filter(({ groupId }) => !known.has(groupId))
        if (added.length === 0) break
        partitions = now
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
    { leftMs, caller }: { readonly leftMs: number; readonly caller: CallerWatch },
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
        if (this.#directory.partitions(consumer.topic).length !== count) wake()
      })
      stops.push(() => stopListening())
      for (const [groupId, cursor] of cursors)
        if (!wait.over) stops.push(this.#ends.wait(groupId, cursor, wake))
      // Woken before everything was set up.
      if (wait.over) for (const stop of stops) stop()
    })
  }
}

function hasLeft(): BrokerError {
  return new BrokerError('MANAGER_UNAVAILABLE', 'the caller left before the call was begun', {
    component: 'read-manager',
    outcome: 'no',
  })
}
