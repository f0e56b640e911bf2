import type { LogIndex } from './types.js'

/** Voters that make a majority of `voterCount`. */
export function quorumSize(voterCount: number): number {
  return (voterCount >> 1) + 1
}

/**
 * Highest value that a majority of voters has reached (Raft paper §5.3). For match indexes a candidate
 * for commit only: the leader must also see that the entry is of its own term (§5.4.2, figure 8).
 *
 * @param values one per voter, the caller's own included, in any order; never empty; sorted in place
 */
export function majorityValue(values: LogIndex[]): LogIndex {
  for (let i = 1; i < values.length; i++) {
    const value = values[i]!
    let at = i
    for (; at > 0 && values[at - 1]! > value; at--) values[at] = values[at - 1]!
    values[at] = value
  }
  return values[values.length - quorumSize(values.length)]!
}

export type Tally = 'won' | 'lost' | 'pending'

/** Where an election stands. It is lost as soon as the voters left cannot make a majority any more. */
export function tally(votes: {
  readonly granted: number
  readonly refused: number
  readonly voterCount: number
}): Tally {
  const quorum = quorumSize(votes.voterCount)
  if (votes.granted >= quorum) return 'won'
  return votes.voterCount - votes.refused < quorum ? 'lost' : 'pending'
}
