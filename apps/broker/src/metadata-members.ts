import type { Configuration, ConfigurationChange, NodeId } from '@sluice/raft'

/** Brokers with a vote in the metadata, at most: more would make every decision slower and none safer. */
export const METADATA_VOTERS_MAX = 5

/** A broker as a member of the metadata group. */
export interface MemberCandidate {
  readonly id: number
  /** It is there, and to stay. */
  readonly isFit: boolean
  /** It is about to be removed, and holds nothing else any more. */
  readonly isGoing: boolean
}

export interface MetadataGroupView {
  readonly configuration: Configuration
  /** No change of the configuration is on its way. */
  readonly isCommitted: boolean
  readonly leader: number
  /** Members that have what was committed a round ago. */
  readonly caughtUp: ReadonlySet<number>
}

export type MembersStep =
  | { readonly kind: 'none' }
  | { readonly kind: 'change'; readonly to: ConfigurationChange }
  /** The leader is about to be removed: another one goes on. */
  | { readonly kind: 'hand-over'; readonly to: NodeId }

const NONE: MembersStep = { kind: 'none' }

/**
 * The next step to the members that the metadata group is to have: every broker is one, and an odd number of
 * them votes, at most five. Voters stay voters while they are fit; one that is not is replaced as soon as
 * another one has caught up, and never before.
 */
export function nextMembersStep(group: MetadataGroupView, brokers: readonly MemberCandidate[]): MembersStep {
  const { configuration, isCommitted, leader, caughtUp } = group
  if (!isCommitted || configuration.votersOutgoing.length > 0) return NONE
  const { voters, learners } = configuration
  const going = new Set(brokers.filter(({ isGoing }) => isGoing).map(({ id }) => id))
  const staying = brokers.filter(({ isGoing }) => !isGoing).map(({ id }) => id as NodeId)
  if (staying.length === 0) return NONE
  const wanted = wantedVoters(voters, brokers)
  if (wanted.every((id) => voters.includes(id) || (learners.includes(id) && caughtUp.has(id)))) {
    const change = { voters: wanted, learners: staying.filter((id) => !wanted.includes(id)) }
    if (sameSet(wanted, voters) && sameSet(change.learners, learners)) return NONE
    if (wanted.includes(leader as NodeId)) return { kind: 'change', to: change }
    // The leader leaves last: whoever goes on with it has a vote already.
    const heir = wanted.find((id) => voters.includes(id) && caughtUp.has(id))
    if (heir !== undefined) return { kind: 'hand-over', to: heir }
  }
  // Those who are to vote, and everybody else, learn first.
  const learning = staying.filter((id) => !voters.includes(id))
  const keep = learners.filter((id) => !going.has(id) && staying.includes(id))
  if (learning.every((id) => keep.includes(id)) && keep.length === learners.length) return NONE
  return { kind: 'change', to: { voters, learners: learning } }
}

function wantedVoters(voters: readonly NodeId[], brokers: readonly MemberCandidate[]): readonly NodeId[] {
  const staying = brokers.filter(({ isGoing }) => !isGoing)
  const fit = staying.filter(({ isFit }) => isFit).map(({ id }) => id as NodeId)
  const unfit = staying.filter(({ isFit }) => !isFit).map(({ id }) => id as NodeId)
  const kept = voters.filter((id) => fit.includes(id))
  const others = [...fit.filter((id) => !voters.includes(id)), ...voters.filter((id) => unfit.includes(id))]
  return [...kept, ...others.slice(0, Math.max(voterCount(staying.length) - kept.length, 0))]
}

/** An even number tolerates no more failures than one less; two at least have it on two disks. */
function voterCount(brokerCount: number): number {
  const odd = brokerCount % 2 === 0 ? brokerCount - 1 : brokerCount
  return brokerCount <= 2 ? brokerCount : Math.min(METADATA_VOTERS_MAX, odd)
}

function sameSet(a: readonly NodeId[], b: readonly NodeId[]): boolean {
  return a.length === b.length && a.every((id) => b.includes(id))
}
