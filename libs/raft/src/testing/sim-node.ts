import { invariant, type Random } from '@sluice/foundation'
import type { CoreConfig } from '../core/config.js'
import { RaftCore } from '../core/core.js'
import type { ProposeResult } from '../core/leader.js'
import type { PeerProgress } from '../core/progress.js'
import {
  type Entry,
  EntryKind,
  type HardState,
  type LogIndex,
  MessageKind,
  type NodeId,
  type RaftGroupId,
  type RaftMessage,
  type RaftOutput,
  Role,
  type Term,
} from '../core/types.js'
import type { Envelope } from './core-driver.js'
import { commandOf, fingerprint, serialOf } from './invariants/fingerprint.js'
import type { InvariantCheck, ObservedNode } from './invariants/invariant-check.js'
import type { MemoryLog } from '../storage/memory-log.js'
import type { SimDisk } from './sim-disk.js'
import type { Trace } from './trace.js'

/** Mistakes of a host, to see that the invariants find them. */
export type Sabotage = 'reports-writes-before-sync' | 'forgets-votes' | 'skips-an-entry'

/** What a simulated node needs of its world. */
export interface Surroundings {
  readonly checks: Required<InvariantCheck>
  readonly trace: Trace
  now(): number
  later(delayMs: number, run: () => void): void
  send(envelope: Envelope): void
  /** A command was applied where its proposer was told that it would be. */
  acknowledged(serial: number, index: LogIndex): void
  acknowledgedIndex(): LogIndex
}

export interface SimNodeSettings {
  readonly core: Pick<
    CoreConfig,
    | 'voters'
    | 'learners'
    | 'electionTicks'
    | 'inflightMessagesMax'
    | 'inflightBytesMax'
    | 'appendBytesMax'
    | 'uncommittedBytesMax'
  >
  readonly tickMs: number
  /** At most this long what happened waits for a turn, and a turn's entries to be applied. Milliseconds. */
  readonly turnDelayMs: number
  readonly applyDelayMs: number
  readonly sabotage: Sabotage | undefined
}

interface Completion {
  readonly persistId: number
  readonly messages: RaftMessage[]
}

/** One process of the simulation: a core, its host, its disk and a state machine with checkpoints. */
export class SimNode implements ObservedNode {
  readonly id: NodeId
  readonly isVoter: boolean
  readonly disk: SimDisk
  incarnation = 0
  changedFrom = Number.POSITIVE_INFINITY
  stateHash = 0
  readonly #settings: SimNodeSettings
  readonly #random: Random
  readonly #around: Surroundings
  #core: RaftCore | undefined
  #checkpoint = { applied: 0, stateHash: 0 }
  #outstanding: Completion[] = []
  #turnScheduled = false
  #pausedUntilMs = 0
  #applyDelayMs: number
  #proposed = new Map<number, { readonly index: LogIndex; readonly term: Term }>()
  #reads = new Map<number, LogIndex>()
  #nextToken = 1

  constructor(parts: {
    readonly id: NodeId
    readonly disk: SimDisk
    readonly settings: SimNodeSettings
    readonly random: Random
    readonly around: Surroundings
  }) {
    this.id = parts.id
    this.isVoter = parts.settings.core.voters.includes(parts.id)
    this.disk = parts.disk
    this.#settings = parts.settings
    this.#applyDelayMs = parts.settings.applyDelayMs
    this.#random = parts.random
    this.#around = parts.around
  }

  get isUp(): boolean {
    return this.#core !== undefined
  }

  get isLeader(): boolean {
    return this.#core?.role === Role.LEADER
  }

  get role(): Role {
    return this.#running.role
  }

  get term(): Term {
    return this.#running.term
  }

  get vote(): NodeId | 0 {
    return this.#running.vote
  }

  get commit(): LogIndex {
    return this.#running.commit
  }

  get applied(): LogIndex {
    return this.#running.applied
  }

