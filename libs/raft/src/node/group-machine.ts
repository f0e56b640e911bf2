import { type Entry, EntryKind, type LogIndex, type SnapshotMeta, type Term } from '../core/types.js'
import type { GroupState, SnapshotSource, StateMachine } from '../host/state-machine.js'
import { type CommandEnvelope, decodeEnvelope, EnvelopeError } from './command-envelope.js'
import type { NodeMachine } from './node-machine.js'
import type { PendingCommands } from './pending-commands.js'
import type { SnapshotKeeper } from './snapshot-keeper.js'

export interface GroupMachineParts {
  readonly machine: NodeMachine
  readonly pending: PendingCommands<unknown>
  readonly snapshots: SnapshotKeeper
  /** Of this process. */
  readonly instance: number
  readonly observedTime: (timeMs: number) => void
  readonly stateChanged: (state: GroupState) => void
  readonly applied: (entry: Entry) => void
  /** A snapshot replaced the state: entries in between are never seen here. */
  readonly jumped: (to: SnapshotMeta) => void
}

/**
 * Between a group's log and the replicated state: tells callers of this node what became of their
 * commands, at the moment when their effect is to be seen here.
 */
export class GroupMachine implements StateMachine {
  readonly #parts: GroupMachineParts
  #appliedIndex: LogIndex
  #appliedTerm: Term
  #timeMs: number

  constructor(parts: GroupMachineParts, from: { index: LogIndex; term: Term; timeMs: number }) {
    this.#parts = parts
    this.#appliedIndex = from.index
    this.#appliedTerm = from.term
    this.#timeMs = from.timeMs
  }

  /** Of the last applied entry. */
  get position(): { readonly index: LogIndex; readonly term: Term; readonly timeMs: number } {
    return { index: this.#appliedIndex, term: this.#appliedTerm, timeMs: this.#timeMs }
  }

  apply(entries: readonly Entry[]): void {
    const { pending, applied } = this.#parts
    for (const entry of entries) {
      this.#appliedIndex = entry.index
      this.#appliedTerm = entry.term
      pending.reachedTerm(entry.term)
      if (entry.kind === EntryKind.COMMAND) this.#applyCommand(entry)
      applied(entry)
    }
  }

  stateChanged(state: GroupState): void {
    this.#parts.stateChanged(state)
  }

  openSnapshot(): Promise<SnapshotSource> {
    return this.#parts.snapshots.open()
  }

  async restore(source: SnapshotSource): Promise<void> {
    const { index, term } = source.meta
    const { timeMs } = await this.#parts.snapshots.restore(source)
    this.#appliedIndex = index
    this.#appliedTerm = term
    this.#observe(timeMs)
    this.#parts.pending.skippedTo(term)
    this.#parts.jumped(source.meta)
  }

  #applyCommand(entry: Entry): void {
    const envelope = envelopeOf(entry)
    if (envelope === undefined) return
    const { instance, sequence, timeMs, payload } = envelope
    this.#observe(timeMs)
    const { index, term } = entry
    const result = this.#parts.machine.apply(payload, { index, term, timeMs: this.#timeMs })
    if (instance === this.#parts.instance) this.#parts.pending.applied(sequence, result)
  }

  /** A new leader's clock may be behind the one before it; the time of commands is not. */
  #observe(timeMs: number): void {
    if (timeMs <= this.#timeMs) return
    this.#timeMs = timeMs
    this.#parts.observedTime(timeMs)
  }
}

/** An entry that is none does nothing, on every node alike: whoever proposed it bypassed this class. */
function envelopeOf(entry: Entry): CommandEnvelope | undefined {
  try {
    return decodeEnvelope(entry.data)
  } catch (error) {
    if (error instanceof EnvelopeError) return undefined
    throw error
  }
}
