import { type MessageRun, readBatchHeader, readRuns } from '@sluice/domain'
import { invariant, unreachable } from '@sluice/foundation'
import { decodePartitionCommand } from './command.js'
import type { CursorOperation } from './cursor-operation.js'
import { type CursorOutcome, moveCursor, type Unread, unreadOf } from './cursor.js'
import { DuplicateWindow, type KnownRun } from './duplicate-window.js'
import { advanceSequence } from './producer-sequence.js'
import type {
  AppliedBatch,
  CursorRow,
  PartitionDelta,
  PartitionSnapshot,
  ResidentBatch,
  SequenceRow,
} from './rows.js'

/** How many producers one partition remembers; past it the one that was silent longest is forgotten. */
const REMEMBERED_PRODUCERS_MAX = 1000

export type Applied =
  | { readonly kind: 'appended'; readonly batch: ResidentBatch }
  | { readonly kind: 'cursors'; readonly outcomes: readonly MoveOutcome[] }
  | { readonly kind: 'trimmed'; readonly logStart: number }
  | { readonly kind: 'voided' }
  | { readonly kind: 'closed' }

/** What a cursor operation was given: [from, to), behind `skipped` deleted messages that it never got. */
export type MoveOutcome = Pick<CursorOutcome, 'from' | 'to' | 'skipped'>

/**
 * One partition as its log makes it: the same entries give the same state on every replica.
 * It keeps no messages; what they add up to is handed on as deltas.
 */
export class PartitionState {
  #appliedIndex: number
  #appliedTerm: number
  #nextOffset: number
  #logStart: number
  #isClosed: boolean
  readonly #cursors = new Map<number, CursorRow>()
  readonly #sequences = new Map<bigint, SequenceRow>()
  readonly #duplicates = new DuplicateWindow()

  // What changed since the last drain.
  #drainedIndex: number
  #batches: AppliedBatch[] = []
  #batchBytes = 0
  readonly #movedCursors = new Set<number>()
  readonly #movedSequences = new Set<bigint>()
  readonly #expiredSequences = new Set<bigint>()
  #configuration: Uint8Array | undefined

  constructor(snapshot?: PartitionSnapshot) {
    this.#appliedIndex = snapshot?.appliedIndex ?? 0
    this.#appliedTerm = snapshot?.appliedTerm ?? 0
    this.#nextOffset = snapshot?.nextOffset ?? 0
    this.#logStart = snapshot?.logStart ?? 0
    this.#isClosed = snapshot?.isClosed ?? false
    this.#drainedIndex = this.#appliedIndex
    for (const row of snapshot?.cursors ?? []) this.#cursors.set(row.consumerId, row)
    for (const row of snapshot?.sequences ?? []) this.#sequences.set(row.producerId, row)
    for (const { baseOffset, runs } of snapshot?.runs ?? []) this.#remember(runs, baseOffset)
  }

  get appliedIndex(): number {
    return this.#appliedIndex
  }

  /** Offset that the next message will get: one past the last one. */
  get nextOffset(): number {
    return this.#nextOffset
  }

  /** Offset of the oldest message kept. */
  get logStart(): number {
    return this.#logStart
  }

  /** True once it takes no messages any more. */
  get isClosed(): boolean {
    return this.#isClosed
  }

  /** Bytes of record batches that no delta has taken yet. */
  get undrainedBytes(): number {
    return this.#batchBytes
  }

  cursorRow(consumerId: number): CursorRow | undefined {
    return this.#cursors.get(consumerId)
  }

  /** What became of the messages that were sent under an id, as far as that is remembered. */
  knownRun(id: string): KnownRun | undefined {
    return this.#duplicates.get(id)
  }

  /** To be called once a minute: see `DuplicateWindow`. */
  growOlder(): void {
    this.#duplicates.grow()
  }

