import { invariant } from '@sluice/foundation'
import type { RaftGroupId, SnapshotMeta } from '../core/types.js'
import type { SnapshotSource } from '../host/state-machine.js'
import type { SnapshotStore } from '../snapshot/snapshot-store.js'
import type { SnapshotShelf } from './snapshot-keeper.js'

/** An older one would lack what the log has given up since. */
const KEEP_COUNT = 1

/** The snapshots of one group in the store of its node; the newest is kept. */
export class StoreShelf implements SnapshotShelf {
  readonly #store: SnapshotStore
  readonly #group: RaftGroupId
  readonly #uuid: Uint8Array

  constructor(store: SnapshotStore, group: RaftGroupId, uuid: Uint8Array) {
    this.#store = store
    this.#group = group
    this.#uuid = uuid
  }

  /** @throws SnapshotCorruptError when it is known to be damaged: the group is not empty for that */
  get newest(): SnapshotMeta | undefined {
    return this.#store.latest(this.#group, this.#uuid)
  }

  async write(meta: SnapshotMeta, chunks: AsyncIterable<Uint8Array>): Promise<void> {
    await this.#store.write(this.#group, this.#uuid, meta, chunks)
    await this.#store.prune(this.#group, this.#uuid, KEEP_COUNT)
  }

  async adopt(source: SnapshotSource): Promise<void> {
    await this.#store.adopt(this.#group, this.#uuid, source)
    await this.#store.prune(this.#group, this.#uuid, KEEP_COUNT)
  }

  open(): Promise<SnapshotSource> {
    const { newest } = this
    invariant(newest !== undefined, 'there is a snapshot to open')
    return this.#store.open(this.#group, this.#uuid, newest)
  }
}
