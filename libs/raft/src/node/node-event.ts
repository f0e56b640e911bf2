import type { RaftGroupId } from '../core/types.js'
import type { SnapshotStoreEvent } from '../snapshot/snapshot-event.js'

/** What an operator may want to know, for logs and metrics. */
export type NodeEvent =
  | SnapshotStoreEvent
  /** A peer is connected, or not any more. `peer` is its address, or the name of an observer. */
  | { readonly kind: 'peer-up' | 'peer-down'; readonly peer: string }
  /**
   * A connection was refused, here or by the peer. NODE_REPLACED: the id is known with another uuid, so
   * its disk was lost; remove the node from the group and add it again.
   */
  | {
      readonly kind: 'peer-refused'
      /** Which side refused. */
      readonly by: 'self' | 'peer'
      readonly peer: string
      readonly code: string
      readonly message: string
    }
  /** Nobody can reach this node: its address could not be listened on, as often as that was tried. */
  | { readonly kind: 'not-bound'; readonly error: Error }
  /** A snapshot could not be made, sent or taken in; it is tried again. */
  | { readonly kind: 'snapshot-failed'; readonly group: RaftGroupId; readonly error: Error }
  /** A crash left bytes behind the last whole batch of the log; they were never acknowledged. */
  | { readonly kind: 'torn-tail-cut'; readonly file: string; readonly sizeBytes: number }
  /** Nothing more is done; what was acknowledged is safe. The process must end and recover. */
  | { readonly kind: 'failed'; readonly error: Error }
