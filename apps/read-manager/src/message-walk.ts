import type { FetchWish, PartitionClient } from '@sluice/client'
import { BrokerError, type StoredRecord } from '@sluice/domain'
import { type Clock, toError } from '@sluice/foundation'
import type { PartitionInfo } from '@sluice/metadata'
import { type DeliveredMessage, deliveredMessage, recordsOf, sizeOfRecord } from './delivered-message.js'
import type { ServedPartitions } from './served-partition.js'
import type { SuspectPartitions } from './suspect-partitions.js'
import type { UnsettledFetch, UnsettledFetches } from './unsettled-fetches.js'

/** What walks have in common. */
export interface WalkParts {
  readonly partitions: Pick<PartitionClient, 'fetch'>
  readonly served: ServedPartitions
  readonly suspects: SuspectPartitions
  readonly unsettled: UnsettledFetches
  readonly clock: Clock
  readonly limits: WalkLimits
}

interface WalkLimits {
  /** For all partitions together, milliseconds. */
  readonly timeoutMs: number
  /** How long one partition may keep the others waiting while it certainly gave nothing. Milliseconds. */
  readonly patienceMs: number
  /** Of one answer, about. */
  readonly answerBytesMax: number
}

export interface WalkRequest {
  readonly consumerId: number
  /** 32 hex digits. A broker that is asked again under it gives what it gave. */
  readonly requestId: string
  readonly messagesMax: number
  /** The cursor advances over what is given. */
  readonly autoAck: boolean
  /** True when the caller went away: nothing more is taken for it. */
  readonly isGone: () => boolean
  /** Goes on behind messages that were deleted before the consumer read them; else that is a failure. */
  readonly skipDeleted: boolean
}

interface Fetched {
  readonly records: readonly StoredRecord[]
  /** Offset of the first record, or where it would be. */
  readonly from: number
  readonly skipped: number
}

interface Failure {
  readonly partition: PartitionInfo
  readonly error: Error
}

/** How long a partition may keep the others waiting when it may have given messages. Milliseconds. */
const SETTLE_MS = 5000
const SECOND_TRY_MS_MIN = 500

/**
 * One walk over a topic's partitions for unread messages. It ends with messages, with the knowledge
 * that every partition asked was empty, or with the failures of those that did not answer.
 */
export class MessageWalk {
  readonly messages: DeliveredMessage[] = []
  /** Where the consumer is in each partition that had nothing for it, by group. */
  readonly cursors = new Map<number, number>()
  /** Messages that were deleted before the consumer read them, by partition; told with the messages behind. */
  readonly skipped = new Map<string, number>()
  readonly #parts: WalkParts
  readonly #request: WalkRequest
  readonly #deadline: number
  #room: number
  #bytesLeft: number
  #failures: Failure[] = []
  /** Partitions that may have given messages in answers that were lost. */
  readonly #inDoubt = new Set<number>()
  /** Fetches of which nothing is left, which nobody was told. */
  readonly #untold: UnsettledFetch[] = []
  /** Set when a partition refused for good: the consumer has to seek. */
  #refusal: Error | undefined

  constructor(parts: WalkParts, request: WalkRequest) {
    this.#parts = parts
    this.#request = request
    this.#deadline = parts.clock.monotonic() + parts.limits.timeoutMs
    this.#room = request.messagesMax
    this.#bytesLeft = parts.limits.answerBytesMax
  }

  /** What the first partition that failed failed with; `undefined` when all asked have answered. */
  get failure(): Error | undefined {
    return this.#refusal ?? this.#failures[0]?.error
  }

