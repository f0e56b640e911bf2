import { BrokerError } from '@sluice/domain'
import { BinaryReader, BinaryWriter } from './binary.js'

export interface ProduceCall {
  readonly groupId: number
  /** One record batch; a view of the received memory when decoded. */
  readonly batch: Uint8Array
}

export interface ProduceAnswer {
  readonly baseOffset: number
  readonly endOffset: number
  /** The batch was stored by an earlier call. */
  readonly duplicate: boolean
}

/** What became of messages that were sent before under an id. */
export type EarlierRun =
  | {
      readonly kind: 'stored'
      readonly baseOffset: number
      /** Timestamp that messages without one of their own got. */
      readonly at: number
    }
  /** Nothing, for good: a later try went elsewhere. */
  | { readonly kind: 'void' }

/** Nothing of the batch was stored: messages of it were sent before. By the place of their run in the batch. */
export interface RepeatedAnswer {
  readonly repeated: ReadonlyMap<number, EarlierRun>
}

export function encodeProduceCall(call: ProduceCall): Uint8Array {
  return new BinaryWriter(4 + call.batch.length).u32(call.groupId).raw(call.batch).bytes
}

export function decodeProduceCall(bytes: Uint8Array): ProduceCall {
  const reader = new BinaryReader(bytes)
  return { groupId: reader.u32(), batch: reader.rest() }
}

const DUPLICATE = 1
const REPEATED = 2

export function encodeProduceAnswer(answer: ProduceAnswer | RepeatedAnswer): Uint8Array {
  if ('repeated' in answer) {
    const writer = new BinaryWriter(21 + answer.repeated.size * (4 + EARLIER_RUN_BYTES))
    writer.natural(0).natural(0).u8(REPEATED).u32(answer.repeated.size)
    for (const [place, run] of answer.repeated) writeEarlierRun(writer.u32(place), run)
    return writer.bytes
  }
  return new BinaryWriter(17)
    .natural(answer.baseOffset)
    .natural(answer.endOffset)
    .u8(answer.duplicate ? DUPLICATE : 0).bytes
}

export function decodeProduceAnswer(bytes: Uint8Array): ProduceAnswer | RepeatedAnswer {
  const reader = new BinaryReader(bytes)
  const offsets = { baseOffset: reader.natural(), endOffset: reader.natural() }
  const flags = reader.u8()
  if (flags !== REPEATED) {
    reader.end()
    return { ...offsets, duplicate: flags === DUPLICATE }
  }
  const repeated = new Map<number, EarlierRun>()
  for (let count = reader.u32(); count > 0; count--) {
    const place = reader.u32()
    repeated.set(place, readEarlierRun(reader))
  }
  reader.end()
  return { repeated }
}

/** Asks what became of messages that may have been sent under these ids, and that nothing becomes of them later. */
export interface ClaimCall {
  readonly groupId: number
  /** 32 hex digits each. */
  readonly ids: readonly string[]
}

export function encodeClaimCall(call: ClaimCall): Uint8Array {
  const writer = new BinaryWriter(8 + call.ids.length * 16).u32(call.groupId).u32(call.ids.length)
  for (const id of call.ids) writer.requestId(id)
  return writer.bytes
}

export function decodeClaimCall(bytes: Uint8Array): ClaimCall {
  const reader = new BinaryReader(bytes)
  const groupId = reader.u32()
  const ids: string[] = []
  for (let count = reader.u32(); count > 0; count--) ids.push(reader.requestId())
  reader.end()
  return { groupId, ids }
}

/** In the order of the ids. */
export function encodeClaimAnswer(runs: readonly EarlierRun[]): Uint8Array {
  const writer = new BinaryWriter(4 + runs.length * EARLIER_RUN_BYTES).u32(runs.length)
  for (const run of runs) writeEarlierRun(writer, run)
  return writer.bytes
}

export function decodeClaimAnswer(bytes: Uint8Array): readonly EarlierRun[] {
  const reader = new BinaryReader(bytes)
  const runs: EarlierRun[] = []
  for (let count = reader.u32(); count > 0; count--) runs.push(readEarlierRun(reader))
  reader.end()
  return runs
}

const EARLIER_RUN_BYTES = 1 + 8 + 8

function writeEarlierRun(writer: BinaryWriter, run: EarlierRun): void {
  const isStored = run.kind === 'stored'
  writer
    .u8(isStored ? 1 : 0)
    .natural(isStored ? run.baseOffset : 0)
    .natural(isStored ? run.at : 0)
}

