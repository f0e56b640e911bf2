import {
  BrokerError,
  decodeRecords,
  encodeRecordBatch,
  readBatchHeader,
  stampBatch,
  toOffset,
} from '@sluice/domain'
import { invariant } from '@sluice/foundation'
import type { StoredBatch } from '@sluice/partition'
import { WalRangeError } from '@sluice/raft'
import type { PartitionReplica } from './partition-replica.js'

/** Where the messages are that memory no longer holds. */
export interface MessageStore {
  /** Batches in order; the first holds `offset`; at least one, then while they fit. */
  readBatches(groupId: number, offset: number, bytesMax: number): Promise<readonly Uint8Array[]>
  /** Offset of the first message at or after `ms`; `undefined` when there is none. */
  offsetAtTime(groupId: number, ms: number): Promise<number | undefined>
}

/** A run of messages: [from, to), inside the batches that hold them. */
export interface MessageRange {
  readonly from: number
  readonly to: number
  readonly batches: readonly Uint8Array[]
}

export interface FetchBounds {
  readonly messagesMax: number
  readonly bytesMax: number
}

/** Batches are cut down to the messages asked for when less than this part of them is. */
const SLICE_BELOW = 0.5

/** Reads messages of a replica from memory, else from its log what the database may lack, else from the database. */
export class PartitionReader {
  readonly #store: MessageStore

  constructor(store: MessageStore) {
    this.#store = store
  }

  /**
   * Committed messages from `from` on, at least one, within the bounds; `undefined` when memory does
   * not hold them: then `load` reads the log, or the database.
   */
  peek(replica: PartitionReplica, from: number, bounds: FetchBounds): MessageRange | undefined {
    const batches = replica.recent.read(from, bounds.bytesMax)
    return batches === undefined
      ? undefined
      : rangeOf(
          batches.map((batch) => batch.bytes),
          from,
          bounds,
        )
  }

  /** `undefined` when they were deleted meanwhile. */
  async load(
    replica: PartitionReplica,
    from: number,
    bounds: FetchBounds,
  ): Promise<MessageRange | undefined> {
    const batches =
      (await readLogged(replica, from, bounds)) ??
      (await this.#store.readBatches(replica.info.groupId, from, bounds.bytesMax))
    if (replica.logStart > from) return undefined
    const first = batches[0]
    if (first === undefined || readBatchHeader(first).baseOffset > from)
      throw new BrokerError('STORAGE_FAILED', `the database lacks offset ${from} of ${replica.info.name}`, {
        component: 'broker',
      })
    return rangeOf(batches, from, bounds)
  }

  /** `undefined` when they were deleted meanwhile. */
  async read(
    replica: PartitionReplica,
    from: number,
    bounds: FetchBounds,
  ): Promise<MessageRange | undefined> {
    return this.peek(replica, from, bounds) ?? (await this.load(replica, from, bounds))
  }

  /** Exactly [from, to), which a grant promised; both ends are committed. `undefined` when some were deleted. */
  async readExactly(replica: PartitionReplica, from: number, to: number): Promise<MessageRange | undefined> {
    const batches: Uint8Array[] = []
    let at = from
    while (at < to) {
      const part = await this.read(replica, at, { messagesMax: to - at, bytesMax: READ_BYTES })
      if (part === undefined) return undefined
      batches.push(...part.batches)
      at = part.to
    }
    return from < to && replica.logStart > from ? undefined : { from, to, batches }
  }

  /** First message at or after `ms`: what is not in the database yet is newer than what is. */
  async offsetAtTime(replica: PartitionReplica, ms: number): Promise<number> {
    // Looked at before the database is asked, which may get it meanwhile.
    const held = replica.recent.atTime(ms, replica.logStart)
    const end = replica.nextOffset
    const stored = await this.#store.offsetAtTime(replica.info.groupId, ms)
    if (stored !== undefined) return stored
    if (held === undefined) return end
    const [batch] = await replica.withBytes([held]).catch(onFreed)
    // The database has got it since.
    if (batch === undefined) return this.offsetAtTime(replica, ms)
    const first = decodeRecords(batch.bytes).find(({ timestamp }) => timestamp >= ms)
    invariant(first !== undefined, 'a batch has a message of its largest timestamp')
    return first.offset
  }
}

/** Batches that neither memory nor the database has; `undefined` when `from` is in none of them. */
async function readLogged(
  replica: PartitionReplica,
  from: number,
  { messagesMax, bytesMax }: FetchBounds,
): Promise<readonly Uint8Array[] | undefined> {
  const batches = replica.recent.pagedOut(from, bytesMax)
  if (batches === undefined) return undefined
  // Who asks for one message does not wait for all that would fit.
  const enough = batches.findIndex(({ lastOffset }) => lastOffset - from + 1 >= messagesMax)
  const wanted = enough < 0 ? batches : batches.slice(0, enough + 1)
  const found = await replica.withBytes(wanted).catch(onFreed)
  return found.length === 0 ? undefined : found.map(({ bytes }) => bytes)
}

/** The log is freed only of what the database has. */
function onFreed(error: unknown): readonly StoredBatch[] {
  if (error instanceof WalRangeError) return []
  throw error
}

const READ_BYTES = 4 * 1024 * 1024

function rangeOf(batches: readonly Uint8Array[], from: number, bounds: FetchBounds): MessageRange {
  const cut: Uint8Array[] = []
  let to = from
  let messagesLeft = bounds.messagesMax
  for (const bytes of batches) {
    if (messagesLeft === 0) break
    const header = readBatchHeader(bytes)
    invariant(
      header.baseOffset <= to && to < header.baseOffset + header.recordCount,
      `the batch at ${header.baseOffset} holds offset ${to}`,
    )
    const end = header.baseOffset + header.recordCount
    const wanted = Math.min(end - to, messagesLeft)
    cut.push(wanted < header.recordCount * SLICE_BELOW ? sliceBatch(bytes, to, wanted) : bytes)
    to += wanted
    messagesLeft -= wanted
  }
  return { from, to, batches: cut }
}

/** A batch of its own with only [from, from + count): what a reader of single messages is sent. */
function sliceBatch(bytes: Uint8Array, from: number, count: number): Uint8Array {
  const slice = encodeRecordBatch({ records: decodeRecords(bytes, toOffset(from), count) })
  stampBatch(slice, toOffset(from), readBatchHeader(bytes).leaderEpoch)
  return slice
}
