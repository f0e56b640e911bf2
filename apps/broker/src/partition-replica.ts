import {
  BrokerError,
  type MessageRun,
  readRuns,
  stampBatch,
  toOffset,
  verifyRecordBatch,
} from '@sluice/domain'
import { invariant } from '@sluice/foundation'
import type { PartitionInfo } from '@sluice/metadata'
import {
  type Applied,
  type AppliedBatch,
  batchOf,
  checkEntryLevel,
  COMPACT_CURSORS_LEVEL,
  type CursorOperation,
  encodeAppend,
  encodeClose,
  encodeCompactCursors,
  encodeCursors,
  encodeTrim,
  encodeVoid,
  type KnownRun,
  LeaderProjection,
  type MoveOutcome,
  type PartitionDelta,
  type PartitionSnapshot,
  PartitionState,
  RecentBatches,
  type RecentBudget,
  type StoredBatch,
  type Unread,
} from '@sluice/partition'
import {
  type Entry,
  EntryKind,
  type GroupState,
  type RaftGroup,
  Role,
  type SnapshotMeta,
  type SnapshotSource,
  type StateMachine,
  WalCorruptError,
} from '@sluice/raft'
import { EndWaiters } from './end-waiters.js'
import { withBytes } from './logged-batches.js'
import { PendingProposals } from './pending-proposals.js'

export interface ReplicaLimits {
  /** Bytes of batches that wait for the database, over all replicas of the broker. */
  readonly unmaterialisedBytesMax: number
  /** For the recent batches of all replicas, which are kept for readers. */
  readonly recent: RecentBudget
  /** Up to which entries may be written; it only ever rises. */
  readonly featureLevel: () => number
}

/** What a replica tells its broker. */
export interface ReplicaOwner {
  /** Something waits for the database; `bytes` is the size of the batches among it. */
  dirty(replica: PartitionReplica, bytes: number): void
  /** Bytes that wait for the database, over all replicas. */
  readonly unmaterialisedBytes: number
  /** Runs while nothing of the replica is on its way to the database; what waits for it is dropped. */
  exclusively<T>(replica: PartitionReplica, run: () => Promise<T>): Promise<T>
}

/** Whole partitions out of the database and into it. */
export interface ReplicaSnapshots {
  /** @param configurationAt of the Raft group, encoded */
  open(info: PartitionInfo, configurationAt: (index: number) => Uint8Array): Promise<SnapshotSource>
  /** Puts the partition in place of what the database has of it; returns its state. */
  restore(info: PartitionInfo, source: SnapshotSource): Promise<PartitionSnapshot>
}

export interface ProduceResult {
  readonly baseOffset: number
  readonly endOffset: number
  readonly duplicate: boolean
}

/** Nothing of a batch was stored: these runs of it, by their place in the batch's list, are known. */
export interface RepeatedRuns {
  readonly repeated: ReadonlyMap<number, KnownRun>
}

/** One replica of a partition: its state, its newest batches, and what its leader has promised. */
export class PartitionReplica implements StateMachine {
  #info: PartitionInfo
  #state: PartitionState
  #recent: RecentBatches
  readonly #snapshots: ReplicaSnapshots
  readonly #limits: ReplicaLimits
  readonly #owner: ReplicaOwner
  readonly #pending = new PendingProposals<Applied>()
  readonly #waiters = new EndWaiters()
  #restoring: Promise<void> = Promise.resolve()
  #group: RaftGroup | undefined
  #leader = 0
  #role: Role = Role.FOLLOWER
  #term = 0
  /** Set while this replica leads and has applied its own first entry. */
  #projection: LeaderProjection | undefined
  /** Everything below is in the database. */
  #materialisedOffset: number
  #materialisedIndex: number

  constructor(parts: {
    readonly info: PartitionInfo
    readonly snapshot: PartitionSnapshot | undefined
    readonly limits: ReplicaLimits
    readonly owner: ReplicaOwner
    readonly snapshots: ReplicaSnapshots
  }) {
    this.#info = parts.info
    this.#state = new PartitionState(parts.snapshot)
    this.#limits = parts.limits
    this.#recent = new RecentBatches(parts.limits.recent)
    this.#owner = parts.owner
    this.#snapshots = parts.snapshots
    this.#materialisedOffset = this.#state.nextOffset
    this.#materialisedIndex = this.#state.appliedIndex
  }

