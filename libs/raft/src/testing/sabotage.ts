/** Mistakes of what is around the library, each of which some invariant must find. */
export const SABOTAGES = [
  'reports-writes-before-sync',
  'forgets-votes',
  'skips-an-entry',
  'applies-twice',
  'reads-without-asking',
  'acknowledges-before-commit',
  'snapshots-miss-an-entry',
  'never-answers-reads',
  'hides-lost-logs',
] as const

export type Sabotage = (typeof SABOTAGES)[number]
