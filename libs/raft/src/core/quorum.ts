import type { Configuration, LogIndex, NodeId } from './types.js'

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

/** Both majorities of a joint configuration have reached this: "agreement … requires separate majorities" (§6). */
export function quorumValue(configuration: Configuration, valueOf: (voter: NodeId) => LogIndex): LogIndex {
  const { voters, votersOutgoing } = configuration
  const value = majorityValue(voters.map(valueOf))
  return votersOutgoing.length === 0 ? value : Math.min(value, majorityValue(votersOutgoing.map(valueOf)))
}

/** Those for whom `isIn` holds make a quorum. */
export function isQuorum(configuration: Configuration, isIn: (voter: NodeId) => boolean): boolean {
  return quorumValue(configuration, (voter) => (isIn(voter) ? 1 : 0)) === 1
}

/**
 * Whether those for whom `isIn` holds include a member of every majority that `self` may ever have been
 * part of: then nothing was decided with its help that none of them knows of.
 */
export function meetsEveryMajorityOf(
  self: NodeId,
  configuration: Configuration,
  isIn: (voter: NodeId) => boolean,
): boolean {
  const { voters, votersOutgoing } = configuration
  return [voters, votersOutgoing].every((list) => {
    if (list.length === 0) return true
    const others = list.filter((id) => id !== self)
    const voterCount = others.length + 1
    return others.filter(isIn).length > voterCount - quorumSize(voterCount)
  })
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

/** The same in a configuration: a joint one is won by both majorities, and lost by either. */
export function electionTally(configuration: Configuration, answers: ReadonlyMap<NodeId, boolean>): Tally {
  const present = tallyOf(configuration.voters, answers)
  if (configuration.votersOutgoing.length === 0) return present
  const outgoing = tallyOf(configuration.votersOutgoing, answers)
  if (present === 'lost' || outgoing === 'lost') return 'lost'
  return present === 'won' && outgoing === 'won' ? 'won' : 'pending'
}

function tallyOf(voters: readonly NodeId[], answers: ReadonlyMap<NodeId, boolean>): Tally {
  let granted = 0
  let refused = 0
  for (const voter of voters) {
    const answer = answers.get(voter)
    if (answer === true) granted++
    else if (answer === false) refused++
  }
  return tally({ granted, refused, voterCount: voters.length })
}