  /** Asks again for what earlier calls were given in answers that were lost. */
  async settle(partitions: readonly PartitionInfo[]): Promise<void> {
    const { unsettled } = this.#parts
    const open = unsettled.takeAll(this.#request.consumerId)
    for (const fetch of open) {
      const partition = partitions.find(({ groupId }) => groupId === fetch.groupId)
      if (partition === undefined) continue
      const hasFailed = this.#failures.some((failure) => failure.partition.groupId === fetch.groupId)
      if (hasFailed || this.#isFull() || this.#isOver()) unsettled.put(this.#request.consumerId, fetch)
      else await this.#settleOne(partition, fetch)
    }
  }

  /**
   * Gives again what this request was given when it was sent to another read manager.
   * @param partitions all of the topic
   */
  async lookUp(partitions: readonly PartitionInfo[]): Promise<void> {
    const looked = await Promise.allSettled(
      partitions.map((partition) =>
        this.#fetch(partition, { lookupOnly: true }, this.#parts.limits.patienceMs),
      ),
    )
    for (const [i, outcome] of looked.entries()) {
      const partition = partitions[i]!
      if (outcome.status === 'rejected') this.#inDoubt.add(partition.groupId)
      else this.#keep(partition, this.#request.requestId, outcome.value)
    }
  }

  /** Asks the partitions in order until there is enough; those that failed once more if nobody had anything. */
  async run(partitions: readonly PartitionInfo[]): Promise<void> {
    for (const partition of partitions) {
      if (this.#isFull() || this.#isOver()) {
        // Not asked is not empty.
        if (this.messages.length === 0) this.#failures.push({ partition, error: tooLate(partition) })
        break
      }
      if (this.messages.length > 0 && this.#parts.suspects.has(partition.groupId)) continue
      await this.#ask(partition, this.#parts.limits.patienceMs)
      if (this.#refusal !== undefined) return
    }
    const failed = this.#failures
    if (this.messages.length > 0 || failed.length === 0) return
    this.#failures = []
    for (const [i, { partition, error }] of failed.entries()) {
      const left = this.#timeLeft()
      if (this.messages.length > 0 || this.#isOver()) this.#failures.push({ partition, error })
      else await this.#ask(partition, Math.min(left, Math.max(left / (failed.length - i), SECOND_TRY_MS_MIN)))
    }
  }

  /** Remembers what is still in doubt, so that a later call asks for it again. To be called at the end. */
  end(): void {
    const { consumerId, requestId, autoAck } = this.#request
    if (!autoAck) return
    const { unsettled } = this.#parts
    for (const groupId of this.#inDoubt) unsettled.put(consumerId, { groupId, requestId })
    this.#inDoubt.clear()
    if (this.messages.length === 0) for (const fetch of this.#untold) unsettled.put(consumerId, fetch)
  }

  async #ask(partition: PartitionInfo, timeoutMs: number): Promise<void> {
    try {
      this.#keep(partition, this.#request.requestId, await this.#fetchSettled(partition, timeoutMs))
      this.#inDoubt.delete(partition.groupId)
      this.#parts.suspects.cleared(partition.groupId)
    } catch (error) {
      this.#failed(partition, error)
    }
  }

  /** Going on to other partitions would lose what this one may have given: it is asked again first. */
  async #fetchSettled(partition: PartitionInfo, timeoutMs: number): Promise<Fetched> {
    try {
      return await this.#fetch(partition, {}, timeoutMs)
    } catch (error) {
      if (!this.#request.autoAck || !isInDoubt(error)) throw error
      this.#inDoubt.add(partition.groupId)
      return await this.#fetch(
        partition,
        {},
        Math.min(SETTLE_MS, Math.max(this.#timeLeft(), SECOND_TRY_MS_MIN)),
      )
    }
  }

  async #settleOne(partition: PartitionInfo, fetch: UnsettledFetch): Promise<void> {
    const { unsettled, limits } = this.#parts
    const { requestId, next } = fetch
    try {
      const timeoutMs = Math.min(limits.patienceMs, this.#timeLeft())
      const fetched = await this.#fetch(partition, { requestId }, timeoutMs)
      if (fetched.records.length === 0 && lostBefore(fetched, next) > 0) this.#untold.push(fetch)
      this.#keep(partition, requestId, fetched, next)
    } catch (error) {
      unsettled.put(this.#request.consumerId, fetch)
      this.#failed(partition, error)
    }
  }

  async #fetch(partition: PartitionInfo, wish: Partial<FetchWish>, timeoutMs: number): Promise<Fetched> {
    const { consumerId, requestId, autoAck, skipDeleted } = this.#request
    const answer = await this.#parts.partitions.fetch(
      partition.groupId,
      {
        consumerId,
        requestId,
        messagesMax: this.#room,
        bytesMax: this.#bytesLeft,
        autoAck,
        lookupOnly: false,
        skipDeleted,
        ...wish,
      },
      { timeoutMs: Math.max(timeoutMs, 1) },
    )
    try {
      const records = recordsOf(answer)
      if (records.length === 0) this.cursors.set(partition.groupId, answer.cursor)
      return { records, from: answer.from, skipped: answer.skipped }
    } catch (error) {
      // Given, but not delivered.
      if (answer.granted && wish.requestId === undefined) this.#inDoubt.add(partition.groupId)
      throw error
    }
  }

  /**
   * Takes records into the answer while there is room; the others are kept open for a later call.
   * @param next offset of the first record that was not delivered before
   */
  #keep(partition: PartitionInfo, requestId: string, fetched: Fetched, next?: number): void {
    const { consumerId, autoAck } = this.#request
    const { records, from } = fetched
    const skipped = lostBefore(fetched, next)
    const first = next === undefined ? 0 : Math.max(next - from, 0)
    let at = first
    while (at < records.length && this.#room > 0) {
      const record = records[at]!
      this.messages.push(deliveredMessage(partition.name, record))
      this.#room--
      this.#bytesLeft -= sizeOfRecord(record)
      at++
    }
    if (at > first || (records.length === 0 && skipped > 0)) this.#lost(partition, skipped)
    if (at > first) this.#parts.served.served(consumerId, partition.number)
    if (!autoAck || at >= records.length) return
    // Nothing delivered: the loss is told with the first message.
    const nothing = at === first && next === undefined
    this.#parts.unsettled.put(consumerId, {
      groupId: partition.groupId,
      requestId,
      ...(nothing ? {} : { next: at === first ? next! : records[at]!.offset }),
    })
  }

  #lost(partition: PartitionInfo, count: number): void {
    if (count > 0) this.skipped.set(partition.name, (this.skipped.get(partition.name) ?? 0) + count)
  }

  #failed(partition: PartitionInfo, thrown: unknown): void {
    if (thrown instanceof BrokerError && thrown.code === 'OFFSET_OUT_OF_RANGE') {
      this.#refusal = thrown
      return
    }
    this.#failures.push({ partition, error: toError(thrown) })
    this.#parts.suspects.failed(partition.groupId)
  }

  #isFull(): boolean {
    return this.#room === 0 || this.#bytesLeft <= 0
  }

  #isOver(): boolean {
    return this.#request.isGone() || this.#timeLeft() <= 0
  }

  #timeLeft(): number {
    return this.#deadline - this.#parts.clock.monotonic()
  }
}

/** Messages that were deleted before the consumer got them, and that it was not told of. */
function lostBefore({ from, skipped }: Fetched, next: number | undefined): number {
  return next === undefined ? skipped : Math.max(from - next, 0)
}

function tooLate(partition: PartitionInfo): BrokerError {
  return new BrokerError('TIMEOUT', `there was no time left to ask ${partition.name}`, { outcome: 'no' })
}

function isInDoubt(error: unknown): boolean {
  return error instanceof BrokerError ? error.outcome === 'unknown' : true
}
