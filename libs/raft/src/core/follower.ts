import { ConfigurationError, decodeConfiguration } from './configuration.js'
import { BLANK, QUIESCE } from './message.js'
import type { NodeState } from './node-state.js'
import {
  type Entry,
  EntryKind,
  type LogIndex,
  MessageKind,
  type RaftMessage,
  type SnapshotMeta,
} from './types.js'

/**
 * An append of this term's leader. "If an existing entry conflicts with a new one (same index but
 * different terms), delete the existing entry and all that follow it" (figure 2): only then, since an
 * old append that arrives late must not take back what later ones added and this node acknowledged.
 */
export function receiveAppend(state: NodeState, message: RaftMessage, entries: readonly Entry[]): void {
  if (!isWellFormed(message, entries)) return
  const last = message.index + entries.length
  if (last <= state.commit) {
    acknowledge(state, message, state.commit)
    return
  }
  // What is committed here is in the leader's log too (§5.4.3), so the check may start there, which
  // also keeps it clear of what is compacted.
  const skipped = Math.max(0, state.commit - message.index)
  if (skipped === 0 && state.log.term(message.index) !== message.logTerm) {
    refuse(state, message)
    return
  }
  let at = skipped
  while (at < entries.length && state.log.term(entries[at]!.index) === entries[at]!.term) at++
  if (at < entries.length) {
    const index = entries[at]!.index
    if (index <= state.log.lastIndex) state.log.truncate(index)
    state.log.appendReceived(entries, at)
    state.refreshRole()
  }
  // No further than what this message has verified (figure 2: "index of last new entry").
  state.commitTo(Math.min(message.commit, last))
  acknowledge(state, message, last)
}

/** The leader knows that the log agrees up to the commit index it sends here. */
export function receiveHeartbeat(state: NodeState, message: RaftMessage): void {
  state.commitTo(Math.min(message.commit, state.log.lastIndex))
  state.heldByAll = Math.max(state.heldByAll, message.index)
  if (message.hint === QUIESCE && message.commit === state.log.lastIndex && state.commit === message.commit) {
    state.isQuiesced = true
    return
  }
  state.outgoing.send({
    ...BLANK,
    kind: MessageKind.HEARTBEAT_RESPONSE,
    from: state.id,
    to: message.from,
    term: state.term,
    context: message.context,
  })
}

/**
 * "If existing log entry has same index and term as snapshot's last included entry, retain log entries
 * following it" (Raft paper, figure 13); else the log starts anew behind the snapshot. What a snapshot
 * holds is committed, whoever sent it and whenever.
 */
export function restoreSnapshot(state: NodeState, snapshot: SnapshotMeta): void {
  if (snapshot.index <= state.commit) return
  if (state.log.term(snapshot.index) === snapshot.term) {
    state.commitTo(snapshot.index)
    return
  }
  state.restoredTo(snapshot.index)
  state.log.restore(snapshot)
  state.refreshRole()
}

/** A leader of an earlier term steps down when it hears of this one; a pre-vote could not tell it. */
export function refuseStaleLeader(state: NodeState, message: RaftMessage): void {
  state.outgoing.sendAfterPersist({
    ...BLANK,
    kind: MessageKind.APPEND_RESPONSE,
    from: state.id,
    to: message.from,
    term: state.term,
    index: message.index,
    reject: true,
  })
}

export function acknowledge(state: NodeState, message: Pick<RaftMessage, 'from'>, index: LogIndex): void {
  state.outgoing.sendAfterPersist({
    ...BLANK,
    kind: MessageKind.APPEND_RESPONSE,
    from: state.id,
    to: message.from,
    term: state.term,
    index,
  })
}

function refuse(state: NodeState, message: RaftMessage): void {
  const hint = state.log.conflictBackOff({ index: message.index, term: message.logTerm })
  state.outgoing.sendAfterPersist({
    ...BLANK,
    kind: MessageKind.APPEND_RESPONSE,
    from: state.id,
    to: message.from,
    term: state.term,
    index: message.index,
    reject: true,
    hint: hint.index,
    hintTerm: hint.term,
  })
}

/** Entries follow the previous one without a gap, and their terms never decrease nor exceed the leader's. */
function isWellFormed(message: RaftMessage, entries: readonly Entry[]): boolean {
  if (entries.length !== message.count || message.logTerm > message.term) return false
  let term = message.logTerm
  for (let i = 0; i < entries.length; i++) {
    const entry = entries[i]!
    if (entry.index !== message.index + 1 + i || entry.term < term || entry.term > message.term) return false
    if (entry.kind === EntryKind.CONFIGURATION && !isConfiguration(entry.data)) return false
    term = entry.term
  }
  return true
}

function isConfiguration(bytes: Uint8Array): boolean {
  try {
    decodeConfiguration(bytes)
    return true
  } catch (error) {
    if (error instanceof ConfigurationError) return false
    throw error
  }
}
