import {
  decodeAwaitCall,
  decodeClaimCall,
  decodeFetchCall,
  decodeOffsetsCall,
  decodeProduceCall,
  decodeReleaseCall,
  decodeSeekCall,
  encodeClaimAnswer,
  encodeFetchAnswer,
  encodeJson,
  encodeOffsetsAnswer,
  encodePosition,
  encodeProduceAnswer,
  type FetchAnswer,
  type FetchCall,
  RpcMethod,
  type SeekCall,
} from '@sluice/contracts'
import {
  BrokerError,
  decodeRecords,
  readRuns,
  stampBatch,
  type StoredRecord,
  toOffset,
  verifyRecordBatch,
} from '@sluice/domain'
import { invariant } from '@sluice/foundation'
import {
  type EarlierGrant,
  batchOf,
  type CursorOperation,
  encodeAppend,
  encodeClose,
  encodeCursors,
  encodeTrim,
  encodeVoid,
  LeaderProjection,
  PartitionState,
} from '@sluice/partition'

/** A partition in memory that answers as its leader does: one replica, committed at once. */
export class FakePartition {
  readonly #state = new PartitionState()
  readonly #batches: Uint8Array[] = []
  /** Offset of each batch's first record. */
  readonly #bases: number[] = []
  readonly #waiters = new Set<() => void>()
  #index = 0

  get end(): number {
    return this.#state.nextOffset
  }

  records(): readonly StoredRecord[] {
    return this.#batches.flatMap((batch) => decodeRecords(batch))
  }

  /** Stored batches, each with what identifies it. */
  headers(): readonly ReturnType<typeof verifyRecordBatch>[] {
    return this.#batches.map((batch) => verifyRecordBatch(batch))
  }

  cursor(consumerId: number): number {
    return this.#state.unread(consumerId).position
  }