  /** The consumer's next unread messages. */
  unread(consumerId: number): Unread {
    return unreadOf(this.#cursors.get(consumerId), this.#logStart)
  }

  sequenceRow(producerId: bigint): SequenceRow | undefined {
    return this.#sequences.get(producerId)
  }

  /**
   * Takes an entry that says nothing to partitions, such as a new leader's first.
   * @param configuration of the Raft group, when the entry brings one: kept for a log that is lost
   */
  skip(index: number, term: number, configuration?: Uint8Array): void {
    this.#advance(index, term)
    this.#configuration = configuration ?? this.#configuration
  }

  apply(index: number, term: number, bytes: Uint8Array): Applied {
    const command = decodePartitionCommand(bytes)
    this.#advance(index, term)
    switch (command.kind) {
      case 'append':
        return { kind: 'appended', batch: this.#append(index, term, command.batch) }
      case 'cursors':
        return { kind: 'cursors', outcomes: command.operations.map((operation) => this.#move(operation)) }
      case 'void':
        for (const id of command.ids)
          if (this.#duplicates.get(id) === undefined) this.#duplicates.add(id, { kind: 'void' })
        return { kind: 'voided' }
      case 'trim':
        return { kind: 'trimmed', logStart: this.#trim(command.logStart) }
      case 'close':
        this.#isClosed = true
        return { kind: 'closed' }
      default:
        return unreachable(command)
    }
  }

  /** What changed since the last call, for one transaction; `undefined` when nothing did. */
  drain(partition: {
    readonly groupId: number
    readonly topic: string
    readonly number: number
  }): PartitionDelta | undefined {
    if (this.#appliedIndex === this.#drainedIndex) return undefined
    const delta: PartitionDelta = {
      ...partition,
      previousIndex: this.#drainedIndex,
      appliedIndex: this.#appliedIndex,
      appliedTerm: this.#appliedTerm,
      nextOffset: this.#nextOffset,
      logStart: this.#logStart,
      ...(this.#isClosed ? { isClosed: true } : {}),
      // What was deleted before it was written down need not be.
      batches: this.#batches.filter((batch) => batch.lastOffset >= this.#logStart),
      cursors: Array.from(this.#movedCursors, (id) => this.#cursors.get(id)!),
      sequences: Array.from(this.#movedSequences, (id) => this.#sequences.get(id)!),
      expiredSequences: [...this.#expiredSequences],
      ...(this.#configuration === undefined ? {} : { configuration: this.#configuration }),
    }
    this.#configuration = undefined
    this.#drainedIndex = this.#appliedIndex
    this.#batches = []
    this.#batchBytes = 0
    this.#movedCursors.clear()
    this.#movedSequences.clear()
    this.#expiredSequences.clear()
    return delta
  }

  snapshot(): PartitionSnapshot {
    return {
      appliedIndex: this.#appliedIndex,
      appliedTerm: this.#appliedTerm,
      nextOffset: this.#nextOffset,
      logStart: this.#logStart,
      ...(this.#isClosed ? { isClosed: true } : {}),
      cursors: [...this.#cursors.values()],
      sequences: [...this.#sequences.values()],
    }
  }

  #advance(index: number, term: number): void {
    invariant(index === this.#appliedIndex + 1, `entry ${index} does not follow ${this.#appliedIndex}`)
    this.#appliedIndex = index
    this.#appliedTerm = term
  }

  #append(index: number, term: number, bytes: Uint8Array): ResidentBatch {
    const header = readBatchHeader(bytes)
    invariant(!this.#isClosed, `batch at index ${index} comes after the partition was closed`)
    // The leader computed the offset from the very log that leads up to this entry.
    invariant(
      header.baseOffset === this.#nextOffset,
      `batch at index ${index} starts at ${header.baseOffset}, the partition continues at ${this.#nextOffset}`,
    )
    const batch: ResidentBatch = {
      baseOffset: header.baseOffset,
      lastOffset: header.baseOffset + header.recordCount - 1,
      term,
      index,
      maxTimestamp: header.maxTimestamp,
      sizeBytes: bytes.length,
      bytes,
    }
    this.#nextOffset = batch.lastOffset + 1
    this.#remember(readRuns(bytes), header.baseOffset)
    this.#batches.push(batch)
    this.#batchBytes += bytes.length
    if (header.producerId >= 0n) {
      const known = this.#sequences.get(header.producerId)
      const row = advanceSequence(known, header, { baseOffset: header.baseOffset, at: header.maxTimestamp })
      this.#sequences.set(header.producerId, row)
      this.#movedSequences.add(header.producerId)
      this.#expiredSequences.delete(header.producerId)
      if (this.#sequences.size > REMEMBERED_PRODUCERS_MAX) this.#forgetOldestProducer()
    }
    return batch
  }

  #remember(runs: readonly MessageRun[], baseOffset: number): void {
    for (const { id, at, first } of runs)
      this.#duplicates.add(id, { kind: 'stored', baseOffset: baseOffset + first, at })
  }

  /** By record time, then id, both replicated: every replica forgets the same one, also after a restart. */
  #forgetOldestProducer(): void {
    let oldest: SequenceRow | undefined
    for (const row of this.#sequences.values())
      if (
        oldest === undefined ||
        row.at < oldest.at ||
        (row.at === oldest.at && row.producerId < oldest.producerId)
      )
        oldest = row
    this.#sequences.delete(oldest!.producerId)
    this.#movedSequences.delete(oldest!.producerId)
    this.#expiredSequences.add(oldest!.producerId)
  }

  #trim(logStart: number): number {
    invariant(
      logStart <= this.#nextOffset,
      `the log cannot start at ${logStart}, behind its end ${this.#nextOffset}`,
    )
    this.#logStart = Math.max(this.#logStart, logStart)
    return this.#logStart
  }

  #move(operation: CursorOperation): MoveOutcome {
    const outcome = moveCursor(this.#cursors.get(operation.consumerId), operation, this.#logStart)
    if (outcome.changed) {
      this.#cursors.set(operation.consumerId, outcome.row)
      this.#movedCursors.add(operation.consumerId)
    }
    return { from: outcome.from, to: outcome.to, skipped: outcome.skipped }
  }
}
