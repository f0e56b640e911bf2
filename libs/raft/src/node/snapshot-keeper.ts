import { invariant } from '@sluice/foundation'
import type { LogIndex, SnapshotMeta } from '../core/types.js'
import type { SnapshotSource } from '../host/state-machine.js'
import type { NodeMachine } from './node-machine.js'
import type { CustomSnapshots } from './sync-object-config.js'

/** Where a group's snapshots are kept; at least the newest one. */
export interface SnapshotShelf {
  readonly newest: SnapshotMeta | undefined
  /** Resolves when the snapshot is durable, as far as the shelf is; older ones may go then. */
  write(meta: SnapshotMeta, chunks: AsyncIterable<Uint8Array>): Promise<void>
  /** Keeps a snapshot that another node sent, durably; it stays open. */
  adopt(source: SnapshotSource): Promise<void>
  /** The newest one. It can be read until it is closed, whatever becomes newest meanwhile. */
  open(): Promise<SnapshotSource>
}

/** A snapshot that cannot be what this node wrote. */
class SnapshotContentError extends Error {
  override readonly name = 'SnapshotContentError'
}

export interface SnapshotKeeperParts {
  readonly machine: NodeMachine
  readonly shelf: SnapshotShelf
  readonly custom: CustomSnapshots | undefined
  /** Of the last applied entry, read at the moment of the capture. */
  readonly position: () => SnapshotMeta & { readonly timeMs: number }
  /** Everything up to here is gone from the log: an older snapshot helps nobody. */
  readonly compactedIndex: () => LogIndex
}

/*
 * content : version u8 = 1 | timeMs f64, little endian | what the machine's capture gives, or what is made of it
 */
const VERSION = 1
const HEAD_BYTES = 9
const READ_BYTES_MAX = 256 * 1024

/** Makes snapshots of a group's state, one at a time, and puts them back. */
export class SnapshotKeeper {
  readonly #parts: SnapshotKeeperParts
  #making: Promise<LogIndex> | undefined

  constructor(parts: SnapshotKeeperParts) {
    this.#parts = parts
  }

  get isMaking(): boolean {
    return this.#making !== undefined
  }

  /** Captures the state now, unless that is under way; resolves with its index when it is durable. */
  make(): Promise<LogIndex> {
    this.#making ??= this.#make().finally(() => {
      this.#making = undefined
    })
    return this.#making
  }

  /** Resolves when none is being made. */
  async idle(): Promise<void> {
    await this.#making?.catch(() => undefined)
  }

  /** The newest snapshot that reaches the log; made when there is none. */
  async open(): Promise<SnapshotSource> {
    const { shelf, compactedIndex } = this.#parts
    while (shelf.newest === undefined || shelf.newest.index < compactedIndex()) await this.make()
    return shelf.open()
  }

  /** At the start of a node: puts back what the shelf has, if anything. */
  async recover(): Promise<{ readonly meta: SnapshotMeta; readonly timeMs: number } | undefined> {
    const { shelf } = this.#parts
    if (shelf.newest === undefined) return undefined
    const source = await shelf.open()
    try {
      return { meta: source.meta, timeMs: await this.#putBack(source) }
    } finally {
      await source.close()
    }
  }

  /** Keeps and puts back another node's snapshot. Closes the source. */
  async restore(source: SnapshotSource): Promise<{ readonly timeMs: number }> {
    try {
      // One that is being made would be of the state that goes away: it is let finish first.
      await this.idle()
      await this.#parts.shelf.adopt(source)
      return { timeMs: await this.#putBack(source) }
    } finally {
      await source.close()
    }
  }

  async #make(): Promise<LogIndex> {
    const { machine, shelf, custom, position } = this.#parts
    const { index, term, configuration, timeMs } = position()
    const capture = machine.capture()
    try {
      await shelf.write(
        { index, term, configuration },
        withHead(timeMs, custom?.serialize(capture.chunks()) ?? capture.chunks()),
      )
    } finally {
      capture.release()
    }
    return index
  }

  async #putBack(source: SnapshotSource): Promise<number> {
    if (source.sizeBytes < HEAD_BYTES) throw new SnapshotContentError('the snapshot ends within its head')
    const head = await readFully(source, 0, HEAD_BYTES)
    const view = new DataView(head.buffer, head.byteOffset, head.byteLength)
    if (view.getUint8(0) !== VERSION) throw new SnapshotContentError('the snapshot is of another version')
    const timeMs = view.getFloat64(1, true)
    if (!Number.isSafeInteger(timeMs) || timeMs < 0)
      throw new SnapshotContentError('the snapshot has no time')
    const { machine, custom } = this.#parts
    const stored = chunksOf(source)
    await machine.restore(custom?.deserialize(stored) ?? stored)
    return timeMs
  }
}

async function* withHead(timeMs: number, chunks: AsyncIterable<Uint8Array>): AsyncIterable<Uint8Array> {
  const head = new Uint8Array(HEAD_BYTES)
  const view = new DataView(head.buffer)
  view.setUint8(0, VERSION)
  view.setFloat64(1, timeMs, true)
  yield head
  yield* chunks
}

async function* chunksOf(source: SnapshotSource): AsyncIterable<Uint8Array> {
  let at = HEAD_BYTES
  while (at < source.sizeBytes) {
    const chunk = await source.read(at, READ_BYTES_MAX)
    invariant(chunk.length > 0, 'a snapshot gives bytes up to its size')
    yield chunk
    at += chunk.length
  }
}

async function readFully(source: SnapshotSource, offset: number, lengthBytes: number): Promise<Uint8Array> {
  const bytes = new Uint8Array(lengthBytes)
  let have = 0
  while (have < lengthBytes) {
    const chunk = await source.read(offset + have, lengthBytes - have)
    invariant(chunk.length > 0, 'a snapshot gives bytes up to its size')
    bytes.set(chunk, have)
    have += chunk.length
  }
  return bytes
}
