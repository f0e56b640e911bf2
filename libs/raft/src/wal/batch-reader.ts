import { invariant } from '@sluice/foundation'
import type { Entry, LogIndex, Term } from '../core/types.js'
import type { EntryLocation } from './entry-index.js'
import { WalCorruptError } from './errors.js'
import type { WalFile } from './files.js'
import { BATCH_HEADER_BYTES, decodeBatchHeader, isBatchIntact, viewOf } from './format.js'
import type { Segment, SegmentStore } from './segment-store.js'

export interface WantedEntry extends EntryLocation {
  readonly index: LogIndex
  readonly term: Term
}

/** Read batches kept for the next read: whoever catches up asks for one batch several times. */
const KEPT_BATCHES_MAX = 4
const KEPT_BYTES_MAX = 16 * 1024 * 1024
const UNCHECKED_BYTES_MAX = 1024 * 1024

interface KeptBatch {
  readonly batch: Promise<Uint8Array>
  /** 0 until the read ends. */
  sizeBytes: number
}

/** Reads entries back from the segment files; every batch that comes from disk has its CRC checked. */
export class BatchReader {
  readonly #segments: SegmentStore
  /** The most recently used last. */
  readonly #kept = new Map<string, KeptBatch>()
  #keptBytes = 0

  constructor(segments: SegmentStore) {
    this.#segments = segments
  }

  /**
   * The entries, in the order given. Their data are views of whole batches.
   * @throws WalCorruptError when a batch is not what was written
   */
  async readEntries(wanted: readonly WantedEntry[]): Promise<Entry[]> {
    const seqs = new Set(wanted.map((entry) => entry.segmentSeq))
    const segments = new Map([...seqs].map((seq) => [seq, this.#segments.retain(seq)]))
    try {
      const entries: Entry[] = []
      let batchOf: WantedEntry | undefined
      let batch: Uint8Array = new Uint8Array(0)
      for (const entry of wanted) {
        if (batchOf?.segmentSeq !== entry.segmentSeq || batchOf.batchAt !== entry.batchAt) {
          batch = await this.#batch(segments.get(entry.segmentSeq)!, entry.batchAt)
          batchOf = entry
        }
        const { index, term, kind } = entry
        const start = entry.dataAt - entry.batchAt
        invariant(start + entry.lengthBytes <= batch.length, 'an entry is within its batch')
        entries.push({ index, term, kind, data: batch.subarray(start, start + entry.lengthBytes) })
      }
      return entries
    } finally {
      for (const segment of segments.values()) await this.#segments.release(segment)
    }
  }

  /** Concurrent reads of a batch share one. */
  #batch(segment: Segment, at: number): Promise<Uint8Array> {
    const key = `${segment.seq}:${at}`
    const kept = this.#kept.get(key) ?? { batch: this.#fetch(key, segment, at), sizeBytes: 0 }
    this.#kept.delete(key)
    this.#kept.set(key, kept)
    return kept.batch
  }

  /** A batch counts from when its size is known; a failure is not kept. */
  async #fetch(key: string, segment: Segment, at: number): Promise<Uint8Array> {
    try {
      const batch = await readBatch(segment, at)
      this.#count(key, batch.length)
      return batch
    } catch (error) {
      this.#kept.delete(key)
      throw error
    }
  }

  #count(key: string, sizeBytes: number): void {
    const kept = this.#kept.get(key)
    if (kept === undefined) return
    kept.sizeBytes = sizeBytes
    this.#keptBytes += sizeBytes
    for (const [oldest, { sizeBytes: freed }] of this.#kept) {
      if (this.#keptBytes <= KEPT_BYTES_MAX && this.#kept.size <= KEPT_BATCHES_MAX) break
      if (freed === 0) continue // still on its way
      this.#kept.delete(oldest)
      this.#keptBytes -= freed
    }
  }
}

async function readBatch(segment: Segment, at: number): Promise<Uint8Array> {
  const refuse = (reason: string): WalCorruptError =>
    new WalCorruptError({ file: segment.path, offset: at, reason: `reading an entry back: ${reason}` })
  const head = new Uint8Array(BATCH_HEADER_BYTES)
  if ((await readWhole(segment.file, head, at)) < head.length) throw refuse('the file ends before its batch')
  // Of a large batch the file must have as much as its header claims, before memory is taken for it.
  let header = decodeBatchHeader(viewOf(head), 0, Number.MAX_SAFE_INTEGER)
  if (typeof header !== 'string' && header.sizeBytes > UNCHECKED_BYTES_MAX)
    header = decodeBatchHeader(viewOf(head), 0, (await segment.file.size()) - at)
  if (typeof header === 'string') throw refuse(header)
  const batch = new Uint8Array(header.sizeBytes)
  if ((await readWhole(segment.file, batch, at)) < batch.length)
    throw refuse('the file ends within its batch')
  if (!isBatchIntact(batch, segment.salt)) throw refuse('the checksum of its batch does not match')
  return batch
}

/** Reads until the bytes are full or the file ends; returns how many there were. */
export async function readWhole(file: WalFile, bytes: Uint8Array, position: number): Promise<number> {
  let filled = 0
  while (filled < bytes.length) {
    const count = await file.read(bytes.subarray(filled), position + filled)
    if (count === 0) break
    filled += count
  }
  return filled
}
