import { encodeConfiguration, isJoint, refusalOf } from './configuration.js'
import type { NodeState } from './node-state.js'
import { type Configuration, EntryKind, type LogIndex, type NodeId, type Term } from './types.js'

/** What an operator has decided for a group that lost its majority for good. */
export interface ForcedConfiguration {
  /** This node is one of its voters. Not joint: there is nobody to ask on the way. */
  readonly configuration: Configuration
  /** Above every term that a lost member can have entered: none of theirs is ever more up to date. */
  readonly term: Term
  /** Where the log ended when the decision was made: of any other log, it is not. */
  readonly lastIndex: LogIndex
  readonly lastTerm: Term
}

export type ForceResult =
  | { readonly kind: 'forced'; readonly index: LogIndex; readonly term: Term }
  /** Somebody leads: the group has its majority. */
  | { readonly kind: 'has-leader'; readonly leader: NodeId }
  /** The log is not the one that was decided on, or the term was entered already. */
  | { readonly kind: 'outdated'; readonly term: Term; readonly lastIndex: LogIndex; readonly lastTerm: Term }
  /** This node may have forgotten what it once had. */
  | { readonly kind: 'recovering' }
  | { readonly kind: 'invalid'; readonly reason: string }

/** Why the configuration is not to be forced on this node now; nothing is changed. */
export function refusalToForce(
  state: NodeState,
  { configuration, term, lastIndex, lastTerm }: ForcedConfiguration,
  { isRecovering }: { readonly isRecovering: boolean },
): Exclude<ForceResult, { readonly kind: 'forced' }> | undefined {
  const { log, leader, id } = state
  const reason = refusalOf(configuration)
  if (reason !== undefined) return { kind: 'invalid', reason }
  if (isJoint(configuration)) return { kind: 'invalid', reason: 'a forced configuration is not joint' }
  if (!configuration.voters.includes(id)) return { kind: 'invalid', reason: 'this node is to be a voter' }
  if (isRecovering) return { kind: 'recovering' }
  if (leader !== 0) return { kind: 'has-leader', leader }
  if (term <= state.term || log.lastIndex !== lastIndex || log.lastTerm !== lastTerm)
    return { kind: 'outdated', term: state.term, lastIndex: log.lastIndex, lastTerm: log.lastTerm }
  return undefined
}

/**
 * The configuration as the first entry of its term, as if this node had been elected in it: it votes for
 * nobody else there. In force at once, like any other (Raft paper §6), so that this node can then be elected,
 * in the next term, by the voters that it names; only after that is anything committed. Nobody agreed to it,
 * which is what makes it dangerous: an entry that a majority without this node acknowledged is gone, and if
 * the members that were given up come back with what they had, they are a majority of the configuration that
 * they know. Whoever uses it keeps them out.
 *
 * The caller chooses the node: of those whose log holds everything that any survivor knows to be committed,
 * the one that is most up to date. The others take its log, and none of them has to give up what it applied.
 */
export function appendForced(
  state: NodeState,
  { configuration, term }: ForcedConfiguration,
): Extract<ForceResult, { readonly kind: 'forced' }> {
  state.forgoVote()
  state.log.appendOwn(term, EntryKind.CONFIGURATION, encodeConfiguration(configuration))
  state.refreshRole()
  return { kind: 'forced', index: state.log.lastIndex, term }
}
