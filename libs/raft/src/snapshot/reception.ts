import type { NodeId } from '../core/types.js'
import { type OfferFrame, sameTransfer, type SenderFrame } from './frame.js'
import { sameBytes } from './snapshot-content.js'

/** One reception from its offer to the end; unique in a receiver. */
export type ReceptionKey = number

/**
 *     opening --> receiving --> finishing --> delivered --> (released)
 *
 * Until `finishing` another offer may take its place.
 */
export interface Reception {
  readonly key: ReceptionKey
  from: NodeId
  /** Of the transfer that goes on: another sender of the same content may have taken over. */
  offer: OfferFrame
  phase: 'opening' | 'receiving' | 'finishing' | 'delivered'
  // writtenTo <= receivedTo <= size; what is between the two waits for the disk
  receivedTo: number
  writtenTo: number
  silentTicks: number
}

/** The frame belongs to the transfer that goes on. */
export function isOf(reception: Reception, from: NodeId, { transfer }: SenderFrame): boolean {
  return reception.from === from && sameTransfer(reception.offer.transfer, transfer)
}

/** One transfer can go on where the other one ended. */
export function isSameSnapshot(a: OfferFrame, b: OfferFrame): boolean {
  return (
    sameBytes(a.uuid, b.uuid) &&
    a.meta.index === b.meta.index &&
    a.meta.term === b.meta.term &&
    a.content.sizeBytes === b.content.sizeBytes &&
    a.content.crc === b.content.crc &&
    sameBytes(a.content.id, b.content.id) &&
    sameBytes(a.meta.configuration, b.meta.configuration)
  )
}
