import { unreachable } from '@sluice/foundation'
import type { CursorOperation } from './cursor-operation.js'
import type { CursorGrant, CursorRow } from './rows.js'

/**
 * How many grants of one consumer are remembered in one partition, to answer a repeated request alike.
 * About as many runs of messages can be released: only what is remembered can be, and it is given first.
 */
const REMEMBERED_GRANTS_MAX = 64

export interface CursorOutcome {
  readonly row: CursorRow
  readonly changed: boolean
  /** What the request was given, or gave back: [from, to). */
  readonly from: number
  readonly to: number
  /** Messages that were deleted before the consumer read them, and that this request stepped over. */
  readonly skipped: number
}

/** The next unread messages of a consumer. */
export interface Unread {
  /** Where the consumer is: before `from` when unread messages were deleted. */
  readonly position: number
  /** The first that can be given. */
  readonly from: number
  /** One grant does not go beyond it. */
  readonly until: number
  /** Unread messages before `from`, which were deleted. */
  readonly skipped: number
}

/** What an earlier request with this id was given, and has. */
export function grantOf(row: CursorRow | undefined, requestId: string): CursorGrant | undefined {
  return row?.grants.find((grant) => grant.requestId === requestId && grant.released !== true)
}

/**
 * Where the consumer goes on: at the first released messages, else at the cursor, over what was deleted.
 * Who has never moved is at offset 0.
 */
export function unreadOf(row: CursorRow | undefined, logStart: number): Unread {
  const cursor = row?.cursor ?? 0
  const position = firstReleased(row, 0)?.from ?? cursor
  const released = firstReleased(row, logStart)
  const from = Math.max(released?.from ?? cursor, logStart)
  let skipped = Math.max(logStart - cursor, 0)
  for (const grant of row?.grants ?? [])
    if (grant.released === true) skipped += Math.max(Math.min(grant.to, logStart) - grant.from, 0)
  return { position, from, until: released?.to ?? Number.POSITIVE_INFINITY, skipped }
}

/**
 * Changes what one consumer was given. A request that is repeated gets what it got and moves nothing.
 * A grant that does not start at the next unread message gets nothing: somebody moved it in between.
 */
export function moveCursor(
  known: CursorRow | undefined,
  operation: CursorOperation,
  logStart: number,
): CursorOutcome {
  const row = known ?? { consumerId: operation.consumerId, cursor: 0, grants: [] }
  const earlier = grantOf(row, operation.requestId)
  switch (operation.kind) {
    case 'grant':
      return earlier === undefined ? give(row, operation, logStart) : unchanged(row, earlier)
    case 'set':
      return earlier === undefined ? set(row, operation) : unchanged(row, earlier)
    case 'hold':
      return earlier === undefined ? nothing(row, row.cursor) : hold(row, earlier, operation.holder)
    case 'release':
      return earlier === undefined ? nothing(row, row.cursor) : release(row, earlier, operation)
    default:
      return unreachable(operation)
  }
}

type Operation<K extends CursorOperation['kind']> = Extract<CursorOperation, { kind: K }>

function give(row: CursorRow, operation: Operation<'grant'>, logStart: number): CursorOutcome {
  const { requestId, from, to, holder } = operation
  const { from: start, until, skipped } = unreadOf(row, logStart)
  if (from !== start || to > until) return nothing(row, from)
  const given = { requestId, from, to, holder, ...(skipped === 0 ? {} : { skipped }) }
  // What is released goes from the front: it is given now, or was deleted.
  const rest = row.grants.flatMap((grant) => {
    if (grant.released !== true || grant.from >= to) return [grant]
    return grant.to > to ? [{ ...grant, from: to }] : []
  })
  const cursor = until === Number.POSITIVE_INFINITY ? to : row.cursor
  return changed({ ...row, cursor, grants: remember(rest, given) }, given)
}

function set(row: CursorRow, { requestId, offset, forwardOnly }: Operation<'set'>): CursorOutcome {
  const target = forwardOnly ? Math.max(row.cursor, offset) : offset
  const given = { requestId, from: target, to: target }
  // A seek says where to go on. An acknowledgement is done with what is before it. Neither is undone by a
  // release that comes late.
  const kept = row.grants.flatMap((grant) => {
    if (forwardOnly && grant.from >= offset) return [grant]
    if (grant.released !== true) return [withoutHolder(grant)]
    return forwardOnly && grant.to > offset ? [{ ...grant, from: offset }] : []
  })
  return changed({ ...row, cursor: target, grants: remember(kept, given) }, given)
}

function hold(row: CursorRow, held: CursorGrant, holder: number): CursorOutcome {
  // An earlier try that comes late is told the same, and does not have it.
  if (held.holder === undefined || holder <= held.holder) return unchanged(row, held)
  const grants = row.grants.map((grant) => (grant === held ? { ...held, holder } : grant))
  return changed({ ...row, grants }, held)
}

function release(row: CursorRow, held: CursorGrant, operation: Operation<'release'>): CursorOutcome {
  const { holder, orEarlier } = operation
  const isHolder = held.holder === holder || (orEarlier && held.holder !== undefined && held.holder < holder)
  if (!isHolder || operation.from >= held.to) return nothing(row, held.to)
  const isPart = operation.from > held.from
  // With the messages goes the news of those that were deleted before them.
  const from = isPart ? operation.from : held.from - (held.skipped ?? 0)
  const kept = row.grants.flatMap((grant) => {
    if (grant !== held) return [grant]
    return isPart ? [{ ...held, to: from }] : []
  })
  const given = { from, to: held.to }
  if (held.to === row.cursor) return changed(joined({ ...row, cursor: from, grants: kept }), given)
  const { requestId } = held
  return changed({ ...row, grants: [...kept, { requestId, ...given, released: true }] }, given)
}

/** Released messages that end where the cursor is are before it no more. */
function joined(row: CursorRow): CursorRow {
  let { cursor } = row
  let grants = row.grants
  for (;;) {
    const last = grants.find((grant) => grant.released === true && grant.to === cursor)
    if (last === undefined) return { ...row, cursor, grants }
    cursor = last.from
    grants = grants.filter((grant) => grant !== last)
  }
}

/** The first that are not all deleted. */
function firstReleased(row: CursorRow | undefined, logStart: number): CursorGrant | undefined {
  let first: CursorGrant | undefined
  for (const grant of row?.grants ?? [])
    if (grant.released === true && grant.to > logStart && (first === undefined || grant.from < first.from))
      first = grant
  return first
}

function remember(grants: readonly CursorGrant[], given: CursorGrant): readonly CursorGrant[] {
  if (grants.length < REMEMBERED_GRANTS_MAX) return [...grants, given]
  const held = grants.filter((grant) => grant.released !== true)
  if (held.length < REMEMBERED_GRANTS_MAX) return [...grants, given]
  const oldest = held[0]
  return [...grants.filter((grant) => grant !== oldest), given]
}

function withoutHolder({ requestId, from, to, skipped }: CursorGrant): CursorGrant {
  return { requestId, from, to, ...(skipped === undefined ? {} : { skipped }) }
}

type Given = Pick<CursorGrant, 'from' | 'to' | 'skipped'>

function changed(row: CursorRow, { from, to, skipped = 0 }: Given): CursorOutcome {
  return { row, changed: true, from, to, skipped }
}

function unchanged(row: CursorRow, { from, to, skipped = 0 }: Given): CursorOutcome {
  return { row, changed: false, from, to, skipped }
}

function nothing(row: CursorRow, at: number): CursorOutcome {
  return unchanged(row, { from: at, to: at })
}
