import { BrokerError } from '@sluice/domain'
import { toError } from '@sluice/foundation'
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
}

export interface FetchAnswer extends MessageRange {
  /** True when the cursor was advanced for this request, now or earlier. */
  readonly granted: boolean
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

interface EarlierGrant {
  readonly from: number
  readonly to: number
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
      cursor: replica.committedCursor(consumerId),
    }
  }

  /** What this request was given before. Looked up at once: an await in between would let its twin pass. */
  #earlierGrant(replica: PartitionReplica, request: FetchRequest): EarlierGrant | undefined {
    return replica.projection().earlierGrant(request.consumerId, request.requestId)
  }

  async #giveAgain(
    replica: PartitionReplica,
    request: FetchRequest,
    earlier: EarlierGrant,
  ): Promise<FetchAnswer> {
    await replica.appliedTo(earlier.index)
    const range = await this.#reader.readExactly(replica, earlier.from, earlier.to)
    return this.#answer(replica, request.consumerId, range, true)
  }

  async #lookUp(replica: PartitionReplica, request: FetchRequest): Promise<FetchAnswer> {
    await replica.barrier()
    const earlier = this.#earlierGrant(replica, request)
    if (earlier !== undefined) return this.#giveAgain(replica, request, earlier)
    const cursor = replica.committedCursor(request.consumerId)
    return this.#answer(replica, request.consumerId, { from: cursor, to: cursor, batches: [] }, false)
  }

  /** For a consumer that acknowledges by itself: shows the next messages and moves nothing. */
  async #browse(replica: PartitionReplica, request: FetchRequest): Promise<FetchAnswer> {
    await replica.barrier()
    const from = replica.committedCursor(request.consumerId)
    const range =
      from < replica.nextOffset
        ? await this.#reader.read(replica, from, request)
        : { from, to: from, batches: [] }
    return this.#answer(replica, request.consumerId, range, false)
  }

  /** Takes the next messages for the consumer: whoever asks next gets those behind them. */
  async #deliver(replica: PartitionReplica, request: FetchRequest): Promise<FetchAnswer> {
    for (;;) {
      // The same request may be under way twice, and the other one was given something meanwhile.
      const earlier = this.#earlierGrant(replica, request)
      if (earlier !== undefined) return this.#giveAgain(replica, request, earlier)
      const from = Math.max(replica.projection().cursor(request.consumerId), replica.logStart)
      if (from >= replica.nextOffset) {
        const empty = await this.#confirmEmpty(replica, request.consumerId)
        if (empty === undefined) continue
        return empty
      }
      let range = this.#reader.peek(replica, from, request)
      if (range === undefined) {
        range = await this.#reader.load(replica, from, request)
        // While the database was read somebody may have taken them, this very request among others.
        if (this.#earlierGrant(replica, request) !== undefined) continue
        if (Math.max(replica.projection().cursor(request.consumerId), replica.logStart) !== from) continue
      }
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
      return this.#answer(replica, request.consumerId, range, true)
    }
  }

  /**
   * "Nothing left" is said only by a leader that is known to lead still, with nothing on its way that
   * could yet fail and leave messages unread. `undefined`: look again.
   */
  async #confirmEmpty(replica: PartitionReplica, consumerId: number): Promise<FetchAnswer | undefined> {
    const onItsWay = replica.projection().cursorIndex(consumerId)
    await replica.barrier()
    await replica.appliedTo(onItsWay)
    const cursor = replica.committedCursor(consumerId)
    if (cursor < replica.nextOffset) return undefined
    return this.#answer(replica, consumerId, { from: cursor, to: cursor, batches: [] }, false)
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
        return this.#reader.offsetAtTime(replica, target.ms)
      case 'offset':
      case 'acknowledge':
        if (target.offset < replica.logStart || target.offset > replica.nextOffset)
          throw new BrokerError(
            'OFFSET_OUT_OF_RANGE',
            `offset ${target.offset} is not in ${replica.logStart}…${replica.nextOffset} of ${replica.info.name}`,
            { component: 'broker', field: 'offset' },
          )
        return target.offset
    }
  }

  #answer(replica: PartitionReplica, consumerId: number, range: MessageRange, granted: boolean): FetchAnswer {
    return {
      ...range,
      granted,
      cursor: replica.committedCursor(consumerId),
      end: replica.nextOffset,
      logStart: replica.logStart,
    }
  }
}

/** A database that fails while it is read is a failure of this broker's storage, which may pass. */
export function storageFailure(error: unknown): BrokerError {
  if (error instanceof BrokerError) return error
  return new BrokerError('STORAGE_FAILED', `the database could not be read: ${toError(error).message}`, {
    component: 'broker',
    cause: error,
  })
}
