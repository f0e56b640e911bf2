import { crc32 } from 'node:zlib'
import { invariant, unreachable } from '@sluice/foundation'
import type { RaftGroupId, SnapshotMeta, Term } from '../core/types.js'
import { RaftDecodeError, RaftVersionError } from '../host/codec.js'
import { viewOf } from '../wal/format.js'
import { CONFIGURATION_BYTES_MAX } from './format.js'
import type { SnapshotContent } from './snapshot-content.js'

export const SnapshotFrameKind = {
  OFFER: 1,
  CHUNK: 2,
  CANCEL: 3,
  ACCEPT: 4,
  ACK: 5,
  REFUSE: 6,
  DONE: 7,
} as const
export type SnapshotFrameKind = (typeof SnapshotFrameKind)[keyof typeof SnapshotFrameKind]

/** Why a receiver does not take a snapshot. */
export const SnapshotRefusal = {
  /** The group is another incarnation there. */
  FOREIGN_GROUP: 1,
  UNKNOWN_GROUP: 2,
  /** A leader of a later term sends one already. */
  STALE_TERM: 3,
  /** As many as it takes at a time are on their way; asking again helps. */
  BUSY: 4,
  /** Another transfer took this one's place. */
  SUPERSEDED: 5,
  TOO_LARGE: 6,
  /** It was restarted, or has given the transfer up: another offer helps. */
  UNKNOWN_TRANSFER: 7,
  /** It cannot write it. */
  STORAGE: 8,
  /** What arrived is not what was announced. */
  DAMAGED: 9,
} as const
export type SnapshotRefusal = (typeof SnapshotRefusal)[keyof typeof SnapshotRefusal]

/** A transfer of one sender: `epoch` is random for each start of its process, `sequence` counts from 1. */
export interface TransferId {
  readonly epoch: number
  readonly sequence: number
}

interface FrameHead {
  readonly group: RaftGroupId
  readonly transfer: TransferId
}

export interface OfferFrame extends FrameHead {
  readonly kind: typeof SnapshotFrameKind.OFFER
  /** 16 bytes: the group's incarnation. */
  readonly uuid: Uint8Array
  /** In which the sender leads. */
  readonly term: Term
  readonly meta: SnapshotMeta
  readonly content: SnapshotContent
}

export interface ChunkFrame extends FrameHead {
  readonly kind: typeof SnapshotFrameKind.CHUNK
  readonly offset: number
  /** 1 to `CHUNK_FRAME_BYTES_MAX` bytes. */
  readonly data: Uint8Array
}

/** Tells where the receiver goes on. */
interface AcceptFrame extends FrameHead {
  readonly kind: typeof SnapshotFrameKind.ACCEPT
  readonly offset: number
}

interface AckFrame extends FrameHead {
  readonly kind: typeof SnapshotFrameKind.ACK
  /** Everything before it is written. */
  readonly offset: number
  /** What came last does not follow: the sender goes on from `offset`. */
  readonly isGap: boolean
}

interface RefuseFrame extends FrameHead {
  readonly kind: typeof SnapshotFrameKind.REFUSE
  readonly reason: SnapshotRefusal
}

export interface CancelFrame extends FrameHead {
  readonly kind: typeof SnapshotFrameKind.CANCEL
}

interface DoneFrame extends FrameHead {
  readonly kind: typeof SnapshotFrameKind.DONE
}

/** From the one who has the snapshot. */
export type SenderFrame = OfferFrame | ChunkFrame | CancelFrame
/** From the one who gets it. */
export type ReceiverFrame = AcceptFrame | AckFrame | RefuseFrame | DoneFrame
export type SnapshotFrame = SenderFrame | ReceiverFrame

/*
 * Frame, little endian:
 *
 *   version u8 = 0x21 | kind u8 | flags u8 | 0 u8 | crc u32 of everything else | group u32 | epoch u32 | sequence u32
 *   OFFER       uuid 16 B | content id 16 B | term | index | its term | size (f64 each) | content crc u32 |
 *               configurationBytes u32 | configuration         flags 1: the content crc is known
 *   CHUNK       offset f64 | data
 *   ACCEPT, ACK offset f64                                      flags 1, ACK: gap
 *   REFUSE                                                      flags: the reason
 *   CANCEL, DONE
 *
 * The first byte tells it from the messages of the cores, which share the link (host/codec.ts).
 */
const VERSION = 0x21
const HEAD_BYTES = 20
const OFFER_BYTES = HEAD_BYTES + 32 + 4 * 8 + 8
const OFFSET_FRAME_BYTES = HEAD_BYTES + 8

