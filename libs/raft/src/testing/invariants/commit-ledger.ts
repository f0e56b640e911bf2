import type { LogIndex, Term } from '../../core/types.js'
import { fingerprint } from './fingerprint.js'
import type { ObservedNode } from './invariant-check.js'

export interface CommittedEntry {
  readonly term: Term
  readonly fingerprint: number
  /** The term of the node that was first seen to have committed it. */
  readonly committedIn: Term
}

/** Everything that any node ever committed, by index. */
export class CommitLedger {
  readonly #entries: CommittedEntry[] = []

  get lastIndex(): LogIndex {
    return this.#entries.length
  }

  at(index: LogIndex): CommittedEntry | undefined {
    return this.#entries[index - 1]
  }

  /** Adds what nobody had committed before. The node has settled. */
  record(node: ObservedNode): void {
    for (let index = this.lastIndex + 1; index <= node.commit; index++) {
      const entry = node.log.entry(index)
      if (entry === undefined) return
      this.#entries.push({ term: entry.term, fingerprint: fingerprint(entry), committedIn: node.term })
    }
  }
}
