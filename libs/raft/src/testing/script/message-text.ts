import { unreachable } from '@sluice/foundation'
import { decodeConfiguration } from '../../core/configuration.js'
import { BY_TRANSFER, QUIESCE } from '../../core/message.js'
import {
  type Configuration,
  type Entry,
  EntryKind,
  MessageKind,
  type RaftMessage,
  type SnapshotMeta,
} from '../../core/types.js'

/** How a kind is called in a scenario, by its number. */
const KIND_NAMES = new Map<number, string>(Object.entries(MessageKind).map(([name, kind]) => [kind, name]))

export function kindName(kind: MessageKind): string {
  return KIND_NAMES.get(kind) ?? '?'
}

/** `[6/2 "x"]`: index, term and what it holds. */
export function entryText(entry: Entry): string {
  return `[${entry.index}/${entry.term} ${contentText(entry)}]`
}

export function entriesText(entries: readonly Entry[]): string {
  return entries.map((entry) => ` ${entryText(entry)}`).join('')
}

function contentText({ kind, data }: Entry): string {
  switch (kind) {
    case EntryKind.NOOP:
      return 'noop'
    case EntryKind.CONFIGURATION:
      return configurationText(decodeConfiguration(data))
    case EntryKind.COMMAND:
      return `"${new TextDecoder().decode(data)}"`
    default:
      return unreachable(kind)
  }
}

export function configurationText(configuration: Configuration): string {
  const { voters, votersOutgoing, learners, promotable } = configuration
  let text = `voters=${voters.join(',')}`
  if (votersOutgoing.length > 0) text += ` outgoing=${votersOutgoing.join(',')}`
  if (learners.length > 0) text += ` learners=${learners.join(',')}`
  if (promotable.length > 0) text += ` promotable=${promotable.join(',')}`
  return text
}

export function snapshotText({ index, term, configuration }: SnapshotMeta): string {
  return `${index}/${term} ${configurationText(decodeConfiguration(configuration))}`
}

/** `1->2 APPEND term=2 prev=5/1 commit=4 [6/2 "x"]`; what is 0, false or empty is left out where that says nothing. */
export function messageText(message: RaftMessage, entries: readonly Entry[]): string {
  const { from, to, kind, term } = message
  return `${from}->${to} ${kindName(kind)} term=${term}${detailsText(message, entries)}`
}

function detailsText(message: RaftMessage, entries: readonly Entry[]): string {
  const { kind, index, logTerm, commit, reject, hint, hintTerm, context } = message
  switch (kind) {
    case MessageKind.PRE_VOTE:
    case MessageKind.VOTE:
      return ` last=${index}/${logTerm}${hint === BY_TRANSFER ? ' by-transfer' : ''}`
    case MessageKind.PRE_VOTE_RESPONSE:
    case MessageKind.VOTE_RESPONSE:
      return reject ? ' refused' : ' granted'
    case MessageKind.APPEND:
      return ` prev=${index}/${logTerm} commit=${commit}${entriesText(entries)}`
    case MessageKind.APPEND_RESPONSE:
      return reject ? ` refused prev=${index} try=${hint}/${hintTerm}` : ` match=${index}`
    case MessageKind.HEARTBEAT:
      return ` commit=${commit} all=${index}${roundText(context)}${hint === QUIESCE ? ' quiesce' : ''}`
    case MessageKind.HEARTBEAT_RESPONSE:
      return roundText(context)
    case MessageKind.TIMEOUT_NOW:
    case MessageKind.READ_INDEX:
      return ''
    case MessageKind.READ_INDEX_RESPONSE:
      return reject ? ' refused' : ` index=${index}`
    case MessageKind.RECOVERY:
      return ` last=${index}`
    case MessageKind.RECOVERY_RESPONSE:
      return hint === 1 ? ` leads commit=${commit}` : ''
    default:
      return unreachable(kind)
  }
}

function roundText(round: number): string {
  return round === 0 ? '' : ` round=${round}`
}
