import { decodeJson } from '@sluice/contracts'
import { BrokerError } from '@sluice/domain'
import { delay, invariant } from '@sluice/foundation'
import {
  encodeMetadataCommand,
  type MetadataChanges,
  type MetadataCommand,
  type MetadataResult,
  type MetadataSnapshot,
  MetadataState,
  parseMetadataCommand,
} from '@sluice/metadata'
import {
  type Entry,
  EntryKind,
  type GroupState,
  type RaftGroup,
  Role,
  type SnapshotSource,
  type StateMachine,
} from '@sluice/raft'
import { MetadataSnapshotSource, readMetadataSnapshot } from './metadata-snapshot.js'
import { EndWaiters } from './end-waiters.js'
import { PendingProposals } from './pending-proposals.js'

/** Commands kept for followers; who is further behind gets a snapshot. */
const NEWS_MAX = 10_000
/** Commands in one answer to a follower. */
const NEWS_PER_ANSWER = 2000

export interface News {
  readonly snapshot?: MetadataSnapshot
  readonly entries: readonly (readonly [index: number, command: MetadataCommand])[]
  /** Everything up to here is in this answer or in earlier ones. */
  readonly version: number
}

export interface MetadataCopy {
  readonly index: number
  readonly term: number
  /** The Raft configuration at that index, encoded, as base64. */
  readonly configuration: string
  readonly state: MetadataSnapshot
}

/** How long a follower lets itself be kept waiting, milliseconds. */
export interface FollowPace {
  readonly waitMs: number
  readonly gatherMs: number
}

export interface Decision {
  readonly version: number
  readonly result: MetadataResult
}

/** This broker's replica of the cluster metadata, where it has a vote. */
export class MetadataReplica implements StateMachine {
  #state: MetadataState
  readonly #persist: (copy: MetadataCopy) => Promise<unknown>
  readonly #pending = new PendingProposals<Decision>()
  readonly #waiters = new EndWaiters()
  readonly #listeners = new Set<(changes: readonly MetadataChanges[] | undefined) => void>()
  #group: RaftGroup | undefined
  #news: (readonly [index: number, command: MetadataCommand])[] = []
  /** Followers that have everything up to here can be served from the news. */
  #newsFrom: number
  #appliedIndex: number
  #appliedTerm = 0
  #leading: GroupState = { role: Role.FOLLOWER, term: 0, leader: 0 }
  /** True while this replica leads and has applied its own first entry. */
  #serving = false

  /** @param persist makes a copy that came from another broker what the database has */
  constructor(
    stored:
      { readonly appliedIndex: number; readonly appliedTerm: number; readonly snapshot: unknown } | undefined,
    persist: (copy: MetadataCopy) => Promise<unknown>,
  ) {
    this.#persist = persist
    this.#state = stored === undefined ? new MetadataState() : MetadataState.fromJSON(stored.snapshot)
    this.#appliedIndex = stored?.appliedIndex ?? 0
    this.#appliedTerm = stored?.appliedTerm ?? 0
    this.#newsFrom = this.#appliedIndex
  }

