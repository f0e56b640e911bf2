import type { Brand } from '@sluice/foundation'

/** A member of a group; positive, below 2^32, the same in every group of a process. */
export type NodeId = Brand<number, 'NodeId'>
/** A Raft group: positive, below 2^32, unique in the cluster for ever. */
export type RaftGroupId = Brand<number, 'RaftGroupId'>
/** Position in the log, from 1; 0 stands before the first entry. */
export type LogIndex = number
/** Election term, from 1; 0 before the first election. */
export type Term = number

export const EntryKind = { COMMAND: 0, NOOP: 1, CONFIGURATION: 2 } as const
export type EntryKind = (typeof EntryKind)[keyof typeof EntryKind]

/** One log entry. `data` is never changed by anyone after the entry was proposed or received. */
export interface Entry {
  readonly index: LogIndex
  readonly term: Term
  readonly kind: EntryKind
  readonly data: Uint8Array
}

/** What must survive a crash besides the log (Raft paper, figure 2); `vote` 0 is none. `commit` is a hint. */
export interface HardState {
  readonly term: Term
  readonly vote: NodeId | 0
  readonly commit: LogIndex
}

export const Role = { FOLLOWER: 0, PRE_CANDIDATE: 1, CANDIDATE: 2, LEADER: 3, LEARNER: 4 } as const
export type Role = (typeof Role)[keyof typeof Role]

export const MessageKind = {
  PRE_VOTE: 1,
  PRE_VOTE_RESPONSE: 2,
  VOTE: 3,
  VOTE_RESPONSE: 4,
  APPEND: 5,
  APPEND_RESPONSE: 6,
  HEARTBEAT: 7,
  HEARTBEAT_RESPONSE: 8,
  TIMEOUT_NOW: 9,
  READ_INDEX: 10,
  READ_INDEX_RESPONSE: 11,
  RECOVERY: 12,
  RECOVERY_RESPONSE: 13,
} as const
export type MessageKind = (typeof MessageKind)[keyof typeof MessageKind]

/**
 * A message between the cores of one group. One flat shape for all kinds, so that the code that
 * handles them stays monomorphic; unused fields are 0, false or empty.
 *
 * | kind | index | logTerm | commit | reject | hint | hintTerm | context | count |
 * | --- | --- | --- | --- | --- | --- | --- | --- | --- |
 * | PRE_VOTE, VOTE | last log index | its term | 0 | | 1: asked by transfer | | | |
 * | …_RESPONSE | | | | refused | | | | |
 * | APPEND | previous index | its term | leader's commit | | | | | entries that follow |
 * | APPEND_RESPONSE | last index verified, or the rejected previous index | | | refused | where to try next | term there | | |
 * | HEARTBEAT | all members have this and it is committed | | min(match, commit) | | 1: quiesce | | read round, echoed | |
 * | HEARTBEAT_RESPONSE | | | | | | | read round | |
 * | TIMEOUT_NOW | | | | | | | | |
 * | READ_INDEX | | | | | | | asker's number | |
 * | READ_INDEX_RESPONSE | read index | | | refused | | | asker's number | |
 * | RECOVERY | last log index | | | | | | number of this recovery | |
 * | RECOVERY_RESPONSE | that of the configuration | | a leader's commit | | 1: leads, with a commit of its term | | number, echoed | 1: the configuration, as an entry |
 *
 * The sender's core names the span of an APPEND and the configuration only; the host puts the bytes in on
 * the way out.
 */
export interface RaftMessage {
  readonly kind: MessageKind
  readonly from: NodeId
  readonly to: NodeId
  readonly term: Term
  readonly index: LogIndex
  readonly logTerm: Term
  readonly commit: LogIndex
  readonly reject: boolean
  readonly hint: number
  readonly hintTerm: Term
  readonly context: number
  readonly count: number
}

/**
 * Who is in a group (Raft paper §6). While `votersOutgoing` is not empty it is joint: elections and
 * commitment need a majority of `voters` and one of `votersOutgoing`. A server uses the latest
 * configuration in its log, whether or not it is committed.
 */
export interface Configuration {
  readonly voters: readonly NodeId[]
  /** The voters before a change that is under way. */
  readonly votersOutgoing: readonly NodeId[]
  /** Receive the log, but never count. In a joint configuration one may still be an outgoing voter. */
  readonly learners: readonly NodeId[]
  /** The learners that the leader makes voters as soon as they have caught up. */
  readonly promotable: readonly NodeId[]
  /** The host's: for example the members' addresses. */
  readonly context: Uint8Array
}

/** A state machine's state as of one entry, and what the log needs to go on behind it. */
export interface SnapshotMeta {
  readonly index: LogIndex
  readonly term: Term
  /** In force at `index`, encoded. */
  readonly configuration: Uint8Array
}

/** What the core reads of the log; answered from memory at once. Implemented by the storage. */
export interface LogView {
  /** Everything up to here is gone from the log; 0 when nothing is. */
  readonly compactedIndex: LogIndex
  /** Includes entries handed to the storage that are not durable yet. */
  readonly lastIndex: LogIndex
  /** Term of an entry in [compactedIndex, lastIndex]; `undefined` outside. */
  term(index: LogIndex): Term | undefined
  /** Data size of one entry in (compactedIndex, lastIndex]. Bytes. */
  sizeBytes(index: LogIndex): number
  /** The configuration at `compactedIndex`, encoded; `undefined` while that is the group's initial one. */
  readonly baseConfiguration: Uint8Array | undefined
  /** The CONFIGURATION entries in (compactedIndex, lastIndex], in order. */
  configurationEntries(): readonly Entry[]
}

/** What a step asks of the world. The host carries it out in this order. */
export interface RaftOutput {
  /** Groups the parts below: reported back through `persisted` when durable. 0 when nothing is to be stored. */
  readonly persistId: number
  readonly hardState: HardState | undefined
  /**
   * The stored log is emptied and starts behind this. The state machine takes the snapshot before the
   * write is made durable, and `appliedTo` its index is reported afterwards.
   */
  readonly snapshot: SnapshotMeta | undefined
  /** The stored log loses everything from here on before `entries` are added. */
  readonly truncateFrom: LogIndex | undefined
  readonly entries: readonly Entry[]
  /** May leave at once. */
  readonly sendNow: readonly RaftMessage[]
  /** Leaves only after everything above, and everything handed out before, is durable. */
  readonly sendAfterPersist: readonly RaftMessage[]
  /** Entries to apply: [applyFrom, applyTo], durable here and committed; applyTo < applyFrom when none. */
  readonly applyFrom: LogIndex
  readonly applyTo: LogIndex
  /** Their next entries are compacted here: they need a snapshot. Said once; `snapshotFailed` has it said again. */
  readonly snapshotTo: readonly NodeId[]
  /** Reads that may be answered once `index` is applied. */
  readonly reads: readonly { readonly token: number; readonly index: LogIndex }[]
  /** Reads that cannot be answered: leadership is gone. */
  readonly readsRefused: readonly number[]
  /** True when role, term or leader changed since the last output. */
  readonly stateChanged: boolean
}
