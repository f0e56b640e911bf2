import { InvariantError, messageOf, toError } from '@sluice/foundation'
import { WalDiskFullError, WalError, WalFailedError } from './errors.js'

const NO_SPACE = new Set(['ENOSPC', 'EDQUOT'])

/** What a failed write, sync or callback means for the log. */
export function toFailure(error: unknown): Error {
  if (error instanceof WalError || error instanceof InvariantError) return error
  const code = (toError(error) as NodeJS.ErrnoException).code
  if (code !== undefined && NO_SPACE.has(code))
    return new WalDiskFullError(`no space is left for the log: ${messageOf(error)}`, { cause: error })
  return new WalFailedError(`the log failed: ${messageOf(error)}`, { cause: error })
}
