import { BrokerError } from '@sluice/domain'
import { toError } from '@sluice/foundation'
import type { CursorGrant } from '@sluice/partition'
import type { FetchBounds, MessageRange, PartitionReader } from './partition-reader.js'
import type { PartitionReplica } from './partition-replica.js'

export interface FetchRequest extends FetchBounds {
  readonly consumerId: number
  /** 32 hex digits; the same request again gets the same messages. */
  readonly requestId: string
  /** Advances the cursor past what is delivered. */
  readonly autoAck: boolean
  /** Answers only what this request was granted before. */
  readonly lookupOnly: boolean
  /** Steps over messages that were deleted before the consumer read them; else that is an error. */
  readonly skipDeleted: boolean
}

export interface FetchAnswer extends MessageRange {
  /** True when the cursor was advanced for this request, now or earlier. */
  readonly granted: boolean
  /** Messages before `from` that were deleted before the consumer read them. */
  readonly skipped: number
  readonly cursor: number
  readonly end: number
  readonly logStart: number
}

export type SeekTarget =
  | { readonly kind: 'offset'; readonly offset: number }
  | { readonly kind: 'acknowledge'; readonly offset: number }
  | { readonly kind: 'earliest' }
  | { readonly kind: 'latest' }
  | { readonly kind: 'time'; readonly ms: number }

interface EarlierGrant extends CursorGrant {
  /** The entry that gives it; 0 when that is applied. */
  readonly index: number
}

/** The consume side of a partition's leader. */
export class PartitionService {
  readonly #reader: PartitionReader

  constructor(reader: PartitionReader) {
    this.#reader = reader
  }

  async fetch(replica: PartitionReplica, request: FetchRequest): Promise<FetchAnswer> {
    const earlier = this.#earlierGrant(replica, request)
    if (earlier !== undefined) return this.#giveAgain(replica, request, earlier)
    if (request.lookupOnly) return this.#lookUp(replica, request)
    if (!request.autoAck) return this.#browse(replica, request)
    return this.#deliver(replica, request)
  }

  /** Moves the cursor; repeated with the same request id it answers the same. */
  async seek(
    replica: PartitionReplica,
    request: { readonly consumerId: number; readonly requestId: string; readonly target: SeekTarget },
  ): Promise<number> {
    const offset = await this.#resolve(replica, request.target)
    const moved = await replica.moveCursor({
      kind: 'set',
      consumerId: request.consumerId,
      requestId: request.requestId,
      offset,
      forwardOnly: request.target.kind === 'acknowledge',
    })
    return moved.to
  }

  /** The partition's ends and a consumer's position, as of now. */
  async offsets(
    replica: PartitionReplica,
    consumerId: number,
  ): Promise<{ readonly logStart: number; readonly end: number; readonly cursor: number }> {
    replica.projection()
    await replica.barrier()
    return {
      logStart: replica.logStart,
      end: replica.nextOffset,
      cursor: this.#committedStart(replica, consumerId),
    }
  }

