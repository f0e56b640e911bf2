import { invariant } from '@sluice/foundation'
import type { Entry, HardState, LogIndex, RaftGroupId, SnapshotMeta, Term } from '../core/types.js'
import { BATCH_BODY_BYTES_MAX, BATCH_HEADER_BYTES, BatchFlag, finishBatch, padded, putU64 } from './format.js'
import type { GroupDefinition, GroupSummary } from './group-definition.js'
import {
  baseBytes,
  checkpointBytes,
  COPIES_HEAD_BYTES,
  copiesBytes,
  COPY_HEAD_BYTES,
  ENTRIES_HEAD_BYTES,
  ENTRY_HEAD_BYTES,
  HARD_STATE_BYTES,
  RECORD_HEADER_BYTES,
  RecordType,
  SNAPSHOT_HEAD_BYTES,
  SUMMARY_HEAD_BYTES,
} from './record.js'
import { Slab } from './slab.js'

/** An empty batch that says that the next segment exists. */
export function endBatch(
  place: BatchPlace,
  chain: { readonly prevCrc: number; readonly salt: number },
): Uint8Array {
  return new Batch(place, new Slab(BATCH_HEADER_BYTES), BatchFlag.END).finish(chain.prevCrc, chain.salt).bytes
}

/** The batch that starts a segment: every group, so that no earlier segment is needed to know it. */
export function checkpointBatch(summaries: readonly GroupSummary[], place: BatchPlace): Batch {
  let bodyBytes = checkpointBytes(summaries)
  for (const { base } of summaries) bodyBytes += baseBytes(base)
  invariant(bodyBytes < BATCH_BODY_BYTES_MAX, 'a checkpoint fits into a batch')
  const batch = new Batch(place, new Slab(padded(BATCH_HEADER_BYTES + bodyBytes)), BatchFlag.CHECKPOINT)
  batch.addCheckpoint(summaries)
  for (const { id, base } of summaries) if (base !== undefined) batch.addBase(id, base)
  return batch
}

export interface BatchPlace {
  readonly segmentSeq: number
  /** Where in the segment's file the batch starts, bytes. */
  readonly offset: number
  readonly lsn: number
}

/**
 * Records on their way to the disk: written with one write, durable with one sync, there as a whole or
 * not at all after a crash. Whoever adds a record has made sure that the slab holds it.
 */
export class Batch {
  readonly segmentSeq: number
  readonly offset: number
  readonly lsn: number
  readonly flags: BatchFlag
  readonly slab: Slab
  /** Called in order once the batch is durable. */
  readonly callbacks: (() => void)[] = []
  #length = BATCH_HEADER_BYTES
  #recordCount = 0

  constructor(place: BatchPlace, slab: Slab, flags: BatchFlag = BatchFlag.NONE) {
    this.segmentSeq = place.segmentSeq
    this.offset = place.offset
    this.lsn = place.lsn
    this.flags = flags
    this.slab = slab
  }

