import { BrokerLinks, MetadataFollower } from '@sluice/client'
import type { BrokerStatus } from '@sluice/contracts'
import { BrokerError, METADATA_GROUP } from '@sluice/domain'
import { BUILD_VERSION, Closers, toError } from '@sluice/foundation'
import {
  changesBrokers,
  FEATURES,
  HEAD_SNAPSHOTS_LEVEL,
  type MetadataChanges,
  supports,
} from '@sluice/metadata'
import { RecentBudget } from '@sluice/partition'
import { MetadataStore, PartitionRemovals, PartitionStore } from '@sluice/persistence'
import { type NodeId, type RaftGroupId, RaftHost, type SnapshotMeta } from '@sluice/raft'
import type { RpcIdentity } from '@sluice/rpc'
import { ActivityGatherer } from './activity-gatherer.js'
import { BrokerCalls } from './broker-calls.js'
import { BrokerPeers, nodeName } from './broker-peers.js'
import { brokerStatus } from './broker-status.js'
import { ClusterBalancer } from './cluster-balancer.js'
import { CopyRate } from './copy-rate.js'
import { DatabaseCopies } from './database-copies.js'
import { DatabaseRecovery } from './database-recovery.js'
import { DatabaseSnapshots } from './database-snapshots.js'
import { fencedError } from './admission-check.js'
import { ForcedRecovery } from './forced-recovery.js'
import { gatherSizes } from './gather-sizes.js'
import { handOver } from './hand-over.js'
import { isWhereKnown } from './introduction.js'
import { startKeepers } from './keepers.js'
import { loadMetadata } from './load-metadata.js'
import { LogRecovery } from './log-recovery.js'
import { Materialiser } from './materialiser.js'
import { MemberChores } from './member-chores.js'
import { MetadataMaterialiser } from './metadata-materialiser.js'
import type { MemberParts } from './member-parts.js'
import { METADATA_VOTERS_MAX } from './metadata-members.js'
import { MetadataReplica } from './metadata-replica.js'
import { allOf } from './metadata-snapshot.js'
import { FollowingSource, type MetadataSource, VotingSource } from './metadata-source.js'
import { PartitionCloser } from './partition-closer.js'
import { PartitionCatchUp } from './partition-catch-up.js'
import { PartitionReader } from './partition-reader.js'
import type { PartitionReplica } from './partition-replica.js'
import { snapshotExchange } from './partition-snapshot-exchange.js'
import { PartitionService } from './partition-service.js'
import { ReplicaMover } from './replica-mover.js'
import { ReplicaRemoval } from './replica-removal.js'
import { RangeCalls } from './range-calls.js'
import { ReplicaCheck } from './replica-check.js'
import { groupUuid, ReplicaSet } from './replica-set.js'
import { SnapshotArrivals } from './snapshot-arrivals.js'
import { SharedLoads } from './shared-loads.js'

/** A broker as part of a cluster: its replicas, its part in the metadata, and its chores. */
export class ClusterMember {
  readonly calls: BrokerCalls
  readonly host: RaftHost
  readonly replicas: ReplicaSet
  readonly materialiser: Materialiser
  readonly recovery: DatabaseRecovery
  readonly logRecovery: LogRecovery
  readonly check: ReplicaCheck
  readonly catchUp: PartitionCatchUp
  readonly forced: ForcedRecovery
  readonly #arrivals: SnapshotArrivals
  readonly #parts: MemberParts
  readonly #peers: BrokerPeers
  readonly #metadata: MetadataReplica
  readonly #isFirstVoter: boolean
  readonly #metadataMaterialiser: MetadataMaterialiser
  readonly #source: MetadataSource
  readonly #removal: ReplicaRemoval
  readonly #chores: MemberChores
  readonly #closers = new Closers()

