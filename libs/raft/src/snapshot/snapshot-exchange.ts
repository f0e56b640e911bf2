import { type Random, toError, unreachable } from '@sluice/foundation'
import type { NodeId, RaftGroupId, SnapshotMeta, Term } from '../core/types.js'
import type { SnapshotCarrier, SnapshotSource, SnapshotTransfer } from '../host/state-machine.js'
import { ByteBudget } from './byte-budget.js'
import { DeliveredSource } from './delivered-source.js'
import { CONTENT_ID_BYTES } from './format.js'
import {
  CHUNK_FRAME_BYTES_MAX,
  decodeSnapshotFrame,
  encodeSnapshotFrame,
  type ReceiverFrame,
  type SnapshotFrame,
  SnapshotFrameKind,
  type SnapshotRefusal,
} from './frame.js'
import { Gate } from './gate.js'
import { IncomingFiles } from './incoming-files.js'
import { type Outgoing, OutgoingTransfers } from './outgoing-transfers.js'
import type { ReceptionKey } from './reception.js'
import { type ContentSource, contentOf, sameBytes } from './snapshot-content.js'
import { type ReceiverLimits, SnapshotReceiver } from './snapshot-receiver.js'
import { type SenderLimits, SnapshotSender } from './snapshot-sender.js'
import type { SnapshotStore } from './snapshot-store.js'
import { SnapshotTransferError } from './transfer-error.js'

export interface ExchangeLimits {
  /** Of all transfers together, bytes. Default 8 Mi. */
  readonly bytesPerTick: number
  /** Snapshots that are sent at a time; more are refused. Default 1024. */
  readonly transfersMax: number
  /** Reads of snapshots to send that go on at a time. Default 4. */
  readonly readsMax: number
  readonly sender: Partial<SenderLimits>
  readonly receiver: Partial<ReceiverLimits>
}

export interface SnapshotExchangeOptions {
  /** Where snapshots are received. */
  readonly store: SnapshotStore
  readonly random: Random
  readonly limits?: Partial<ExchangeLimits>
  /** False when the frame was dropped at once. It may wait for everything else that is sent. */
  readonly send: (peer: NodeId, frame: Uint8Array) => boolean
  /** The incarnation of a group that is open here; no other one's snapshots are taken. */
  readonly uuidOf: (group: RaftGroupId) => Uint8Array | undefined
  /**
   * A whole snapshot is here, durably; the store has it. Nothing else comes for the group until the source
   * is closed. It may be one that was delivered before, or a newer one than the peer sent.
   */
  readonly onReceived: (
    group: RaftGroupId,
    from: NodeId,
    term: Term,
    meta: SnapshotMeta,
    source: SnapshotSource,
  ) => void
  /** The peer has all of it, durably. */
  readonly onSent: (group: RaftGroupId, peer: NodeId) => void
  /** Also says what is wrong with a damaged snapshot here, as its cause. */
  readonly onFailed: (group: RaftGroupId, peer: NodeId, error: SnapshotTransferError) => void
  /** A snapshot could not be taken in; its sender is told. */
  readonly onReceiveFailed?: (group: RaftGroupId, from: NodeId, error: Error) => void
  /** A bug, here or in a callback: the process must end. */
  readonly onFatal: (error: Error) => void
}

/**
 * Brings snapshots to other processes and takes in theirs, for all groups of a process. Decisions are made
 * in `SnapshotSender` and `SnapshotReceiver`; here are the files and the frames.
 */
export class SnapshotExchange implements SnapshotCarrier {
  readonly #options: SnapshotExchangeOptions
  readonly #budget: ByteBudget
  readonly #transfersMax: number
  readonly #reads: Gate
  readonly #reading = new Set<Promise<void>>()
  readonly #outgoing = new OutgoingTransfers()
  readonly #receiver: SnapshotReceiver
  readonly #files: IncomingFiles
  readonly #epoch: number
  #sequence = 0
  #isClosed = false

