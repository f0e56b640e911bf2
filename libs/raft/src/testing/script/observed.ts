import type { RaftCore } from '../../core/core.js'
import { type LogIndex, type NodeId, Role, type Term } from '../../core/types.js'
import { configurationText } from './message-text.js'

/** What a scenario tells of a core whenever it changes. */
export interface Observed {
  readonly role: Role
  readonly term: Term
  readonly vote: NodeId | 0
  readonly leader: NodeId | 0
  readonly commit: LogIndex
  readonly members: string
  readonly isQuiesced: boolean
}

const ROLE_NAMES = new Map<number, string>(Object.entries(Role).map(([name, role]) => [role, name]))

export function observe(core: RaftCore): Observed {
  const { role, term, vote, leader, commit, isQuiesced, configuration, configurationIndex } = core
  const members = `members@${configurationIndex} ${configurationText(configuration)}`
  return { role, term, vote, leader, commit, members, isQuiesced }
}

/** `LEADER term=2 vote=1 leader=1` */
export function standingText({ role, term, vote, leader }: Observed): string {
  return `${ROLE_NAMES.get(role) ?? '?'} term=${term} vote=${vote} leader=${leader}`
}

/** One line for each thing that changed. */
export function observedText(before: Observed | undefined, now: Observed): readonly string[] {
  const lines: string[] = []
  if (before === undefined || standingText(before) !== standingText(now)) lines.push(standingText(now))
  if (before?.members !== now.members) lines.push(now.members)
  if (before?.commit !== now.commit) lines.push(`commit=${now.commit}`)
  if ((before?.isQuiesced ?? false) !== now.isQuiesced) lines.push(now.isQuiesced ? 'quiesces' : 'wakes')
  return lines
}
