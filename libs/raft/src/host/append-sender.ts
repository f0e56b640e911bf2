import { toError } from '@sluice/foundation'
import {
  type Entry,
  EntryKind,
  MessageKind,
  type NodeId,
  type RaftGroupId,
  type RaftMessage,
  type Term,
} from '../core/types.js'
import type { GroupStorage } from '../storage/log-store.js'
import type { Outbox } from './outbox.js'

const NO_ENTRIES: readonly Entry[] = []

/** The group whose messages are sent. */
export interface AppendSenderOwner {
  readonly id: RaftGroupId
  /** A number that tells it from other groups that had its id. */
  readonly incarnation: number
  readonly log: GroupStorage
  /** In force here, encoded. */
  readonly configurationBytes: Uint8Array
  /** That in which this node leads now, if it does. */
  readonly leadingTerm: Term | undefined
  /** Something was put into the outbox outside of a turn. */
  sentLater(): void
  failed(error: Error): void
}

/** Puts a group's messages on their way, with the entries that an append names. */
export class AppendSender {
  readonly #owner: AppendSenderOwner
  readonly #outbox: Outbox
  /** Peers whose appends wait for the disk. */
  #reading: Map<NodeId, Promise<void>> | undefined

  constructor(owner: AppendSenderOwner, outbox: Outbox) {
    this.#owner = owner
    this.#outbox = outbox
  }

  send(message: RaftMessage): void {
    if (message.kind === MessageKind.RECOVERY_RESPONSE) {
      this.#add({ ...message, count: 1 }, [this.#configurationEntry(message)])
      return
    }
    if (message.kind !== MessageKind.APPEND || message.count === 0) {
      this.#add(message, NO_ENTRIES)
      return
    }
    const earlier = this.#reading?.get(message.to)
    const to = message.index + message.count
    const entries = earlier === undefined ? this.#owner.log.slice(message.index + 1, to) : undefined
    if (entries !== undefined) {
      this.#add(message, entries)
      return
    }
    // One after the other: an append that overtakes the one before it would be refused.
    const waiting = (this.#reading ??= new Map<NodeId, Promise<void>>())
    const reading = (earlier ?? Promise.resolve()).then(() => this.#sendFromDisk(message))
    waiting.set(message.to, reading)
    void reading.then(() => {
      if (waiting.get(message.to) === reading) waiting.delete(message.to)
    })
  }

  #configurationEntry({ index, term }: RaftMessage): Entry {
    return { index: index + 1, term, kind: EntryKind.CONFIGURATION, data: this.#owner.configurationBytes }
  }

  /** Entries that are no longer in memory: the disk answers later, and by then the term may have moved on. */
  async #sendFromDisk(message: RaftMessage): Promise<void> {
    try {
      const first = message.index + 1
      if (!this.#mayStillSend(message)) return
      const entries = await this.#owner.log.read(
        first,
        message.index + message.count,
        Number.MAX_SAFE_INTEGER,
      )
      if (!this.#mayStillSend(message) || entries.length !== message.count) return
      this.#add(message, entries)
      this.#owner.sentLater()
    } catch (error) {
      if (this.#mayStillSend(message)) this.#owner.failed(toError(error))
    }
  }

  #mayStillSend(message: RaftMessage): boolean {
    return this.#owner.leadingTerm === message.term && this.#owner.log.compactedIndex <= message.index
  }

  #add(message: RaftMessage, entries: readonly Entry[]): void {
    const { id: group, incarnation } = this.#owner
    this.#outbox.add({ group, incarnation, message, entries })
  }
}
