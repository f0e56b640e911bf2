/** What a snapshot store found or did by itself, for whoever keeps an operator's log. */
export type SnapshotStoreEvent =
  /** A snapshot cannot be read; its group cannot start from it. */
  | {
      readonly kind: 'snapshot-damaged'
      readonly file: string
      readonly offset: number
      readonly reason: string
    }
  /** What a crash left of a snapshot that was being made is removed. */
  | { readonly kind: 'leftover-removed'; readonly file: string }
  /** What was received of a snapshot is of no use for the one that is offered. */
  | { readonly kind: 'partial-discarded'; readonly file: string; readonly reason: string }
  /** A file that is not needed could not be removed; it is tried again after the next start. */
  | { readonly kind: 'file-not-removed'; readonly file: string; readonly error: Error }
