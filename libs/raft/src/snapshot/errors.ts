import { messageOf, toError } from '@sluice/foundation'

/** Why a snapshot cannot be written, read or received. */
export abstract class SnapshotError extends Error {}

/** What is on disk is not what was written. Never answered by taking the group for an empty one. */
export class SnapshotCorruptError extends SnapshotError {
  override readonly name = 'SnapshotCorruptError'
  readonly file: string
  /** Position in the file, bytes. */
  readonly offset: number
  readonly reason: string

  constructor(at: { readonly file: string; readonly offset: number; readonly reason: string }) {
    super(`${at.file} is damaged at byte ${at.offset}: ${at.reason}`)
    this.file = at.file
    this.offset = at.offset
    this.reason = at.reason
  }
}

/** The snapshot is not there (any more). */
export class SnapshotMissingError extends SnapshotError {
  override readonly name = 'SnapshotMissingError'
}

/** A write, a sync or a rename failed. No snapshot came of it; those that were there still are. */
export class SnapshotWriteError extends SnapshotError {
  override readonly name: string = 'SnapshotWriteError'
}

/** There is no space for the snapshot. What was written of it is removed again. */
export class SnapshotDiskFullError extends SnapshotWriteError {
  override readonly name = 'SnapshotDiskFullError'
}

/** The snapshot, or its configuration, is over its bound. */
export class SnapshotTooLargeError extends SnapshotError {
  override readonly name = 'SnapshotTooLargeError'

  constructor(what: string, sizes: { readonly sizeBytes: number; readonly sizeBytesMax: number }) {
    super(`${what} of ${sizes.sizeBytes} bytes is over the bound of ${sizes.sizeBytesMax} bytes`)
  }
}

/** As much as may go on at a time goes on already; trying again later can help. */
export class SnapshotBusyError extends SnapshotError {
  override readonly name = 'SnapshotBusyError'
}

/** Its caller, or the removal of its group, ended the work before it was done. */
export class SnapshotAbandonedError extends SnapshotError {
  override readonly name = 'SnapshotAbandonedError'
}

/** The store, the source or the incoming snapshot is closed. */
export class SnapshotClosedError extends SnapshotError {
  override readonly name = 'SnapshotClosedError'
}

const NO_SPACE = new Set(['ENOSPC', 'EDQUOT'])

/** What an error of the file system means for whoever writes `file`. */
export function toWriteError(file: string, error: unknown): SnapshotError {
  if (error instanceof SnapshotError) return error
  const code = (toError(error) as NodeJS.ErrnoException).code
  if (code !== undefined && NO_SPACE.has(code))
    return new SnapshotDiskFullError(`no space is left for ${file}: ${messageOf(error)}`, { cause: error })
  return new SnapshotWriteError(`writing ${file} failed: ${messageOf(error)}`, { cause: error })
}
