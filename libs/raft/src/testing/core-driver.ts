import { invariant, SeededRandom } from '@sluice/foundation'
import { encodeConfiguration } from '../core/configuration.js'
import { type CoreConfig, type CoreLimits, limitsOf } from '../core/config.js'
import { RaftCore } from '../core/core.js'
import type { Proposal, ProposeResult } from '../core/leader.js'
import {
  type Entry,
  EntryKind,
  type HardState,
  type LogIndex,
  MessageKind,
  type NodeId,
  type RaftGroupId,
  type RaftMessage,
  Role,
} from '../core/types.js'
import { MemoryLog } from '../storage/memory-log.js'

/** A message with its entries, as it would arrive. */
export interface Envelope {
  readonly message: RaftMessage
  readonly entries: readonly Entry[]
}

export interface DriverOptions extends Partial<Omit<CoreConfig, 'log' | 'limits'>>, Partial<CoreLimits> {
  readonly log?: MemoryLog
  readonly seed?: number
}

/**
 * One core with a log in memory and a disk that syncs on command: `turn` writes, and what must wait
 * for the disk waits for `persist`.
 */
export class CoreDriver {
  readonly core: RaftCore
  readonly log: MemoryLog
  /** What has left this node and was not taken yet. */
  sent: Envelope[] = []
  /** As handed out, durable or not. */
  hardState: HardState
  readonly applied: Entry[] = []
  readonly reads: { readonly token: number; readonly index: LogIndex }[] = []
  readonly readsRefused: number[] = []
  readonly #waiting: { readonly persistId: number; readonly envelopes: Envelope[] }[] = []

  constructor(options: DriverOptions = {}) {
    this.log = options.log ?? new MemoryLog()
    this.hardState = options.hardState ?? { term: this.log.term(this.log.lastIndex) ?? 0, vote: 0, commit: 0 }
    this.core = new RaftCore({
      id: nodeId(1),
      group: 1 as RaftGroupId,
      voters: [1, 2, 3].map(nodeId),
      random: new SeededRandom(options.seed ?? 1),
      applied: 0,
      ...options,
      limits: limitsOf(options),
      log: this.log,
      hardState: this.hardState,
    })
  }

  /** Writes that are not durable yet. */
  get unsynced(): number {
    return this.#waiting.length
  }

  /** One turn of a host. Applies at once what may be applied. */
  turn(): void {
    const { core } = this
    while (core.hasOutput()) {
      const output = core.take()
      this.log.write(output)
      this.hardState = output.hardState ?? this.hardState
      for (const message of output.sendNow) this.sent.push(this.#fill(message))
      const envelopes = output.sendAfterPersist.map((message) => this.#fill(message))
      if (output.persistId > 0) this.#waiting.push({ persistId: output.persistId, envelopes })
      else (this.#waiting.at(-1)?.envelopes ?? this.sent).push(...envelopes)
      this.reads.push(...output.reads)
      this.readsRefused.push(...output.readsRefused)
      if (output.applyTo >= output.applyFrom) {
        this.applied.push(...this.log.slice(output.applyFrom, output.applyTo))
        core.appliedTo(output.applyTo)
      }
    }
  }

  /** Syncs the oldest writes that wait, all of them unless told how many. */
  persist(count = this.#waiting.length): void {
    for (const write of this.#waiting.splice(0, count)) {
      this.core.persisted(write.persistId)
      this.sent.push(...write.envelopes)
    }
    this.turn()
  }

  /** Turns and syncs until there is nothing left to do. */
  settle(): void {
    this.turn()
    while (this.#waiting.length > 0) this.persist()
  }

  receive(message: RaftMessage, entries: readonly Entry[] = []): void {
    this.core.step(message, entries)
  }

  propose(...texts: readonly string[]): ProposeResult {
    return this.core.propose(texts.map(command))
  }

  tick(count = 1): void {
    for (let i = 0; i < count; i++) this.core.tick()
  }

  takeSent(kind?: MessageKind): readonly RaftMessage[] {
    const messages = this.sent.map((envelope) => envelope.message)
    this.sent = []
    return kind === undefined ? messages : messages.filter((message) => message.kind === kind)
  }

  /** Ticks until this node asks for pre-votes or, alone, leads. */
  timeOut(): void {
    for (let i = 0; i < 40 && this.core.role < Role.PRE_CANDIDATE; i++) this.tick()
    invariant(this.core.role >= Role.PRE_CANDIDATE, 'an election timeout is below twice the election ticks')
  }

  #fill(message: RaftMessage): Envelope {
    if (message.kind === MessageKind.RECOVERY_RESPONSE) {
      const data = encodeConfiguration(this.core.configuration)
      const entry = { index: message.index + 1, term: message.term, kind: EntryKind.CONFIGURATION, data }
      return { message: { ...message, count: 1 }, entries: [entry] }
    }
    const entries =
      message.kind === MessageKind.APPEND && message.count > 0
        ? this.log.slice(message.index + 1, message.index + message.count)
        : []
    return { message, entries }
  }
}

export function nodeId(value: number): NodeId {
  return value as NodeId
}

export function command(text: string): Proposal {
  return { kind: EntryKind.COMMAND, data: new TextEncoder().encode(text) }
}

/** A log written as the terms of its entries, as in the figures of the paper. */
export function entriesOfTerms(terms: readonly number[]): Entry[] {
  return terms.map((term, i) => ({
    index: i + 1,
    term,
    kind: EntryKind.COMMAND,
    data: new TextEncoder().encode(`${term}/${i + 1}`),
  }))
}
