import { invariant } from '@sluice/foundation'
import {
  type Entry,
  EntryKind,
  type GroupState,
  type RaftGroup,
  type RaftHost,
  Role,
  type StateMachine,
} from '@sluice/raft'
import type { ClosedLoop, LoadTarget } from './closed-loop.js'

/** A log is compacted when it holds so many applied entries … */
const COMPACT_ABOVE_ENTRIES = 32_768
/** … and keeps so many of them. */
const KEPT_ENTRIES = 8192

/** Applies nothing but the load's accounts: what it costs is what the library costs. */
export class BenchMachine implements StateMachine, LoadTarget {
  /** Of the host this machine's group is in; set once the group is open. */
  host: RaftHost | undefined
  group: RaftGroup | undefined
  onState: ((state: GroupState) => void) | undefined
  #applied = 0
  #load: ClosedLoop | undefined
  #numberInLoad = 0

  get applied(): number {
    return this.#applied
  }

  joinLoad(load: ClosedLoop, number: number): void {
    this.#load = load
    this.#numberInLoad = number
  }

  leaveLoad(): void {
    this.#load = undefined
  }

  apply(entries: readonly Entry[]): void {
    for (const { index, kind } of entries) {
      invariant(this.#applied === 0 || index === this.#applied + 1, 'entries come in order, each once')
      this.#applied = index
      if (kind === EntryKind.COMMAND) this.#load?.committed(this.#numberInLoad, index)
    }
    this.#compact()
  }

  stateChanged(state: GroupState): void {
    if (state.role !== Role.LEADER) this.#load?.fail(new Error('the node that was under load leads no more'))
    this.onState?.(state)
  }

  propose(command: Uint8Array): number {
    const outcome = this.group!.propose([command])
    if (outcome.kind !== 'accepted') throw new Error(`a command was refused: ${outcome.kind}`)
    return outcome.firstIndex
  }

  #compact(): void {
    const group = this.group
    if (group === undefined || this.#applied - group.log.compactedIndex < COMPACT_ABOVE_ENTRIES) return
    const index = Math.min(this.#applied - KEPT_ENTRIES, group.compactionLimit())
    this.host?.compact(group, index)
  }
}