function readEarlierRun(reader: BinaryReader): EarlierRun {
  const isStored = reader.u8() === 1
  const baseOffset = reader.natural()
  const at = reader.natural()
  return isStored ? { kind: 'stored', baseOffset, at } : { kind: 'void' }
}

export interface FetchCall {
  readonly groupId: number
  readonly consumerId: number
  /** 32 hex digits; the same request again gets the same messages. */
  readonly requestId: string
  readonly messagesMax: number
  readonly bytesMax: number
  /** The try of the call that will have the messages; of two tries the later one has the larger number. */
  readonly holder: number
  /** Advances the cursor past what is delivered. */
  readonly autoAck: boolean
  /** Answers only what this request was granted before. */
  readonly lookupOnly: boolean
  /** Steps over messages that were deleted before the consumer read them; else that is OFFSET_OUT_OF_RANGE. */
  readonly skipDeleted: boolean
}

export interface FetchAnswer {
  /** The messages are [from, to). */
  readonly from: number
  readonly to: number
  /** The consumer's next unread message after this call. */
  readonly cursor: number
  readonly end: number
  readonly logStart: number
  /** True when the cursor was advanced for this request, now or earlier. */
  readonly granted: boolean
  /** Messages before `from` that were deleted before the consumer read them. */
  readonly skipped: number
  /** The batches that hold the messages, and perhaps others before and behind them. */
  readonly batches: readonly Uint8Array[]
}

const AUTO_ACK = 1
const LOOKUP_ONLY = 2
const SKIP_DELETED = 4

export function encodeFetchCall(call: FetchCall): Uint8Array {
  return new BinaryWriter(41)
    .u32(call.groupId)
    .u32(call.consumerId)
    .requestId(call.requestId)
    .u32(call.messagesMax)
    .u32(call.bytesMax)
    .natural(call.holder)
    .u8(
      (call.autoAck ? AUTO_ACK : 0) |
        (call.lookupOnly ? LOOKUP_ONLY : 0) |
        (call.skipDeleted ? SKIP_DELETED : 0),
    ).bytes
}

export function decodeFetchCall(bytes: Uint8Array): FetchCall {
  const reader = new BinaryReader(bytes)
  const fields = {
    groupId: reader.u32(),
    consumerId: reader.u32(),
    requestId: reader.requestId(),
    messagesMax: reader.u32(),
    bytesMax: reader.u32(),
    holder: reader.natural(),
  }
  const flags = reader.u8()
  reader.end()
  return {
    ...fields,
    autoAck: (flags & AUTO_ACK) !== 0,
    lookupOnly: (flags & LOOKUP_ONLY) !== 0,
    skipDeleted: (flags & SKIP_DELETED) !== 0,
  }
}

export function encodeFetchAnswer(answer: FetchAnswer): Uint8Array {
  let size = 6 * 8 + 1 + 4
  for (const batch of answer.batches) size += 4 + batch.length
  const writer = new BinaryWriter(size)
    .natural(answer.from)
    .natural(answer.to)
    .natural(answer.cursor)
    .natural(answer.end)
    .natural(answer.logStart)
    .u8(answer.granted ? 1 : 0)
    .natural(answer.skipped)
    .u32(answer.batches.length)
  for (const batch of answer.batches) writer.u32(batch.length).raw(batch)
  return writer.bytes
}

export function decodeFetchAnswer(bytes: Uint8Array): FetchAnswer {
  const reader = new BinaryReader(bytes)
  const fields = {
    from: reader.natural(),
    to: reader.natural(),
    cursor: reader.natural(),
    end: reader.natural(),
    logStart: reader.natural(),
    granted: reader.u8() === 1,
    skipped: reader.natural(),
  }
  const count = reader.u32()
  if (count * 4 > reader.remaining) throw new BrokerError('INVALID_REQUEST', 'a fetch answer ends too early')
  const batches: Uint8Array[] = []
  for (let i = 0; i < count; i++) batches.push(reader.bytes(reader.u32()))
  reader.end()
  return { ...fields, batches }
}

/** Gives back what a request was given and its caller did not receive, unless a later try of it has that. */
export interface ReleaseCall {
  readonly groupId: number
  readonly consumerId: number
  readonly requestId: string
  /** Messages before it were delivered. */
  readonly from: number
  readonly holder: number
  /** Also what an earlier try of the request has. */
  readonly orEarlier: boolean
}

