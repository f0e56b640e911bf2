import { invariant } from '@sluice/foundation'
import type { HardState, LogIndex, RaftGroupId, Term } from '../core/types.js'

export const UUID_BYTES = 16
/** Length of a group's name in UTF-8, bytes. */
export const NAME_BYTES_MAX = 1024

/** What a group is, once and for ever. */
export interface GroupDefinition {
  readonly id: RaftGroupId
  /** 16 bytes that tell this group from any other that ever had its id. */
  readonly uuid: Uint8Array
  readonly name: string
}

/** What a checkpoint says of a group; the places of its entries are found in the segments. */
export interface GroupSummary extends GroupDefinition {
  readonly hardState: HardState
  readonly compactedIndex: LogIndex
  readonly compactedTerm: Term
  readonly lastIndex: LogIndex
  readonly lastTerm: Term
  /** The configuration at the compacted index, when it is not the group's initial one; in a record of its own. */
  readonly base?: Uint8Array | undefined
}

export const EMPTY_HARD_STATE: HardState = { term: 0, vote: 0, commit: 0 }

/** A copy of the definition that our own callers gave. */
export function checkedDefinition(definition: GroupDefinition): GroupDefinition {
  const { id, uuid, name } = definition
  invariant(Number.isInteger(id) && id > 0 && id <= 0xffff_ffff, 'a group id is a positive u32')
  invariant(uuid.length === UUID_BYTES, 'a group uuid has 16 bytes')
  invariant(Buffer.byteLength(name) <= NAME_BYTES_MAX, `a group name has at most ${NAME_BYTES_MAX} bytes`)
  return { id, uuid: Uint8Array.from(uuid), name }
}
