import { BrokerError, readBatchHeader, verifyRecordBatch } from '@sluice/domain'
import { BUILD_VERSION, invariant } from '@sluice/foundation'
import type { CursorRow, PartitionSnapshot, SequenceRow, StoredBatch } from '@sluice/partition'
import type { SnapshotMeta, SnapshotSource } from '@sluice/raft'

/*
 * A partition's snapshot, little endian:
 *
 *   version u8 = 1 | stateBytes u32 | state, JSON without the batches
 *   for each batch from the start to the end of the partition, in order:
 *     bytes u32 | term f64 | index f64 | the record batch
 *
 * Of version 2 is one that ends with the state: who takes it gets the batches that it lacks by itself.
 */
const WHOLE = 1
const HEAD_ONLY = 2
const HEAD_BYTES = 5
const BATCH_HEAD_BYTES = 20
/** No state is larger: cursors and sequences are bounded. */
const STATE_BYTES_MAX = 256 * 1024 * 1024
const BATCH_BYTES_MAX = 64 * 1024 * 1024
const READ_BYTES = 256 * 1024
/** Batches that are handed on together. */
const GATHER_BYTES = 1024 * 1024

interface SnapshotRow {
  readonly term: number
  readonly index: number
  readonly lastOffset: number
  readonly bytes: Uint8Array
}

/** Where the batches of a snapshot come from: from `fromOffset` on, some at a time, none at the end. */
export type ReadBatches = (fromOffset: number) => Promise<readonly SnapshotRow[]>

function corrupt(what: string): BrokerError {
  return new BrokerError('CORRUPT_BATCH', `the snapshot of a partition ${what}`, { component: 'broker' })
}

/**
 * A partition's snapshot as a stream of bytes that is never held whole: the batches are read as they are
 * asked for. Asked for an earlier position, it starts anew.
 */
export class PartitionSnapshotSource implements SnapshotSource {
  readonly meta: SnapshotMeta
  readonly sizeBytes: number
  readonly #head: Uint8Array
  readonly #readBatches: ReadBatches
  readonly #logStart: number
  /** Bytes that follow `#position`. */
  #ready: Buffer
  #position = 0
  #nextOffset: number

  constructor(parts: {
    readonly meta: SnapshotMeta
    readonly state: PartitionSnapshot
    readonly content: { readonly batchCount: number; readonly batchBytes: number }
    readonly readBatches: ReadBatches
  }) {
    this.meta = parts.meta
    this.#readBatches = parts.readBatches
    this.#head = encodeHead(WHOLE, parts.state)
    this.#logStart = parts.state.logStart
    this.sizeBytes =
      this.#head.length + parts.content.batchCount * BATCH_HEAD_BYTES + parts.content.batchBytes
    this.#ready = Buffer.from(this.#head)
    this.#nextOffset = this.#logStart
  }