  attach(group: RaftGroup): void {
    invariant(this.#group === undefined, 'a replica has one group')
    this.#group = group
  }

  get group(): RaftGroup {
    invariant(this.#group !== undefined, 'the replica is attached to its group')
    return this.#group
  }

  /** Never kept across an `await`: a snapshot replaces it. */
  get state(): MetadataState {
    return this.#state
  }

  get appliedIndex(): number {
    return this.#appliedIndex
  }

  get appliedTerm(): number {
    return this.#appliedTerm
  }

  get serving(): boolean {
    return this.#serving
  }

  get leader(): number {
    return this.#leading.leader
  }

  /** Calls `listener` with what entries have changed, in their order, once for all that are applied at once. */
  onChange(listener: (changes: readonly MetadataChanges[] | undefined) => void): void {
    this.#listeners.add(listener)
  }

  apply(entries: readonly Entry[]): void {
    const changes: MetadataChanges[] = []
    for (const entry of entries) this.#applyEntry(entry, changes)
    if (changes.length > 0) for (const listener of this.#listeners) listener(changes)
    if (this.#news.length > NEWS_MAX * 2) {
      this.#news = this.#news.slice(-NEWS_MAX)
      this.#newsFrom = this.#news[0]![0] - 1
    }
    this.#waiters.advanced(this.#appliedIndex + 1)
  }

  stateChanged(state: GroupState): void {
    const before = this.#leading
    this.#leading = state
    if (state.role === before.role && state.term === before.term) return
    this.#serving = false
    this.#pending.leadershipLost(state.leader)
  }

  /**
   * Decides on a command; resolves once it is committed and applied here. A refusal is a result.
   * @throws BrokerError NOT_LEADER, OVERLOADED
   */
  async propose(command: MetadataCommand): Promise<Decision> {
    if (!this.#serving) throw this.#notLeader()
    const outcome = this.group.propose([encodeMetadataCommand(command)])
    if (outcome.kind === 'accepted') return this.#pending.wait(outcome.firstIndex, outcome.term)
    if (outcome.kind === 'overloaded')
      throw new BrokerError('OVERLOADED', 'too many changes of the metadata are on their way', {
        component: 'broker',
      })
    throw this.#notLeader()
  }

  /**
   * What a follower that has everything up to `from` lacks; waits up to `waitMs` when that is nothing, and
   * then for `gatherMs` more, so that there is more of it.
   * @throws BrokerError NOT_LEADER when this broker knows no leader, so that it may be behind for long
   */
  async follow(from: number, { waitMs, gatherMs }: FollowPace): Promise<News> {
    if (this.#leading.leader === 0) throw this.#notLeader()
    if (from >= this.#appliedIndex && waitMs > 0) await this.#waiters.wait(from, waitMs)
    const lag = this.#appliedIndex - from
    if (gatherMs > 0 && lag > 0 && lag < NEWS_PER_ANSWER) await delay(gatherMs)
    if (from < this.#newsFrom)
      return { snapshot: this.state.toJSON(), entries: [], version: this.#appliedIndex }
    const position = this.#positionAfter(from)
    const entries = this.#news.slice(position, position + NEWS_PER_ANSWER)
    const complete = entries.length < NEWS_PER_ANSWER
    return { entries, version: complete ? this.#appliedIndex : entries.at(-1)![0] }
  }

  /** All of it as it is now, for a broker whose database has lost it. */
  copy(): MetadataCopy {
    return {
      index: this.#appliedIndex,
      term: this.#appliedTerm,
      configuration: Buffer.from(this.group.configurationAt(this.#appliedIndex)).toString('base64'),
      state: this.state.toJSON(),
    }
  }

  openSnapshot(): Promise<SnapshotSource> {
    const index = this.#appliedIndex
    const meta = { index, term: this.#appliedTerm, configuration: this.group.configurationAt(index) }
    return Promise.resolve(new MetadataSnapshotSource(meta, this.state.toJSON()))
  }

  /** Takes a peer's snapshot: the database first, so that a restart finds what the log follows. */
  async restore(source: SnapshotSource): Promise<void> {
    const { index, term, configuration } = source.meta
    const state = await readMetadataSnapshot(source)
    const encoded = Buffer.from(configuration).toString('base64')
    await this.#persist({ index, term, configuration: encoded, state: state.toJSON() })
    this.#state = state
    this.#appliedIndex = index
    this.#appliedTerm = term
    this.#news = []
    this.#newsFrom = index
    this.#waiters.advanced(index + 1)
    for (const listener of this.#listeners) listener(undefined)
  }

  /** The version that holds everything decided before the call. @throws BrokerError NOT_LEADER */
  currentVersion(): Promise<number> {
    if (this.#leading.leader === 0) return Promise.reject(this.#notLeader())
    return new Promise((resolve, reject) => {
      this.group.readIndex((outcome) => {
        if (outcome.kind === 'ready') resolve(outcome.index)
        else reject(this.#notLeader())
      })
    })
  }

  close(): void {
    this.#serving = false
    this.#pending.leadershipLost(0)
    this.#waiters.refuse(new BrokerError('SHUTTING_DOWN', 'this broker is stopping', { component: 'broker' }))
  }

  #applyEntry(entry: Entry, allChanges: MetadataChanges[]): void {
    this.#appliedIndex = entry.index
    this.#appliedTerm = entry.term
    if (entry.kind !== EntryKind.COMMAND) {
      if (this.#leading.role === Role.LEADER && entry.term === this.#leading.term) this.#serving = true
      return
    }
    const command = parseMetadataCommand(decodeJson(entry.data))
    const { result, changes } = this.state.apply(entry.index, command)
    this.#news.push([entry.index, command])
    this.#pending.applied(entry.index, entry.term, { version: entry.index, result })
    allChanges.push(changes)
  }

  /** Position in the news of the first command after `index`. */
  #positionAfter(index: number): number {
    let low = 0
    let high = this.#news.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (this.#news[middle]![0] <= index) low = middle + 1
      else high = middle
    }
    return low
  }

  #notLeader(): BrokerError {
    const { leader } = this.#leading
    return new BrokerError('NOT_LEADER', 'this broker does not lead the metadata', {
      component: 'broker',
      outcome: 'no',
      ...(leader > 0 ? { leaderId: leader } : {}),
    })
  }
}
