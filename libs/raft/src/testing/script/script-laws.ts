import { invariant } from '@sluice/foundation'
import { type Entry, type LogIndex, MessageKind, type NodeId, Role, type Term } from '../../core/types.js'
import { entryText } from './message-text.js'
import { type Parcel, parcelText } from './parcel.js'

/** What is on a node's disk. */
export interface DiskView {
  readonly log: { readonly lastIndex: LogIndex }
  readonly hardState: { readonly term: Term; readonly vote: NodeId | 0 }
}

/**
 * What must hold after every step of every scenario, whatever it is about, so that a wrong output that
 * was written down in good faith is still noticed.
 */
export class ScriptLaws {
  readonly #leaders = new Map<Term, NodeId>()
  readonly #applied = new Map<LogIndex, string>()

  /** Election safety: "at most one leader can be elected in a given term" (Raft paper, figure 3). */
  role(id: NodeId, role: Role, term: Term): void {
    if (role !== Role.LEADER) return
    const leader = this.#leaders.get(term) ?? id
    invariant(leader === id, `term ${term} has two leaders: ${leader} and ${id}`)
    this.#leaders.set(term, id)
  }

  /** State machine safety: "no other server will ever apply a different log entry for the same index". */
  applied(id: NodeId, entries: readonly Entry[]): void {
    for (const entry of entries) {
      const text = entryText(entry)
      const first = this.#applied.get(entry.index) ?? text
      invariant(first === text, `node ${id} applies ${text} where another has applied ${first}`)
      this.#applied.set(entry.index, text)
    }
  }

  /** "Updated on stable storage before responding to RPCs" (figure 2). */
  sent(parcel: Parcel, disk: DiskView): void {
    if (parcel.content.kind === 'snapshot') return
    const { kind, reject, term, index } = parcel.content.message
    if (kind === MessageKind.VOTE_RESPONSE && !reject) {
      const { hardState } = disk
      const isDurable = hardState.term > term || (hardState.term === term && hardState.vote === parcel.to)
      invariant(isDurable, `a vote leaves before it is durable: ${parcelText(parcel)}`)
    }
    if (kind === MessageKind.APPEND_RESPONSE && !reject)
      invariant(
        disk.log.lastIndex >= index,
        `entries are acknowledged before they are durable: ${parcelText(parcel)}`,
      )
  }
}
