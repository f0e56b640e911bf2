import { MessageKind, type NodeId, type RaftMessage } from './types.js'

/** Every message starts as a copy of this, so that all of them have one shape. */
export const BLANK: RaftMessage = {
  kind: MessageKind.HEARTBEAT,
  from: 0 as NodeId,
  to: 0 as NodeId,
  term: 0,
  index: 0,
  logTerm: 0,
  commit: 0,
  reject: false,
  hint: 0,
  hintTerm: 0,
  context: 0,
  count: 0,
}

/** `hint` of a VOTE that a leader asked for: voters answer it although they hear that leader. */
export const BY_TRANSFER = 1
/** `hint` of a HEARTBEAT after which none follows until something happens: nobody need wait for it. */
export const QUIESCE = 1
