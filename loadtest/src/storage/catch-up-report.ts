import type { CatchUpOptions, CatchUpResult } from './catch-up.js'

const SECONDS_MAX = 30
/** Of the rate before. */
const RATE_MIN = 0.9

/** What was measured, and whether it is what is wanted. */
export function catchUpReport(
  by: CatchUpOptions['by'],
  result: CatchUpResult,
): { readonly text: string; readonly goalsMet: boolean } {
  const { seconds, rateBefore, rateDuring, missed, stored, acknowledged, failed } = result
  const part = rateDuring / rateBefore
  const goals = [
    { what: `caught up in ${seconds.toFixed(1)} s, of ${SECONDS_MAX} at most`, isMet: seconds < SECONDS_MAX },
    {
      what: `${Math.round(rateDuring)}/s meanwhile of ${Math.round(rateBefore)}/s before: ${(part * 100).toFixed(0)} %, of ${RATE_MIN * 100} at least`,
      isMet: part >= RATE_MIN,
    },
    {
      what: `${stored} messages in its database, of ${acknowledged} that were acknowledged`,
      isMet: stored >= acknowledged,
    },
  ]
  const lines = [
    '',
    `by ${by}: ${missed} messages were missed; ${failed} were not acknowledged`,
    ...goals.map(({ what, isMet }) => `  ${isMet ? 'met   ' : 'MISSED'}  ${what}`),
  ]
  return { text: lines.join('\n'), goalsMet: goals.every(({ isMet }) => isMet) }
}
