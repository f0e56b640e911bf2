import { invariant } from '@sluice/foundation'
import { type Entry, EntryKind, type GroupState, type StateMachine } from '@sluice/raft'
import { CommandKind, decodeCommand, type EntryId } from './log-command.js'

export type Decision = 'stored' | 'withdrawn'

/**
 * The log, and what was decided of every entry that anybody asked for. The first command of an entry in
 * the replicated order decides it for ever, on all nodes alike: later ones change nothing.
 */
export class LogMachine implements StateMachine {
  readonly entries: Uint8Array[] = []
  sizeBytes = 0
  readonly #decisions = new Map<EntryId, Decision>()
  readonly #onDecided: (id: EntryId, decision: Decision) => void
  readonly #onState: (state: GroupState) => void

  constructor(parts: {
    readonly onDecided: (id: EntryId, decision: Decision) => void
    readonly onState: (state: GroupState) => void
  }) {
    this.#onDecided = parts.onDecided
    this.#onState = parts.onState
  }

  apply(entries: readonly Entry[]): void {
    for (const { kind, data } of entries) if (kind === EntryKind.COMMAND) this.#apply(data)
  }

  stateChanged(state: GroupState): void {
    this.#onState(state)
  }

  #apply(data: Uint8Array): void {
    const command = decodeCommand(data)
    invariant(command !== undefined, 'only commands are proposed')
    const { kind, id, body } = command
    if (!this.#decisions.has(id)) {
      const isStored = kind === CommandKind.STORE
      this.#decisions.set(id, isStored ? 'stored' : 'withdrawn')
      if (isStored) {
        this.entries.push(body)
        this.sizeBytes += body.length
      }
    }
    this.#onDecided(id, this.#decisions.get(id)!)
  }
}
