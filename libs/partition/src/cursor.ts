import type { CursorOperation } from './command.js'
import type { CursorGrant, CursorRow } from './rows.js'

/** How many grants of one consumer are remembered in one partition, to answer a repeated request alike. */
const REMEMBERED_GRANTS_MAX = 64

export interface CursorOutcome {
  readonly row: CursorRow
  readonly changed: boolean
  /** What the request was given: [from, to). */
  readonly from: number
  readonly to: number
  /** Messages that were deleted before the consumer read them, and that this request stepped over. */
  readonly skipped: number
}

/** What an earlier request with this id was given. */
export function grantOf(row: CursorRow | undefined, requestId: string): CursorGrant | undefined {
  return row?.grants.find((grant) => grant.requestId === requestId)
}

/**
 * Moves one consumer's cursor. A request that is repeated gets what it got and moves nothing.
 * A grant starts at the cursor, or at the start of the log when the cursor is behind it; any other gets
 * nothing: somebody moved the cursor in between. Who has never moved is at offset 0.
 */
export function moveCursor(
  known: CursorRow | undefined,
  operation: CursorOperation,
  logStart: number,
): CursorOutcome {
  const row = known ?? { consumerId: operation.consumerId, cursor: 0, grants: [] }
  const earlier = grantOf(row, operation.requestId)
  if (earlier !== undefined)
    return { row, changed: false, from: earlier.from, to: earlier.to, skipped: earlier.skipped ?? 0 }
  if (operation.kind === 'grant') {
    const { from, to } = operation
    if (from !== Math.max(row.cursor, logStart)) return { row, changed: false, from, to: from, skipped: 0 }
    const skipped = from - row.cursor
    return remember(row, operation.requestId, { from, to, ...(skipped === 0 ? {} : { skipped }) })
  }
  const target = operation.forwardOnly ? Math.max(row.cursor, operation.offset) : operation.offset
  return remember(row, operation.requestId, { from: target, to: target })
}

function remember(row: CursorRow, requestId: string, given: Omit<CursorGrant, 'requestId'>): CursorOutcome {
  const kept =
    row.grants.length < REMEMBERED_GRANTS_MAX ? row.grants : row.grants.slice(1 - REMEMBERED_GRANTS_MAX)
  return {
    row: { consumerId: row.consumerId, cursor: given.to, grants: [...kept, { requestId, ...given }] },
    changed: true,
    from: given.from,
    to: given.to,
    skipped: given.skipped ?? 0,
  }
}