  /** What this request was given before. Looked up at once: an await in between would let its twin pass. */
  #earlierGrant(replica: PartitionReplica, request: FetchRequest): EarlierGrant | undefined {
    return replica.projection().earlierGrant(request.consumerId, request.requestId)
  }

  /** Without what was deleted since: what was given once and is gone is not given again. */
  async #giveAgain(
    replica: PartitionReplica,
    request: FetchRequest,
    earlier: EarlierGrant,
  ): Promise<FetchAnswer> {
    await replica.appliedTo(earlier.index)
    // A leader that was replaced might not know of a deletion.
    await replica.barrier()
    const { from: granted, to, skipped = 0 } = earlier
    for (;;) {
      const from = Math.min(Math.max(granted, replica.logStart), to)
      const range = await this.#reader.readExactly(replica, from, to)
      if (range === undefined) continue
      return this.#answer(replica, request.consumerId, range, {
        granted: true,
        skipped: skipped + from - granted,
      })
    }
  }

  async #lookUp(replica: PartitionReplica, request: FetchRequest): Promise<FetchAnswer> {
    await replica.barrier()
    const earlier = this.#earlierGrant(replica, request)
    if (earlier !== undefined) return this.#giveAgain(replica, request, earlier)
    return this.#nothing(replica, request.consumerId)
  }

  /** For a consumer that acknowledges by itself: shows the next messages and moves nothing. */
  async #browse(replica: PartitionReplica, request: FetchRequest): Promise<FetchAnswer> {
    await replica.barrier()
    for (;;) {
      const cursor = replica.committedCursor(request.consumerId)
      const from = Math.max(cursor, replica.logStart)
      if (from > cursor && !request.skipDeleted) throw behindTheStart(replica, cursor)
      if (from >= replica.nextOffset) return this.#nothing(replica, request.consumerId)
      const range = await this.#reader.read(replica, from, request)
      if (range === undefined) continue
      const given = { granted: false, skipped: from - cursor }
      return this.#answer(replica, request.consumerId, range, given)
    }
  }

  /** Takes the next messages for the consumer: whoever asks next gets those behind them. */
  async #deliver(replica: PartitionReplica, request: FetchRequest): Promise<FetchAnswer> {
    for (;;) {
      // The same request may be under way twice, and the other one was given something meanwhile.
      const earlier = this.#earlierGrant(replica, request)
      if (earlier !== undefined) return this.#giveAgain(replica, request, earlier)
      const cursor = replica.projection().cursor(request.consumerId)
      const from = this.#startOf(replica, request.consumerId)
      if (from > cursor && !request.skipDeleted) {
        await this.#confirmBehind(replica, request.consumerId)
        continue
      }
      if (from >= replica.nextOffset) {
        const empty = await this.#confirmEmpty(replica, request.consumerId)
        if (empty === undefined) continue
        return empty
      }
      // Nothing is awaited between what memory has and the grant: others would be given the same.
      const range = this.#reader.peek(replica, from, request) ?? (await this.#load(replica, request, from))
      if (range === undefined) continue
      const given = await replica.moveCursor({
        kind: 'grant',
        consumerId: request.consumerId,
        requestId: request.requestId,
        from,
        to: range.to,
      })
      if (given.to !== range.to || given.from !== range.from)
        throw new BrokerError('INTERNAL', 'a grant was not applied as it was planned', {
          component: 'broker',
        })
      const { skipped } = given
      return this.#answer(replica, request.consumerId, range, { granted: true, skipped })
    }
  }

  /** First message that the consumer can be given, counting what is on its way. */
  #startOf(replica: PartitionReplica, consumerId: number): number {
    const projection = replica.projection()
    return Math.max(projection.cursor(consumerId), projection.logStart)
  }

  /** What the database has from `from` on. `undefined`: look again, somebody was faster. */
  async #load(
    replica: PartitionReplica,
    request: FetchRequest,
    from: number,
  ): Promise<MessageRange | undefined> {
    const loaded = await this.#reader.load(replica, from, request)
    // While the database was read somebody may have taken them, this very request among others.
    if (this.#earlierGrant(replica, request) !== undefined) return undefined
    return this.#startOf(replica, request.consumerId) === from ? loaded : undefined
  }

  /**
   * "Nothing left" is said only by a leader that is known to lead still, with nothing on its way that
   * could yet fail and leave messages unread. `undefined`: look again.
   */
  async #confirmEmpty(replica: PartitionReplica, consumerId: number): Promise<FetchAnswer | undefined> {
    const onItsWay = replica.projection().cursorIndex(consumerId)
    await replica.barrier()
    await replica.appliedTo(onItsWay)
    if (this.#committedStart(replica, consumerId) < replica.nextOffset) return undefined
    return this.#nothing(replica, consumerId)
  }

  /**
   * "Deleted" is said only by a leader that is known to lead still, of what is committed. Returns when it
   * is not so, or not yet. @throws BrokerError OFFSET_OUT_OF_RANGE
   */
  async #confirmBehind(replica: PartitionReplica, consumerId: number): Promise<void> {
    await replica.appliedTo(replica.projection().cursorIndex(consumerId))
    await replica.barrier()
    const cursor = replica.committedCursor(consumerId)
    if (cursor < replica.logStart) throw behindTheStart(replica, cursor)
  }

  async #resolve(replica: PartitionReplica, target: SeekTarget): Promise<number> {
    replica.projection()
    await replica.barrier()
    switch (target.kind) {
      case 'earliest':
        return replica.logStart
      case 'latest':
        return replica.nextOffset
      case 'time':
        return Math.max(await this.#reader.offsetAtTime(replica, target.ms), replica.logStart)
      case 'offset':
        if (target.offset < replica.logStart || target.offset > replica.nextOffset)
          throw outOfRange(replica, target.offset)
        return target.offset
      case 'acknowledge':
        // What was read before it was deleted is acknowledged like everything else.
        if (target.offset > replica.nextOffset) throw outOfRange(replica, target.offset)
        return target.offset
    }
  }

  /** First message that the consumer has not been given and that is still there, or will be. */
  #committedStart(replica: PartitionReplica, consumerId: number): number {
    return Math.max(replica.committedCursor(consumerId), replica.logStart)
  }

  #nothing(replica: PartitionReplica, consumerId: number): FetchAnswer {
    const cursor = this.#committedStart(replica, consumerId)
    const range = { from: cursor, to: cursor, batches: [] }
    // Who has lost messages is told with the next ones.
    return this.#answer(replica, consumerId, range, { granted: false, skipped: 0 })
  }

  #answer(
    replica: PartitionReplica,
    consumerId: number,
    range: MessageRange,
    given: { readonly granted: boolean; readonly skipped: number },
  ): FetchAnswer {
    return {
      ...range,
      ...given,
      cursor: this.#committedStart(replica, consumerId),
      end: replica.nextOffset,
      logStart: replica.logStart,
    }
  }
}

function outOfRange(replica: PartitionReplica, offset: number): BrokerError {
  return new BrokerError(
    'OFFSET_OUT_OF_RANGE',
    `offset ${offset} is not in ${replica.logStart}…${replica.nextOffset} of ${replica.info.name}`,
    { component: 'broker', field: 'offset' },
  )
}

function behindTheStart(replica: PartitionReplica, cursor: number): BrokerError {
  return new BrokerError(
    'OFFSET_OUT_OF_RANGE',
    `messages ${cursor} to ${replica.logStart - 1} of ${replica.info.name} were deleted before the consumer ` +
      `read them; it goes on where it seeks to, from ${replica.logStart}`,
    { component: 'broker', outcome: 'no' },
  )
}

/** A database that fails while it is read is a failure of this broker's storage, which may pass. */
export function storageFailure(error: unknown): BrokerError {
  if (error instanceof BrokerError) return error
  return new BrokerError('STORAGE_FAILED', `the database could not be read: ${toError(error).message}`, {
    component: 'broker',
    cause: error,
  })
}