/** Data of one CHUNK, so that what is urgent never waits long behind one. */
export const CHUNK_FRAME_BYTES_MAX = 128 * 1024

const KINDS: ReadonlySet<number> = new Set(Object.values(SnapshotFrameKind))
const REFUSALS: ReadonlySet<number> = new Set(Object.values(SnapshotRefusal))

export function encodeSnapshotFrame(frame: SnapshotFrame): Uint8Array {
  const bytes = new Uint8Array(sizeOf(frame))
  const view = viewOf(bytes)
  view.setUint8(0, VERSION)
  view.setUint8(1, frame.kind)
  view.setUint8(2, flagsOf(frame))
  view.setUint32(8, frame.group, true)
  view.setUint32(12, frame.transfer.epoch, true)
  view.setUint32(16, frame.transfer.sequence, true)
  switch (frame.kind) {
    case SnapshotFrameKind.OFFER:
      putOffer(bytes, view, frame)
      break
    case SnapshotFrameKind.CHUNK:
      invariant(frame.data.length > 0, 'a chunk has data')
      invariant(frame.data.length <= CHUNK_FRAME_BYTES_MAX, 'a chunk is bounded')
      view.setFloat64(HEAD_BYTES, frame.offset, true)
      bytes.set(frame.data, OFFSET_FRAME_BYTES)
      break
    case SnapshotFrameKind.ACCEPT:
    case SnapshotFrameKind.ACK:
      view.setFloat64(HEAD_BYTES, frame.offset, true)
      break
    case SnapshotFrameKind.REFUSE:
    case SnapshotFrameKind.CANCEL:
    case SnapshotFrameKind.DONE:
      break
    default:
      unreachable(frame)
  }
  view.setUint32(4, crcOf(bytes), true)
  return bytes
}

/**
 * A frame whose checksum is right. Data are views of `bytes`, which must not change afterwards.
 * @throws RaftDecodeError
 */
export function decodeSnapshotFrame(bytes: Uint8Array): SnapshotFrame {
  if (bytes[0] !== VERSION) throw new RaftVersionError('snapshot frame', { found: bytes[0], known: VERSION })
  if (bytes.length < HEAD_BYTES) throw new RaftDecodeError('the frame ends within its head')
  const view = viewOf(bytes)
  if (view.getUint32(4, true) !== crcOf(bytes))
    throw new RaftDecodeError('the checksum of the snapshot frame does not match')
  const kind = view.getUint8(1)
  const flags = view.getUint8(2)
  if (!isKind(kind)) throw new RaftDecodeError(`snapshot frame of unknown kind ${kind}`)
  if (view.getUint8(3) !== 0) throw new RaftDecodeError('a byte of the frame is not 0')
  const head = {
    group: view.getUint32(8, true) as RaftGroupId,
    transfer: { epoch: view.getUint32(12, true), sequence: view.getUint32(16, true) },
  }
  switch (kind) {
    case SnapshotFrameKind.OFFER:
      return { kind, ...head, ...getOffer(bytes, view, flag(flags)) }
    case SnapshotFrameKind.CHUNK: {
      none(flags)
      const dataBytes = bytes.length - OFFSET_FRAME_BYTES
      if (dataBytes < 1 || dataBytes > CHUNK_FRAME_BYTES_MAX)
        throw new RaftDecodeError(`a chunk of ${dataBytes} bytes is out of bounds`)
      return { kind, ...head, offset: natural(view, HEAD_BYTES), data: bytes.subarray(OFFSET_FRAME_BYTES) }
    }
    case SnapshotFrameKind.ACCEPT:
      none(flags)
      exactly(bytes, OFFSET_FRAME_BYTES)
      return { kind, ...head, offset: natural(view, HEAD_BYTES) }
    case SnapshotFrameKind.ACK:
      exactly(bytes, OFFSET_FRAME_BYTES)
      return { kind, ...head, offset: natural(view, HEAD_BYTES), isGap: flag(flags) }
    case SnapshotFrameKind.REFUSE:
      exactly(bytes, HEAD_BYTES)
      if (!isRefusal(flags)) throw new RaftDecodeError(`refusal for unknown reason ${flags}`)
      return { kind, ...head, reason: flags }
    case SnapshotFrameKind.CANCEL:
    case SnapshotFrameKind.DONE:
      none(flags)
      exactly(bytes, HEAD_BYTES)
      return { kind, ...head }
    default:
      return unreachable(kind)
  }
}

export function sameTransfer(a: TransferId, b: TransferId): boolean {
  return a.epoch === b.epoch && a.sequence === b.sequence
}

