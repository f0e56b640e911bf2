import { BUILD_VERSION } from '@sluice/foundation'
import {
  type Entry,
  EntryKind,
  MessageKind,
  type NodeId,
  type RaftGroupId,
  type RaftMessage,
} from '../core/types.js'

/** Bytes that are no frame of this version. The frame is dropped; nothing of it has taken effect. */
export class RaftDecodeError extends Error {
  override readonly name = 'RaftDecodeError'
}

/** The frame is of a version of its own: whoever sent it is of another version of this library. */
export class RaftVersionError extends RaftDecodeError {
  readonly code = 'UNSUPPORTED_VERSION'

  constructor(what: string, versions: { readonly found: number | undefined; readonly known: number }) {
    super(
      `a ${what} of version ${versions.found ?? 'none'}: version ${BUILD_VERSION} reads ${versions.known}`,
    )
  }
}

/** A message with the group it belongs to and, for an APPEND, the entries it names. */
export interface RoutedMessage {
  readonly group: RaftGroupId
  /** Tells incarnations of a group id apart: taken from the group's uuid. */
  readonly incarnation: number
  readonly message: RaftMessage
  /** Those that an APPEND names; a RECOVERY_RESPONSE's configuration. */
  readonly entries: readonly Entry[]
}

/*
 * Frame, little endian: version u8 = 3 | epoch of the sender's process u32, then messages until the end; one
 * without any is a sign of life:
 *
 *   group u32 | incarnation u32 | kind u8 | flags u8 (1 = reject) | pad u16 | term | index | logTerm | commit | hint |
 *   hintTerm | context (f64 each, non-negative safe integers) | count u32 | count × entry
 *   entry: term f64 | kind u8 | size u32 | data       its index is the message's index + 1, + 2, …
 *
 * The sender is the link's peer and the receiver is this node: neither is on the wire.
 */
const VERSION = 3
const HEAD_BYTES = 5
const MESSAGE_BYTES = 12 + 7 * 8 + 4
const ENTRY_BYTES = 13
const NO_ENTRIES: readonly Entry[] = []

/** Whether a frame is one of `encodeFrame`, of whatever version: other frames share the link. */
export function isMessageFrame(frame: Uint8Array): boolean {
  return frame.length > 0 && frame[0]! < 0x10
}

/** @param uuid 16 random bytes */
export function incarnationOf(uuid: Uint8Array): number {
  // Not by a DataView: asking for its buffer would take a small array off the heap, at ten times its size.
  return (uuid[0]! | (uuid[1]! << 8) | (uuid[2]! << 16) | (uuid[3]! << 24)) >>> 0
}

export function messageSizeBytes(routed: RoutedMessage): number {
  let size = MESSAGE_BYTES
  for (const entry of routed.entries) size += ENTRY_BYTES + entry.data.length
  return size
}

/** The start of its sender that a frame belongs to. @throws RaftDecodeError */
export function epochOf(frame: Uint8Array): number {
  checkHead(frame)
  return (frame[1]! | (frame[2]! << 8) | (frame[3]! << 16) | (frame[4]! << 24)) >>> 0
}

function checkHead(frame: Uint8Array): void {
  if (frame[0] !== VERSION) throw new RaftVersionError('Raft frame', { found: frame[0], known: VERSION })
  if (frame.length < HEAD_BYTES) throw new RaftDecodeError('frame ends inside its head')
}

