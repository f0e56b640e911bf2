import { decodeRuns } from '@sluice/domain'
import { DUPLICATE_WINDOW_CALLS, type StoredRuns } from '@sluice/partition'
import type { Kysely } from 'kysely'
import type { Tables } from './tables.js'

/** Most partitions have nothing new enough: a first look is short. Rows. */
const FIRST_PAGE = 64
const PAGE_MAX = 8192
/** What is so much older than the newest is forgotten by those that never restarted, too. */
const AGE_MAX_MS = 10 * 60_000

/** Which of a partition's newest messages were sent under which id, oldest first. */
export async function readStoredRuns(db: Kysely<Tables>, groupId: number): Promise<readonly StoredRuns[]> {
  const found: StoredRuns[] = []
  let count = 0
  let newestMs = -Infinity
  let before = Number.MAX_SAFE_INTEGER
  for (let page = FIRST_PAGE; ; page = Math.min(page * 8, PAGE_MAX)) {
    const rows = await db
      .selectFrom('record_batches')
      .select(['base_offset', 'last_offset', 'runs'])
      .where('group_id', '=', groupId)
      .where('base_offset', '<', before)
      .orderBy('base_offset', 'desc')
      .limit(page)
      .execute()
    for (const row of rows) {
      before = row.base_offset
      if (row.runs === null) continue
      const runs = decodeRuns(row.runs, row.last_offset - row.base_offset + 1)
      const atMs = runs[0]?.at ?? newestMs
      newestMs = Math.max(newestMs, atMs)
      count += runs.length
      if (count > DUPLICATE_WINDOW_CALLS || newestMs - atMs > AGE_MAX_MS) return found.reverse()
      found.push({ baseOffset: row.base_offset, runs })
    }
    if (rows.length < page) return found.reverse()
  }
}