function sizeOf(frame: SnapshotFrame): number {
  switch (frame.kind) {
    case SnapshotFrameKind.OFFER:
      return OFFER_BYTES + frame.meta.configuration.length
    case SnapshotFrameKind.CHUNK:
      return OFFSET_FRAME_BYTES + frame.data.length
    case SnapshotFrameKind.ACCEPT:
    case SnapshotFrameKind.ACK:
      return OFFSET_FRAME_BYTES
    case SnapshotFrameKind.REFUSE:
    case SnapshotFrameKind.CANCEL:
    case SnapshotFrameKind.DONE:
      return HEAD_BYTES
    default:
      return unreachable(frame)
  }
}

function flagsOf(frame: SnapshotFrame): number {
  if (frame.kind === SnapshotFrameKind.OFFER) return frame.content.crc === undefined ? 0 : 1
  if (frame.kind === SnapshotFrameKind.ACK) return frame.isGap ? 1 : 0
  return frame.kind === SnapshotFrameKind.REFUSE ? frame.reason : 0
}

function putOffer(bytes: Uint8Array, view: DataView, { uuid, term, meta, content }: OfferFrame): void {
  invariant(uuid.length === 16 && content.id.length === 16, 'ids have 16 bytes')
  invariant(meta.configuration.length <= CONFIGURATION_BYTES_MAX, 'a configuration is bounded')
  bytes.set(uuid, HEAD_BYTES)
  bytes.set(content.id, HEAD_BYTES + 16)
  view.setFloat64(HEAD_BYTES + 32, term, true)
  view.setFloat64(HEAD_BYTES + 40, meta.index, true)
  view.setFloat64(HEAD_BYTES + 48, meta.term, true)
  view.setFloat64(HEAD_BYTES + 56, content.sizeBytes, true)
  view.setUint32(HEAD_BYTES + 64, content.crc ?? 0, true)
  view.setUint32(HEAD_BYTES + 68, meta.configuration.length, true)
  bytes.set(meta.configuration, OFFER_BYTES)
}

function getOffer(
  bytes: Uint8Array,
  view: DataView,
  isCrcKnown: boolean,
): Pick<OfferFrame, 'uuid' | 'term' | 'meta' | 'content'> {
  if (bytes.length < OFFER_BYTES) throw new RaftDecodeError('the frame ends within an offer')
  const configurationBytes = view.getUint32(HEAD_BYTES + 68, true)
  if (configurationBytes > CONFIGURATION_BYTES_MAX)
    throw new RaftDecodeError(`a configuration of ${configurationBytes} bytes is over the bound`)
  exactly(bytes, OFFER_BYTES + configurationBytes)
  const crc = view.getUint32(HEAD_BYTES + 64, true)
  if (!isCrcKnown && crc !== 0) throw new RaftDecodeError('an unknown checksum is 0')
  return {
    // Kept for long: copies, so that they do not hold the frame.
    uuid: Uint8Array.from(bytes.subarray(HEAD_BYTES, HEAD_BYTES + 16)),
    term: natural(view, HEAD_BYTES + 32),
    meta: {
      index: natural(view, HEAD_BYTES + 40),
      term: natural(view, HEAD_BYTES + 48),
      configuration: Uint8Array.from(bytes.subarray(OFFER_BYTES)),
    },
    content: {
      id: Uint8Array.from(bytes.subarray(HEAD_BYTES + 16, HEAD_BYTES + 32)),
      sizeBytes: natural(view, HEAD_BYTES + 56),
      crc: isCrcKnown ? crc : undefined,
    },
  }
}

/** Of everything but its own place. */
function crcOf(bytes: Uint8Array): number {
  return crc32(bytes.subarray(8), crc32(bytes.subarray(0, 4)))
}

function exactly(bytes: Uint8Array, sizeBytes: number): void {
  if (bytes.length !== sizeBytes)
    throw new RaftDecodeError(`a frame of ${bytes.length} bytes should have ${sizeBytes}`)
}

function flag(flags: number): boolean {
  if (flags > 1) throw new RaftDecodeError(`flags ${flags} are unknown`)
  return flags === 1
}

function none(flags: number): void {
  if (flags !== 0) throw new RaftDecodeError(`flags ${flags} are unknown`)
}

function natural(view: DataView, at: number): number {
  const value = view.getFloat64(at, true)
  if (!Number.isSafeInteger(value) || value < 0) throw new RaftDecodeError(`${value} is no natural number`)
  return value
}

function isKind(value: number): value is SnapshotFrameKind {
  return KINDS.has(value)
}

function isRefusal(value: number): value is SnapshotRefusal {
  return REFUSALS.has(value)
}
