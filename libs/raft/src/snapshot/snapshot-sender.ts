import type { RaftGroupId, SnapshotMeta, Term } from '../core/types.js'
import type { ByteBudget } from './byte-budget.js'
import {
  CHUNK_FRAME_BYTES_MAX,
  type ReceiverFrame,
  sameTransfer,
  type SenderFrame,
  SnapshotFrameKind,
  SnapshotRefusal,
  type TransferId,
} from './frame.js'
import type { SnapshotContent } from './snapshot-content.js'
import { failureOf, SnapshotTransferError, type TransferFailure } from './transfer-error.js'

export interface SenderLimits {
  /** Data of one frame, bytes; at most 128 KiB. */
  readonly chunkBytes: number
  /** Data on its way that is not acknowledged, bytes; at least one chunk. */
  readonly windowBytes: number
  /** Ticks without progress before data is sent again, and without anything sent before an offer is. */
  readonly retransmitTicks: number
  /** Ticks before a receiver that is busy is asked again. */
  readonly busyTicks: number
  /** Ticks without an answer that end the transfer. */
  readonly silentTicksMax: number
  /** Ticks for which a receiver may be busy. */
  readonly busyTicksMax: number
}

const DEFAULT_SENDER_LIMITS: SenderLimits = {
  chunkBytes: CHUNK_FRAME_BYTES_MAX,
  windowBytes: 1024 * 1024,
  retransmitTicks: 5,
  busyTicks: 10,
  silentTicksMax: 100,
  busyTicksMax: 600,
}

type SendOutcome =
  { readonly kind: 'sent' } | { readonly kind: 'failed'; readonly error: SnapshotTransferError }

/** What a sender asks of the world. */
export interface SenderStep {
  readonly frames: readonly SenderFrame[]
  /** Answered with `loaded` or `unreadable`. */
  readonly read: { readonly offset: number; readonly lengthBytes: number } | undefined
  /** Said once, and nothing after it. */
  readonly outcome: SendOutcome | undefined
}

/**
 * Brings one snapshot to one peer. No I/O, no time of its own.
 *
 *     offering --ACCEPT--> streaming --all acknowledged--> finishing --DONE--> ended
 *        ^------- link lost, transfer unknown there -------'
 *
 * What is lost is sent again from where the receiver is (go back N): the link keeps the order of what it
 * does not lose. While nothing else is to be sent an offer is now and then: the answer tells where the
 * receiver is, and that it is there.
 */
export class SnapshotSender {
  readonly group: RaftGroupId
  readonly uuid: Uint8Array
  readonly meta: SnapshotMeta
  readonly content: SnapshotContent
  readonly transfer: TransferId
  readonly #budget: ByteBudget
  readonly #limits: SenderLimits
  #term: Term

  #phase: 'offering' | 'streaming' | 'finishing' | 'ended' = 'offering'
  // acked <= sent <= size; what is between the two is on its way
  #ackedTo = 0
  #sentTo = 0
  /** Being read, for which the budget has paid. */
  #reading: { readonly offset: number; readonly lengthBytes: number } | undefined
  /** The link took no more; until the next tick. */
  #isBlocked = false
  /** What was lost is being sent again since the last tick. */
  #wentBack = false
  #ticksToOffer = 0
  #ticksWithoutProgress = 0
  #silentTicks = 0
  /** Since the receiver said that it is busy, and nothing else. */
  #busyTicks: number | undefined
  #frames: SenderFrame[] = []
  #outcome: SendOutcome | undefined

  constructor(parts: {
    readonly group: RaftGroupId
    /** 16 bytes: the group's incarnation. */
    readonly uuid: Uint8Array
    readonly term: Term
    readonly meta: SnapshotMeta
    readonly content: SnapshotContent
    readonly transfer: TransferId
    readonly budget: ByteBudget
    readonly limits?: Partial<SenderLimits>
  }) {
    this.group = parts.group
    this.uuid = parts.uuid
    this.meta = parts.meta
    this.content = parts.content
    this.transfer = parts.transfer
    this.#term = parts.term
    this.#budget = parts.budget
    this.#limits = { ...DEFAULT_SENDER_LIMITS, ...parts.limits }
    this.#offer()
  }

