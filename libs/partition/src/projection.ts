import type { MessageRun } from '@sluice/domain'
import { invariant } from '@sluice/foundation'
import type { CursorOperation } from './cursor-operation.js'
import { grantOf, moveCursor, type Unread, unreadOf } from './cursor.js'
import type { KnownRun } from './duplicate-window.js'
import { type BatchIdentity, advanceSequence, judgeSequence } from './producer-sequence.js'
import type { CursorGrant, CursorRow, SequenceRow } from './rows.js'
import type { PartitionState } from './state.js'

export type AppendPlan =
  | { readonly kind: 'append'; readonly baseOffset: number }
  /** Stored already, or on its way in the entry at `index` (0: applied). */
  | { readonly kind: 'duplicate'; readonly baseOffset: number; readonly index: number }
  | { readonly kind: 'stale' }
  | { readonly kind: 'closed' }

/** What a request was given before. */
export interface EarlierGrant extends CursorGrant {
  /** The newest entry on its way that moves this consumer, perhaps the one that gives it; 0: all applied. */
  readonly index: number
}

interface Ahead<T> {
  readonly index: number
  readonly row: T
}

/**
 * A leader's view of its partition as it will be once everything in its log is applied.
 *
 * It is exact: a leader starts it after it has applied its own first entry, adds its proposals in log
 * order, and drops it when it stops leading. So offsets and cursors can be written into a command
 * when it is proposed, and every replica finds them right when it applies it.
 */
export class LeaderProjection {
  readonly #state: PartitionState
  #nextOffset: number
  #logStart: number
  /** A close is on its way, or applied. */
  #isClosed: boolean
  readonly #cursors = new Map<number, Ahead<CursorRow>>()
  readonly #sequences = new Map<bigint, Ahead<SequenceRow>>()
  readonly #runs = new Map<string, { readonly index: number; readonly known: KnownRun }>()
  // In log order; what is applied is removed from the front.
  #pending: {
    readonly index: number
    readonly consumerIds: readonly number[]
    readonly producerId: bigint
    readonly runIds?: readonly string[]
  }[] = []

  constructor(state: PartitionState) {
    this.#state = state
    this.#nextOffset = state.nextOffset
    this.#logStart = state.logStart
    this.#isClosed = state.isClosed
  }

  /** Offset of the oldest message kept, once what is on its way is applied. */
  get logStart(): number {
    return this.#logStart
  }

  get isClosed(): boolean {
    return this.#isClosed
  }

  /** A close was proposed: nothing may be appended behind it. */
  closed(): void {
    this.#isClosed = true
  }

  planAppend(batch: BatchIdentity): AppendPlan {
    if (batch.producerId < 0n) return this.#append()
    const ahead = this.#sequences.get(batch.producerId)
    const verdict = judgeSequence(ahead?.row ?? this.#state.sequenceRow(batch.producerId), batch)
    switch (verdict.kind) {
      case 'new':
        return this.#append()
      case 'duplicate':
        return { kind: 'duplicate', baseOffset: verdict.baseOffset, index: ahead?.index ?? 0 }
      case 'stale':
        return { kind: 'stale' }
    }
  }

  appended(
    index: number,
    batch: BatchIdentity & { readonly maxTimestamp: number },
    baseOffset: number,
    runs: readonly MessageRun[] = [],
  ): void {
    invariant(baseOffset === this.#nextOffset, 'a batch is proposed at the projected end')
    this.#nextOffset += batch.recordCount
    if (batch.producerId >= 0n) {
      const known = this.#sequences.get(batch.producerId)?.row ?? this.#state.sequenceRow(batch.producerId)
      const row = advanceSequence(known, batch, { baseOffset, at: batch.maxTimestamp })
      this.#sequences.set(batch.producerId, { index, row })
    }
    for (const { id, at, first } of runs)
      this.#runs.set(id, { index, known: { kind: 'stored', baseOffset: baseOffset + first, at } })
    const runIds = runs.map(({ id }) => id)
    this.#pending.push({ index, consumerIds: [], producerId: batch.producerId, runIds })
  }

  /** What became of the messages sent under an id, and the entry on its way that says so (0: applied). */
  knownRun(id: string): { readonly known: KnownRun; readonly index: number } | undefined {
    const ahead = this.#runs.get(id)
    if (ahead !== undefined) return ahead
    const known = this.#state.knownRun(id)
    return known === undefined ? undefined : { known, index: 0 }
  }

  /** Ids that were not known. */
  voided(index: number, ids: readonly string[]): void {
    for (const id of ids) this.#runs.set(id, { index, known: { kind: 'void' } })
    this.#pending.push({ index, consumerIds: [], producerId: -1n, runIds: ids })
  }

  /** The start of the log moves to `logStart`, never back. */
  trimmed(index: number, logStart: number): void {
    this.#logStart = Math.max(this.#logStart, logStart)
    this.#pending.push({ index, consumerIds: [], producerId: -1n })
  }

  /** The consumer's next unread messages, counting what is on its way. */
  unread(consumerId: number): Unread {
    return unreadOf(this.#cursorRow(consumerId), this.#logStart)
  }

  /** What the request was given before, and the entry that gives it (0: applied). */
  earlierGrant(consumerId: number, requestId: string): EarlierGrant | undefined {
    const grant = grantOf(this.#cursorRow(consumerId), requestId)
    if (grant === undefined) return undefined
    return { ...grant, index: this.cursorIndex(consumerId) }
  }

  /** Index of the newest entry on its way that moves this consumer; 0 when there is none. */
  cursorIndex(consumerId: number): number {
    return this.#cursors.get(consumerId)?.index ?? 0
  }

  moved(index: number, operations: readonly CursorOperation[]): void {
    for (const operation of operations) {
      const { row } = moveCursor(this.#cursorRow(operation.consumerId), operation, this.#logStart)
      this.#cursors.set(operation.consumerId, { index, row })
    }
    this.#pending.push({ index, consumerIds: operations.map((o) => o.consumerId), producerId: -1n })
  }

  /** The state has applied everything up to `index`. */
  appliedTo(index: number): void {
    let done = 0
    for (const entry of this.#pending) {
      if (entry.index > index) break
      done++
      for (const id of entry.consumerIds)
        if (this.#cursors.get(id)?.index === entry.index) this.#cursors.delete(id)
      for (const id of entry.runIds ?? [])
        if (this.#runs.get(id)?.index === entry.index) this.#runs.delete(id)
      if (entry.producerId >= 0n && this.#sequences.get(entry.producerId)?.index === entry.index)
        this.#sequences.delete(entry.producerId)
    }
    if (done > 0) this.#pending = this.#pending.slice(done)
  }

  #append(): AppendPlan {
    return this.#isClosed ? { kind: 'closed' } : { kind: 'append', baseOffset: this.#nextOffset }
  }

  #cursorRow(consumerId: number): CursorRow | undefined {
    return this.#cursors.get(consumerId)?.row ?? this.#state.cursorRow(consumerId)
  }
}