  get durableIndex(): LogIndex {
    return this.#running.durableIndex
  }

  get log(): MemoryLog {
    return this.disk.current
  }

  get durableLog(): MemoryLog {
    return this.disk.durable
  }

  get durableHardState(): HardState {
    return this.disk.durableHardState
  }

  progress(peer: NodeId): PeerProgress | undefined {
    return this.#running.progress(peer)
  }

  start(): void {
    invariant(this.#core === undefined, 'a node starts when it is down')
    const hardState = this.disk.hardState
    const forgets = this.#settings.sabotage === 'forgets-votes'
    this.#core = new RaftCore({
      ...this.#settings.core,
      id: this.id,
      group: 1 as RaftGroupId,
      random: this.#random,
      log: this.disk.current,
      hardState: forgets ? { ...hardState, vote: 0 } : hardState,
      applied: this.#checkpoint.applied,
    })
    this.stateHash = this.#checkpoint.stateHash
    this.incarnation++
    this.#around.checks.restarted(this)
    this.#scheduleTick(this.incarnation)
    this.event(() => undefined)
  }

  crash(): void {
    this.#core = undefined
    this.disk.crash()
    this.#outstanding = []
    this.#turnScheduled = false
    this.#proposed = new Map()
    this.#reads = new Map()
    this.#pausedUntilMs = 0
  }

  /** Nothing happens here for so long; what should have happens afterwards, in the same order. */
  pause(durationMs: number): void {
    if (this.#pausedUntilMs <= this.#around.now()) this.#pausedUntilMs = this.#around.now() + durationMs
  }

  /** From now on entries are applied without delay, so that a backlog is worked off soon. */
  hurry(): void {
    this.#applyDelayMs = 0
  }

  /** Runs one call into the core, unless the node is down, and looks at what it did. */
  event(run: (core: RaftCore) => void): void {
    const core = this.#core
    if (core === undefined) return
    const waitMs = this.#pausedUntilMs - this.#around.now()
    if (waitMs > 0) {
      this.#later(waitMs, () => this.event(run))
      return
    }
    run(core)
    const { checks, trace } = this.#around
    trace.note(
      this.#around.now(),
      'node',
      this.id,
      core.role,
      core.term,
      core.leader,
      core.commit,
      core.applied,
    )
    checks.stepped(this)
    if (core.hasOutput()) this.#scheduleTurn()
    else this.#settled()
  }

  receive({ message, entries }: Envelope): void {
    this.event((core) => {
      this.#around.trace.message(this.#around.now(), 'received', message)
      core.step(message, entries)
    })
  }

  propose(serials: readonly number[], sizeBytes: number): void {
    this.event((core) => {
      const proposals = serials.map((serial) => ({
        kind: EntryKind.COMMAND,
        data: commandOf(serial, sizeBytes),
      }))
      const result: ProposeResult = core.propose(proposals)
      if (result.kind !== 'accepted') return
      serials.forEach((serial, i) =>
        this.#proposed.set(serial, { index: result.firstIndex + i, term: result.term }),
      )
    })
  }

  read(): void {
    this.event((core) => {
      const token = this.#nextToken++
      if (core.readIndex(token).kind === 'accepted') this.#reads.set(token, this.#around.acknowledgedIndex())
    })
  }

  /** The state machine's state becomes durable, as in a database. */
  checkpoint(): void {
    this.event((core) => {
      this.#checkpoint = { applied: core.applied, stateHash: this.stateHash }
    })
  }

  /** Drops what neither a member nor this node's own restart needs. */
  compact(): void {
    this.event((core) => {
      if (core.hasOutput()) return
      const index = Math.min(core.compactionLimit(), this.#checkpoint.applied)
      this.disk.compact(index)
    })
  }

  get #running(): RaftCore {
    invariant(this.#core !== undefined, 'the node is up')
    return this.#core
  }

  /** Later, if this incarnation still lives then. */
  #later(delayMs: number, run: () => void): void {
    const incarnation = this.incarnation
    this.#around.later(delayMs, () => {
      if (this.isUp && this.incarnation === incarnation) run()
    })
  }

  #scheduleTick(incarnation: number): void {
    this.#later(this.#settings.tickMs * (0.9 + 0.2 * this.#random.next()), () => {
      this.event((core) => core.tick())
      this.#scheduleTick(incarnation)
    })
  }

  #scheduleTurn(): void {
    if (this.#turnScheduled) return
    this.#turnScheduled = true
    this.#later(this.#random.next() * this.#settings.turnDelayMs, () => {
      this.#turnScheduled = false
      this.event((core) => {
        if (core.hasOutput()) this.#carryOut(core.take())
      })
    })
  }

  #settled(): void {
    this.changedFrom = this.disk.current.takeChangedFrom()
    this.#around.checks.settled(this)
  }

  #carryOut(output: RaftOutput): void {
    const incarnation = this.incarnation
    if (output.persistId > 0) {
      const completion = { persistId: output.persistId, messages: [...output.sendAfterPersist] }
      this.#outstanding.push(completion)
      this.disk.write(output, () => {
        if (this.isUp && this.incarnation === incarnation) this.event(() => this.#persisted(completion))
      })
      if (this.#settings.sabotage === 'reports-writes-before-sync') {
        this.#around.later(0, () => {
          if (this.isUp && this.incarnation === incarnation) this.event(() => this.#persisted(completion))
        })
      }
    } else {
      const last = this.#outstanding.at(-1)
      if (last === undefined) this.#send(output.sendAfterPersist)
      else last.messages.push(...output.sendAfterPersist)
    }
    this.#send(output.sendNow)
    for (const { token, index } of output.reads) this.#answerRead(token, index)
    for (const token of output.readsRefused) this.#reads.delete(token)
    if (output.applyTo >= output.applyFrom)
      this.#later(this.#random.next() * this.#applyDelayMs, () =>
        this.event(() => this.#apply(output.applyFrom, output.applyTo)),
      )
  }

  #persisted(completion: Completion): void {
    if (this.#outstanding[0] !== completion) {
      invariant(this.#settings.sabotage !== undefined, 'writes complete in the order they were made')
      return
    }
    this.#outstanding.shift()
    this.#running.persisted(completion.persistId)
    this.#send(completion.messages)
  }

  #send(messages: readonly RaftMessage[]): void {
    for (const message of messages) {
      const entries =
        message.kind === MessageKind.APPEND && message.count > 0
          ? this.disk.current.slice(message.index + 1, message.index + message.count)
          : []
      this.#around.trace.message(this.#around.now(), 'sent', message)
      this.#around.checks.sent(this, message)
      this.#around.send({ message, entries })
    }
  }

  #answerRead(token: number, index: LogIndex): void {
    const acknowledgedIndex = this.#reads.get(token)
    invariant(acknowledgedIndex !== undefined, 'a read is answered once')
    this.#reads.delete(token)
    this.#around.checks.readAnswered({ index, acknowledgedIndex })
  }

  #apply(from: LogIndex, to: LogIndex): void {
    const skips = this.#settings.sabotage === 'skips-an-entry' && this.#random.below(100) === 0
    for (const entry of this.disk.current.slice(skips ? from + 1 : from, to)) this.#applyEntry(entry)
    this.#running.appliedTo(to)
  }

  #applyEntry(entry: Entry): void {
    this.stateHash = Math.imul(this.stateHash ^ fingerprint(entry), 0x01000193) >>> 0
    this.#around.checks.applied(this, entry)
    const serial = serialOf(entry)
    const proposal = serial === undefined ? undefined : this.#proposed.get(serial)
    if (serial === undefined || proposal === undefined) return
    this.#proposed.delete(serial)
    if (proposal.index === entry.index && proposal.term === entry.term)
      this.#around.acknowledged(serial, entry.index)
  }
}
