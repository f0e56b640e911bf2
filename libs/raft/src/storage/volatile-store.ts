import { invariant } from '@sluice/foundation'
import type { Entry, HardState, LogIndex, RaftGroupId, Term } from '../core/types.js'
import type { GroupStorage, LogStore, LogWrite } from './log-store.js'
import { MemoryLog } from './memory-log.js'

/** One group's log in memory. */
export class VolatileLog implements GroupStorage {
  readonly id: RaftGroupId
  readonly uuid: Uint8Array
  readonly name: string
  hardState: HardState = { term: 0, vote: 0, commit: 0 }
  readonly #log = new MemoryLog()

  constructor(id: RaftGroupId, uuid: Uint8Array, name: string) {
    this.id = id
    this.uuid = Uint8Array.from(uuid)
    this.name = name
  }

  get compactedIndex(): LogIndex {
    return this.#log.compactedIndex
  }

  get compactedTerm(): Term {
    return this.#log.compactedTerm
  }

  get lastIndex(): LogIndex {
    return this.#log.lastIndex
  }

  get baseConfiguration(): Uint8Array | undefined {
    return this.#log.baseConfiguration
  }

  configurationEntries(): readonly Entry[] {
    return this.#log.configurationEntries()
  }

  term(index: LogIndex): Term | undefined {
    return this.#log.term(index)
  }

  sizeBytes(index: LogIndex): number {
    return this.#log.sizeBytes(index)
  }

  slice(from: LogIndex, to: LogIndex): readonly Entry[] {
    return this.#log.slice(from, to)
  }

  read(from: LogIndex, to: LogIndex): Promise<readonly Entry[]> {
    return Promise.resolve(this.#log.slice(from, to))
  }

  write(write: LogWrite): void {
    this.#log.write(write)
    this.hardState = write.hardState ?? this.hardState
  }

  compact(index: LogIndex): void {
    this.#log.compact(index)
  }
}

/**
 * Logs that live as long as their process. A group of nodes that use it loses nothing while a majority
 * of them keeps running; a process that ends must not come back as the same node.
 */
export class VolatileStore implements LogStore {
  readonly stalledMs: number = 0
  readonly #groups = new Map<RaftGroupId, VolatileLog>()
  readonly #soon: (run: () => void) => void

  /** @param soon runs what it is given soon, but not within the call */
  constructor(soon: (run: () => void) => void = queueMicrotask) {
    this.#soon = soon
  }

  group(id: RaftGroupId): VolatileLog | undefined {
    return this.#groups.get(id)
  }

  createGroup(id: RaftGroupId, uuid: Uint8Array, name: string): VolatileLog {
    invariant(!this.#groups.has(id), `group ${id} is new`)
    const log = new VolatileLog(id, uuid, name)
    this.#groups.set(id, log)
    return log
  }

  append(writes: readonly LogWrite[], done?: () => void): void {
    for (const write of writes) this.#known(write.group).write(write)
    // Never within the call: the caller's turn comes to its end first.
    if (done !== undefined) this.#soon(done)
  }

  compact(id: RaftGroupId, index: LogIndex): void {
    this.#known(id).compact(index)
  }

  removeGroup(id: RaftGroupId): void {
    this.#groups.delete(id)
  }

  #known(id: RaftGroupId): VolatileLog {
    const log = this.#groups.get(id)
    invariant(log !== undefined, `the store has a group ${id}`)
    return log
  }
}
