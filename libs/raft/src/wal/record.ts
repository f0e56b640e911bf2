import {
  type Entry,
  EntryKind,
  type HardState,
  type LogIndex,
  type NodeId,
  type RaftGroupId,
  type SnapshotMeta,
  type Term,
} from '../core/types.js'
import { getU64, viewOf } from './format.js'
import { type GroupDefinition, type GroupSummary, NAME_BYTES_MAX, UUID_BYTES } from './group-definition.js'

/*
 * A record: type u8 | flags u8 | pad u16 | group u32 | payloadBytes u32 | payload
 *
 *   GROUP_DEF   uuid 16 B | nameBytes u16 | name UTF-8
 *   HARDSTATE   term u64 | commit u64 | vote u32
 *   ENTRIES     term u64 | first index u64 | count u32 | length u32 × count | kind u8 × count | data
 *   TRUNCATE    from u64
 *   COMPACT     up to u64 | term u64
 *   SNAPSHOT    index u64 | term u64 | configuration           the group's log restarts behind it
 *   GROUP_DEL   nothing
 *   CHECKPOINT  count u32 | per group: id u32 | uuid 16 B | term u64 | commit u64 | vote u32 |
 *               compacted index u64 | its term u64 | last index u64 | its term u64 | nameBytes u16 | name
 *   COPIES      first index u64 | count u32 | term u64 × count | length u32 × count | kind u8 × count | data
 *               the log's oldest entries once more, so that older segments are not needed for them
 *   BASE        configuration at the compacted index; behind a COMPACT that changed it, and behind
 *               every CHECKPOINT for each group that has one
 */

export const RecordType = {
  GROUP_DEF: 1,
  HARDSTATE: 2,
  ENTRIES: 3,
  TRUNCATE: 4,
  COMPACT: 5,
  SNAPSHOT: 6,
  GROUP_DEL: 7,
  CHECKPOINT: 8,
  BASE: 9,
  COPIES: 10,
} as const
export type RecordType = (typeof RecordType)[keyof typeof RecordType]

export const RECORD_HEADER_BYTES = 12
export const HARD_STATE_BYTES = 20
export const ENTRIES_HEAD_BYTES = 20
/** Length and kind of one entry. */
export const ENTRY_HEAD_BYTES = 5
export const COPIES_HEAD_BYTES = 12
/** Term, length and kind of one copied entry. */
export const COPY_HEAD_BYTES = 13
export const SNAPSHOT_HEAD_BYTES = 16
/** Of one group in a checkpoint, without its name. */
export const SUMMARY_HEAD_BYTES = 74

export type WalRecord =
  | { readonly type: typeof RecordType.GROUP_DEF; readonly definition: GroupDefinition }
  | { readonly type: typeof RecordType.HARDSTATE; readonly group: RaftGroupId; readonly state: HardState }
  | {
      readonly type: typeof RecordType.ENTRIES
      readonly group: RaftGroupId
      readonly term: Term
      readonly first: LogIndex
      /** Data size of each entry, bytes. */
      readonly lengths: Uint32Array
      /** Of each entry, an `EntryKind`. */
      readonly kinds: Uint8Array
      /** Where the first entry's data starts, from the start of the batch; the others follow. Bytes. */
      readonly dataAt: number
    }
  | { readonly type: typeof RecordType.TRUNCATE; readonly group: RaftGroupId; readonly from: LogIndex }
  | {
      readonly type: typeof RecordType.COMPACT
      readonly group: RaftGroupId
      readonly index: LogIndex
      readonly term: Term
    }
  | {
      readonly type: typeof RecordType.SNAPSHOT
      readonly group: RaftGroupId
      readonly snapshot: SnapshotMeta
    }
  | {
      readonly type: typeof RecordType.BASE
      readonly group: RaftGroupId
      readonly configuration: Uint8Array
    }
  | {
      readonly type: typeof RecordType.COPIES
      readonly group: RaftGroupId
      /** Their data are views of the batch. */
      readonly copies: readonly Entry[]
      /** Where the first one's data starts, from the start of the batch; the others follow. Bytes. */
      readonly dataAt: number
    }
  | { readonly type: typeof RecordType.GROUP_DEL; readonly group: RaftGroupId }
  | { readonly type: typeof RecordType.CHECKPOINT; readonly summaries: readonly GroupSummary[] }

