import { invariant } from '@sluice/foundation'
import type { Entry, HardState, LogIndex, RaftGroupId, Term } from '../core/types.js'
import type { GroupStorage, LogWrite } from '../storage/log-store.js'
import { MemoryLog } from '../storage/memory-log.js'
import type { ObservedDisk } from './invariants/invariant-check.js'

const EMPTY_HARD_STATE: HardState = { term: 0, vote: 0, commit: 0 }

/** What a crash leaves of one group at least. */
export class DurableLog implements ObservedDisk {
  readonly uuid: Uint8Array
  readonly name: string
  readonly log: MemoryLog
  hardState: HardState

  constructor(from: Pick<SimLog, 'uuid' | 'name'>, log = new MemoryLog(), hardState = EMPTY_HARD_STATE) {
    this.uuid = from.uuid
    this.name = from.name
    this.log = log
    this.hardState = hardState
  }
}

/** Where reads of a log that are not answered from memory get their answers. */
export type SlowRead = <T>(value: T) => Promise<T>

/** One group's log as its node sees it: everything written, of which only the newest entries are in memory. */
export class SimLog implements GroupStorage {
  readonly id: RaftGroupId
  readonly uuid: Uint8Array
  readonly name: string
  readonly memory: MemoryLog
  hardState: HardState
  readonly #cachedEntries: number
  readonly #missed: () => void
  readonly #slowRead: SlowRead

  constructor(
    id: RaftGroupId,
    from: Pick<DurableLog, 'uuid' | 'name'> & Partial<Pick<DurableLog, 'log' | 'hardState'>>,
    parts: {
      readonly cachedEntries: number
      /** Entries are not in memory: the caller goes on with promises. */
      readonly missed: () => void
      readonly slowRead: SlowRead
    },
  ) {
    this.id = id
    this.uuid = from.uuid
    this.name = from.name
    this.memory = from.log?.clone() ?? new MemoryLog()
    this.hardState = from.hardState ?? EMPTY_HARD_STATE
    this.#cachedEntries = parts.cachedEntries
    this.#missed = parts.missed
    this.#slowRead = parts.slowRead
  }

  get compactedIndex(): LogIndex {
    return this.memory.compactedIndex
  }

  get compactedTerm(): Term {
    return this.memory.compactedTerm
  }

  get lastIndex(): LogIndex {
    return this.memory.lastIndex
  }

  get baseConfiguration(): Uint8Array | undefined {
    return this.memory.baseConfiguration
  }

  configurationEntries(): readonly Entry[] {
    return this.memory.configurationEntries()
  }

  term(index: LogIndex): Term | undefined {
    return this.memory.term(index)
  }

  sizeBytes(index: LogIndex): number {
    return this.memory.sizeBytes(index)
  }

  slice(from: LogIndex, to: LogIndex): readonly Entry[] | undefined {
    const isThere = from > this.compactedIndex && to <= this.lastIndex
    if (isThere && from > this.lastIndex - this.#cachedEntries) return this.memory.slice(from, to)
    this.#missed()
    return undefined
  }

  /** Entries as they are at the call, given later. */
  read(from: LogIndex, to: LogIndex, bytesMax: number): Promise<readonly Entry[]> {
    invariant(from > this.compactedIndex && from <= to && to <= this.lastIndex, 'entries that exist are read')
    let last = from
    let bytes = this.sizeBytes(from)
    while (last < to && (bytes += this.sizeBytes(last + 1)) <= bytesMax) last++
    return this.#slowRead(this.memory.slice(from, last))
  }

  write(write: LogWrite): void {
    this.memory.write(write)
    this.hardState = write.hardState ?? this.hardState
  }
}
