import type { Entry, NodeId, RaftMessage, SnapshotMeta } from '../../core/types.js'
import { kindName, messageText, snapshotText } from './message-text.js'

/** What travels between two nodes: a message with its entries, or a snapshot. */
export interface Parcel {
  readonly from: NodeId
  readonly to: NodeId
  readonly content:
    | { readonly kind: 'message'; readonly message: RaftMessage; readonly entries: readonly Entry[] }
    | { readonly kind: 'snapshot'; readonly meta: SnapshotMeta }
}

export function parcelText({ from, to, content }: Parcel): string {
  return content.kind === 'message'
    ? messageText(content.message, content.entries)
    : `${from}->${to} SNAPSHOT ${snapshotText(content.meta)}`
}

/** As commands name it: `append-response`. */
export function parcelKind({ content }: Parcel): string {
  if (content.kind === 'snapshot') return 'snapshot'
  return kindName(content.message.kind).toLowerCase().replaceAll('_', '-')
}