/** The record is whole, by its checksum, but says what no version of this code would write. */
export class RecordError extends Error {
  override readonly name = 'RecordError'
}

/** The record is whole, and of a kind that came with a later version. */
export class UnknownRecordError extends RecordError {}

/** What a CHECKPOINT record takes, bytes. */
export function checkpointBytes(summaries: readonly GroupSummary[]): number {
  let sizeBytes = RECORD_HEADER_BYTES + 4
  for (const { name } of summaries) sizeBytes += SUMMARY_HEAD_BYTES + Buffer.byteLength(name)
  return sizeBytes
}

/** What a BASE record takes, bytes. */
export function baseBytes(configuration: Uint8Array | undefined): number {
  return configuration === undefined ? 0 : RECORD_HEADER_BYTES + configuration.length
}

/** What a GROUP_DEF record takes, bytes. */
export function definitionBytes(name: string): number {
  return RECORD_HEADER_BYTES + UUID_BYTES + 2 + Buffer.byteLength(name)
}

/** What a COPIES record takes, bytes. */
export function copiesBytes(copies: readonly Entry[]): number {
  let sizeBytes = RECORD_HEADER_BYTES + COPIES_HEAD_BYTES
  for (const { data } of copies) sizeBytes += COPY_HEAD_BYTES + data.length
  return sizeBytes
}

/** What entries take, in records of one term each, bytes. */
export function entriesBytes(entries: readonly Entry[]): number {
  let sizeBytes = 0
  let term = 0
  for (const entry of entries) {
    if (entry.term !== term) sizeBytes += RECORD_HEADER_BYTES + ENTRIES_HEAD_BYTES
    term = entry.term
    sizeBytes += ENTRY_HEAD_BYTES + entry.data.length
  }
  return sizeBytes
}

/**
 * Reads the records of an intact batch, in order.
 * @param bodyAt where they start in `batch`
 * @throws RecordError
 */
export function* decodeRecords(
  batch: Uint8Array,
  bodyAt: number,
  recordCount: number,
  bodyBytes: number,
): Generator<WalRecord> {
  const reader = new PayloadReader(batch, bodyAt, bodyAt + bodyBytes)
  for (let i = 0; i < recordCount; i++) {
    const type = reader.u32()
    const group = reader.u32() as RaftGroupId
    const payload = reader.part(reader.u32())
    yield decodeRecord(type as RecordType, group, payload)
    payload.finish()
  }
  reader.finish()
}

function decodeRecord(type: RecordType, group: RaftGroupId, payload: PayloadReader): WalRecord {
  switch (type) {
    case RecordType.GROUP_DEF:
      return { type, definition: { id: group, uuid: payload.bytes(UUID_BYTES), name: payload.name() } }
    case RecordType.HARDSTATE:
      return { type, group, state: payload.hardState() }
    case RecordType.ENTRIES:
      return decodeEntries(group, payload)
    case RecordType.TRUNCATE:
      return { type, group, from: payload.u64() }
    case RecordType.COMPACT:
      return { type, group, index: payload.u64(), term: payload.u64() }
    case RecordType.SNAPSHOT:
      return {
        type,
        group,
        snapshot: { index: payload.u64(), term: payload.u64(), configuration: payload.rest() },
      }
    case RecordType.BASE:
      return { type, group, configuration: payload.rest() }
    case RecordType.COPIES:
      return decodeCopies(group, payload)
    case RecordType.GROUP_DEL:
      return { type, group }
    case RecordType.CHECKPOINT:
      return {
        type,
        summaries: Array.from({ length: payload.count(SUMMARY_HEAD_BYTES) }, () => payload.summary()),
      }
    default:
      throw new UnknownRecordError(`record type ${String(type satisfies never)} is unknown`)
  }
}

function decodeEntries(group: RaftGroupId, payload: PayloadReader): WalRecord {
  const term = payload.u64()
  const first = payload.u64()
  const count = payload.count(ENTRY_HEAD_BYTES)
  const lengths = new Uint32Array(count)
  for (let i = 0; i < count; i++) lengths[i] = payload.u32()
  const kinds = payload.kinds(count)
  const dataAt = payload.position
  for (let i = 0; i < count; i++) payload.skip(lengths[i]!)
  return { type: RecordType.ENTRIES, group, term, first, lengths, kinds, dataAt }
}

