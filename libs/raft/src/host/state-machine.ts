import type { Entry, NodeId, Role, SnapshotMeta, Term } from '../core/types.js'

/** What a group's log drives. Called in log order, never twice for an entry, on one thread. */
export interface StateMachine {
  /**
   * Committed entries, durable here, of all kinds. Must not throw: what it cannot do is a result of its
   * own. An entry's data are views that it may keep.
   */
  apply(entries: readonly Entry[]): void
  /** Role, term or leader changed. Proposals of an earlier term may still be decided either way. */
  stateChanged(state: GroupState): void
  /**
   * The newest snapshot, to bring a member up to date whose entries are compacted; one is made when there
   * is none that reaches the log. Groups without it keep their log for the slowest member.
   */
  openSnapshot?(): Promise<SnapshotSource>
  /**
   * Replaces the state by that of a snapshot, durably as far as the machine is durable, before the
   * promise resolves. Nothing is applied meanwhile. Closes the source.
   */
  restore?(source: SnapshotSource): Promise<void>
}

export interface GroupState {
  readonly role: Role
  readonly term: Term
  /** 0 when none is known. */
  readonly leader: NodeId | 0
}

/** A finished snapshot that always gives the same bytes: a file, or something like it. */
export interface SnapshotSource {
  readonly meta: SnapshotMeta
  readonly sizeBytes: number
  /** Up to `lengthMax` bytes from `offset` on; at least one unless the end is reached. */
  read(offset: number, lengthMax: number): Promise<Uint8Array>
  close(): Promise<void>
}

/** Carries snapshots between processes; told and asked by the host, which knows what they are for. */
export interface SnapshotCarrier {
  /** Brings `source` to the peer, or brings the transfer under way up to date; the carrier closes it. */
  offer(transfer: SnapshotTransfer, source: SnapshotSource): void
  /** A frame of `send` of a peer's carrier. */
  receive(from: NodeId, frame: Uint8Array): void
  /** One tick of the host's clock is over. */
  tick(): void
  peerDown(peer: NodeId): void
  /** The group is gone here. */
  cancel(group: number): void
  close(): Promise<void>
}

export interface SnapshotTransfer {
  readonly group: number
  readonly uuid: Uint8Array
  readonly peer: NodeId
  readonly term: Term
}
