import type { Clock } from '@sluice/foundation'
import type { RaftGroupId } from '../core/types.js'
import type { WalDisk } from './files.js'

export type WalEvent =
  /** A crash left bytes behind the last whole batch; they were never acknowledged, and are zeros now. */
  | {
      readonly kind: 'torn-tail-cut'
      readonly file: string
      readonly offset: number
      readonly sizeBytes: number
    }
  | { readonly kind: 'segment-removed'; readonly segmentSeq: number }
  /**
   * The oldest segment stays because this group's oldest entries are in it, though it is far behind.
   * Compacting the group lets it go. Said once for a group and segment, of so many groups as hold it
   * together, at most a hundred at a time.
   */
  | { readonly kind: 'group-holds-segment'; readonly group: RaftGroupId; readonly segmentSeq: number }
  /** The group's entries in an old segment cannot be read back, and were not copied out of it. */
  | {
      readonly kind: 'copy-failed'
      readonly group: RaftGroupId
      readonly segmentSeq: number
      readonly error: Error
    }

export interface WalOptions {
  /** Made when it does not exist. Of this node alone. */
  readonly directory: string
  /** 16 bytes; a log of another node is refused. */
  readonly nodeUuid: Uint8Array
  /**
   * Size of a segment's file, bytes, 1 KiB to 1 GiB; one that holds a larger batch is larger. Besides the
   * segments in use there are the next one and one in reserve for a full disk. Default 64 MiB.
   */
  readonly segmentBytes?: number
  /** Entries kept in memory over all groups, bytes; what is not durable yet may exceed it. Default 256 MiB. */
  readonly cacheBytesMax?: number
  /** An idle log ends with an empty batch after this, milliseconds; never, when it is infinite. Default 50. */
  readonly sealAfterMs?: number
  /**
   * A group whose oldest entries are this many segments behind the newest is reported; this many further
   * on, what few entries it has there are copied into the newest segment. At least 1. Default 8.
   */
  readonly slowGroupSegments?: number
  /**
   * A write or a sync failed: nothing is acknowledged any more and the process must end. Called once,
   * with a WalDiskFullError when there is no space.
   */
  readonly onFatal: (error: Error) => void
  readonly onEvent?: (event: WalEvent) => void
  readonly files?: WalDisk
  readonly clock?: Clock
}

export interface WalReport {
  readonly segments: number
  readonly batches: number
  readonly tornBytesCut: number
}

export interface WalStats {
  readonly segments: number
  readonly syncs: number
  readonly batches: number
  /** Written since the log was opened, with headers and padding. */
  readonly bytes: number
  /** Of the entries in memory. */
  readonly cacheBytes: number
  /** Batches are counted from 1 since the log was made. */
  readonly lastLsn: number
  readonly durableLsn: number
  /** False while the disk has no room for the file that is given up when it is full. */
  readonly hasReserve: boolean
}