  /** In which the sender leads. */
  get term(): Term {
    return this.#term
  }

  get isEnded(): boolean {
    return this.#phase === 'ended'
  }

  /** The same snapshot is sent in a later term. */
  advanceTerm(term: Term): void {
    this.#term = Math.max(this.#term, term)
  }

  tick(): void {
    if (this.isEnded) return
    this.#isBlocked = false
    this.#wentBack = false
    const isWaiting = this.#phase !== 'streaming' || this.#sentTo > this.#ackedTo
    // A transfer that waits for the budget waits for nobody else.
    this.#silentTicks = isWaiting ? this.#silentTicks + 1 : 0
    this.#ticksWithoutProgress = isWaiting ? this.#ticksWithoutProgress + 1 : 0
    if (this.#busyTicks !== undefined) this.#busyTicks++
    if (this.#silentTicks >= this.#limits.silentTicksMax) {
      this.#fail('peer-silent')
      return
    }
    if (this.#busyTicks !== undefined && this.#busyTicks >= this.#limits.busyTicksMax) {
      this.#fail('peer-busy')
      return
    }
    if (this.#phase === 'streaming' && this.#ticksWithoutProgress >= this.#limits.retransmitTicks)
      this.#goTo(this.#ackedTo)
    if (--this.#ticksToOffer <= 0) this.#offer()
  }

  /** A frame of the peer about this group; one about another transfer has no effect. */
  receive(frame: ReceiverFrame): void {
    if (this.isEnded || !sameTransfer(frame.transfer, this.transfer)) return
    if ('offset' in frame && frame.offset > this.content.sizeBytes) return
    this.#silentTicks = 0
    if (frame.kind !== SnapshotFrameKind.REFUSE) this.#busyTicks = undefined
    switch (frame.kind) {
      case SnapshotFrameKind.ACCEPT:
        this.#accepted(frame.offset)
        break
      case SnapshotFrameKind.ACK:
        this.#acknowledged(frame.offset, frame.isGap)
        break
      case SnapshotFrameKind.REFUSE:
        this.#refused(frame.reason)
        break
      case SnapshotFrameKind.DONE:
        this.#end({ kind: 'sent' })
    }
  }

  /** What `read` asked for. The bytes must not change afterwards; fewer than asked for are fine, none is not. */
  loaded(bytes: Uint8Array): void {
    const reading = this.#takeReading()
    if (reading === undefined) return
    const { offset, lengthBytes } = reading
    if (bytes.length === 0 || bytes.length > lengthBytes) {
      const cause = new Error(`a read of ${lengthBytes} bytes at ${offset} gave ${bytes.length}`)
      this.#fail('source-unreadable', { cause })
      return
    }
    if (this.#phase !== 'streaming' || offset !== this.#sentTo || this.#isBlocked) {
      this.#budget.give(lengthBytes)
      return
    }
    this.#budget.give(lengthBytes - bytes.length)
    this.#sentTo += bytes.length
    this.#ticksToOffer = this.#limits.retransmitTicks
    this.#frames.push({ ...this.#head(), kind: SnapshotFrameKind.CHUNK, offset, data: bytes })
  }

  /** What `read` asked for cannot be had. */
  unreadable(cause: Error): void {
    if (this.#takeReading() === undefined) return
    this.#fail('source-unreadable', { cause })
  }

  /** The link did not take a frame: nothing more goes to it before the next tick. */
  unsent(frame: SenderFrame): void {
    this.#isBlocked = true
    if (frame.kind !== SnapshotFrameKind.CHUNK) return
    this.#budget.give(frame.data.length)
    this.#sentTo = Math.max(Math.min(this.#sentTo, frame.offset), this.#ackedTo)
  }

  /** What is on its way is lost. */
  linkLost(): void {
    if (this.isEnded) return
    this.#phase = 'offering'
    this.#ticksToOffer = 1
  }

  /** Ends the transfer without an outcome; the peer is told. */
  cancel(): void {
    if (this.isEnded) return
    this.#phase = 'ended'
    this.#frames.push({ ...this.#head(), kind: SnapshotFrameKind.CANCEL })
    this.#returnReading()
  }

  take(): SenderStep {
    const frames = this.#frames
    const outcome = this.#outcome
    this.#frames = []
    this.#outcome = undefined
    return { frames, outcome, read: this.#nextRead() }
  }

  #nextRead(): SenderStep['read'] {
    if (this.#phase !== 'streaming' || this.#reading !== undefined || this.#isBlocked) return undefined
    const lengthBytes = Math.min(this.#limits.chunkBytes, this.content.sizeBytes - this.#sentTo)
    const inFlight = this.#sentTo - this.#ackedTo
    if (lengthBytes === 0 || (inFlight > 0 && inFlight + lengthBytes > this.#limits.windowBytes))
      return undefined
    if (!this.#budget.take(lengthBytes)) return undefined
    this.#reading = { offset: this.#sentTo, lengthBytes }
    return this.#reading
  }

  #accepted(offset: number): void {
    if (this.#phase === 'offering' || offset < this.#ackedTo) {
      this.#goTo(offset)
      this.#streamFrom(offset)
    } else this.#acknowledged(offset, false)
  }

  #acknowledged(offset: number, isGap: boolean): void {
    if (this.#phase !== 'streaming') return
    if (isGap && !this.#wentBack) {
      this.#goTo(offset)
      this.#wentBack = true
    }
    if (offset > this.#ackedTo) {
      this.#ticksWithoutProgress = 0
      this.#sentTo = Math.max(this.#sentTo, offset)
    }
    if (offset > this.#ackedTo || isGap) this.#streamFrom(Math.max(offset, this.#ackedTo))
  }

  #streamFrom(ackedTo: number): void {
    this.#ackedTo = ackedTo
    this.#phase = ackedTo === this.content.sizeBytes ? 'finishing' : 'streaming'
  }

  #refused(reason: SnapshotRefusal): void {
    const failure = failureOf(reason)
    if (failure !== undefined) {
      this.#fail(failure)
      return
    }
    // Every chunk that was on its way is refused: one offer answers all of them.
    if (this.#phase === 'offering' && reason === SnapshotRefusal.UNKNOWN_TRANSFER) return
    this.#phase = 'offering'
    if (reason === SnapshotRefusal.BUSY) {
      this.#busyTicks ??= 0
      this.#ticksToOffer = this.#limits.busyTicks
    } else this.#offer()
  }

  /** The receiver has everything before `offset`, and nothing is on its way. */
  #goTo(offset: number): void {
    this.#ackedTo = offset
    this.#sentTo = offset
    this.#ticksWithoutProgress = 0
  }

  #offer(): void {
    this.#ticksToOffer = this.#limits.retransmitTicks
    const { uuid, meta, content } = this
    this.#frames.push({
      ...this.#head(),
      kind: SnapshotFrameKind.OFFER,
      uuid,
      term: this.#term,
      meta,
      content,
    })
  }

  #fail(reason: TransferFailure, options: ErrorOptions = {}): void {
    this.#end({ kind: 'failed', error: new SnapshotTransferError(reason, options) })
    this.#frames.push({ ...this.#head(), kind: SnapshotFrameKind.CANCEL })
  }

  #end(outcome: SendOutcome): void {
    this.#phase = 'ended'
    this.#outcome = outcome
    this.#frames = []
    this.#returnReading()
  }

  #takeReading(): SenderStep['read'] {
    const reading = this.#reading
    this.#reading = undefined
    return reading
  }

  #returnReading(): void {
    this.#budget.give(this.#takeReading()?.lengthBytes ?? 0)
  }

  #head(): { readonly group: RaftGroupId; readonly transfer: TransferId } {
    return { group: this.group, transfer: this.transfer }
  }
}
