import { decodeConfiguration } from '../../core/configuration.js'
import { type Configuration, EntryKind, type LogIndex, Role, type Term } from '../../core/types.js'
import { fingerprint } from './fingerprint.js'
import type { InvariantCheck, ObservedReplica } from './invariant-check.js'

export interface CommittedEntry {
  readonly term: Term
  readonly fingerprint: number
  /** The term of the node that was first seen to have committed it. */
  readonly committedIn: Term
}

/** Everything that any node of a group ever committed, by index. */
export class CommitLedger implements InvariantCheck {
  readonly #entries: CommittedEntry[] = []
  readonly #configurations: { readonly index: LogIndex; readonly configuration: Configuration }[]

  constructor(initial: Configuration) {
    this.#configurations = [{ index: 0, configuration: initial }]
  }

  get lastIndex(): LogIndex {
    return this.#entries.length
  }

  at(index: LogIndex): CommittedEntry | undefined {
    return this.#entries[index - 1]
  }

  /** The newest committed configuration at or before `index`. */
  configurationAt(index: LogIndex): Configuration {
    return this.#configurations.findLast((change) => change.index <= index)!.configuration
  }

  /**
   * A leader hands out what it commits before others hear of it, and may not lead any more then, if the entry
   * removed it; what was applied is in its log.
   */
  stepped(replica: ObservedReplica): void {
    this.#record(replica, replica.role === Role.LEADER ? replica.commit : replica.applied)
  }

  settled(replica: ObservedReplica): void {
    this.#record(replica, replica.commit)
  }

  /** Adds what nobody had committed before. */
  #record(replica: ObservedReplica, commit: LogIndex): void {
    for (let index = this.lastIndex + 1; index <= commit; index++) {
      const entry = replica.log.entry(index)
      if (entry === undefined) return
      this.#entries.push({
        term: entry.term,
        fingerprint: fingerprint(entry),
        committedIn: replica.term,
      })
      if (entry.kind === EntryKind.CONFIGURATION)
        this.#configurations.push({ index, configuration: decodeConfiguration(entry.data) })
    }
  }
}
