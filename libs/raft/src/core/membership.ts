import { invariant } from '@sluice/foundation'
import { decodeConfiguration, encodeConfiguration, membersOf } from './configuration.js'
import {
  type Configuration,
  type Entry,
  EntryKind,
  type LogIndex,
  type LogView,
  type NodeId,
} from './types.js'

interface Change {
  /** Of its entry; 0 for the initial configuration. */
  readonly index: LogIndex
  readonly configuration: Configuration
}

/**
 * The configurations in a log, the newest of which is in force: "a server always uses the latest
 * configuration in its log, regardless of whether the entry is committed" (Raft paper §6). Truncating
 * the log takes back those that were cut off.
 */
export class Membership {
  readonly #self: NodeId
  /** In log order, never empty; the first is that of the compacted end. */
  #changes: Change[]
  #version = 0
  #peers: readonly NodeId[] = []
  #isVoter = false

  constructor(self: NodeId, initial: Configuration, log: LogView) {
    this.#self = self
    const base = log.baseConfiguration
    this.#changes =
      base === undefined
        ? [{ index: 0, configuration: initial }]
        : [{ index: log.compactedIndex, configuration: decodeConfiguration(base) }]
    for (const entry of log.configurationEntries()) this.#changes.push(changeOf(entry))
    this.#derive()
  }

  /** In force now. */
  get configuration(): Configuration {
    return this.#changes.at(-1)!.configuration
  }

  /** Of the entry that brought it; 0 when it is the initial one. */
  get index(): LogIndex {
    return this.#changes.at(-1)!.index
  }

  /** Changes whenever the configuration in force does. */
  get version(): number {
    return this.#version
  }

  /** Every member but this node. */
  get peers(): readonly NodeId[] {
    return this.#peers
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
    const before = this.#changes.at(-2)
    return this.#isVoter || (this.index > commit && before !== undefined && this.#votes(before.configuration))
  }

  isVotingPeer(id: NodeId): boolean {
    const { voters, votersOutgoing } = this.configuration
    return id !== this.#self && (voters.includes(id) || votersOutgoing.includes(id))
  }

  /** The configuration at an entry that is not before the compacted end, encoded. */
  at(index: LogIndex): Uint8Array {
    let at = this.#changes.length - 1
    while (at > 0 && this.#changes[at]!.index > index) at--
    return encodeConfiguration(this.#changes[at]!.configuration)
  }

  appended(entry: Entry): void {
    if (entry.kind !== EntryKind.CONFIGURATION) return
    this.#changes.push(changeOf(entry))
    this.#derive()
  }

  /** The log lost everything from `index` on. */
  truncated(index: LogIndex): void {
    if (this.index < index) return
    while (this.#changes.length > 1 && this.index >= index) this.#changes.pop()
    invariant(this.index < index, 'what is compacted is never cut off')
    this.#derive()
  }

  /** Everything up to `index` is compacted: only the newest configuration before it matters. */
  compacted(index: LogIndex): void {
    while (this.#changes.length > 1 && this.#changes[1]!.index <= index) this.#changes.shift()
  }

  /** The log starts anew behind a snapshot. */
  restored(index: LogIndex, bytes: Uint8Array): void {
    this.#changes = [{ index, configuration: decodeConfiguration(bytes) }]
    this.#derive()
  }

  #derive(): void {
    this.#version++
    this.#peers = membersOf(this.configuration).filter((id) => id !== this.#self)
    this.#isVoter = this.#votes(this.configuration)
  }

  #votes({ voters, votersOutgoing }: Configuration): boolean {
    return voters.includes(this.#self) || votersOutgoing.includes(this.#self)
  }
}

function changeOf(entry: Entry): Change {
  return { index: entry.index, configuration: decodeConfiguration(entry.data) }
}