  attach(group: RaftGroup): void {
    invariant(this.#group === undefined, 'a replica has one group')
    this.#group = group
  }

  get group(): RaftGroup {
    invariant(this.#group !== undefined, 'the replica is attached to its group')
    return this.#group
  }

  get info(): PartitionInfo {
    return this.#info
  }

  /** The metadata has news about the partition. */
  changed(info: PartitionInfo): void {
    this.#info = info
  }

  get appliedIndex(): number {
    return this.#state.appliedIndex
  }

  get materialisedIndex(): number {
    return this.#materialisedIndex
  }

  get nextOffset(): number {
    return this.#state.nextOffset
  }

  get logStart(): number {
    return this.#state.logStart
  }

  /** Offsets below this one can be read from the database. */
  get materialisedOffset(): number {
    return this.#materialisedOffset
  }

  /** True while this replica leads and knows everything its log holds. */
  get leads(): boolean {
    return this.#projection !== undefined
  }

  get undrainedBytes(): number {
    return this.#state.undrainedBytes
  }

  get recent(): RecentBatches {
    return this.#recent
  }

  apply(entries: readonly Entry[]): void {
    const bytesBefore = this.#state.undrainedBytes
    for (const entry of entries) this.#applyEntry(entry)
    this.#projection?.appliedTo(this.#state.appliedIndex)
    const bytes = this.#state.undrainedBytes - bytesBefore
    if (bytes > 0) {
      this.#limits.recent.enforce()
      this.#waiters.advanced(this.#state.nextOffset)
    }
    this.#owner.dirty(this, bytes)
  }

  stateChanged({ role, term, leader }: GroupState): void {
    this.#leader = leader
    if (role === this.#role && term === this.#term) return
    this.#role = role
    this.#term = term
    this.#projection = undefined
    this.#pending.leadershipLost(leader)
    if (role !== Role.LEADER) this.#waiters.refuse(this.#notLeader())
  }

  /** @throws BrokerError NOT_LEADER unless this replica leads and knows everything its log holds */
  projection(): LeaderProjection {
    if (this.#projection === undefined) throw this.#notLeader()
    return this.#projection
  }

  /**
   * Stores a batch; resolves once it is committed and applied. The batch is copied before this returns.
   * When messages of it were sent before under the same ids, nothing is stored and they are named.
   * @throws BrokerError CORRUPT_BATCH, OVERLOADED, NOT_LEADER, STALE_SEQUENCE
   */
  async produce(batch: Uint8Array): Promise<ProduceResult | RepeatedRuns> {
    const header = verifyRecordBatch(batch)
    const projection = this.projection()
    if (this.#owner.unmaterialisedBytes > this.#limits.unmaterialisedBytesMax)
      throw new BrokerError(
        'OVERLOADED',
        `${this.#owner.unmaterialisedBytes} bytes wait for the database, which is slow or down`,
        { component: 'broker' },
      )
    const plan = projection.planAppend(header)
    if (plan.kind === 'stale')
      throw new BrokerError('STALE_SEQUENCE', 'a newer batch of this producer is stored already', {
        component: 'broker',
      })
    if (plan.kind === 'closed')
      throw new BrokerError('PARTITION_CLOSED', `${this.info.name} takes no messages any more`, {
        component: 'broker',
        outcome: 'no',
      })
    if (plan.kind === 'duplicate') {
      await this.appliedTo(plan.index)
      return this.#produced(plan.baseOffset, header.recordCount, true)
    }
    const runs = readRuns(batch)
    const repeated = this.#repeated(projection, runs)
    if (repeated !== undefined) {
      await this.appliedTo(repeated.index)
      return { repeated: repeated.known }
    }
    const command = encodeAppend(batch)
    stampBatch(batchOf(command), toOffset(plan.baseOffset), this.#term)
    const { index, decided } = this.#propose(command)
    projection.appended(index, header, plan.baseOffset, runs)
    const applied = await decided
    invariant(applied.kind === 'appended', 'a batch is applied as a batch')
    return this.#produced(applied.batch.baseOffset, header.recordCount, false)
  }

  /**
   * What became of messages that an earlier try may have sent under these ids; what is not stored by now is
   * never stored. Resolves once that is committed.
   * @throws BrokerError NOT_LEADER, OVERLOADED
   */
  async claim(ids: readonly string[]): Promise<readonly KnownRun[]> {
    const projection = this.projection()
    const known = ids.map((id) => projection.knownRun(id))
    const unknown = ids.filter((_id, i) => known[i] === undefined)
    const last = known.reduce((max, one) => Math.max(max, one?.index ?? 0), 0)
    if (unknown.length > 0) {
      const { index, decided } = this.#propose(encodeVoid(unknown))
      projection.voided(index, unknown)
      await decided
    } else await this.appliedTo(last)
    return known.map((one) => one?.known ?? { kind: 'void' })
  }

  /** To be called once a minute. */
  growOlder(): void {
    this.#state.growOlder()
  }

  /** True while this replica leads and knows everything its log holds. */
  get isLeading(): boolean {
    return this.#projection !== undefined
  }

  /** Has it take no messages any more, for good; resolves once that is committed. @throws BrokerError NOT_LEADER */
  async closeForGood(): Promise<void> {
    const projection = this.projection()
    if (projection.isClosed) return this.barrier()
    const { decided } = this.#propose(encodeClose())
    projection.closed()
    await decided
  }

  /** Moves a cursor; resolves with what the request was given, once that is committed. */
  async moveCursor(operation: CursorOperation): Promise<MoveOutcome> {
    const projection = this.projection()
    const { index, decided } = this.#propose(this.#cursorEntry(operation))
    projection.moved(index, [operation])
    const applied = await decided
    invariant(applied.kind === 'cursors', 'a cursor operation is applied as one')
    return applied.outcomes[0]!
  }

  /**
   * Deletes everything before `logStart`, on every replica; resolves once that is committed.
   * @throws BrokerError NOT_LEADER, OVERLOADED
   */
  async trim(logStart: number): Promise<void> {
    const projection = this.projection()
    if (logStart <= projection.logStart) return
    const { index, decided } = this.#propose(encodeTrim(logStart))
    projection.trimmed(index, logStart)
    await decided
  }

  /** What a consumer has not read, as far as it is committed. */
  committedUnread(consumerId: number): Unread {
    return this.#state.unread(consumerId)
  }

  /**
   * Resolves once this replica is known to lead still and has applied what was committed before the call.
   * @throws BrokerError NOT_LEADER
   */
  barrier(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.group.readIndex((outcome) => {
        if (outcome.kind === 'ready') resolve()
        else reject(this.#notLeader())
      })
    })
  }

  /** Resolves once the entry at `index` is applied; it was proposed by this leader in this term. */
  async appliedTo(index: number): Promise<void> {
    while (index > this.#state.appliedIndex) await this.barrier()
  }

  /** Resolves with the end once it is past `offset`, or after `waitMs`. */
  async awaitEnd(offset: number, waitMs: number): Promise<number> {
    this.projection()
    if (this.#state.nextOffset <= offset && waitMs > 0) await this.#waiters.wait(offset, waitMs)
    this.projection()
    return this.#state.nextOffset
  }

  drain(): PartitionDelta | undefined {
    return this.#state.drain({ groupId: this.info.groupId, topic: this.info.topic, number: this.info.number })
  }

  materialised(delta: PartitionDelta): void {
    this.#materialisedIndex = delta.appliedIndex
    this.#materialisedOffset = delta.nextOffset
    this.#recent.release(this.#materialisedOffset)
    this.#limits.recent.enforce()
  }

  /**
   * The batches, which were applied here, with their bytes: out of the log where memory has let them go.
   * @throws WalRangeError the log was freed up to there, since the database has them by now
   * @throws WalCorruptError the disk does not give back what was written: the broker ends, and repairs its log
   * from the others when it starts
   */
  async withBytes(batches: readonly AppliedBatch[]): Promise<readonly StoredBatch[]> {
    try {
      return await withBytes(this.group.log, batches)
    } catch (error) {
      if (error instanceof WalCorruptError) this.group.failed(error)
      throw error
    }
  }

  openSnapshot(): Promise<SnapshotSource> {
    return this.#snapshots.open(this.info, (index) => this.group.configurationAt(index))
  }

  /** Takes a peer's snapshot: the database first, so that memory never is ahead of what a restart finds. */
  restore(source: SnapshotSource): Promise<void> {
    const restoring = this.#restore(source)
    this.#restoring = restoring.catch(() => undefined)
    return restoring
  }

  /** Resolves when no snapshot is being put into the database. */
  restored(): Promise<void> {
    return this.#restoring
  }

  async #restore(source: SnapshotSource): Promise<void> {
    const { meta }: { readonly meta: SnapshotMeta } = source
    const state = await this.#owner.exclusively(this, () => this.#snapshots.restore(this.info, source))
    invariant(state.appliedIndex === meta.index, 'a snapshot is of the index that it says')
    this.#state = new PartitionState(state)
    this.#recent.close()
    this.#recent = new RecentBatches(this.#limits.recent)
    this.#materialisedOffset = state.nextOffset
    this.#materialisedIndex = state.appliedIndex
    this.#waiters.advanced(state.nextOffset)
  }

  close(): void {
    this.#projection = undefined
    this.#recent.close()
    this.#pending.leadershipLost(0)
    this.#waiters.refuse(this.#notLeader())
  }

  #applyEntry(entry: Entry): void {
    if (entry.kind === EntryKind.COMMAND) {
      const applied = this.#state.apply(entry.index, entry.term, entry.data)
      if (applied.kind === 'appended') this.#recent.add(applied.batch)
      else if (applied.kind === 'trimmed') this.#recent.trim(applied.logStart)
      this.#pending.applied(entry.index, entry.term, applied)
      return
    }
    const configuration = entry.kind === EntryKind.CONFIGURATION ? entry.data : undefined
    this.#state.skip(entry.index, entry.term, configuration)
    // The leader's own first entry, which is no command: from here on it knows everything that earlier
    // leaders committed.
    if (this.#role === Role.LEADER && entry.term === this.#term)
      this.#projection ??= new LeaderProjection(this.#state)
  }

  #cursorEntry(operation: CursorOperation): Uint8Array {
    const isCompact = this.#limits.featureLevel() >= COMPACT_CURSORS_LEVEL
    return isCompact ? encodeCompactCursors([operation]) : encodeCursors([operation])
  }

  #propose(command: Uint8Array): { readonly index: number; readonly decided: Promise<Applied> } {
    checkEntryLevel(command, this.#limits.featureLevel())
    const outcome = this.group.propose([command])
    switch (outcome.kind) {
      case 'accepted':
        return { index: outcome.firstIndex, decided: this.#pending.wait(outcome.firstIndex, outcome.term) }
      case 'overloaded':
        throw new BrokerError('OVERLOADED', `${this.info.name} has too much on its way to its replicas`, {
          component: 'broker',
        })
      case 'transferring':
      case 'not-leader':
        throw this.#notLeader()
    }
  }

  #repeated(
    projection: LeaderProjection,
    runs: readonly MessageRun[],
  ): { readonly known: ReadonlyMap<number, KnownRun>; readonly index: number } | undefined {
    let repeated: Map<number, KnownRun> | undefined
    let last = 0
    for (const [i, { id }] of runs.entries()) {
      const found = projection.knownRun(id)
      if (found === undefined) continue
      repeated ??= new Map()
      repeated.set(i, found.known)
      last = Math.max(last, found.index)
    }
    return repeated === undefined ? undefined : { known: repeated, index: last }
  }

  #produced(baseOffset: number, count: number, duplicate: boolean): ProduceResult {
    return { baseOffset, endOffset: Math.max(this.#state.nextOffset, baseOffset + count), duplicate }
  }

  #notLeader(): BrokerError {
    const known = this.#leader > 0 ? { leaderId: this.#leader } : {}
    return new BrokerError('NOT_LEADER', `this broker does not lead ${this.info.name}`, {
      component: 'broker',
      outcome: 'no',
      ...known,
    })
  }
}
