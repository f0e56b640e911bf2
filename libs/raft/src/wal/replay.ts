import { unreachable } from '@sluice/foundation'
import type { EntryKind, RaftGroupId } from '../core/types.js'
import type { BatchReader } from './batch-reader.js'
import type { EntryCache } from './entry-cache.js'
import { BATCH_HEADER_BYTES, BatchFlag, isBatchFlag } from './format.js'
import type { GroupSummary } from './group-definition.js'
import { GroupLog } from './group-log.js'
import { decodeRecords, RecordError, RecordType, UnknownRecordError, type WalRecord } from './record.js'
import type { FoundBatch } from './segment-scan.js'

export interface BatchSource extends FoundBatch {
  readonly segmentSeq: number
  /** The segment's file in memory. */
  readonly bytes: Buffer
}

type RecordOf<T extends RecordType> = Extract<WalRecord, { readonly type: T }>

/** Builds the groups' logs again from the records of one batch after the other, oldest first. */
export class Replay {
  readonly groups = new Map<RaftGroupId, GroupLog>()
  readonly #parts: { readonly cache: EntryCache; readonly reader: BatchReader }
  #hasBase = false
  /** The whole batch of the first checkpoint is replayed. */
  #isBaseRead = false

  constructor(parts: { readonly cache: EntryCache; readonly reader: BatchReader }) {
    this.#parts = parts
  }

  /** @throws RecordError when the batch, though whole, cannot follow what was replayed */
  apply(source: BatchSource, isFirstOfSegment: boolean): void {
    const { header } = source
    if (!isBatchFlag(header.flags)) throw new UnknownRecordError(`batch flags ${header.flags} are unknown`)
    if (isFirstOfSegment !== (header.flags === BatchFlag.CHECKPOINT))
      throw new RecordError('a checkpoint starts a segment, and nothing else does')
    const batch = source.bytes.subarray(source.at, source.at + header.sizeBytes)
    for (const record of decodeRecords(batch, BATCH_HEADER_BYTES, header.recordCount, header.bodyBytes))
      this.#record(record, source)
    this.#isBaseRead = true
  }

  /** @throws RecordError when entries that must be there were in no segment */
  finish(): void {
    for (const log of this.groups.values())
      if (log.missingTo > log.compactedIndex)
        throw new RecordError(
          `entries ${log.compactedIndex + 1} to ${log.missingTo} of group ${log.id} were in an earlier segment, which is missing`,
        )
  }

  #record(record: WalRecord, source: BatchSource): void {
    switch (record.type) {
      case RecordType.GROUP_DEF: {
        if (this.groups.has(record.definition.id))
          throw new RecordError(`group ${record.definition.id} is defined twice`)
        const log = new GroupLog(record.definition, this.#parts)
        log.markDefined()
        this.groups.set(log.id, log)
        return
      }
      case RecordType.HARDSTATE:
        this.#group(record.group).setHardState(record.state)
        return
      case RecordType.ENTRIES:
        this.#entries(record, source)
        return
      case RecordType.TRUNCATE: {
        const log = this.#group(record.group)
        refuse(log.refusalOfTruncate(record.from))
        log.truncateFrom(record.from, source.header.lsn)
        return
      }
      case RecordType.COMPACT: {
        const log = this.#group(record.group)
        refuse(log.refusalOfCompact(record.index, record.term))
        log.compactTo(record.index, record.term)
        return
      }
      case RecordType.SNAPSHOT: {
        const log = this.#group(record.group)
        refuse(log.refusalOfSnapshot(record.snapshot))
        log.restart(record.snapshot, source.header.lsn)
        return
      }
      case RecordType.COPIES: {
        const log = this.#group(record.group)
        refuse(log.refusalOfCopies(record.copies))
        const { segmentSeq, at: batchAt } = source
        log.recoverCopies(record.copies, { segmentSeq, batchAt, dataAt: batchAt + record.dataAt })
        return
      }
      case RecordType.BASE:
        this.#base(record, source)
        return
      case RecordType.GROUP_DEL:
        this.#group(record.group)
        this.groups.delete(record.group)
        return
      case RecordType.CHECKPOINT:
        this.#checkpoint(record.summaries)
        return
      default:
        unreachable(record)
    }
  }

  #entries(record: RecordOf<typeof RecordType.ENTRIES>, source: BatchSource): void {
    const log = this.#group(record.group)
    const { term, first, lengths, kinds } = record
    refuse(log.refusalOfEntry(first, term))
    let dataAt = source.at + record.dataAt
    for (let i = 0; i < lengths.length; i++) {
      const lengthBytes = lengths[i]!
      const kind = kinds[i]! as EntryKind
      const data = source.bytes.subarray(dataAt, dataAt + lengthBytes)
      log.recover(
        term,
        { segmentSeq: source.segmentSeq, batchAt: source.at, dataAt, lengthBytes, kind },
        data,
      )
      dataAt += lengthBytes
    }
  }

  /** Behind a checkpoint other than the first it says what the replay has come to by itself. */
  #base(record: RecordOf<typeof RecordType.BASE>, source: BatchSource): void {
    const log = this.#group(record.group)
    const known = log.baseConfiguration
    const isCheck = source.header.flags === BatchFlag.CHECKPOINT && this.#isBaseRead
    if (isCheck && (known === undefined || Buffer.compare(known, record.configuration) !== 0))
      throw new RecordError(`the checkpoint has another configuration for group ${record.group}`)
    log.setBase(record.configuration)
  }

  /** The first one is the base; each later one must say what the replay has come to by itself. */
  #checkpoint(summaries: readonly GroupSummary[]): void {
    if (!this.#hasBase) {
      this.#hasBase = true
      for (const summary of summaries) {
        if (this.groups.has(summary.id)) throw new RecordError(`group ${summary.id} is defined twice`)
        this.groups.set(summary.id, new GroupLog(summary, this.#parts))
      }
      return
    }
    if (summaries.length !== this.groups.size) throw new RecordError('the checkpoint has other groups')
    for (const summary of summaries) {
      const log = this.#group(summary.id)
      const difference = differenceOf(summary, log.summary, log.isLastFound)
      if (difference !== undefined)
        throw new RecordError(`the checkpoint has another ${difference} for group ${summary.id}`)
    }
  }

  #group(id: RaftGroupId): GroupLog {
    const log = this.groups.get(id)
    if (log === undefined) throw new RecordError(`group ${id} is not defined`)
    return log
  }
}

function refuse(reason: string | undefined): void {
  if (reason !== undefined) throw new RecordError(reason)
}

/** @param isLastTermKnown false while the last entry itself is one that was not found yet */
function differenceOf(said: GroupSummary, found: GroupSummary, isLastTermKnown: boolean): string | undefined {
  if (Buffer.compare(said.uuid, found.uuid) !== 0 || said.name !== found.name) return 'identity'
  if (said.hardState.term !== found.hardState.term) return 'term'
  if (said.hardState.vote !== found.hardState.vote) return 'vote'
  if (said.hardState.commit !== found.hardState.commit) return 'commit index'
  if (said.compactedIndex !== found.compactedIndex) return 'compacted index'
  if (said.compactedTerm !== found.compactedTerm) return 'compacted term'
  if (said.lastIndex !== found.lastIndex) return 'last index'
  if (isLastTermKnown && said.lastTerm !== found.lastTerm) return 'last term'
  return undefined
}
