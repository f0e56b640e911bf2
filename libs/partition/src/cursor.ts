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
}

/** What an earlier request with this id was given. */
export function grantOf(row: CursorRow | undefined, requestId: string): CursorGrant | undefined {
  return row?.grants.find((grant) => grant.requestId === requestId)
}

/**
 * Moves one consumer's cursor. A request that is repeated gets what it got and moves nothing.
 * A grant that does not start at the cursor gets nothing: somebody moved it in between.
 */
export function moveCursor(
  known: CursorRow | undefined,
  operation: CursorOperation,
  logStart: number,
): CursorOutcome {
  const row = known ?? { consumerId: operation.consumerId, cursor: logStart, grants: [] }
  const earlier = grantOf(row, operation.requestId)
  if (earlier !== undefined) return { row, changed: false, from: earlier.from, to: earlier.to }
  if (operation.kind === 'grant') {
    if (operation.from !== row.cursor)
      return { row, changed: false, from: operation.from, to: operation.from }
    return remember(row, operation.requestId, { from: operation.from, to: operation.to })
  }
  const target = operation.forwardOnly ? Math.max(row.cursor, operation.offset) : operation.offset
  return remember(row, operation.requestId, { from: target, to: target })
}

function remember(
  row: CursorRow,
  requestId: string,
  given: { readonly from: number; readonly to: number },
): CursorOutcome {
  const kept =
    row.grants.length < REMEMBERED_GRANTS_MAX ? row.grants : row.grants.slice(1 - REMEMBERED_GRANTS_MAX)
  return {
    row: { consumerId: row.consumerId, cursor: given.to, grants: [...kept, { requestId, ...given }] },
    changed: true,
    ...given,
  }
}
