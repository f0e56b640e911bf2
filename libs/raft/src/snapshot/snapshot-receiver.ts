import { unreachable } from '@sluice/foundation'
import type { NodeId, RaftGroupId } from '../core/types.js'
import {
  type CancelFrame,
  type ChunkFrame,
  type OfferFrame,
  type ReceiverFrame,
  sameTransfer,
  type SenderFrame,
  SnapshotFrameKind,
  SnapshotRefusal,
  type TransferId,
} from './frame.js'
import { isOf, isSameSnapshot, type Reception, type ReceptionKey } from './reception.js'
import { sameBytes } from './snapshot-content.js'

export interface ReceiverLimits {
  /** Snapshots that are received, or taken by their groups, at a time; others are asked to wait. */
  readonly transfersMax: number
  /** Data of one transfer that waits for the disk, bytes; what is over it is dropped and comes again. */
  readonly bufferBytesMax: number
  /** Ticks without a frame of the sender after which its place is given up; what has arrived stays. */
  readonly silentTicksMax: number
  /** Data of one snapshot, bytes. */
  readonly snapshotBytesMax: number
}

const DEFAULT_RECEIVER_LIMITS: ReceiverLimits = {
  transfersMax: 8,
  bufferBytesMax: 2 * 1024 * 1024,
  silentTicksMax: 150,
  snapshotBytesMax: 1024 ** 4,
}

/** What a receiver asks of the world, in this order; that of one group is done one after the other. */
export type ReceiverAction =
  | { readonly kind: 'send'; readonly peer: NodeId; readonly frame: ReceiverFrame }
  /** Answered with `opened` or `failed`. */
  | { readonly kind: 'open'; readonly key: ReceptionKey; readonly offer: OfferFrame }
  /** Answered with `written` or `failed`. */
  | {
      readonly kind: 'write'
      readonly key: ReceptionKey
      readonly group: RaftGroupId
      readonly offset: number
      readonly data: Uint8Array
    }
  /** Everything is there: answered with `finished` or `failed`. */
  | { readonly kind: 'finish'; readonly key: ReceptionKey; readonly group: RaftGroupId }
  /** Not gone on with now; what has arrived is kept or not. */
  | { readonly kind: 'end'; readonly key: ReceptionKey; readonly group: RaftGroupId; readonly keep: boolean }

/** Who sent what has been received. */
interface FinishedReception {
  readonly from: NodeId
  readonly offer: OfferFrame
}

/** Finished transfers that are remembered, so that a sender who missed the answer gets it again. */
const FINISHED_MAX = 1024

/** Takes in snapshots of all groups of a process, at most one for a group at a time. No I/O, no time of its own. */
export class SnapshotReceiver {
  readonly #uuidOf: (group: RaftGroupId) => Uint8Array | undefined
  readonly #limits: ReceiverLimits
  readonly #receptions = new Map<RaftGroupId, Reception>()
  readonly #finished = new Map<RaftGroupId, { readonly from: NodeId; readonly transfer: TransferId }>()
  #nextKey: ReceptionKey = 1
  #actions: ReceiverAction[] = []

  constructor(parts: {
    /** The incarnation of a group that is open here. */
    readonly uuidOf: (group: RaftGroupId) => Uint8Array | undefined
    readonly limits?: Partial<ReceiverLimits>
  }) {
    this.#uuidOf = parts.uuidOf
    this.#limits = { ...DEFAULT_RECEIVER_LIMITS, ...parts.limits }
  }

  /** Receptions that hold a place. */
  get count(): number {
    return this.#receptions.size
  }

  receive(from: NodeId, frame: SenderFrame): void {
    switch (frame.kind) {
      case SnapshotFrameKind.OFFER:
        this.#offered(from, frame)
        break
      case SnapshotFrameKind.CHUNK:
        this.#chunk(from, frame)
        break
      case SnapshotFrameKind.CANCEL:
        this.#cancelled(from, frame)
        break
      default:
        unreachable(frame)
    }
  }

  /** The reception goes on from `offset`: what is before it is here already. */
  opened(key: ReceptionKey, offset: number): void {
    const reception = this.#byKey(key)
    if (reception === undefined) return
    reception.phase = 'receiving'
    reception.receivedTo = offset
    reception.writtenTo = offset
    this.#answer(reception)
    this.#finishIfWhole(reception)
  }

