import { BrokerError } from '@sluice/domain'
import { delay } from '@sluice/foundation'
import type { PartitionInfo } from '@sluice/metadata'
import type { PartitionSnapshot, StoredBatch } from '@sluice/partition'
import { type BatchRange, CopiedBatches, type Database } from '@sluice/persistence'
import type { SnapshotMeta, SnapshotSource } from '@sluice/raft'
import type { Logger } from 'pino'
import type { CopyRate } from './copy-rate.js'
import { readPartitionHead } from './partition-snapshot.js'
import type { RangeCalls } from './range-calls.js'

/** Pieces, of 1 MiB each, that are on their way to this broker at a time, of all its partitions. */
const PIECES_MAX = 2
/** So often is every broker asked before a newer snapshot has to come. */
const ROUNDS_MAX = 3
const RETRY_MS = 500

/** A partition's state, and everything that is to be put together with it, in this broker's database. */
export class PreparedSnapshot implements SnapshotSource {
  readonly state: PartitionSnapshot
  /** What the partition's table has before it is what the snapshot has; undefined when it is to go. */
  readonly keepTo: number | undefined
  /** The batches that follow, which were copied. */
  readonly copied: BatchRange
  readonly #source: SnapshotSource

  constructor(
    source: SnapshotSource,
    parts: {
      readonly state: PartitionSnapshot
      readonly keepTo: number | undefined
      readonly copied: BatchRange
    },
  ) {
    this.#source = source
    this.state = parts.state
    this.keepTo = parts.keepTo
    this.copied = parts.copied
  }

  get meta(): SnapshotMeta {
    return this.#source.meta
  }

  get sizeBytes(): number {
    return this.#source.sizeBytes
  }

  read(offset: number, lengthMax: number): Promise<Uint8Array> {
    return this.#source.read(offset, lengthMax)
  }

  close(): Promise<void> {
    return this.#source.close()
  }
}

/** What was copied since this broker was started. */
export interface CatchUpCounters {
  readonly batches: number
  readonly bytes: number
  /** Messages that other brokers did not have to send, because they were here. */
  readonly kept: number
}

/**
 * Gets what a partition's database lacks from other brokers, piece by piece. What the database has is compared
 * by digests first and not sent again, nor is what an earlier try brought: pieces are kept as they arrive,
 * beside the partition, until they are all there.
 */
export class PartitionCatchUp {
  readonly #database: Database
  readonly #ranges: RangeCalls
  readonly #rate: CopyRate
  readonly #logger: Logger
  readonly #copied = new CopiedBatches()
  #batches = 0
  #bytes = 0
  #kept = 0
  #piecesUnderWay = 0
  readonly #waiting: (() => void)[] = []

  constructor(parts: {
    readonly database: Database
    readonly ranges: RangeCalls
    readonly rate: CopyRate
    readonly logger: Logger
  }) {
    this.#database = parts.database
    this.#ranges = parts.ranges
    this.#rate = parts.rate
    this.#logger = parts.logger
  }

  /** Before anything is prepared: leaves out what earlier tries brought and nobody waits for any more. */
  open(): Promise<void> {
    return this.#copied.removeStored(this.#database)
  }

  get counters(): CatchUpCounters {
    return { batches: this.#batches, bytes: this.#bytes, kept: this.#kept }
  }

  /**
   * @param brokers that hold the partition, the one that made the snapshot first
   * @throws BrokerError, RpcError when none of them has what is missing any more
   */
  async prepare(
    { groupId, name }: PartitionInfo,
    source: SnapshotSource,
    { brokers, signal }: { readonly brokers: readonly number[]; readonly signal: AbortSignal },
  ): Promise<PreparedSnapshot> {
    const { state } = await readPartitionHead(source)
    let failure: unknown = new BrokerError('BROKER_UNREACHABLE', `${name} has no other replica`)
    for (let round = 0; round < ROUNDS_MAX; round++) {
      for (const broker of brokers)
        try {
          const { keepTo, from } = await this.#gather(broker, groupId, state, signal)
          const copied = { groupId, from, to: state.nextOffset }
          return new PreparedSnapshot(source, { state, keepTo, copied })
        } catch (error) {
          signal.throwIfAborted()
          failure = error
          this.#logger.warn(
            { partition: name, broker, err: error },
            'what is missing did not come; another broker is asked',
          )
        }
      await delay(RETRY_MS, signal)
    }
    throw failure
  }

