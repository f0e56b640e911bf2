import { basename, join } from 'node:path'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { type Random, SeededRandom } from '@sluice/foundation'
import type { RaftGroupId, SnapshotMeta } from '../src/core/types.js'
import type { SnapshotSource } from '../src/host/state-machine.js'
import type { SnapshotFiles } from '../src/snapshot/files.js'
import type { SnapshotStoreEvent } from '../src/snapshot/snapshot-event.js'
import {
  openSnapshotStore,
  type SnapshotStore,
  type SnapshotStoreOptions,
} from '../src/snapshot/snapshot-store.js'

export const GROUP = 7 as RaftGroupId
export const UUID = new Uint8Array(16).fill(0xa1)
export const OTHER_UUID = new Uint8Array(16).fill(0xb2)

export function groupId(value: number): RaftGroupId {
  return value as RaftGroupId
}

export function metaOf(index: number, term = 1, configuration = `members of ${index}`): SnapshotMeta {
  return { index, term, configuration: Buffer.from(configuration) }
}

/** Bytes that tell where they belong. */
export function dataOf(sizeBytes: number, seed = 1): Uint8Array {
  const random = new SeededRandom(seed)
  return Uint8Array.from({ length: sizeBytes }, () => random.below(256))
}

export async function* inPieces(data: Uint8Array, pieceBytes = 37): AsyncIterable<Uint8Array> {
  for (let at = 0; at < data.length; at += pieceBytes)
    yield await Promise.resolve(data.subarray(at, at + pieceBytes))
}

/** Everything a source gives, in reads of this length. */
export async function contentsOf(source: SnapshotSource, lengthBytes = 1000): Promise<Buffer> {
  const parts: Uint8Array[] = []
  for (let at = 0; at < source.sizeBytes; at += parts.at(-1)!.length)
    parts.push(await source.read(at, lengthBytes))
  return Buffer.concat(parts)
}

export function contentIds(random: Random): () => Uint8Array {
  return () => Uint8Array.from({ length: 16 }, () => random.below(256))
}

/** Temporary directories and stores; a test's `afterEach` ends both. */
export class SnapshotBench {
  readonly events: SnapshotStoreEvent[] = []
  readonly #directories: string[] = []
  readonly #stores: SnapshotStore[] = []

  async directory(): Promise<string> {
    const directory = await mkdtemp(join(tmpdir(), 'sluice-snapshots-'))
    this.#directories.push(directory)
    return directory
  }

  async open(
    where: string | SnapshotFiles,
    options: Partial<SnapshotStoreOptions> = {},
  ): Promise<SnapshotStore> {
    const store = await openSnapshotStore({
      ...(typeof where === 'string' ? { directory: where } : { directory: '/simulated', files: where }),
      chunkBytes: 64,
      onEvent: (event) => this.events.push(event),
      ...options,
    })
    this.#stores.push(store)
    return store
  }

  async end(): Promise<void> {
    for (const store of this.#stores.splice(0)) await store.close()
    for (const directory of this.#directories.splice(0)) await rm(directory, { recursive: true, force: true })
    this.events.length = 0
  }

  /** What was reported, as `kind file`. */
  get reported(): string[] {
    return this.events.map(({ kind, file }) => `${kind} ${basename(file)}`)
  }
}
