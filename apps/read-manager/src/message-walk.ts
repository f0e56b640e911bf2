import type { FetchWish, PartitionClient } from '@sluice/client'
import { BrokerError, type StoredRecord } from '@sluice/domain'
import { type Clock, toError } from '@sluice/foundation'
import type { PartitionInfo } from '@sluice/metadata'
import type { CallerWatch } from './caller.js'
import { type DeliveredMessage, deliveredMessage, recordsOf, sizeOfRecord } from './delivered-message.js'
import type { Releases } from './releases.js'
import type { ServedPartitions } from './served-partition.js'
import type { SuspectPartitions } from './suspect-partitions.js'

/** What walks have in common. */
export interface WalkParts {
  readonly partitions: Pick<PartitionClient, 'fetch'>
  readonly served: ServedPartitions
  readonly suspects: SuspectPartitions
  readonly releases: Releases
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
  /** This try of the call: what it was given and could not deliver it may give back. */
  readonly holder: number
  readonly messagesMax: number
  /** The cursor advances over what is given. */
  readonly autoAck: boolean
  /** Once it has left nothing more is taken for it. */
  readonly caller: Pick<CallerWatch, 'gone' | 'isThere'>
  /** Goes on behind messages that were deleted before the consumer read them; else that is a failure. */
  readonly skipDeleted: boolean
}

interface Fetched {
  readonly records: readonly StoredRecord[]
  readonly skipped: number
}

interface Failure {
  readonly partition: PartitionInfo
  readonly error: Error
}