  /** Everything before `offset` is written. */
  written(key: ReceptionKey, offset: number): void {
    const reception = this.#byKey(key)
    if (reception === undefined) return
    reception.writtenTo = offset
    this.#acknowledge(reception, offset, false)
    this.#finishIfWhole(reception)
  }

  /** The snapshot is whole and durable. `undefined`: the group does not want it any more. */
  finished(key: ReceptionKey): FinishedReception | undefined {
    const reception = this.#byKey(key)
    if (reception === undefined) return undefined
    reception.phase = 'delivered'
    const { from, offer } = reception
    this.#finished.delete(offer.group)
    if (this.#finished.size >= FINISHED_MAX) {
      const oldest = this.#finished.keys().next()
      if (oldest.done !== true) this.#finished.delete(oldest.value)
    }
    this.#finished.set(offer.group, { from, transfer: offer.transfer })
    this.#answer(reception)
    return { from, offer }
  }

  /** The group has taken what was delivered to it: another snapshot may come. */
  released(key: ReceptionKey): void {
    const reception = this.#byKey(key)
    if (reception !== undefined) this.#receptions.delete(reception.offer.group)
  }

  /** Opening, writing or finishing failed, and has been cleaned up. */
  failed(key: ReceptionKey, reason: SnapshotRefusal): FinishedReception | undefined {
    const reception = this.#byKey(key)
    if (reception === undefined) return undefined
    const { from, offer } = reception
    this.#receptions.delete(offer.group)
    this.#refuse(from, offer, reason)
    return { from, offer }
  }

  tick(): void {
    for (const reception of this.#receptions.values())
      if (reception.phase === 'receiving' && ++reception.silentTicks >= this.#limits.silentTicksMax)
        this.#end(reception, true)
  }

  /** The group is gone here. What was delivered already is not taken back. */
  cancel(group: RaftGroupId): void {
    const reception = this.#receptions.get(group)
    if (reception !== undefined) this.#end(reception, true)
    this.#finished.delete(group)
  }

  close(): void {
    for (const reception of [...this.#receptions.values()]) this.#end(reception, true)
  }

  take(): readonly ReceiverAction[] {
    const actions = this.#actions
    this.#actions = []
    return actions
  }

  #offered(from: NodeId, offer: OfferFrame): void {
    const reception = this.#receptions.get(offer.group)
    if (reception !== undefined && isOf(reception, from, offer)) {
      reception.silentTicks = 0
      if (reception.phase !== 'opening') this.#answer(reception)
      return
    }
    const refusal = this.#refusalOf(from, offer, reception)
    if (refusal === 'ignore') return
    if (refusal !== undefined) {
      this.#refuse(from, offer, refusal)
      return
    }
    if (reception === undefined) {
      if (this.#isFinished(from, offer)) this.#send(from, { ...headOf(offer), kind: SnapshotFrameKind.DONE })
      else this.#begin(from, offer)
      return
    }
    this.#refuse(reception.from, reception.offer, SnapshotRefusal.SUPERSEDED)
    if (isSameSnapshot(reception.offer, offer)) {
      reception.from = from
      reception.offer = offer
      reception.silentTicks = 0
      if (reception.phase !== 'opening') this.#answer(reception)
      return
    }
    this.#end(reception, false)
    this.#begin(from, offer)
  }

  /** Why an offer of another transfer than the one that goes on, if any, is not taken. */
  #refusalOf(
    from: NodeId,
    offer: OfferFrame,
    reception: Reception | undefined,
  ): SnapshotRefusal | 'ignore' | undefined {
    const uuid = this.#uuidOf(offer.group)
    if (uuid === undefined) return SnapshotRefusal.UNKNOWN_GROUP
    if (!sameBytes(uuid, offer.uuid)) return SnapshotRefusal.FOREIGN_GROUP
    if (offer.content.sizeBytes > this.#limits.snapshotBytesMax) return SnapshotRefusal.TOO_LARGE
    if (reception === undefined) {
      const isFull = this.#receptions.size >= this.#limits.transfersMax
      return isFull && !this.#isFinished(from, offer) ? SnapshotRefusal.BUSY : undefined
    }
    const present = reception.offer
    if (offer.term < present.term) return SnapshotRefusal.STALE_TERM
    // A frame of a transfer that its sender has given up, late.
    const isOfSender = from === reception.from && offer.transfer.epoch === present.transfer.epoch
    if (isOfSender && offer.transfer.sequence < present.transfer.sequence) return 'ignore'
    if (reception.phase === 'finishing' || reception.phase === 'delivered') return SnapshotRefusal.BUSY
    return undefined
  }

  #chunk(from: NodeId, frame: ChunkFrame): void {
    const reception = this.#receptions.get(frame.group)
    if (reception === undefined || !isOf(reception, from, frame)) {
      if (this.#isFinished(from, frame)) this.#send(from, { ...headOf(frame), kind: SnapshotFrameKind.DONE })
      else this.#refuse(from, frame, SnapshotRefusal.UNKNOWN_TRANSFER)
      return
    }
    reception.silentTicks = 0
    if (reception.phase === 'opening') return
    if (reception.phase !== 'receiving') {
      this.#answer(reception)
      return
    }
    const { receivedTo, offer } = reception
    const end = frame.offset + frame.data.length
    if (end > offer.content.sizeBytes) {
      this.#refuse(from, offer, SnapshotRefusal.DAMAGED)
      this.#end(reception, false)
    } else if (end <= receivedTo) this.#acknowledge(reception, reception.writtenTo, false)
    else if (frame.offset > receivedTo) this.#acknowledge(reception, receivedTo, true)
    else this.#keep(reception, frame.data.subarray(receivedTo - frame.offset))
  }

  #keep(reception: Reception, data: Uint8Array): void {
    const offset = reception.receivedTo
    // Dropped, it is asked for when what follows it arrives, or comes by itself when nothing else does.
    if (offset - reception.writtenTo + data.length > this.#limits.bufferBytesMax) return
    reception.receivedTo += data.length
    const { key, offer } = reception
    this.#actions.push({ kind: 'write', key, group: offer.group, offset, data })
  }

  #cancelled(from: NodeId, frame: CancelFrame): void {
    const reception = this.#receptions.get(frame.group)
    if (reception === undefined || !isOf(reception, from, frame)) return
    // Another sender may have the same content: what has arrived of it is good.
    if (reception.phase === 'opening' || reception.phase === 'receiving') this.#end(reception, true)
  }

  #begin(from: NodeId, offer: OfferFrame): void {
    const key = this.#nextKey++
    const counts = { receivedTo: 0, writtenTo: 0, silentTicks: 0 }
    this.#receptions.set(offer.group, { key, from, offer, phase: 'opening', ...counts })
    this.#finished.delete(offer.group)
    this.#actions.push({ kind: 'open', key, offer })
  }

  #end(reception: Reception, keep: boolean): void {
    const { key, offer, phase } = reception
    this.#receptions.delete(offer.group)
    if (phase !== 'delivered') this.#actions.push({ kind: 'end', key, group: offer.group, keep })
  }

  #finishIfWhole(reception: Reception): void {
    const { key, offer, writtenTo } = reception
    if (writtenTo !== offer.content.sizeBytes) return
    reception.phase = 'finishing'
    this.#actions.push({ kind: 'finish', key, group: offer.group })
  }

