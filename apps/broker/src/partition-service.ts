import { BrokerError } from '@sluice/domain'
import { toError } from '@sluice/foundation'
import type { CursorOperation, EarlierGrant, Unread } from '@sluice/partition'
import { FetchFences } from './fetch-fences.js'
import type { FetchBounds, MessageRange, PartitionReader } from './partition-reader.js'
import type { PartitionReplica } from './partition-replica.js'

export interface FetchRequest extends FetchBounds {
  readonly consumerId: number
  /** 32 hex digits; the same request again gets the same messages. */
  readonly requestId: string
  /** The try of the call that will have the messages; of two tries the later one has the larger number. */
  readonly holder: number
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

export interface ReleaseRequest {
  readonly consumerId: number
  readonly requestId: string
  /** Messages before it were delivered. */
  readonly from: number
  readonly holder: number
  /** Also what an earlier holder has. */
  readonly orEarlier: boolean
}

/** The consume side of a partition's leader. */
export class PartitionService {
  readonly #reader: PartitionReader
  readonly #fences = new FetchFences()

  constructor(reader: PartitionReader) {
    this.#reader = reader
  }

  async fetch(replica: PartitionReplica, request: FetchRequest): Promise<FetchAnswer> {
    this.#fences.pass(replica.info.groupId, request)
    const earlier = this.#earlierGrant(replica, request)
    if (earlier !== undefined) return this.#giveAgain(replica, request, earlier)
    if (request.lookupOnly) return this.#lookUp(replica, request)
    if (!request.autoAck) return this.#browse(replica, request)
    return this.#deliver(replica, request)
  }

  /**
   * Takes back what a request was given and nobody received: whoever asks next is given it. Nothing
   * happens when a later try of the request has it.
   */
  async release(replica: PartitionReplica, request: ReleaseRequest): Promise<void> {
    this.#fences.released(replica.info.groupId, request)
    const earlier = replica.projection().earlierGrant(request.consumerId, request.requestId)
    if (earlier === undefined) {
      // Perhaps released by this very call before its answer was lost: true only once it is committed.
      const onItsWay = replica.projection().cursorIndex(request.consumerId)
      await replica.barrier()
      await replica.appliedTo(onItsWay)
      return
    }
    await replica.moveCursor({ kind: 'release', ...request })
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

  /**
   * Without what was deleted since: what was given once and is gone is not given again. When nothing is left of it, or
   * when the consumer wants no gap, it is taken back first: the loss then comes before the next messages.
   */
  async #giveAgain(
    replica: PartitionReplica,
    request: FetchRequest,
    earlier: EarlierGrant,
  ): Promise<FetchAnswer> {
    const { holder } = earlier
    if (request.autoAck && holder !== undefined && holder < request.holder) {
      const held = await replica.moveCursor(holdOf(request))
      // Released in between: there is nothing to give again.
      if (held.to !== earlier.to || held.from !== earlier.from) return this.fetch(replica, request)
    } else await replica.appliedTo(earlier.index)
    // A leader that was replaced might not know of a deletion.
    await replica.barrier()
    const { from: granted, to, skipped = 0 } = earlier
    for (;;) {
      const from = Math.min(Math.max(granted, replica.logStart), to)
      const isLost = from > granted && (from === to || !request.skipDeleted)
      if (isLost && (await this.#takeBack(replica, request))) return this.fetch(replica, request)
      const range = await this.#reader.readExactly(replica, from, to)
      if (range === undefined) continue
      return this.#answer(replica, request.consumerId, range, {
        granted: true,
        skipped: skipped + from - granted,
      })
    }
  }

  /** @returns false when the consumer was moved since, so that it does not go back for this request */
  async #takeBack(replica: PartitionReplica, request: FetchRequest): Promise<boolean> {
    const { consumerId, requestId, holder } = request
    await replica.moveCursor({ kind: 'release', consumerId, requestId, from: 0, holder, orEarlier: true })
    return this.#earlierGrant(replica, request) === undefined
  }