/** How long a partition may keep the others waiting when it may have given messages. Milliseconds. */
const SETTLE_MS = 5000
/** How long a partition that failed lately is waited for when it is asked what it gave before. Milliseconds. */
const SUSPECT_LOOKUP_MS = 200
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
  /** Groups to which messages are given back. */
  readonly released = new Set<number>()
  readonly #parts: WalkParts
  readonly #request: WalkRequest
  readonly #deadline: number
  #room: number
  #bytesLeft: number
  #failures: Failure[] = []
  /** Partitions that may have given messages in answers that were lost. */
  readonly #inDoubt = new Set<number>()
  /** Partitions that did not say what an earlier try was given. */
  readonly #notLookedUp = new Set<number>()
  /** Partitions of which messages are in the answer. */
  readonly #given = new Set<number>()
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

  /**
   * Gives again what this request was given when it was sent to another read manager.
   * @param partitions all of the topic
   */
  async lookUp(partitions: readonly PartitionInfo[]): Promise<void> {
    const { suspects, limits } = this.#parts
    const looked = await Promise.allSettled(
      partitions.map((partition) => {
        const patienceMs = suspects.has(partition.groupId) ? SUSPECT_LOOKUP_MS : limits.patienceMs
        return this.#fetch(partition, { lookupOnly: true }, Math.min(patienceMs, limits.patienceMs))
      }),
    )
    for (const [i, outcome] of looked.entries()) {
      const partition = partitions[i]!
      if (outcome.status === 'fulfilled') this.#keep(partition, outcome.value)
      else {
        this.#notLookedUp.add(partition.groupId)
        if (!this.#request.caller.gone) suspects.failed(partition.groupId)
      }
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
      if (this.#parts.releases.isOpen(this.#request.consumerId, partition.groupId))
        // What is behind messages that are on their way back is not for now: they come first.
        this.#failures.push({ partition, error: notSettled(partition) })
      else await this.#ask(partition, this.#parts.limits.patienceMs)
      if (this.#refusal !== undefined) return
    }
    const failed = this.#failures
    if (this.messages.length > 0 || failed.length === 0) return
    this.#failures = []
    for (const [i, { partition, error }] of failed.entries()) {
      const left = this.#timeLeft()
      const isOpen = this.#parts.releases.isOpen(this.#request.consumerId, partition.groupId)
      if (this.messages.length > 0 || this.#isOver() || isOpen) this.#failures.push({ partition, error })
      else await this.#ask(partition, Math.min(left, Math.max(left / (failed.length - i), SECOND_TRY_MS_MIN)))
    }
  }

  /** Gives back what may have been given in answers that were lost. To be called at the end. */
  end(): void {
    if (!this.#request.autoAck) return
    for (const groupId of new Set([...this.#inDoubt, ...this.#notLookedUp])) this.#release(groupId)
    this.#inDoubt.clear()
    this.#notLookedUp.clear()
  }

  /** Gives back everything: nobody takes the answer. */
  giveBack(): void {
    if (!this.#request.autoAck) return
    for (const groupId of this.#given) this.#release(groupId)
    this.#given.clear()
  }

  #release(groupId: number, from = 0): void {
    const { consumerId, requestId, holder } = this.#request
    const orEarlier = this.#notLookedUp.has(groupId)
    this.released.add(groupId)
    this.#parts.releases.add({ consumerId, groupId, requestId, from, holder, orEarlier })
  }

  async #ask(partition: PartitionInfo, timeoutMs: number): Promise<void> {
    try {
      this.#keep(partition, await this.#fetchSettled(partition, timeoutMs))
      this.#inDoubt.delete(partition.groupId)
      this.#notLookedUp.delete(partition.groupId)
      this.#parts.suspects.cleared(partition.groupId)
    } catch (error) {
      if (isGone(error)) this.#inDoubt.delete(partition.groupId)
      else this.#failed(partition, error)
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

  async #fetch(partition: PartitionInfo, wish: Partial<FetchWish>, timeoutMs: number): Promise<Fetched> {
    const { consumerId, requestId, holder, autoAck, skipDeleted, caller } = this.#request
    const answer = await this.#parts.partitions.fetch(
      partition.groupId,
      {
        consumerId,
        requestId,
        holder,
        messagesMax: this.#room,
        bytesMax: this.#bytesLeft,
        autoAck,
        lookupOnly: false,
        skipDeleted,
        ...wish,
      },
      { timeoutMs: Math.max(timeoutMs, 1), isWanted: () => caller.isThere() },
    )
    try {
      const records = recordsOf(answer)
      if (records.length === 0) this.cursors.set(partition.groupId, answer.cursor)
      return { records, skipped: answer.skipped }
    } catch (error) {
      // Given, but not delivered.
      if (answer.granted) this.#inDoubt.add(partition.groupId)
      throw error
    }
  }

  /** Takes records into the answer while there is room; the others are given back. */
  #keep(partition: PartitionInfo, { records, skipped }: Fetched): void {
    const { consumerId, autoAck } = this.#request
    let delivered = 0
    while (delivered < records.length && this.#room > 0) {
      const record = records[delivered]!
      this.messages.push(deliveredMessage(partition.name, record))
      this.#room--
      this.#bytesLeft -= sizeOfRecord(record)
      delivered++
    }
    if (skipped > 0 && (delivered > 0 || records.length === 0)) this.skipped.set(partition.name, skipped)
    if (delivered > 0) {
      this.#given.add(partition.groupId)
      this.#parts.served.served(consumerId, partition.number)
    }
    if (autoAck && delivered < records.length)
      this.#release(partition.groupId, delivered === 0 ? 0 : records[delivered]!.offset)
  }

  #failed(partition: PartitionInfo, thrown: unknown): void {
    if (thrown instanceof BrokerError && thrown.code === 'OFFSET_OUT_OF_RANGE') {
      this.#refusal = thrown
      return
    }
    this.#failures.push({ partition, error: toError(thrown) })
    if (this.#request.caller.gone) return
    this.#parts.suspects.failed(partition.groupId)
  }

  #isFull(): boolean {
    return this.#room === 0 || this.#bytesLeft <= 0
  }

  #isOver(): boolean {
    return this.#request.caller.gone || this.#timeLeft() <= 0
  }

  #timeLeft(): number {
    return this.#deadline - this.#parts.clock.monotonic()
  }
}

function tooLate(partition: PartitionInfo): BrokerError {
  return new BrokerError('TIMEOUT', `there was no time left to ask ${partition.name}`, { outcome: 'no' })
}

function notSettled(partition: PartitionInfo): BrokerError {
  return new BrokerError('NO_QUORUM', `messages of ${partition.name} are to be given back to it first`, {
    component: 'broker',
    outcome: 'no',
  })
}

/** The partition was removed, after everything in it was read, or with its topic: it has nothing for anybody. */
function isGone(error: unknown): boolean {
  return error instanceof BrokerError && error.code === 'TOPIC_NOT_FOUND'
}

function isInDoubt(error: unknown): boolean {
  return error instanceof BrokerError ? error.outcome === 'unknown' : true
}