  async read(offset: number, lengthMax: number): Promise<Uint8Array> {
    if (offset < this.#position) this.#rewind()
    while (offset >= this.#position + this.#ready.length) {
      this.#position += this.#ready.length
      this.#ready = Buffer.alloc(0)
      if (!(await this.#fetch())) break
    }
    const start = offset - this.#position
    const length = Math.min(lengthMax, this.sizeBytes - offset)
    while (this.#ready.length < start + length && (await this.#fetch()));
    const bytes = Uint8Array.from(this.#ready.subarray(start, start + length))
    if (bytes.length === 0 && offset < this.sizeBytes)
      throw corrupt(`ends at ${offset} of ${this.sizeBytes} bytes: batches of it are gone`)
    this.#ready = this.#ready.subarray(start)
    this.#position = offset
    return bytes
  }

  close(): Promise<void> {
    return Promise.resolve()
  }

  #rewind(): void {
    this.#ready = Buffer.from(this.#head)
    this.#position = 0
    this.#nextOffset = this.#logStart
  }

  /** False at the end. */
  async #fetch(): Promise<boolean> {
    const rows = await this.#readBatches(this.#nextOffset)
    const last = rows.at(-1)
    if (last === undefined) return false
    if (readBatchHeader(rows[0]!.bytes).baseOffset > this.#nextOffset)
      throw corrupt(`has a gap at offset ${this.#nextOffset}: batches of it were deleted meanwhile`)
    this.#nextOffset = last.lastOffset + 1
    const parts: Uint8Array[] = [this.#ready]
    for (const row of rows) parts.push(encodeBatchHead(row), row.bytes)
    this.#ready = Buffer.concat(parts)
    return true
  }
}

/** A snapshot that says where a partition is, without its batches. */
export class PartitionHeadSource implements SnapshotSource {
  readonly meta: SnapshotMeta
  readonly #bytes: Uint8Array

  constructor(meta: SnapshotMeta, state: PartitionSnapshot) {
    this.meta = meta
    this.#bytes = encodeHead(HEAD_ONLY, state)
  }

  get sizeBytes(): number {
    return this.#bytes.length
  }

  read(offset: number, lengthMax: number): Promise<Uint8Array> {
    return Promise.resolve(this.#bytes.slice(offset, offset + lengthMax))
  }

  close(): Promise<void> {
    return Promise.resolve()
  }
}

function unsupported(version: number): BrokerError {
  return new BrokerError(
    'UNSUPPORTED_VERSION',
    `the snapshot of a partition has version ${version}, version ${BUILD_VERSION} reads ${WHOLE} and, for its head, ${HEAD_ONLY}`,
    { component: 'broker', outcome: 'no' },
  )
}

/** Reads what a snapshot says of its partition, and nothing behind it. */
export async function readPartitionHead(
  source: SnapshotSource,
): Promise<{ readonly state: PartitionSnapshot; readonly isWhole: boolean }> {
  const head = Buffer.from(await readExactly(source, 0, HEAD_BYTES))
  const version = head.readUInt8(0)
  if (version !== WHOLE && version !== HEAD_ONLY) throw unsupported(version)
  const stateBytes = head.readUInt32LE(1)
  if (stateBytes > STATE_BYTES_MAX) throw corrupt('has a state over the bound')
  const state = parseState(Buffer.from(await readExactly(source, HEAD_BYTES, stateBytes)), source.meta)
  return { state, isWhole: version === WHOLE }
}

/** Reads a whole snapshot from its start; the batches come as they are asked for. */
export async function readPartitionSnapshot(
  source: SnapshotSource,
): Promise<{ readonly state: PartitionSnapshot; readonly batches: AsyncIterable<readonly StoredBatch[]> }> {
  const reader = new SourceReader(source)
  const head = await reader.take(HEAD_BYTES)
  if (head.readUInt8(0) !== WHOLE) throw unsupported(head.readUInt8(0))
  const stateBytes = head.readUInt32LE(1)
  if (stateBytes > STATE_BYTES_MAX) throw corrupt('has a state over the bound')
  const state = parseState(await reader.take(stateBytes), source.meta)
  return { state, batches: readBatches(reader, state) }
}

async function* readBatches(
  reader: SourceReader,
  state: PartitionSnapshot,
): AsyncIterable<readonly StoredBatch[]> {
  let offset = state.logStart
  let gathered: StoredBatch[] = []
  let bytes = 0
  while (!reader.isAtEnd) {
    const batch = await readBatch(reader)
    // The start may be within the first batch, when what is before it is gone.
    const follows = offset === state.logStart ? batch.baseOffset <= offset : batch.baseOffset === offset
    if (!follows || batch.lastOffset < offset) throw corrupt(`has a gap at offset ${offset}`)
    offset = batch.lastOffset + 1
    gathered.push(batch)
    bytes += batch.bytes.length
    if (bytes < GATHER_BYTES) continue
    yield gathered
    gathered = []
    bytes = 0
  }
  if (offset !== state.nextOffset) throw corrupt(`ends at offset ${offset}, not at ${state.nextOffset}`)
  yield gathered
}

async function readBatch(reader: SourceReader): Promise<StoredBatch> {
  const head = await reader.take(BATCH_HEAD_BYTES)
  const sizeBytes = head.readUInt32LE(0)
  if (sizeBytes > BATCH_BYTES_MAX) throw corrupt('has a batch over the bound')
  const term = head.readDoubleLE(4)
  const index = head.readDoubleLE(12)
  const bytes = Uint8Array.from(await reader.take(sizeBytes))
  const { baseOffset, lastOffsetDelta, maxTimestamp } = verifyRecordBatch(bytes)
  return { baseOffset, lastOffset: baseOffset + lastOffsetDelta, term, index, maxTimestamp, bytes }
}

function encodeBatchHead(row: SnapshotRow): Buffer {
  readBatchHeader(row.bytes)
  const head = Buffer.alloc(BATCH_HEAD_BYTES)
  head.writeUInt32LE(row.bytes.length, 0)
  head.writeDoubleLE(row.term, 4)
  head.writeDoubleLE(row.index, 12)
  return head
}

function encodeHead(version: number, state: PartitionSnapshot): Uint8Array {
  const { appliedIndex, appliedTerm, nextOffset, logStart, isClosed, cursors } = state
  const sequences = state.sequences.map((row) => ({ ...row, producerId: String(row.producerId) }))
  const json = Buffer.from(
    JSON.stringify({ appliedIndex, appliedTerm, nextOffset, logStart, isClosed, cursors, sequences }),
  )
  invariant(json.length <= STATE_BYTES_MAX, 'the state of a partition is bounded')
  const head = Buffer.alloc(HEAD_BYTES)
  head.writeUInt8(version, 0)
  head.writeUInt32LE(json.length, 1)
  return Buffer.concat([head, json])
}

function parseState(bytes: Buffer, meta: SnapshotMeta): PartitionSnapshot {
  let parsed: unknown
  try {
    parsed = JSON.parse(bytes.toString('utf8'))
  } catch {
    throw corrupt('has a state that is no JSON')
  }
  const state = parsed as Omit<PartitionSnapshot, 'sequences'> & { readonly sequences: unknown }
  const numbers = [state.appliedIndex, state.appliedTerm, state.nextOffset, state.logStart]
  if (!numbers.every(isNatural) || !Array.isArray(state.cursors) || !Array.isArray(state.sequences))
    throw corrupt('has a state that is none')
  if (state.appliedIndex !== meta.index || state.appliedTerm !== meta.term)
    throw corrupt(`is of index ${state.appliedIndex}, not of ${meta.index}`)
  if (!state.cursors.every((row: CursorRow) => isNatural(row.consumerId) && isNatural(row.cursor)))
    throw corrupt('has a cursor that is none')
  const sequences = state.sequences as (Omit<SequenceRow, 'producerId'> & { readonly producerId: string })[]
  return {
    ...state,
    sequences: sequences.map((row) => ({ ...row, producerId: BigInt(row.producerId) })),
  }
}

function isNatural(value: unknown): boolean {
  return Number.isSafeInteger(value) && (value as number) >= 0
}

async function readExactly(source: SnapshotSource, offset: number, count: number): Promise<Uint8Array> {
  const parts: Uint8Array[] = []
  for (let have = 0; have < count;) {
    const bytes = await source.read(offset + have, count - have)
    if (bytes.length === 0) throw corrupt('ends too early')
    have += bytes.length
    parts.push(bytes)
  }
  return Buffer.concat(parts)
}

/** Takes bytes from a source, one after the other. */
class SourceReader {
  readonly #source: SnapshotSource
  #buffer: Buffer = Buffer.alloc(0)
  #offset = 0

  constructor(source: SnapshotSource) {
    this.#source = source
  }

  get isAtEnd(): boolean {
    return this.#buffer.length === 0 && this.#offset >= this.#source.sizeBytes
  }

  async take(count: number): Promise<Buffer> {
    const parts = [this.#buffer]
    let have = this.#buffer.length
    while (have < count) {
      const bytes = await this.#source.read(this.#offset, Math.max(READ_BYTES, count - have))
      if (bytes.length === 0) throw corrupt('ends too early')
      this.#offset += bytes.length
      have += bytes.length
      parts.push(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length))
    }
    const joined = parts.length === 1 ? this.#buffer : Buffer.concat(parts, have)
    this.#buffer = joined.subarray(count)
    return joined.subarray(0, count)
  }
}
