import { InvariantError, toError } from '@sluice/foundation'
import type { RaftGroupId } from '../core/types.js'
import {
  SnapshotBusyError,
  SnapshotClosedError,
  SnapshotCorruptError,
  SnapshotTooLargeError,
} from './errors.js'
import { SnapshotRefusal } from './frame.js'
import type { IncomingSnapshot } from './incoming-snapshot.js'
import type { ContentSource } from './snapshot-content.js'
import type { ReceptionKey } from './reception.js'
import type { ReceiverAction } from './snapshot-receiver.js'
import type { SnapshotStore } from './snapshot-store.js'
import { Turns } from './turns.js'

type FileAction = Exclude<ReceiverAction, { readonly kind: 'send' }>

/** What became of an action; called outside of the call that asked for it. */
interface IncomingFilesHandlers {
  opened(key: ReceptionKey, offset: number): void
  written(key: ReceptionKey, offset: number): void
  finished(key: ReceptionKey, source: ContentSource): void
  failed(key: ReceptionKey, reason: SnapshotRefusal, error: Error): void
  /** A bug: nothing can be built on what is there now. */
  broken(error: Error): void
}

/** Carries out what a receiver wants of the store: for a group one thing after the other. */
export class IncomingFiles {
  readonly #store: SnapshotStore
  readonly #handlers: IncomingFilesHandlers
  readonly #turns = new Turns<RaftGroupId>()
  readonly #open = new Map<ReceptionKey, IncomingSnapshot>()

  constructor(store: SnapshotStore, handlers: IncomingFilesHandlers) {
    this.#store = store
    this.#handlers = handlers
  }

  carryOut(action: FileAction): void {
    const group = action.kind === 'open' ? action.offer.group : action.group
    void this.#turns.run(group, async () => {
      try {
        await this.#do(action)
      } catch (error) {
        this.#handlers.broken(toError(error))
      }
    })
  }

  /** Resolves when everything asked for is done. */
  idle(): Promise<void> {
    return this.#turns.idle()
  }

  async #do(action: FileAction): Promise<void> {
    const { key } = action
    let report: () => void
    try {
      report = await this.#result(action)
    } catch (error) {
      if (error instanceof InvariantError) throw error
      this.#open.delete(key)
      report = () => this.#handlers.failed(key, refusalFor(error), toError(error))
    }
    report()
  }

  async #result(action: FileAction): Promise<() => void> {
    const { key } = action
    if (action.kind === 'open') {
      const { group, uuid, meta, content } = action.offer
      const opened = await this.#store.receive(group, uuid, meta, content)
      this.#open.set(key, opened)
      return () => this.#handlers.opened(key, opened.receivedBytes)
    }
    const incoming = this.#open.get(key)
    // It failed before, and that was reported.
    if (incoming === undefined) return () => undefined
    switch (action.kind) {
      case 'write':
        await incoming.write(action.offset, action.data)
        return () => this.#handlers.written(key, incoming.receivedBytes)
      case 'finish': {
        const source = await incoming.finish()
        this.#open.delete(key)
        return () => this.#handlers.finished(key, source)
      }
      case 'end':
        this.#open.delete(key)
        await (action.keep ? incoming.suspend() : incoming.abort())
        return () => undefined
    }
  }
}

function refusalFor(error: unknown): SnapshotRefusal {
  if (error instanceof SnapshotBusyError || error instanceof SnapshotClosedError) return SnapshotRefusal.BUSY
  if (error instanceof SnapshotTooLargeError) return SnapshotRefusal.TOO_LARGE
  if (error instanceof SnapshotCorruptError) return SnapshotRefusal.DAMAGED
  return SnapshotRefusal.STORAGE
}