  async #lookUp(replica: PartitionReplica, request: FetchRequest): Promise<FetchAnswer> {
    await replica.barrier()
    this.#fences.pass(replica.info.groupId, request)
    const earlier = this.#earlierGrant(replica, request)
    if (earlier !== undefined) return this.#giveAgain(replica, request, earlier)
    return this.#nothing(replica, request.consumerId)
  }

  /** For a consumer that acknowledges by itself: shows the next messages and moves nothing. */
  async #browse(replica: PartitionReplica, request: FetchRequest): Promise<FetchAnswer> {
    await replica.barrier()
    for (;;) {
      const unread = replica.committedUnread(request.consumerId)
      const { from, skipped } = unread
      if (skipped > 0 && !request.skipDeleted) throw behindTheStart(replica, unread)
      if (from >= replica.nextOffset) return this.#nothing(replica, request.consumerId)
      const range = await this.#reader.read(replica, from, request)
      if (range === undefined) continue
      return this.#answer(replica, request.consumerId, range, { granted: false, skipped })
    }
  }

  /** Takes the next messages for the consumer: whoever asks next gets those behind them. */
  async #deliver(replica: PartitionReplica, request: FetchRequest): Promise<FetchAnswer> {
    for (;;) {
      this.#fences.pass(replica.info.groupId, request)
      // The same request may be under way twice, and the other one was given something meanwhile.
      const earlier = this.#earlierGrant(replica, request)
      if (earlier !== undefined) return this.#giveAgain(replica, request, earlier)
      const unread = replica.projection().unread(request.consumerId)
      const { from } = unread
      if (unread.skipped > 0 && !request.skipDeleted) {
        await this.#confirmBehind(replica, request.consumerId)
        continue
      }
      if (from >= replica.nextOffset) {
        const empty = await this.#confirmEmpty(replica, request.consumerId)
        if (empty === undefined) continue
        return empty
      }
      // Nothing is awaited between what memory has and the grant: others would be given the same.
      const bounds = { ...request, messagesMax: Math.min(request.messagesMax, unread.until - from) }
      const range = this.#reader.peek(replica, from, bounds) ?? (await this.#load(replica, bounds, unread))
      // Given up meanwhile, and perhaps told that it was given nothing.
      this.#fences.pass(replica.info.groupId, request)
      if (range === undefined) continue
      const given = await replica.moveCursor({
        kind: 'grant',
        consumerId: request.consumerId,
        requestId: request.requestId,
        from,
        to: range.to,
        holder: request.holder,
      })
      if (given.to !== range.to || given.from !== range.from)
        throw new BrokerError('INTERNAL', 'a grant was not applied as it was planned', {
          component: 'broker',
        })
      const { skipped } = given
      return this.#answer(replica, request.consumerId, range, { granted: true, skipped })
    }
  }

  /** What the database has of what is unread. `undefined`: look again, somebody was faster. */
  async #load(
    replica: PartitionReplica,
    request: FetchRequest,
    { from, until }: Unread,
  ): Promise<MessageRange | undefined> {
    const loaded = await this.#reader.load(replica, from, request)
    // While the database was read somebody may have taken them, this very request among others.
    if (this.#earlierGrant(replica, request) !== undefined) return undefined
    const now = replica.projection().unread(request.consumerId)
    return now.from === from && now.until === until ? loaded : undefined
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
    const unread = replica.committedUnread(consumerId)
    if (unread.skipped > 0) throw behindTheStart(replica, unread)
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
    return replica.committedUnread(consumerId).from
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

function holdOf({ consumerId, requestId, holder }: FetchRequest): CursorOperation {
  return { kind: 'hold', consumerId, requestId, holder }
}

function behindTheStart(replica: PartitionReplica, { position }: Unread): BrokerError {
  return new BrokerError(
    'OFFSET_OUT_OF_RANGE',
    `messages ${position} to ${replica.logStart - 1} of ${replica.info.name} were deleted before the consumer ` +
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