  /** Tells the sender how far it is. */
  #answer(reception: Reception): void {
    const { offer, writtenTo, phase, from } = reception
    switch (phase) {
      case 'opening':
      case 'receiving':
        this.#send(from, { ...headOf(offer), kind: SnapshotFrameKind.ACCEPT, offset: writtenTo })
        break
      case 'finishing':
        this.#acknowledge(reception, writtenTo, false)
        break
      case 'delivered':
        this.#send(from, { ...headOf(offer), kind: SnapshotFrameKind.DONE })
        break
      default:
        unreachable(phase)
    }
  }

  #acknowledge({ from, offer }: Reception, offset: number, isGap: boolean): void {
    this.#send(from, { ...headOf(offer), kind: SnapshotFrameKind.ACK, offset, isGap })
  }

  #refuse(peer: NodeId, frame: SenderFrame, reason: SnapshotRefusal): void {
    this.#send(peer, { ...headOf(frame), kind: SnapshotFrameKind.REFUSE, reason })
  }

  #send(peer: NodeId, frame: ReceiverFrame): void {
    this.#actions.push({ kind: 'send', peer, frame })
  }

  #isFinished(from: NodeId, { group, transfer }: SenderFrame): boolean {
    const finished = this.#finished.get(group)
    return finished !== undefined && finished.from === from && sameTransfer(finished.transfer, transfer)
  }

  #byKey(key: ReceptionKey): Reception | undefined {
    for (const reception of this.#receptions.values()) if (reception.key === key) return reception
    return undefined
  }
}

function headOf(frame: SenderFrame): Pick<ReceiverFrame, 'group' | 'transfer'> {
  return { group: frame.group, transfer: frame.transfer }
}
