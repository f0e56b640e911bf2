import type { SnapshotMeta } from '../core/types.js'
import type { ContentSource, SnapshotContent } from './snapshot-content.js'

/** A source that tells when whoever got it is done with it. */
export class DeliveredSource implements ContentSource {
  readonly #source: ContentSource
  readonly #closed: () => void

  constructor(source: ContentSource, closed: () => void) {
    this.#source = source
    this.#closed = closed
  }

  get meta(): SnapshotMeta {
    return this.#source.meta
  }

  get content(): SnapshotContent {
    return this.#source.content
  }

  get sizeBytes(): number {
    return this.#source.sizeBytes
  }

  read(offset: number, lengthMax: number): Promise<Uint8Array> {
    return this.#source.read(offset, lengthMax)
  }

  async close(): Promise<void> {
    await this.#source.close()
    this.#closed()
  }
}