export function encodeReleaseCall(call: ReleaseCall): Uint8Array {
  return new BinaryWriter(41)
    .u32(call.groupId)
    .u32(call.consumerId)
    .requestId(call.requestId)
    .natural(call.from)
    .natural(call.holder)
    .u8(call.orEarlier ? 1 : 0).bytes
}

export function decodeReleaseCall(bytes: Uint8Array): ReleaseCall {
  const reader = new BinaryReader(bytes)
  const call = {
    groupId: reader.u32(),
    consumerId: reader.u32(),
    requestId: reader.requestId(),
    from: reader.natural(),
    holder: reader.natural(),
    orEarlier: reader.u8() === 1,
  }
  reader.end()
  return call
}

export interface OffsetsCall {
  readonly groupId: number
  /** 0: no consumer is asked about. */
  readonly consumerId: number
}

export interface OffsetsAnswer {
  readonly logStart: number
  readonly end: number
  readonly cursor: number
}

export function encodeOffsetsCall(call: OffsetsCall): Uint8Array {
  return new BinaryWriter(8).u32(call.groupId).u32(call.consumerId).bytes
}

export function decodeOffsetsCall(bytes: Uint8Array): OffsetsCall {
  const reader = new BinaryReader(bytes)
  const call = { groupId: reader.u32(), consumerId: reader.u32() }
  reader.end()
  return call
}

export function encodeOffsetsAnswer(answer: OffsetsAnswer): Uint8Array {
  return new BinaryWriter(24).natural(answer.logStart).natural(answer.end).natural(answer.cursor).bytes
}

export function decodeOffsetsAnswer(bytes: Uint8Array): OffsetsAnswer {
  const reader = new BinaryReader(bytes)
  const answer = { logStart: reader.natural(), end: reader.natural(), cursor: reader.natural() }
  reader.end()
  return answer
}

/** Where a cursor is to go. `acknowledge` never moves it back. */
export type SeekTarget =
  | { readonly kind: 'offset'; readonly offset: number }
  | { readonly kind: 'earliest' }
  | { readonly kind: 'latest' }
  | { readonly kind: 'time'; readonly ms: number }
  | { readonly kind: 'acknowledge'; readonly offset: number }

export interface SeekCall {
  readonly groupId: number
  readonly consumerId: number
  readonly requestId: string
  readonly target: SeekTarget
}

const SEEK_MODES = ['offset', 'earliest', 'latest', 'time', 'acknowledge'] as const

export function encodeSeekCall(call: SeekCall): Uint8Array {
  const { target } = call
  const value =
    target.kind === 'offset' || target.kind === 'acknowledge'
      ? target.offset
      : target.kind === 'time'
        ? target.ms
        : 0
  return new BinaryWriter(33)
    .u32(call.groupId)
    .u32(call.consumerId)
    .requestId(call.requestId)
    .u8(SEEK_MODES.indexOf(target.kind))
    .natural(value).bytes
}

export function decodeSeekCall(bytes: Uint8Array): SeekCall {
  const reader = new BinaryReader(bytes)
  const ids = { groupId: reader.u32(), consumerId: reader.u32(), requestId: reader.requestId() }
  const mode = SEEK_MODES[reader.u8()]
  const value = reader.natural()
  reader.end()
  switch (mode) {
    case 'offset':
    case 'acknowledge':
      return { ...ids, target: { kind: mode, offset: value } }
    case 'time':
      return { ...ids, target: { kind: mode, ms: value } }
    case 'earliest':
    case 'latest':
      return { ...ids, target: { kind: mode } }
    default:
      throw new BrokerError('INVALID_REQUEST', 'a seek of an unknown kind')
  }
}

export interface AwaitCall {
  readonly groupId: number
  /** Answered when the partition's end is past it. */
  readonly offset: number
  readonly waitMs: number
}

export function encodeAwaitCall(call: AwaitCall): Uint8Array {
  return new BinaryWriter(16).u32(call.groupId).natural(call.offset).u32(call.waitMs).bytes
}

export function decodeAwaitCall(bytes: Uint8Array): AwaitCall {
  const reader = new BinaryReader(bytes)
  const call = { groupId: reader.u32(), offset: reader.natural(), waitMs: reader.u32() }
  reader.end()
  return call
}

/** The answer of SEEK (the cursor) and AWAIT (the end). */
export function encodePosition(position: number): Uint8Array {
  return new BinaryWriter(8).natural(position).bytes
}

export function decodePosition(bytes: Uint8Array): number {
  const reader = new BinaryReader(bytes)
  const position = reader.natural()
  reader.end()
  return position
}