function decodeCopies(group: RaftGroupId, payload: PayloadReader): WalRecord {
  const first = payload.u64()
  const count = payload.count(COPY_HEAD_BYTES)
  const terms = Array.from({ length: count }, () => payload.u64())
  const lengths = Array.from({ length: count }, () => payload.u32())
  const kinds = payload.kinds(count)
  const dataAt = payload.position
  const copies = terms.map((term, i) => ({
    index: first + i,
    term,
    kind: kinds[i]! as EntryKind,
    data: payload.view(lengths[i]!),
  }))
  return { type: RecordType.COPIES, group, copies, dataAt }
}

const KINDS: ReadonlySet<number> = new Set(Object.values(EntryKind))

/** Reads forward, never past its end. */
class PayloadReader {
  position: number
  readonly #bytes: Uint8Array
  readonly #view: DataView
  readonly #end: number

  constructor(bytes: Uint8Array, start: number, end: number) {
    this.#bytes = bytes
    this.#view = viewOf(bytes)
    this.position = start
    this.#end = end
  }

  u8(): number {
    return this.#view.getUint8(this.#take(1))
  }

  u16(): number {
    return this.#view.getUint16(this.#take(2), true)
  }

  u32(): number {
    return this.#view.getUint32(this.#take(4), true)
  }

  u64(): number {
    const value = getU64(this.#view, this.#take(8))
    if (!Number.isSafeInteger(value)) throw new RecordError('a number is over the safe integers')
    return value
  }

  /** A count of things that take at least `bytesEach`: never more than there is room for. */
  count(bytesEach: number): number {
    const count = this.u32()
    if (count * bytesEach > this.#end - this.position) throw new RecordError('a count is over the record')
    return count
  }

  /** A copy. */
  bytes(count: number): Uint8Array {
    const at = this.#take(count)
    return Uint8Array.from(this.#bytes.subarray(at, at + count))
  }

  view(count: number): Uint8Array {
    const at = this.#take(count)
    return this.#bytes.subarray(at, at + count)
  }

  kinds(count: number): Uint8Array {
    const kinds = this.bytes(count)
    for (const kind of kinds)
      if (!KINDS.has(kind)) throw new UnknownRecordError(`entry kind ${kind} is unknown`)
    return kinds
  }

  /** A copy of everything that is left. */
  rest(): Uint8Array {
    return this.bytes(this.#end - this.position)
  }

  name(): string {
    const lengthBytes = this.u16()
    if (lengthBytes > NAME_BYTES_MAX) throw new RecordError('a name is over the bound')
    return Buffer.from(this.bytes(lengthBytes)).toString('utf8')
  }

  hardState(): HardState {
    return { term: this.u64(), commit: this.u64(), vote: this.u32() as NodeId | 0 }
  }

  summary(): GroupSummary {
    const id = this.u32() as RaftGroupId
    const uuid = this.bytes(UUID_BYTES)
    const hardState = this.hardState()
    const compactedIndex = this.u64()
    const compactedTerm = this.u64()
    const lastIndex = this.u64()
    const lastTerm = this.u64()
    if (lastIndex < compactedIndex || lastTerm < compactedTerm)
      throw new RecordError(`the log of group ${id} ends before it starts`)
    return { id, uuid, hardState, compactedIndex, compactedTerm, lastIndex, lastTerm, name: this.name() }
  }

  part(sizeBytes: number): PayloadReader {
    const start = this.#take(sizeBytes)
    return new PayloadReader(this.#bytes, start, start + sizeBytes)
  }

  skip(sizeBytes: number): void {
    this.#take(sizeBytes)
  }

  finish(): void {
    if (this.position !== this.#end) throw new RecordError('bytes are left over behind a record')
  }

  #take(sizeBytes: number): number {
    const at = this.position
    if (sizeBytes > this.#end - at) throw new RecordError('a record ends too early')
    this.position = at + sizeBytes
    return at
  }
}
