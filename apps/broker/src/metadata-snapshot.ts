import { decodeJson, encodeJson } from '@sluice/contracts'
import { invariant } from '@sluice/foundation'
import { type MetadataChanges, type MetadataSnapshot, MetadataState } from '@sluice/metadata'
import type { SnapshotMeta, SnapshotSource } from '@sluice/raft'

/** No metadata is larger: topics, partitions and actors are bounded. */
const SIZE_BYTES_MAX = 1024 * 1024 * 1024
const READ_BYTES = 1024 * 1024

/** The whole metadata at one index, as JSON in memory. */
export class MetadataSnapshotSource implements SnapshotSource {
  readonly meta: SnapshotMeta
  readonly #bytes: Uint8Array

  constructor(meta: SnapshotMeta, state: MetadataSnapshot) {
    this.meta = meta
    this.#bytes = encodeJson(state)
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

/** Reads a snapshot that another broker sent, and closes it. */
export async function readMetadataSnapshot(source: SnapshotSource): Promise<MetadataState> {
  try {
    invariant(source.sizeBytes <= SIZE_BYTES_MAX, 'the metadata is bounded')
    const parts: Uint8Array[] = []
    for (let offset = 0; offset < source.sizeBytes;) {
      const bytes = await source.read(offset, READ_BYTES)
      invariant(bytes.length > 0, 'a snapshot has as many bytes as it says')
      parts.push(bytes)
      offset += bytes.length
    }
    return MetadataState.fromJSON(decodeJson(Buffer.concat(parts)))
  } finally {
    await source.close()
  }
}

/** Everything there is, as changes. */
export function allOf(snapshot: MetadataSnapshot): MetadataChanges {
  const { brokers, topics, producers, consumers, healthChecks, audit } = snapshot
  return {
    brokers,
    topics,
    partitions: [],
    producers,
    consumers,
    healthChecks,
    removedBrokers: [],
    auditEvents: audit.events,
    removed: [],
  }
}