  /** Brings everything that is missing into the database. */
  async #gather(
    broker: number,
    groupId: number,
    state: PartitionSnapshot,
    signal: AbortSignal,
  ): Promise<{ readonly keepTo: number | undefined; readonly from: number }> {
    const { logStart, nextOffset } = state
    const keepTo = await this.#comparedTo(broker, groupId, state, signal)
    const from = keepTo ?? (await this.#copied.batchAt(this.#database, groupId, logStart)) ?? logStart
    let at = await this.#copiedTo(broker, { groupId, from, to: nextOffset }, signal)
    const before = at
    // What is before the start of the partition is deleted, and may be part of its first batch.
    let first = keepTo === undefined && at === logStart ? undefined : from
    while (at < nextOffset) {
      const piece = await this.#piece(async () => {
        signal.throwIfAborted()
        const batches = await this.#ranges.readFrom(broker, { groupId, from: at, to: nextOffset })
        await this.#rate.copied(sizeOf(batches), signal)
        return batches
      })
      checkPiece(piece, { at, mayBeginBefore: first === undefined, state })
      first ??= piece[0]!.baseOffset
      await this.#copied.add(this.#database, groupId, piece)
      at = piece.at(-1)!.lastOffset + 1
      this.#batches += piece.length
      this.#bytes += sizeOf(piece)
    }
    this.#kept += before - (first ?? from) + (keepTo === undefined ? 0 : keepTo - Math.min(keepTo, logStart))
    this.#logger.info(
      { groupId, from: broker, keptTo: keepTo ?? 0, copiedBefore: before, nextOffset },
      'what was missing of a partition is here',
    )
    return { keepTo, from: first ?? from }
  }

  /** Up to where the partition's table has what the other broker has; undefined when that is nothing. */
  async #comparedTo(
    broker: number,
    groupId: number,
    { logStart, nextOffset }: PartitionSnapshot,
    signal: AbortSignal,
  ): Promise<number | undefined> {
    const start = await this.#ranges.batchAt(groupId, logStart)
    const stored = await this.#ranges.digest({ groupId, from: 0, to: 0 })
    if (start === undefined || stored === undefined) return undefined
    const to = Math.min(stored.nextOffset, nextOffset)
    let at = start
    while (at < to) {
      signal.throwIfAborted()
      const range = { groupId, from: at, to: await this.#ranges.endOf({ groupId, from: at, to }) }
      const own = await this.#ranges.digest(range)
      const isSame =
        own !== undefined && own.batchCount > 0 && (await this.#isSame(broker, range, own.digest))
      if (!isSame) break
      at = range.to
    }
    return at === start ? undefined : at
  }

  /** Up to where an earlier try brought what the other broker has; the rest of what it brought is removed. */
  async #copiedTo(broker: number, range: BatchRange, signal: AbortSignal): Promise<number> {
    const { groupId, from, to } = range
    let at = from
    while (at < to) {
      signal.throwIfAborted()
      const next = await this.#copied.digest(this.#database, groupId, at)
      if (next === undefined || next.range.to > to || !(await this.#isSame(broker, next.range, next.digest)))
        break
      at = next.range.to
    }
    await this.#copied.keepOnly(this.#database, { groupId, from, to: at })
    return at
  }

  async #isSame(broker: number, range: BatchRange, digest: string): Promise<boolean> {
    return (await this.#ranges.digestOf(broker, range))?.digest === digest
  }

  async #piece<T>(get: () => Promise<T>): Promise<T> {
    if (this.#piecesUnderWay === PIECES_MAX) await new Promise<void>((resolve) => this.#waiting.push(resolve))
    else this.#piecesUnderWay++
    try {
      return await get()
    } finally {
      const next = this.#waiting.shift()
      if (next === undefined) this.#piecesUnderWay--
      else next()
    }
  }
}

function sizeOf(batches: readonly StoredBatch[]): number {
  return batches.reduce((sum, { bytes }) => sum + bytes.length, 0)
}

/** @throws BrokerError CORRUPT_BATCH unless the piece goes on where it should */
function checkPiece(
  piece: readonly StoredBatch[],
  expected: { readonly at: number; readonly mayBeginBefore: boolean; readonly state: PartitionSnapshot },
): void {
  const { mayBeginBefore, state } = expected
  let { at } = expected
  if (piece.length === 0) throw corrupt(`has nothing at offset ${at}`)
  for (const [i, { baseOffset, lastOffset, index }] of piece.entries()) {
    const follows = baseOffset === at || (i === 0 && mayBeginBefore && baseOffset < at && lastOffset >= at)
    if (!follows) throw corrupt(`goes on at offset ${baseOffset}, not at ${at}`)
    if (lastOffset >= state.nextOffset || index > state.appliedIndex)
      throw corrupt(`has offset ${lastOffset} at index ${index}, behind its end`)
    at = lastOffset + 1
  }
}

function corrupt(what: string): BrokerError {
  return new BrokerError('CORRUPT_BATCH', `another broker's partition ${what}`, { component: 'broker' })
}