/** @param epoch of this process: u32 */
export function encodeFrame(messages: readonly RoutedMessage[], epoch: number): Uint8Array {
  let size = HEAD_BYTES
  for (const routed of messages) size += messageSizeBytes(routed)
  const bytes = new Uint8Array(size)
  const view = new DataView(bytes.buffer)
  view.setUint8(0, VERSION)
  view.setUint32(1, epoch, true)
  let at = HEAD_BYTES
  for (const { group, incarnation, message, entries } of messages) {
    view.setUint32(at, group, true)
    view.setUint32(at + 4, incarnation, true)
    view.setUint8(at + 8, message.kind)
    view.setUint8(at + 9, message.reject ? 1 : 0)
    view.setFloat64(at + 12, message.term, true)
    view.setFloat64(at + 20, message.index, true)
    view.setFloat64(at + 28, message.logTerm, true)
    view.setFloat64(at + 36, message.commit, true)
    view.setFloat64(at + 44, message.hint, true)
    view.setFloat64(at + 52, message.hintTerm, true)
    view.setFloat64(at + 60, message.context, true)
    view.setUint32(at + 68, entries.length, true)
    at += MESSAGE_BYTES
    for (const entry of entries) {
      view.setFloat64(at, entry.term, true)
      view.setUint8(at + 8, entry.kind)
      view.setUint32(at + 9, entry.data.length, true)
      bytes.set(entry.data, at + ENTRY_BYTES)
      at += ENTRY_BYTES + entry.data.length
    }
  }
  return bytes
}

/**
 * The messages of a frame. Entry data are views of `bytes`, which must not change afterwards.
 * @throws RaftDecodeError before anything is handed out
 */
export function decodeFrame(
  bytes: Uint8Array,
  link: { readonly from: NodeId; readonly to: NodeId },
): readonly RoutedMessage[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  checkHead(bytes)
  const messages: RoutedMessage[] = []
  let at = HEAD_BYTES
  while (at < bytes.length) {
    if (bytes.length - at < MESSAGE_BYTES) throw new RaftDecodeError('frame ends inside a message')
    const kind = view.getUint8(at + 8)
    if (!isMessageKind(kind)) throw new RaftDecodeError(`message of unknown kind ${kind}`)
    const count = view.getUint32(at + 68, true)
    const message: RaftMessage = {
      kind,
      from: link.from,
      to: link.to,
      term: natural(view, at + 12),
      index: natural(view, at + 20),
      logTerm: natural(view, at + 28),
      commit: natural(view, at + 36),
      reject: view.getUint8(at + 9) === 1,
      hint: natural(view, at + 44),
      hintTerm: natural(view, at + 52),
      context: natural(view, at + 60),
      count,
    }
    const group = view.getUint32(at, true) as RaftGroupId
    const incarnation = view.getUint32(at + 4, true)
    at += MESSAGE_BYTES
    if (count * ENTRY_BYTES > bytes.length - at) throw new RaftDecodeError('frame ends inside the entries')
    let entries = NO_ENTRIES
    if (count > 0) {
      const decoded: Entry[] = []
      for (let i = 1; i <= count; i++) at = decodeEntry(bytes, view, at, message.index + i, decoded)
      entries = decoded
    }
    messages.push({ group, incarnation, message, entries })
  }
  return messages
}

function decodeEntry(bytes: Uint8Array, view: DataView, at: number, index: number, into: Entry[]): number {
  if (bytes.length - at < ENTRY_BYTES) throw new RaftDecodeError('frame ends inside an entry')
  const kind = view.getUint8(at + 8)
  if (!isEntryKind(kind)) throw new RaftDecodeError(`entry of unknown kind ${kind}`)
  const size = view.getUint32(at + 9, true)
  const start = at + ENTRY_BYTES
  if (size > bytes.length - start) throw new RaftDecodeError('frame ends inside an entry')
  into.push({ index, term: natural(view, at), kind, data: bytes.subarray(start, start + size) })
  return start + size
}

function natural(view: DataView, at: number): number {
  const value = view.getFloat64(at, true)
  if (!Number.isSafeInteger(value) || value < 0) throw new RaftDecodeError(`${value} is no term or index`)
  return value
}

const MESSAGE_KINDS: ReadonlySet<number> = new Set(Object.values(MessageKind))
const ENTRY_KINDS: ReadonlySet<number> = new Set(Object.values(EntryKind))

function isMessageKind(value: number): value is MessageKind {
  return MESSAGE_KINDS.has(value)
}

function isEntryKind(value: number): value is EntryKind {
  return ENTRY_KINDS.has(value)
}
