import { invariant } from '@sluice/foundation'
import { membersOf } from './configuration.js'
import { ConfigurationPool, type PooledConfiguration } from './configuration-pool.js'
import {
  type Configuration,
  type Entry,
  EntryKind,
  type LogIndex,
  type LogView,
  type NodeId,
} from './types.js'

/** A configuration in the log, and those before it that a truncated log would go back to. */
interface Change {
  /** Of its entry; 0 for the initial configuration. */
  readonly index: LogIndex
  readonly to: PooledConfiguration
  earlier: Change | undefined
}

/**
 * The configurations in a log, the newest of which is in force: "a server always uses the latest
 * configuration in its log, regardless of whether the entry is committed" (Raft paper §6). Truncating
 * the log takes back those that were cut off.
 */
export class Membership {
  readonly #self: NodeId
  readonly #pool: ConfigurationPool
  /** The first one is that of the compacted end. */
  #newest: Change
  #isVoter = false

  constructor(self: NodeId, initial: Configuration, log: LogView, pool = new ConfigurationPool()) {
    this.#self = self
    this.#pool = pool
    const base = log.baseConfiguration
    this.#newest =
      base === undefined
        ? { index: 0, to: pool.of(initial), earlier: undefined }
        : { index: log.compactedIndex, to: pool.decode(base), earlier: undefined }
    for (const entry of log.configurationEntries()) this.#add(entry)
    this.#derive()
  }

  /** In force now. */
  get configuration(): Configuration {
    return this.#newest.to.configuration
  }

  /** Of the entry that brought it; 0 when it is the initial one. */
  get index(): LogIndex {
    return this.#newest.index
  }

  /** Every member but this node. */
  get peers(): readonly NodeId[] {
    return membersOf(this.configuration).filter((id) => id !== this.#self)
  }

  get isVoter(): boolean {
    return this.#isVoter
  }

  /** A member that has no vote. */
  get isLearner(): boolean {
    return !this.#isVoter && this.configuration.learners.includes(this.#self)
  }

  /**
   * "A server that is not part of its own latest configuration should still start new elections, as it
   * might still be needed until the C_new entry is committed" (Raft thesis §4.2.2): those who stay may
   * lack entries that only it can give them.
   */
  mayLead(commit: LogIndex): boolean {
    const before = this.#newest.earlier?.to.configuration
    return this.#isVoter || (this.index > commit && before !== undefined && this.#votes(before))
  }

  isVotingPeer(id: NodeId): boolean {
    const { voters, votersOutgoing } = this.configuration
    return id !== this.#self && (voters.includes(id) || votersOutgoing.includes(id))
  }

  /** The configuration at an entry that is not before the compacted end, encoded. */
  at(index: LogIndex): Uint8Array {
    return this.#changeAt(index).to.bytes
  }

  /** The entry as the log shall keep it. */
  appended(entry: Entry): Entry {
    const { index, term, kind } = entry
    if (kind !== EntryKind.CONFIGURATION) return entry
    const { bytes } = this.#add(entry)
    this.#derive()
    return { index, term, kind, data: bytes }
  }

  /** The log lost everything from `index` on. */
  truncated(index: LogIndex): void {
    if (this.index < index) return
    this.#newest = this.#changeAt(index - 1)
    invariant(this.index < index, 'what is compacted is never cut off')
    this.#derive()
  }

  /** Everything up to `index` is compacted: only the newest configuration before it matters. */
  compacted(index: LogIndex): void {
    this.#changeAt(index).earlier = undefined
  }

  /** The log starts anew behind a snapshot. */
  restored(index: LogIndex, bytes: Uint8Array): void {
    this.#newest = { index, to: this.#pool.decode(bytes), earlier: undefined }
    this.#derive()
  }

  #add({ index, data }: Entry): PooledConfiguration {
    const to = this.#pool.decode(data)
    this.#newest = { index, to, earlier: this.#newest }
    return to
  }

  /** The one in force at `index`, or the first one. */
  #changeAt(index: LogIndex): Change {
    let change = this.#newest
    while (change.index > index && change.earlier !== undefined) change = change.earlier
    return change
  }

  #derive(): void {
    this.#isVoter = this.#votes(this.configuration)
  }

  #votes({ voters, votersOutgoing }: Configuration): boolean {
    return voters.includes(this.#self) || votersOutgoing.includes(this.#self)
  }
}
