import { toError } from '@sluice/foundation'
import {
  type Entry,
  MessageKind,
  type NodeId,
  type RaftGroupId,
  type RaftMessage,
  type Term,
} from '../core/types.js'
import type { GroupStorage } from '../storage/log-store.js'
import { incarnationOf } from './codec.js'
import type { Outbox } from './outbox.js'

const NO_ENTRIES: readonly Entry[] = []

/** Puts a group's messages on their way, with the entries that an append names. */
export class AppendSender {
  readonly #log: GroupStorage
  readonly #outbox: Outbox
  readonly #incarnation: number
  readonly #term: () => Term | undefined
  readonly #sent: () => void
  readonly #failed: (error: Error) => void
  /** Peers whose appends wait for the disk. */
  readonly #reading = new Map<NodeId, Promise<void>>()

  constructor(parts: {
    readonly log: GroupStorage
    readonly outbox: Outbox
    /** That in which this node leads now, if it does. */
    readonly term: () => Term | undefined
    /** Something was put into the outbox outside of a turn. */
    readonly sent: () => void
    readonly failed: (error: Error) => void
  }) {
    this.#log = parts.log
    this.#outbox = parts.outbox
    this.#incarnation = incarnationOf(parts.log.uuid)
    this.#term = parts.term
    this.#sent = parts.sent
    this.#failed = parts.failed
  }

  send(group: { readonly id: RaftGroupId }, message: RaftMessage): void {
    if (message.kind !== MessageKind.APPEND || message.count === 0) {
      this.#add(group.id, message, NO_ENTRIES)
      return
    }
    const earlier = this.#reading.get(message.to)
    const to = message.index + message.count
    const entries = earlier === undefined ? this.#log.slice(message.index + 1, to) : undefined
    if (entries !== undefined) {
      this.#add(group.id, message, entries)
      return
    }
    // One after the other: an append that overtakes the one before it would be refused.
    const reading = (earlier ?? Promise.resolve()).then(() => this.#sendFromDisk(group.id, message))
    this.#reading.set(message.to, reading)
    void reading.then(() => {
      if (this.#reading.get(message.to) === reading) this.#reading.delete(message.to)
    })
  }

  /** Entries that are no longer in memory: the disk answers later, and by then the term may have moved on. */
  async #sendFromDisk(group: RaftGroupId, message: RaftMessage): Promise<void> {
    try {
      const first = message.index + 1
      if (!this.#mayStillSend(message)) return
      const entries = await this.#log.read(first, message.index + message.count, Number.MAX_SAFE_INTEGER)
      if (!this.#mayStillSend(message) || entries.length !== message.count) return
      this.#add(group, message, entries)
      this.#sent()
    } catch (error) {
      if (this.#mayStillSend(message)) this.#failed(toError(error))
    }
  }

  #mayStillSend(message: RaftMessage): boolean {
    return this.#term() === message.term && this.#log.compactedIndex <= message.index
  }

  #add(group: RaftGroupId, message: RaftMessage, entries: readonly Entry[]): void {
    this.#outbox.add({ group, incarnation: this.#incarnation, message, entries })
  }
}