  answer(method: number, payload: Uint8Array): Uint8Array | Promise<Uint8Array> {
    switch (method) {
      case RpcMethod.PRODUCE:
        return this.#produce(decodeProduceCall(payload).batch)
      case RpcMethod.FETCH:
        return encodeFetchAnswer(this.#fetch(decodeFetchCall(payload)))
      case RpcMethod.OFFSETS: {
        const { consumerId } = decodeOffsetsCall(payload)
        return encodeOffsetsAnswer({
          logStart: this.#state.logStart,
          end: this.end,
          cursor: this.#state.unread(consumerId).from,
        })
      }
      case RpcMethod.SEEK:
        return encodePosition(this.#seek(decodeSeekCall(payload)))
      case RpcMethod.CLAIM: {
        const { ids } = decodeClaimCall(payload)
        this.#state.apply(++this.#index, 1, encodeVoid(ids))
        return encodeClaimAnswer(ids.map((id) => this.#state.knownRun(id)!))
      }
      case RpcMethod.RELEASE:
        this.#move({ kind: 'release', ...decodeReleaseCall(payload) })
        return encodeJson({})
      case RpcMethod.AWAIT: {
        const { offset, waitMs } = decodeAwaitCall(payload)
        return this.#await(offset, waitMs)
      }
      default:
        throw new BrokerError('INVALID_REQUEST', `a partition has no call ${method}`, { component: 'broker' })
    }
  }

  /** Changes a byte of a stored batch, behind its checksum's back. */
  corrupt(batchNumber: number): void {
    const batch = this.#batches[batchNumber]!
    batch[batch.length - 1]! ^= 0xff
  }

  /** Deletes everything before `logStart`. */
  trim(logStart: number): void {
    this.#state.apply(++this.#index, 1, encodeTrim(logStart))
  }

  /** Takes no messages any more, as its log says. */
  closeForGood(): void {
    this.#state.apply(++this.#index, 1, encodeClose())
  }

  /** Lets those go who wait for messages. */
  close(): void {
    for (const wake of this.#waiters) wake()
  }

  #produce(batch: Uint8Array): Uint8Array {
    const header = verifyRecordBatch(batch)
    const plan = new LeaderProjection(this.#state).planAppend(header)
    if (plan.kind === 'stale')
      throw new BrokerError('STALE_SEQUENCE', 'a newer batch is stored', {
        component: 'broker',
        outcome: 'no',
      })
    if (plan.kind === 'closed')
      throw new BrokerError('PARTITION_CLOSED', 'it takes no messages', {
        component: 'broker',
        outcome: 'no',
      })
    const repeated = new Map(
      readRuns(batch).flatMap(({ id }, i) => {
        const known = this.#state.knownRun(id)
        return known === undefined ? [] : [[i, known] as const]
      }),
    )
    if (plan.kind === 'append' && repeated.size > 0) return encodeProduceAnswer({ repeated })
    const duplicate = plan.kind === 'duplicate'
    if (!duplicate) {
      const command = encodeAppend(batch)
      stampBatch(batchOf(command), toOffset(plan.baseOffset), 1)
      this.#state.apply(++this.#index, 1, command)
      this.#batches.push(batchOf(command))
      this.#bases.push(plan.baseOffset)
      for (const wake of this.#waiters) wake()
    }
    return encodeProduceAnswer({ baseOffset: plan.baseOffset, endOffset: this.end, duplicate })
  }

  #fetch(call: FetchCall): FetchAnswer {
    const { consumerId, requestId, holder } = call
    const { logStart } = this.#state
    const earlier = this.#earlierGrant(call)
    const unread = this.#state.unread(consumerId)
    if (earlier === undefined && unread.skipped > 0 && !call.skipDeleted && !call.lookupOnly)
      throw new BrokerError(
        'OFFSET_OUT_OF_RANGE',
        `the consumer is at ${unread.position}, before ${logStart}`,
        { component: 'broker', outcome: 'no' },
      )
    if (earlier !== undefined && call.autoAck) this.#move({ kind: 'hold', consumerId, requestId, holder })
    const limit = call.lookupOnly ? 0 : Math.min(this.end, unread.from + call.messagesMax, unread.until)
    const to = earlier?.to ?? Math.max(unread.from, limit)
    const from = earlier === undefined ? unread.from : Math.min(Math.max(earlier.from, logStart), to)
    if (call.autoAck && earlier === undefined && to > from)
      this.#move({ kind: 'grant', consumerId, requestId, from, to, holder })
    const skipped = earlier === undefined ? unread.skipped : (earlier.skipped ?? 0) + from - earlier.from
    return {
      from,
      to,
      cursor: this.#state.unread(consumerId).from,
      end: this.end,
      logStart,
      granted: call.autoAck && to > from,
      skipped: to > from || earlier !== undefined ? skipped : 0,
      batches: this.#batchesOf(from, to),
    }
  }

  /** What is all deleted by now, or begins with what is and must not, is taken back. */
  #earlierGrant({ consumerId, requestId, holder, skipDeleted }: FetchCall): EarlierGrant | undefined {
    const grant = (): EarlierGrant | undefined =>
      new LeaderProjection(this.#state).earlierGrant(consumerId, requestId)
    const earlier = grant()
    const { logStart } = this.#state
    const isLost = earlier !== undefined && earlier.from < Math.min(logStart, earlier.to)
    if (!isLost || (skipDeleted && earlier.to > logStart)) return earlier
    this.#move({ kind: 'release', consumerId, requestId, from: 0, holder, orEarlier: true })
    return grant()
  }

  #batchesOf(from: number, to: number): readonly Uint8Array[] {
    if (to === from) return []
    const first = this.#bases.findLastIndex((base) => base <= from)
    const end = this.#bases.findIndex((base, i) => i > first && base >= to)
    return this.#batches.slice(first, end < 0 ? undefined : end)
  }

  #seek({ consumerId, requestId, target }: SeekCall): number {
    const offset = this.#resolve(target)
    if (offset > this.end)
      throw new BrokerError('OFFSET_OUT_OF_RANGE', `offset ${offset} is behind the end ${this.end}`, {
        component: 'broker',
        outcome: 'no',
      })
    this.#move({ kind: 'set', consumerId, requestId, offset, forwardOnly: target.kind === 'acknowledge' })
    return this.cursor(consumerId)
  }

  #resolve(target: SeekCall['target']): number {
    switch (target.kind) {
      case 'earliest':
        return this.#state.logStart
      case 'latest':
        return this.end
      case 'time':
        return this.records().find(({ timestamp }) => timestamp >= target.ms)?.offset ?? this.end
      case 'offset':
      case 'acknowledge':
        return target.offset
    }
  }

  #move(operation: CursorOperation): void {
    const applied = this.#state.apply(++this.#index, 1, encodeCursors([operation]))
    invariant(applied.kind === 'cursors', 'a cursor operation is applied as one')
  }

  async #await(offset: number, waitMs: number): Promise<Uint8Array> {
    if (this.end <= offset)
      await new Promise<void>((resolve) => {
        const wake = (): void => {
          clearTimeout(timer)
          this.#waiters.delete(wake)
          resolve()
        }
        const timer = setTimeout(wake, waitMs)
        this.#waiters.add(wake)
      })
    return encodePosition(this.end)
  }
}