  /** Of everything so far, with header and padding. Bytes. */
  get sizeBytes(): number {
    return padded(this.#length)
  }

  fits(sizeBytes: number): boolean {
    return padded(this.#length + sizeBytes) <= this.slab.bytes.length
  }

  addDefinition(definition: GroupDefinition): void {
    const name = Buffer.from(definition.name)
    const at = this.#record(RecordType.GROUP_DEF, definition.id, 18 + name.length)
    this.slab.bytes.set(definition.uuid, at)
    this.slab.view.setUint16(at + 16, name.length, true)
    this.slab.bytes.set(name, at + 18)
  }

  addHardState(group: RaftGroupId, state: HardState): void {
    this.#putHardState(this.#record(RecordType.HARDSTATE, group, HARD_STATE_BYTES), state)
  }

  addTruncate(group: RaftGroupId, from: LogIndex): void {
    putU64(this.slab.view, this.#record(RecordType.TRUNCATE, group, 8), from)
  }

  addCompact(group: RaftGroupId, index: LogIndex, term: Term): void {
    const at = this.#record(RecordType.COMPACT, group, 16)
    putU64(this.slab.view, at, index)
    putU64(this.slab.view, at + 8, term)
  }

  addSnapshot(group: RaftGroupId, snapshot: SnapshotMeta): void {
    const { index, term, configuration } = snapshot
    const at = this.#record(RecordType.SNAPSHOT, group, SNAPSHOT_HEAD_BYTES + configuration.length)
    putU64(this.slab.view, at, index)
    putU64(this.slab.view, at + 8, term)
    this.slab.bytes.set(configuration, at + SNAPSHOT_HEAD_BYTES)
  }

  addBase(group: RaftGroupId, configuration: Uint8Array): void {
    this.slab.bytes.set(configuration, this.#record(RecordType.BASE, group, configuration.length))
  }

  addDelete(group: RaftGroupId): void {
    this.#record(RecordType.GROUP_DEL, group, 0)
  }

  /**
   * Adds entries [start, end) of the array, all of one term.
   * @returns where in the segment's file the first entry's data starts; the others follow without gaps
   */
  addEntries(group: RaftGroupId, entries: readonly Entry[], start: number, end: number): number {
    const count = end - start
    let dataBytes = 0
    for (let i = start; i < end; i++) dataBytes += entries[i]!.data.length
    const payloadBytes = ENTRIES_HEAD_BYTES + count * ENTRY_HEAD_BYTES + dataBytes
    const at = this.#record(RecordType.ENTRIES, group, payloadBytes)
    const { bytes, view } = this.slab
    putU64(view, at, entries[start]!.term)
    putU64(view, at + 8, entries[start]!.index)
    view.setUint32(at + 16, count, true)
    let lengthAt = at + ENTRIES_HEAD_BYTES
    let kindAt = lengthAt + 4 * count
    const dataAt = kindAt + count
    let position = dataAt
    for (let i = start; i < end; i++) {
      const { data, kind } = entries[i]!
      view.setUint32(lengthAt, data.length, true)
      bytes[kindAt] = kind
      bytes.set(data, position)
      lengthAt += 4
      kindAt += 1
      position += data.length
    }
    return this.offset + dataAt
  }

  /** Like `addEntries`, for entries that the log has already, of any terms. */
  addCopies(group: RaftGroupId, copies: readonly Entry[]): number {
    const count = copies.length
    const at = this.#record(RecordType.COPIES, group, copiesBytes(copies) - RECORD_HEADER_BYTES)
    const { bytes, view } = this.slab
    putU64(view, at, copies[0]!.index)
    view.setUint32(at + 8, count, true)
    const termsAt = at + COPIES_HEAD_BYTES
    const lengthsAt = termsAt + 8 * count
    const kindsAt = lengthsAt + 4 * count
    const dataAt = termsAt + COPY_HEAD_BYTES * count
    let position = dataAt
    for (const [i, { term, kind, data }] of copies.entries()) {
      putU64(view, termsAt + 8 * i, term)
      view.setUint32(lengthsAt + 4 * i, data.length, true)
      bytes[kindsAt + i] = kind
      bytes.set(data, position)
      position += data.length
    }
    return this.offset + dataAt
  }

  addCheckpoint(summaries: readonly GroupSummary[]): void {
    const payloadBytes = checkpointBytes(summaries) - RECORD_HEADER_BYTES
    const start = this.#record(RecordType.CHECKPOINT, 0, payloadBytes)
    const { bytes, view } = this.slab
    view.setUint32(start, summaries.length, true)
    let at = start + 4
    for (const summary of summaries) {
      const name = Buffer.from(summary.name)
      view.setUint32(at, summary.id, true)
      bytes.set(summary.uuid, at + 4)
      this.#putHardState(at + 20, summary.hardState)
      putU64(view, at + 40, summary.compactedIndex)
      putU64(view, at + 48, summary.compactedTerm)
      putU64(view, at + 56, summary.lastIndex)
      putU64(view, at + 64, summary.lastTerm)
      view.setUint16(at + 72, name.length, true)
      bytes.set(name, at + SUMMARY_HEAD_BYTES)
      at += SUMMARY_HEAD_BYTES + name.length
    }
  }

  /** The bytes to write at `offset`, and their CRC; nothing can be added afterwards. */
  finish(prevCrc: number, salt: number): { readonly bytes: Uint8Array; readonly crc: number } {
    const bytes = this.slab.bytes.subarray(0, this.sizeBytes)
    bytes.fill(0, this.#length)
    const crc = finishBatch(bytes, this.slab.view, {
      lsn: this.lsn,
      recordCount: this.#recordCount,
      prevCrc,
      flags: this.flags,
      bodyBytes: this.#length - BATCH_HEADER_BYTES,
      salt,
    })
    return { bytes, crc }
  }

  /** Starts a record and returns where in the slab its payload goes. */
  #record(type: RecordType, group: RaftGroupId | 0, payloadBytes: number): number {
    const at = this.#length
    const { view } = this.slab
    view.setUint32(at, type, true) // and flags and padding, which are 0
    view.setUint32(at + 4, group, true)
    view.setUint32(at + 8, payloadBytes, true)
    this.#length = at + RECORD_HEADER_BYTES + payloadBytes
    this.#recordCount += 1
    return at + RECORD_HEADER_BYTES
  }

  #putHardState(at: number, state: HardState): void {
    putU64(this.slab.view, at, state.term)
    putU64(this.slab.view, at + 8, state.commit)
    this.slab.view.setUint32(at + 16, state.vote, true)
  }
}