  constructor(options: SnapshotExchangeOptions) {
    const {
      bytesPerTick = 8 * 1024 * 1024,
      transfersMax = 1024,
      readsMax = 4,
      receiver,
    } = options.limits ?? {}
    const { store, random, uuidOf } = options
    this.#options = options
    this.#budget = new ByteBudget({ bytesPerTick, bytesMax: CHUNK_FRAME_BYTES_MAX })
    this.#transfersMax = transfersMax
    this.#reads = new Gate({ roomMax: readsMax, waitingMax: transfersMax })
    this.#receiver = new SnapshotReceiver({
      uuidOf,
      limits: { snapshotBytesMax: store.snapshotBytesMax, ...receiver },
    })
    this.#epoch = random.below(0x1_0000_0000)
    this.#files = new IncomingFiles(store, {
      opened: (key, offset) => this.#report(() => this.#receiver.opened(key, offset)),
      written: (key, offset) => this.#report(() => this.#receiver.written(key, offset)),
      finished: (key, source) => this.#report(() => this.#finished(key, source)),
      failed: (key, reason, error) => this.#report(() => this.#failed(key, reason, error)),
      broken: (error) => options.onFatal(error),
    })
  }

  /**
   * Brings `source` to the peer and closes it in the end. A transfer to the same peer that is under way goes
   * on when it is of this snapshot or a newer one, and makes place otherwise.
   */
  offer({ group: id, uuid, peer, term }: SnapshotTransfer, source: SnapshotSource): void {
    const group = id as RaftGroupId
    const present = this.#outgoing.get(group, peer)
    if (present !== undefined && !this.#isClosed) {
      const { sender } = present
      const isStale = term < sender.term
      if (sameBytes(sender.uuid, uuid) && (isStale || source.meta.index <= sender.meta.index)) {
        sender.advanceTerm(term)
        discard(source)
        return
      }
      this.#drop(present)
    }
    if (this.#isClosed || this.#outgoing.count >= this.#transfersMax) {
      discard(source)
      if (!this.#isClosed) this.#options.onFailed(group, peer, new SnapshotTransferError('overloaded'))
      return
    }
    const sender = new SnapshotSender({
      group,
      uuid,
      term,
      meta: source.meta,
      content: contentOf(source) ?? { id: this.#newContentId(), sizeBytes: source.sizeBytes, crc: undefined },
      transfer: { epoch: this.#epoch, sequence: ++this.#sequence },
      budget: this.#budget,
      ...(this.#options.limits?.sender === undefined ? {} : { limits: this.#options.limits.sender }),
    })
    const outgoing = { peer, sender, source }
    this.#outgoing.add(outgoing)
    this.#advance(outgoing)
  }

  /**
   * A frame of a peer's exchange.
   * @throws RaftDecodeError when it is none; nothing of it has taken effect
   */
  receive(from: NodeId, bytes: Uint8Array): void {
    const frame = decodeSnapshotFrame(bytes)
    if (this.#isClosed) return
    switch (frame.kind) {
      case SnapshotFrameKind.OFFER:
      case SnapshotFrameKind.CHUNK:
      case SnapshotFrameKind.CANCEL:
        this.#receiver.receive(from, frame)
        this.#carryOut()
        break
      case SnapshotFrameKind.ACCEPT:
      case SnapshotFrameKind.ACK:
      case SnapshotFrameKind.REFUSE:
      case SnapshotFrameKind.DONE:
        this.#answered(from, frame)
        break
      default:
        unreachable(frame)
    }
  }

  tick(): void {
    if (this.#isClosed) return
    this.#budget.tick()
    this.#receiver.tick()
    this.#carryOut()
    for (const outgoing of this.#outgoing.all()) {
      outgoing.sender.tick()
      this.#advance(outgoing)
    }
  }

  /** What was on its way to the peer is lost; transfers go on from where it is when it answers again. */
  peerDown(peer: NodeId): void {
    for (const outgoing of this.#outgoing.all()) if (outgoing.peer === peer) outgoing.sender.linkLost()
  }

  /** The group is gone here: its transfers end, without a word to the callbacks. */
  cancel(group: number): void {
    for (const outgoing of this.#outgoing.of(group as RaftGroupId)) this.#drop(outgoing)
    this.#receiver.cancel(group as RaftGroupId)
    this.#carryOut()
  }

  /** Transfers that were offered in an earlier term end, without a word to the callbacks. */
  termChanged(group: RaftGroupId, term: Term): void {
    for (const outgoing of this.#outgoing.of(group)) if (outgoing.sender.term < term) this.#drop(outgoing)
  }

  /** Ends everything; what has been received stays for the next start. May be called twice. */
  async close(): Promise<void> {
    for (const outgoing of this.#outgoing.all()) this.#drop(outgoing)
    this.#receiver.close()
    this.#carryOut()
    this.#isClosed = true
    await this.#files.idle()
    await Promise.all(this.#reading)
  }

  #answered(from: NodeId, frame: ReceiverFrame): void {
    const outgoing = this.#outgoing.get(frame.group, from)
    if (outgoing === undefined) {
      // Its place there is free for others.
      if (frame.kind === SnapshotFrameKind.ACCEPT || frame.kind === SnapshotFrameKind.ACK) {
        const { group, transfer } = frame
        this.#send(from, { kind: SnapshotFrameKind.CANCEL, group, transfer })
      }
      return
    }
    outgoing.sender.receive(frame)
    this.#advance(outgoing)
  }

  /** Carries out what the sender wants now. */
  #advance(outgoing: Outgoing): void {
    const { sender, peer } = outgoing
    for (;;) {
      const { frames, read, outcome } = sender.take()
      for (const frame of frames) if (!this.#send(peer, frame)) sender.unsent(frame)
      if (outcome !== undefined) {
        this.#end(outgoing)
        if (outcome.kind === 'sent') this.#options.onSent(sender.group, peer)
        else this.#options.onFailed(sender.group, peer, outcome.error)
      }
      if (read !== undefined) this.#read(outgoing, read)
      if (frames.length === 0) return
    }
  }

  #read(outgoing: Outgoing, { offset, lengthBytes }: { offset: number; lengthBytes: number }): void {
    const { sender, source } = outgoing
    const reading = this.#reads
      .run(() => source.read(offset, lengthBytes))
      .then(
        (bytes) => sender.loaded(bytes),
        (error: unknown) => sender.unreadable(toError(error)),
      )
      .then(() => this.#advance(outgoing))
      .catch((error: unknown) => this.#options.onFatal(toError(error)))
    this.#reading.add(reading)
    void reading.then(() => this.#reading.delete(reading))
  }

  #drop(outgoing: Outgoing): void {
    outgoing.sender.cancel()
    this.#advance(outgoing)
    this.#end(outgoing)
  }

  #end(outgoing: Outgoing): void {
    this.#outgoing.remove(outgoing)
    discard(outgoing.source)
  }

  #report(happened: () => void): void {
    happened()
    this.#carryOut()
  }

  #carryOut(): void {
    for (const action of this.#receiver.take())
      if (action.kind === 'send') this.#send(action.peer, action.frame)
      else this.#files.carryOut(action)
  }

  #finished(key: ReceptionKey, source: ContentSource): void {
    const finished = this.#receiver.finished(key)
    if (finished === undefined || this.#isClosed) {
      discard(source)
      return
    }
    const { from, offer } = finished
    const delivered = new DeliveredSource(source, () => this.#receiver.released(key))
    this.#options.onReceived(offer.group, from, offer.term, source.meta, delivered)
  }

  #failed(key: ReceptionKey, reason: SnapshotRefusal, error: Error): void {
    const failed = this.#receiver.failed(key, reason)
    if (failed !== undefined) this.#options.onReceiveFailed?.(failed.offer.group, failed.from, error)
  }

  #send(peer: NodeId, frame: SnapshotFrame): boolean {
    return this.#options.send(peer, encodeSnapshotFrame(frame))
  }

  #newContentId(): Uint8Array {
    return Uint8Array.from({ length: CONTENT_ID_BYTES }, () => this.#options.random.below(256))
  }
}

/** Closing only gives resources back: whether that worked concerns nobody who sends. */
function discard(source: SnapshotSource): void {
  source.close().catch(() => undefined)
}
