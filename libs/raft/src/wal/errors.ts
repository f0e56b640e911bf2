import { BUILD_VERSION } from '@sluice/foundation'

/** Why the log cannot be opened, written or read. None of these is mended by trying again. */
export abstract class WalError extends Error {}

/** What is on disk contradicts itself: data that may have been acknowledged is gone or damaged. */
export class WalCorruptError extends WalError {
  override readonly name = 'WalCorruptError'
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

/**
 * What is on disk is whole and of a form that this version does not know: a later one wrote it. It is no damage,
 * and must never be set aside as such.
 */
export class WalVersionError extends WalError {
  override readonly name = 'WalVersionError'
  readonly code = 'UNSUPPORTED_VERSION'
  readonly file: string

  constructor(file: string, reason: string) {
    super(
      `${file} was written by a later version than ${BUILD_VERSION}: ${reason}; start that one, the log is left as it is`,
    )
    this.file = file
  }
}

/** The directory holds the log of another node. */
export class WalForeignError extends WalError {
  override readonly name = 'WalForeignError'
  readonly file: string

  constructor(file: string, uuids: { readonly expected: Uint8Array; readonly found: Uint8Array }) {
    const hex = (uuid: Uint8Array): string => Buffer.from(uuid).toString('hex')
    super(`${file} belongs to node ${hex(uuids.found)}, this node is ${hex(uuids.expected)}`)
    this.file = file
  }
}

/** Another process has the directory open. */
export class WalLockedError extends WalError {
  override readonly name = 'WalLockedError'
  readonly file: string
  readonly pid: number

  constructor(file: string, pid: number) {
    super(
      `process ${pid} has this log open (lock file ${file}, same boot and same start time as the process ` +
        `that made it): stop that process first`,
    )
    this.file = file
    this.pid = pid
  }
}

/** A write or a sync failed; what it held was not acknowledged. The process must end and recover. */
export class WalFailedError extends WalError {
  override readonly name: string = 'WalFailedError'
}

/** There is no space for the next write. */
export class WalDiskFullError extends WalFailedError {
  override readonly name = 'WalDiskFullError'
}

/** The log was closed. */
export class WalClosedError extends WalError {
  override readonly name = 'WalClosedError'

  constructor() {
    super('the log is closed')
  }
}

/** One group's write is more than a batch can hold; nothing of it took effect. */
export class WalWriteTooLargeError extends WalError {
  override readonly name = 'WalWriteTooLargeError'

  constructor(sizes: { readonly sizeBytes: number; readonly sizeBytesMax: number }) {
    super(`a write of ${sizes.sizeBytes} bytes is over the bound of ${sizes.sizeBytesMax} bytes`)
  }
}

/** Entries were asked for that the log does not hold (any more). */
export class WalRangeError extends WalError {
  override readonly name = 'WalRangeError'
}
