import type { Random } from '@sluice/foundation'
import type { Entry, LogIndex, SnapshotMeta, Term } from '../core/types.js'
import type { SnapshotSource, StateMachine } from '../host/state-machine.js'
import type { Sabotage } from './sabotage.js'
import { SimSnapshot, SimState } from './sim-state.js'

/** What a machine has durably: as a database, or as the newest snapshot. */
export interface MachineDisk {
  state: SimState
  snapshot: SimSnapshot | undefined
  /** The last snapshot that came from another node. */
  restored: SnapshotMeta | undefined
}

export function emptyMachineDisk(): MachineDisk {
  return { state: new SimState(), snapshot: undefined, restored: undefined }
}

export interface SimMachineParts {
  readonly disk: MachineDisk
  readonly random: Random
  readonly sabotage: Sabotage | undefined
  /** Only the snapshot survives, not what was applied since. */
  readonly startsFromSnapshot: boolean
  /** Gives the value later, unless the process is gone by then. */
  readonly slow: <T>(value: T) => Promise<T>
  /** The part of snapshots that cannot be opened. */
  readonly snapshotLost: number
  readonly configurationAt: (index: LogIndex) => Uint8Array
  readonly compactedIndex: () => LogIndex
  readonly applied: (entry: Entry, previous: number) => void
  readonly snapshot: (meta: SnapshotMeta, about: { stateHash: number; isRestored: boolean }) => void
}

/** A state machine of a few registers, with what it has durably apart from what it has in memory. */
export class SimMachine implements StateMachine {
  state: SimState
  readonly #parts: SimMachineParts
  #isClosed = false

  constructor(parts: SimMachineParts) {
    this.#parts = parts
    const { disk, startsFromSnapshot } = parts
    this.state = startsFromSnapshot ? (disk.snapshot?.state ?? new SimState()) : disk.state.copy()
  }

  /** Everything up to here survives a crash. */
  get durableIndex(): LogIndex {
    const { disk, startsFromSnapshot } = this.#parts
    return startsFromSnapshot ? (disk.snapshot?.meta.index ?? 0) : disk.state.applied
  }

  apply(entries: readonly Entry[]): void {
    const { sabotage, random } = this.#parts
    for (const entry of entries) {
      if (sabotage === 'skips-an-entry' && random.below(100) === 0) continue
      this.#apply(entry)
      if (sabotage === 'applies-twice' && random.below(100) === 0) this.#apply(entry)
    }
  }

  stateChanged(): void {
    // Whoever waits is told by the terms of the entries that are applied.
  }

  /** What is in memory becomes durable. */
  checkpoint(): void {
    const { disk } = this.#parts
    if (this.state.applied === 0) return
    disk.state = this.state.copy()
    disk.snapshot = this.#capture()
  }

  #apply(entry: Entry): void {
    this.#parts.applied(entry, this.state.apply(entry))
  }

  #capture(): SimSnapshot {
    const { applied: index, appliedTerm: term } = this.state
    const meta = { index, term, configuration: this.#parts.configurationAt(index) }
    const state = this.state.copy()
    if (this.#parts.sabotage === 'snapshots-miss-an-entry') state.hash ^= 1
    this.#parts.snapshot(meta, { stateHash: state.hash, isRestored: false })
    return new SimSnapshot(meta, state.encode())
  }

  async #open(): Promise<SnapshotSource> {
    const { disk, slow, random, snapshotLost, compactedIndex } = this.#parts
    const isLost = random.next() < snapshotLost
    const kept = disk.snapshot
    const reaches = kept !== undefined && kept.meta.index >= compactedIndex()
    const source = reaches && random.below(2) === 0 ? kept : this.#capture()
    await slow(undefined)
    if (isLost) throw new Error('the snapshot cannot be opened')
    return source
  }

  async #restore(source: SnapshotSource): Promise<void> {
    const { disk, slow } = this.#parts
    const half = source.sizeBytes >> 1
    const first = await source.read(0, half)
    const rest = await source.read(half, source.sizeBytes)
    const bytes = new Uint8Array(source.sizeBytes)
    bytes.set(first)
    bytes.set(rest, half)
    await slow(undefined)
    if (this.#isClosed) {
      await source.close()
      return
    }
    const snapshot = new SimSnapshot(source.meta, bytes)
    const { state } = snapshot
    disk.state = state
    disk.snapshot = snapshot
    disk.restored = source.meta
    this.state = state.copy()
    this.#parts.snapshot(source.meta, { stateHash: state.hash, isRestored: true })
    await source.close()
  }

  /** Its group is closed: what is under way changes nothing any more. */
  close(): void {
    this.#isClosed = true
  }

  /** A machine whose group has snapshots. */
  withSnapshots(): StateMachine {
    return {
      apply: (entries) => this.apply(entries),
      stateChanged: () => undefined,
      openSnapshot: () => this.#open(),
      restore: (source) => this.#restore(source),
    }
  }

  get appliedTerm(): Term {
    return this.state.appliedTerm
  }
}
