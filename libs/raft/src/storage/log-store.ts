import type { Entry, HardState, LogIndex, LogView, RaftGroupId, SnapshotMeta, Term } from '../core/types.js'

/** What one group wants stored, in this order; all of it or nothing survives a crash. */
export interface LogWrite {
  readonly group: RaftGroupId
  readonly hardState?: HardState
  /** The log is emptied and starts behind this. */
  readonly snapshot?: SnapshotMeta
  /** The log loses everything from here on before `entries` are added. */
  readonly truncateFrom?: LogIndex
  /** Follow the last entry without gaps. Neither they nor their data may change afterwards: they are kept. */
  readonly entries?: readonly Entry[]
}

/** One group's log as it will be once everything handed to the store is durable. */
export interface GroupStorage extends LogView {
  readonly id: RaftGroupId
  /** 16 bytes that tell this group from any other that ever had its id. */
  readonly uuid: Uint8Array
  readonly name: string
  readonly hardState: HardState
  readonly compactedTerm: Term
  /** Entries from memory, both ends included; `undefined` when some of them are not there (any more). */
  slice(from: LogIndex, to: LogIndex): readonly Entry[] | undefined
  /** The first of the range up to `bytesMax` of data, at least one, from memory or from disk. */
  read(from: LogIndex, to: LogIndex, bytesMax: number): Promise<readonly Entry[]>
}

/** The logs of all groups of a process. */
export interface LogStore {
  group(id: RaftGroupId): GroupStorage | undefined
  createGroup(id: RaftGroupId, uuid: Uint8Array, name: string): GroupStorage
  /**
   * The groups' logs show the writes at once; `done` is called when they are durable, in the order of the calls.
   * Without it nobody waits for them: they are durable before whatever is appended later, and go with that.
   */
  append(writes: readonly LogWrite[], done?: () => void): void
  /** Forgets a group's entries up to `index`. */
  compact(id: RaftGroupId, index: LogIndex): void
  removeGroup(id: RaftGroupId): void
  /** How long the oldest write under way has been waiting; 0 when none is. Milliseconds. */
  readonly stalledMs: number
}
