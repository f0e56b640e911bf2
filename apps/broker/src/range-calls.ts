import { decodeJson, encodeJson, RpcMethod } from '@sluice/contracts'
import { BrokerError, verifyRecordBatch } from '@sluice/domain'
import { messageOf } from '@sluice/foundation'
import type { StoredBatch } from '@sluice/partition'
import {
  type BatchRange,
  BatchRanges,
  type Database,
  PartitionSnapshots,
  type RangeDigest,
} from '@sluice/persistence'
import type { RpcLink } from '@sluice/rpc'

const CALL_TIMEOUT_MS = 10_000
const HEAD_BYTES = 4 + 8 + 8

/** A range that is to be taken from another broker. */
export interface RangeRepair extends BatchRange {
  /** What it has there. */
  readonly digest: string
  readonly source: number
}

/** Ranges of this broker's database for others, and those of others for this one. */
export class RangeCalls {
  readonly #database: Database
  readonly #linkTo: (brokerId: number) => Pick<RpcLink, 'request'> | undefined
  readonly #ranges = new BatchRanges()
  readonly #batches = new PartitionSnapshots()

  constructor(database: Database, linkTo: (brokerId: number) => Pick<RpcLink, 'request'> | undefined) {
    this.#database = database
    this.#linkTo = linkTo
  }

  /** The answers to other brokers. @throws BrokerError */
  async answer(method: number, payload: Uint8Array): Promise<Uint8Array> {
    const call = parseCall(payload)
    switch (method) {
      case RpcMethod.RANGE_DIGEST:
        return encodeJson({ found: (await this.digest(call)) ?? null })
      case RpcMethod.RANGE_READ:
        return this.#read(call)
      default:
        await this.repair(parseRepair(payload, call))
        return encodeJson({})
    }
  }

  /** Where the batch of an offset begins in this broker's database; undefined when it has none. */
  batchAt(groupId: number, offset: number): Promise<number | undefined> {
    return this.#ranges.batchAt(this.#database, groupId, offset)
  }

  endOf(range: BatchRange): Promise<number> {
    return this.#ranges.endOf(this.#database, range)
  }

  /** What this broker's database has. */
  digest(range: BatchRange): Promise<RangeDigest | undefined> {
    return this.#ranges.digest(this.#database, range)
  }

  /** What another broker's database has. @throws BrokerError, RpcError when it does not say */
  async digestOf(brokerId: number, range: BatchRange): Promise<RangeDigest | undefined> {
    const answer = await this.#call(brokerId, RpcMethod.RANGE_DIGEST, range)
    const { found } = decodeJson(answer) as { readonly found: RangeDigest | null }
    return found ?? undefined
  }

  /**
   * Some of the batches that another broker's database has, the first of them the one that holds the range's
   * start. @throws BrokerError, RpcError
   */
  async readFrom(brokerId: number, range: BatchRange): Promise<readonly StoredBatch[]> {
    return decodeBatches(await this.#call(brokerId, RpcMethod.RANGE_READ, range))
  }

  /** Takes a range from another broker in place of what the database has. */
  async repair({ groupId, from, to, digest, source }: RangeRepair): Promise<void> {
    const batches: StoredBatch[] = []
    for (let at = from; at < to;) {
      const part = await this.readFrom(source, { groupId, from: at, to })
      const last = part.at(-1)
      if (last === undefined) break
      batches.push(...part.filter(({ baseOffset }) => baseOffset >= from))
      at = last.lastOffset + 1
    }
    await this.#ranges.replace(this.#database, { groupId, from, to }, { batches, digest })
  }

  /** Has another broker take a range from `source`. */
  async repairAt(brokerId: number, repair: RangeRepair): Promise<void> {
    await this.#call(brokerId, RpcMethod.RANGE_REPAIR, repair)
  }

  async #read({ groupId, from, to }: BatchRange): Promise<Uint8Array> {
    const rows = await this.#batches.read(this.#database, { groupId, fromOffset: from, nextOffset: to })
    const parts: Uint8Array[] = []
    for (const { term, index, bytes } of rows) {
      const head = Buffer.alloc(HEAD_BYTES)
      head.writeUInt32LE(bytes.length, 0)
      head.writeDoubleLE(term, 4)
      head.writeDoubleLE(index, 12)
      parts.push(head, bytes)
    }
    return Buffer.concat(parts)
  }

  #call(brokerId: number, method: number, call: BatchRange): Promise<Uint8Array> {
    const link = this.#linkTo(brokerId)
    if (link === undefined)
      throw new BrokerError('BROKER_UNREACHABLE', `the address of broker ${brokerId} is not known`)
    return link.request(method, encodeJson(call), { timeoutMs: CALL_TIMEOUT_MS })
  }
}

function parseCall(payload: Uint8Array): BatchRange {
  const { groupId, from, to } = decodeJson(payload) as Record<string, unknown>
  if (!isNatural(groupId) || !isNatural(from) || !isNatural(to))
    throw new BrokerError('INVALID_REQUEST', 'a range has a group, a first offset and an end')
  return { groupId, from, to }
}

function parseRepair(payload: Uint8Array, range: BatchRange): RangeRepair {
  const { digest, source } = decodeJson(payload) as Record<string, unknown>
  if (typeof digest !== 'string' || !isNatural(source))
    throw new BrokerError('INVALID_REQUEST', 'a repair has a digest and the broker that has it')
  return { ...range, digest, source }
}

function isNatural(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0
}

function decodeBatches(answer: Uint8Array): readonly StoredBatch[] {
  const buffer = Buffer.from(answer.buffer, answer.byteOffset, answer.length)
  const batches: StoredBatch[] = []
  try {
    for (let at = 0; at < buffer.length;) {
      const end = at + HEAD_BYTES + buffer.readUInt32LE(at)
      const bytes = Uint8Array.from(buffer.subarray(at + HEAD_BYTES, end))
      const { baseOffset, recordCount, maxTimestamp } = verifyRecordBatch(bytes)
      batches.push({
        baseOffset,
        lastOffset: baseOffset + recordCount - 1,
        term: buffer.readDoubleLE(at + 4),
        index: buffer.readDoubleLE(at + 12),
        maxTimestamp,
        bytes,
      })
      at = end
    }
  } catch (cause) {
    throw new BrokerError('CORRUPT_BATCH', `another broker's batches cannot be read: ${messageOf(cause)}`, {
      cause,
    })
  }
  return batches
}