  private constructor(
    parts: MemberParts,
    metadata: {
      readonly replica: MetadataReplica
      readonly store: MetadataStore
      readonly isFirstVoter: boolean
    },
    dropped: Map<number, number>,
  ) {
    this.#parts = parts
    const { config, clusterId, brokerId, database, clock, random, logger } = parts
    const identity: RpcIdentity = { clusterId, nodeId: nodeName(brokerId), role: 'broker' }
    this.#peers = new BrokerPeers({
      self: brokerId,
      identity,
      random,
      logger,
      onRefused: ({ code, message }) => {
        if (code === 'BROKER_FENCED') parts.onFatal(fencedError(message))
      },
    })
    this.#closers.add('connections to brokers', () => this.#peers.close())
    const exchange = snapshotExchange({
      ...parts,
      peers: this.#peers,
      host: () => this.host,
      arrived: (groupId, from, source) => this.#arrivals.arrived(groupId, from, source),
    })
    this.logRecovery = new LogRecovery({ ...parts.lostLog, logger })
    this.host = new RaftHost({
      nodeId: brokerId as NodeId,
      epoch: parts.starts,
      store: parts.wal,
      transport: this.#peers,
      random,
      snapshots: exchange,
      onFatal: parts.onFatal,
      onSnapshotFailed: (groupId, peer, err) =>
        logger.warn({ err, groupId, peer }, 'a snapshot cannot be made; it is tried again'),
    })
    this.#closers.add('snapshots under way', () => exchange.close())
    this.#peers.onDown((peer) => this.host.peerDown(peer))
    const store = new PartitionStore()
    this.materialiser = new Materialiser({
      store: { materialise: (deltas, load) => store.materialise(database, deltas, load) },
      logger,
      onStale: (replica) => this.#reopen(replica),
    })
    this.#closers.add('materialiser', () => this.materialiser.stop())
    const ranges = new RangeCalls(database, (id) => this.#peers.link(id))
    this.catchUp = new PartitionCatchUp({
      database,
      ranges,
      rate: new CopyRate(config.copyBytesPerSecond, clock),
      logger: logger.child({ part: 'catch-up' }),
    })
    const copies = new DatabaseSnapshots(
      database,
      store,
      () => this.#source.state.settings.featureLevel >= HEAD_SNAPSHOTS_LEVEL,
    )
    this.recovery = new DatabaseRecovery({
      brokerId,
      linkTo: (id) => this.#peers.link(id),
      snapshots: copies,
      catchUp: this.catchUp,
      logOf: (groupId) => parts.wal.group(groupId as RaftGroupId),
      now: () => clock.now(),
      logger: logger.child({ part: 'recovery' }),
    })
    const removals = new PartitionRemovals()
    this.#removal = new ReplicaRemoval({
      host: this.host,
      owner: this.materialiser,
      store: {
        remove: (groupIds) => removals.remove(database, groupIds),
        removed: () => removals.removed(database),
        forget: (groupIds) => removals.forget(database, groupIds),
        stored: () => removals.stored(database),
      },
      logged: () => parts.wal.groups(),
      removeReceived: (groupId) => this.#removeReceived(groupId),
      logger,
    })
    this.#closers.add('deletion of partitions', () => this.#removal.close())
    const loads = new SharedLoads((groupIds) => store.loadAll(database, groupIds))
    this.replicas = new ReplicaSet({
      brokerId,
      host: this.host,
      store: {
        load: (groupId) => loads.load(groupId),
        drop: (groupId, moveId) => store.drop(database, groupId, moveId),
      },
      limits: {
        unmaterialisedBytesMax: config.unmaterialisedBytesMax,
        recent: new RecentBudget({ bytesMax: config.recentBytesMax, heldBytesMax: config.heldBytesMax }),
        featureLevel: parts.featureLevel,
      },
      owner: this.materialiser,
      snapshots: copies,
      recovery: this.recovery,
      logRecovery: this.logRecovery,
      removeReceived: (groupId) => this.#removeReceived(groupId),
      logDurable: () => new Promise((resolve) => parts.wal.append([], resolve)),
      dropped,
      removal: this.#removal,
      clusterId,
      logger,
    })
    this.#closers.add('replicas', () => this.replicas.close())
    this.#closers.add('recovery', () => this.recovery.stop())
    this.#arrivals = new SnapshotArrivals({
      brokerId,
      replica: (groupId) => this.replicas.get(groupId),
      catchUp: this.catchUp,
      deliver: (groupId, source) => this.host.snapshotReceived(groupId as RaftGroupId, source),
      logger,
    })
    this.#closers.add('snapshots that arrived', () => this.#arrivals.stop())
    this.#closers.add('groups', () => this.host.stop())
    const activity = new ActivityGatherer(clock)
    this.#metadata = metadata.replica
    this.#isFirstVoter = metadata.isFirstVoter
    const { replica } = metadata
    this.#source = metadata.isFirstVoter
      ? new VotingSource({ replica, peers: this.#peers, activity, brokerId, clock })
      : this.#follow(identity, replica)
    this.#metadataMaterialiser = new MetadataMaterialiser({
      replica,
      store: {
        materialise: async (delta) => {
          await metadata.store.materialise(database, delta)
        },
      },
      logger,
    })
    this.#closers.add('metadata materialiser', () => this.#metadataMaterialiser.stop())
    this.#closers.add('metadata', () => replica.close())
    const mover = new ReplicaMover({
      propose: (command) => this.#source.propose(command),
      now: () => clock.now(),
      logger,
    })
    const status = (): Promise<BrokerStatus> =>
      brokerStatus({
        dataDirectory: config.dataDirectory,
        replicas: this.replicas.all(),
        batchBytes: () => store.batchBytes(database),
      })
    const balancer = new ClusterBalancer({
      clock,
      sizes: () => gatherSizes({ own: status, others: this.#otherBrokers(), peers: this.#peers }),
      logger,
    })
    const closer = new PartitionCloser({
      state: () => this.#source.state,
      replica: (groupId) => this.replicas.get(groupId),
      propose: (command) => this.#source.propose(command),
      now: () => clock.now(),
      graceMs: config.closedPartitionGraceMs,
      logger,
    })
    this.check = new ReplicaCheck({
      brokerId,
      ranges,
      now: () => clock.now(),
      logger: logger.child({ part: 'replica-check' }),
    })
    const keepers = startKeepers({
      database,
      store,
      config,
      replicas: () => this.replicas.all(),
      settingsOf: (topic) => this.#source.state.topic(topic)?.settings ?? {},
      check: this.check,
      lost: (replica) => this.#reopen(replica),
      checkMetadata: () => this.#checkMetadata(metadata.store),
      clock,
      logger,
    })
    for (const [name, keeper] of Object.entries(keepers)) this.#closers.add(name, () => keeper.stop())
    this.forced = new ForcedRecovery({
      ...parts,
      host: this.host,
      replicas: this.replicas,
      metadata: this.#metadata,
      peers: this.#peers,
      newestTimestamps: () => store.newestTimestamps(database),
      recovering: () => this.recovery.recoveries,
      quietMs: config.recoveryQuietMs,
    })
    this.#chores = new MemberChores({
      ...parts,
      host: this.host,
      metadata: replica,
      source: this.#source,
      replicas: this.replicas,
      recovery: this.recovery,
      logRecovery: this.logRecovery,
      forced: this.forced,
      metadataMaterialiser: this.#metadataMaterialiser,
      activity,
      mover,
      balancer,
      closer,
    })
    this.calls = new BrokerCalls({
      replicas: this.replicas,
      service: new PartitionService(
        new PartitionReader({
          readBatches: (groupId, offset, bytesMax) => store.readBatches(database, groupId, offset, bytesMax),
          offsetAtTime: (groupId, ms) => store.offsetAtTime(database, groupId, ms),
        }),
      ),
      metadata: this.#metadata,
      isGone: (groupId) => this.#source.state.wasRemoved(groupId),
      activity,
      copies: this.#copies(copies),
      status,
      ranges,
    })
  }

  static async start(parts: MemberParts): Promise<ClusterMember> {
    const voters = parts.founders
      .map((broker) => broker.id)
      .sort((a, b) => a - b)
      .slice(0, METADATA_VOTERS_MAX)
    const store = new MetadataStore()
    const start = await loadMetadata(parts, store)
    const replica = new MetadataReplica(start.stored, ({ index, term, state }) =>
      store.materialise(parts.database, {
        appliedIndex: index,
        appliedTerm: term,
        snapshot: state,
        changes: allOf(state),
        whole: true,
      }),
    )
    const metadata = { replica, store, isFirstVoter: voters.includes(parts.brokerId) }
    const member = new ClusterMember(parts, metadata, await new PartitionStore().dropped(parts.database))
    member.#peers.update(parts.brokers)
    member.#openMetadata(replica, metadata.isFirstVoter ? voters : [], start.snapshot)
    await member.#removal.open()
    await member.catchUp.open()
    if (metadata.isFirstVoter) await member.#removal.sweep(replica.state, true)
    member.#source.onChange((changes) => member.#metadataChanged(changes))
    member.#metadataChanged(undefined)
    member.host.start()
    member.#chores.start()
    member.#closers.add('chores', () => member.#chores.stop())
    return member
  }

  /** How far the metadata is here, and who votes on it. */
  get metadataProgress(): {
    readonly applied: number
    readonly compacted: number
    readonly voters: readonly number[]
  } {
    const { appliedIndex, group } = this.#metadata
    return { applied: appliedIndex, compacted: group.log.compactedIndex, voters: group.configuration.voters }
  }

  /** Why the broker is never part of this cluster again; `undefined` for one that may be. */
  fenceAgainst(brokerId: number): string | undefined {
    const recovery = this.#metadata.state.lostBy(brokerId) ?? this.#source.state.lostBy(brokerId)
    if (recovery === undefined) return undefined
    const { planId, at, operator } = recovery
    return `broker ${brokerId} was given up by recovery ${planId} (${operator}, ${new Date(at).toISOString()}): what it has must not come back. Start it with an empty data directory and an empty database, without BROKER_ID, and add it with POST /broker`
  }

  /** True, or what is missing. */
  get ready(): true | string {
    if (!this.#source.ready) return 'the metadata is not here yet'
    if (!isWhereKnown({ ...this.#parts, source: this.#source }))
      return 'the cluster still looks for this broker where it was before'
    if (this.replicas.openingCount > 0) return `${this.replicas.openingCount} partitions are being opened`
    return true
  }

  /** Hands leaderships over, then closes. */
  async stop(): Promise<void> {
    await handOver(this.host, this.#parts.brokerId, this.#parts.clock)
    await this.#closers.closeAll()
  }

  #openMetadata(
    replica: MetadataReplica,
    voters: readonly number[],
    snapshot: SnapshotMeta | undefined,
  ): void {
    const group = this.host.openGroup({
      id: METADATA_GROUP as number as RaftGroupId,
      uuid: groupUuid(this.#parts.clusterId, METADATA_GROUP),
      name: 'metadata',
      voters: voters as readonly NodeId[],
      applied: replica.appliedIndex,
      ...(snapshot === undefined ? {} : { snapshot }),
      // A partition's log is never here without the decision that it exists.
      keepsCommit: true,
      isRecovering: this.logRecovery.isRunning,
      machine: replica,
    })
    replica.attach(group)
    if (group.log.lastIndex === 0 && voters[0] === this.#parts.brokerId) group.campaign()
  }

  #follow(identity: RpcIdentity, replica: MetadataReplica): MetadataSource {
    const { clock, random, logger, brokers, brokerId, address } = this.#parts
    const links = new BrokerLinks({ identity, random, logger })
    const others = brokers.filter((broker) => broker.id !== brokerId)
    // Itself last: it may come to lead the metadata, and be the only one that is left.
    const seeds = [...others, { id: brokerId, ...address }]
    const follower = new MetadataFollower({ seeds, links, clock, random, logger })
    follower.start()
    this.#closers.add('connections for the metadata', () => links.close())
    this.#closers.add('metadata follower', () => follower.close())
    return new FollowingSource({ follower, replica, brokerId, clock })
  }

  /** @param changes undefined when anything may have changed */
  #metadataChanged(changes: readonly MetadataChanges[] | undefined): void {
    const { state } = this.#source
    // Before it is here, its settings are those of nobody.
    if (state.clusterId !== '') this.#checkFeatureLevel(state.settings.featureLevel)
    for (const { lost } of state.recoveries()) for (const id of lost) this.#peers.fence(id)
    this.#removeGone(changes)
    this.replicas.place(changes?.flatMap(({ partitions }) => partitions) ?? state.partitions())
    if (changes?.some(changesBrokers) === false) return
    const brokers = state.brokers().map(({ id, host, port }) => ({ id, host, port }))
    // What a founder was started with is newer than what the metadata remembers, until each has said where it is.
    const founders = new Set(this.#parts.founders.map((broker) => broker.id))
    this.#peers.update(brokers.filter((broker) => !founders.has(broker.id)))
    this.#parts.onBrokersChanged(brokers)
  }

  #otherBrokers(): readonly number[] {
    const { brokerId } = this.#parts
    return this.#source.state.brokers().flatMap(({ id }) => ((id as number) === brokerId ? [] : [id]))
  }

  /** It would not understand what the others write. */
  #checkFeatureLevel(said: number): void {
    // Levels only rise: a state from before this broker was last here does not lower it.
    const level = Math.max(said, this.#parts.highestLevel())
    if (supports(FEATURES, level)) this.#parts.onFeatureLevel(level)
    else
      this.#parts.onFatal(
        new BrokerError(
          'UNSUPPORTED_VERSION',
          `the cluster is at feature level ${level}, version ${BUILD_VERSION} runs in ${FEATURES.min} to ${FEATURES.max}: start a version that runs in it`,
          { component: 'broker' },
        ),
      )
  }

  #removeGone(changes: readonly MetadataChanges[] | undefined): void {
    const { state } = this.#source
    for (const { removed } of changes ?? [])
      for (const removal of removed) if (removal.kind === 'partition') this.replicas.remove(removal.partition)
    if (changes !== undefined) return
    this.replicas.removeAll((groupId) => state.wasRemoved(groupId))
    if (!this.#isFirstVoter)
      this.#removal.sweep(state, false).catch((err: unknown) => {
        this.#parts.logger.warn({ err }, 'what is left of deleted partitions could not be looked for')
      })
  }

  /** The database is not where the replica left it: what it has, and the log, and others, know better. */
  #reopen(replica: PartitionReplica): void {
    this.replicas.reopen(replica).catch((error: unknown) => this.#parts.onFatal(toError(error)))
  }

  async #checkMetadata(store: MetadataStore): Promise<void> {
    const materialiser = this.#metadataMaterialiser
    const { writtenIndex } = materialiser
    if ((await store.appliedIndex(this.#parts.database)) < writtenIndex) materialiser.rewrite()
  }

  #copies(snapshots: DatabaseSnapshots): DatabaseCopies {
    const copies = new DatabaseCopies((groupId) => {
      const replica = this.replicas.get(groupId)
      if (replica === undefined)
        throw new BrokerError('NOT_LEADER', `this broker holds no replica of group ${groupId}`, {
          outcome: 'no',
        })
      return snapshots.openWhole(replica.info, (index) => replica.group.configurationAt(index))
    }, this.#parts.clock)
    this.#closers.add('copies', () => copies.close())
    return copies
  }

  async #removeReceived(groupId: number): Promise<void> {
    await this.#arrivals.cancel(groupId)
    await this.#parts.snapshots.removeGroup(groupId as RaftGroupId)
  }
}
