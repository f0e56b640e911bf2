import path from 'node:path'
import { CLUSTER_PROTOCOL, decodeJson, encodeJson, errorBody, RpcMethod } from '@sluice/contracts'
import { BrokerError, toBrokerId } from '@sluice/domain'
import { BUILD_VERSION, Closers, entropy, messageOf, systemClock } from '@sluice/foundation'
import { FEATURES } from '@sluice/metadata'
import { type Database, ensureDatabase, isUnused, migrate, openDatabase } from '@sluice/persistence'
import {
  type NodeId,
  openSnapshotStore,
  openOrReplaceWal,
  type OpenedLog,
  RaftDecodeError,
  Role,
  type SnapshotStore,
  type Wal,
} from '@sluice/raft'
import { type RpcPeer, RpcServer } from '@sluice/rpc'
import { createHttpService, type Service } from '@sluice/service'
import type { Logger } from 'pino'
import { checkAdmission } from './admission-check.js'
import { toBrokerAddress } from './broker-address.js'
import { brokerIdOf, nodeName } from './broker-peers.js'
import { ClusterMember } from './cluster-member.js'
import type { BrokerConfig } from './config.js'
import type { ForcedRecovery } from './forced-recovery.js'
import { agreeOnFounders } from './founding.js'
import { type NodeIdentity, NodeIdentityError, openIdentity, saveIdentity } from './node-identity.js'

const BODY_BYTES_MAX = 64 * 1024

export interface BrokerHooks {
  /** Something broke that no retry mends: must end the process. */
  readonly onFatal: (error: Error) => void
}

/** A broker process: waits to be added to a cluster, or takes its place in the one it belongs to. */
export class Broker implements Service {
  readonly #config: BrokerConfig
  readonly #logger: Logger
  readonly #hooks: BrokerHooks
  readonly #closers = new Closers()
  #identity: NodeIdentity
  #saving: Promise<void> = Promise.resolve()
  /** Of the identity on disk. */
  #savedLevel = 0
  #port = 0
  #database: Database | undefined
  #wal: Wal | undefined
  #log: OpenedLog | undefined
  #snapshots: SnapshotStore | undefined
  #member: ClusterMember | undefined
  readonly #stopping = new AbortController()
  #joining: Promise<void> | undefined

  private constructor(config: BrokerConfig, identity: NodeIdentity, logger: Logger, hooks: BrokerHooks) {
    this.#config = config
    this.#identity = identity
    this.#logger = logger
    this.#hooks = hooks
  }

  static async start(config: BrokerConfig, logger: Logger, hooks: BrokerHooks): Promise<Broker> {
    const stored = await openIdentity(config.dataDirectory)
    const identity = foundingIdentity(stored, config)
    const broker = new Broker(config, identity, logger, hooks)
    try {
      await broker.#open()
      return broker
    } catch (error) {
      await broker.stop()
      throw error
    }
  }

  get port(): number {
    return this.#port
  }

  stop(): Promise<void> {
    this.#stopping.abort(new Error('the broker stops'))
    return this.#closers.closeAll()
  }

  async #open(): Promise<void> {
    const config = this.#config
    await ensureDatabase(config.databaseUrl)
    const database = await openDatabase({
      url: config.databaseUrl,
      poolMax: config.databasePoolMax,
      applicationName: `sluice broker ${this.#identity.brokerId}`,
      onError: (err) => this.#logger.warn({ err }, 'a connection to the database broke'),
    })
    this.#database = database
    this.#closers.add('database', () => database.destroy())
    await migrate(database)
    if (!this.#identity.isPlaced) await this.#checkEmpty(database)
    const log = await openOrReplaceWal({
      directory: path.join(config.dataDirectory, 'log'),
      isUsed: this.#identity.isPlaced,
      nodeUuid: new Uint8Array(Buffer.from(this.#identity.nodeUuid, 'hex')),
      segmentBytes: config.segmentBytes,
      cacheBytesMax: config.logCacheBytesMax,
      onFatal: this.#hooks.onFatal,
    })
    const { wal } = log
    this.#log = log
    this.#wal = wal
    this.#closers.add('log', () => wal.close())
    this.#logger.info(wal.report, 'the log is open')
    const snapshots = await openSnapshotStore({
      directory: path.join(config.dataDirectory, 'snapshots'),
      onEvent: (event) => this.#logger.debug(event, 'snapshots on disk'),
    })
    this.#snapshots = snapshots
    this.#closers.add('snapshots', () => snapshots.close())
    this.#identity = { ...this.#identity, starts: this.#identity.starts + 1 }
    await saveIdentity(config.dataDirectory, this.#identity)
    this.#savedLevel = this.#identity.featureLevel
    await this.#listen()
    if (this.#identity.clusterId !== '') {
      await this.#checkAdmission()
      await this.#takePlace()
    } else this.#logger.info({ port: this.#port }, 'waiting to be added to a cluster: POST /broker')
  }

  /** An empty directory beside a database that is not: one of them was lost, or belongs to another broker. */
  async #checkEmpty(database: Database): Promise<void> {
    if (await isUnused(database)) return
    throw new BrokerError(
      'BROKER_REFUSED',
      `the data directory ${this.#config.dataDirectory} is empty, and the database has partitions of a broker: give this broker the directory back that belongs to its database, or an empty database as well`,
      { component: 'broker', outcome: 'no' },
    )
  }

  #whatItWaitsFor(): string {
    return this.#identity.clusterId === ''
      ? 'this broker waits to be added to a cluster'
      : 'this broker waits until every founder of the cluster answers'
  }

  async #listen(): Promise<void> {
    const { host, port } = this.#config
    const app = createHttpService({
      component: 'broker',
      logger: this.#logger,
      bodyLimitBytes: BODY_BYTES_MAX,
      ready: () => this.#member?.ready ?? this.#whatItWaitsFor(),
    })
    app.get('/status', () => this.#status())
    app.post('/verify', (request) => this.#verify(request.body))
    app.get('/recovery', async () => ({ status: 'success', ...(await this.#forced().view()) }))
    app.post('/recovery/groups', (request) => ({ status: 'success', ...this.#forced().force(request.body) }))
    app.post('/recovery/record', async (request) => ({
      status: 'success',
      ...(await this.#forced().record(request.body)),
    }))
    const rpc = new RpcServer({
      identity: () => ({
        clusterId: this.#identity.clusterId,
        nodeId:
          this.#identity.brokerId === 0
            ? `waiting-${this.#identity.nodeUuid}`
            : nodeName(this.#identity.brokerId),
        role: 'broker',
      }),
      handlers: {
        request: (method, payload, peer) => this.#answer(method, payload, peer),
        message: (method, payload, peer) => this.#take(method, payload, peer),
      },
      admit: (peer) => this.#admit(peer),
      encodeError: (error) => ({ ...errorBody(this.#toFailure(error), 'broker') }),
      onError: (err, peer) => this.#logger.debug({ err, peer: peer.nodeId }, 'a connection ended'),
    })
    rpc.attach(app.server)
    this.#closers.add('http server', () => app.close())
    this.#closers.add('connections', () => rpc.close())
    await app.listen({ host, port })
    const address = app.server.address()
    this.#port = typeof address === 'object' && address !== null ? address.port : port
    this.#logger.info({ host, port: this.#port }, 'listening')
  }

  async #checkAdmission(): Promise<void> {
    const { clusterId, brokerId, nodeUuid, brokers, isPlaced } = this.#identity
    const founders = this.#config.bootstrap
    const known = isPlaced ? brokers.filter(({ id }) => !founders.some((it) => it.id === id)) : []
    const parts = {
      brokerId,
      identity: { clusterId, nodeId: nodeName(brokerId), role: 'broker' as const },
      others: [...founders, ...known].filter(({ id }) => id !== brokerId),
      random: entropy(),
      logger: this.#logger,
      signal: this.#stopping.signal,
    }
    if (isPlaced) return checkAdmission(parts)
    const agreed = await agreeOnFounders({ ...parts, nodeUuid })
    this.#identity = { ...this.#identity, isPlaced: true, founders: agreed }
    await saveIdentity(this.#config.dataDirectory, this.#identity)
  }

  async #takePlace(): Promise<void> {
    const { clusterId, brokerId, nodeUuid, starts, brokers } = this.#identity
    const founders = this.#config.bootstrap
    const member = await ClusterMember.start({
      config: this.#config,
      clusterId,
      brokerId,
      nodeUuid,
      brokers: founders.length > 0 ? founders : brokers,
      founders,
      address: { host: this.#config.advertisedHost, port: this.#port },
      database: this.#database!,
      wal: this.#wal!,
      starts,
      lostLog: { lost: this.#log!.lost, recovered: () => this.#log!.recovered() },
      snapshots: this.#snapshots!,
      clock: systemClock,
      signal: this.#stopping.signal,
      random: entropy(),
      logger: this.#logger.child({ brokerId }),
      onFatal: this.#hooks.onFatal,
      onFeatureLevel: (level) => {
        if (level <= this.#identity.featureLevel) return
        this.#identity = { ...this.#identity, featureLevel: level }
        this.#save()
      },
      highestLevel: () => this.#identity.featureLevel,
      featureLevel: () => Math.max(this.#savedLevel, FEATURES.min),
      onBrokersChanged: (addresses) => {
        this.#identity = { ...this.#identity, brokers: addresses }
        this.#save()
      },
    })
    this.#member = member
    this.#closers.add('membership', () => member.stop())
    this.#logger.info({ clusterId, brokerId }, 'part of the cluster')
  }

  async #answer(method: number, payload: Uint8Array, peer: RpcPeer): Promise<Uint8Array> {
    if (method === RpcMethod.NODE_INFO) return encodeJson(this.#info())
    if (method === RpcMethod.NODE_JOIN) return encodeJson(await this.#join(decodeJson(payload)))
    if (peer.role === 'admin')
      throw new BrokerError('INVALID_REQUEST', 'only members of the cluster make this call', {
        outcome: 'no',
      })
    if (this.#member === undefined)
      throw new BrokerError('NOT_LEADER', 'this broker is not part of a cluster yet', { outcome: 'no' })
    return this.#member.calls.answer(method, payload)
  }

  #take(method: number, payload: Uint8Array, peer: RpcPeer): void {
    const from = brokerIdOf(peer.nodeId)
    if (
      method !== RpcMethod.RAFT ||
      peer.role !== 'broker' ||
      from === undefined ||
      this.#member === undefined ||
      this.#member.fenceAgainst(from) !== undefined
    )
      return
    try {
      this.#member.host.receive(from as NodeId, payload)
    } catch (error) {
      if (!(error instanceof RaftDecodeError)) throw error
      this.#logger.warn({ err: error, peer: peer.nodeId }, 'a frame of another broker cannot be read')
    }
  }

  /** A broker that was given up is refused, so that nothing of what it has comes back. */
  #admit({ nodeId }: RpcPeer): { readonly code: string; readonly message: string } | undefined {
    const id = brokerIdOf(nodeId)
    const message = id === undefined ? undefined : this.#member?.fenceAgainst(id)
    return message === undefined ? undefined : { code: 'BROKER_FENCED', message }
  }

  #forced(): ForcedRecovery {
    if (this.#member === undefined)
      throw new BrokerError('NOT_LEADER', 'this broker is not part of a cluster yet', { outcome: 'no' })
    return this.#member.forced
  }

  async #join(json: unknown): Promise<Record<string, unknown>> {
    const { clusterId, brokerId, brokers } = (json ?? {}) as Record<string, unknown>
    if (typeof clusterId !== 'string' || clusterId === '' || !Array.isArray(brokers))
      throw new BrokerError('INVALID_REQUEST', 'joining takes a cluster, an id and the brokers')
    const id = toBrokerId(brokerId)
    if (this.#identity.clusterId === clusterId && this.#identity.brokerId === id) return {}
    if (this.#identity.clusterId !== '' || this.#joining !== undefined)
      throw new BrokerError('BROKER_REFUSED', `this broker is part of cluster ${this.#identity.clusterId}`)
    const place = { clusterId, brokerId: id, isPlaced: true }
    const identity = { ...this.#identity, ...place, brokers: brokers.map(toBrokerAddress) }
    this.#joining = saveIdentity(this.#config.dataDirectory, identity).then(() => {
      this.#identity = identity
      return this.#takePlace()
    })
    await this.#joining
    return {}
  }

  #info(): Record<string, unknown> {
    const { clusterId, nodeUuid, brokerId, isPlaced, founders } = this.#identity
    return {
      clusterId,
      nodeUuid,
      brokerId: brokerId === 0 ? null : brokerId,
      isPlaced,
      founders,
      state: this.#member === undefined ? 'waiting' : 'serving',
      protocol: CLUSTER_PROTOCOL,
      groups: this.#member?.replicas.size ?? 0,
      features: FEATURES,
      version: BUILD_VERSION,
      featureLevel: this.#savedLevel,
    }
  }

  #status(): Record<string, unknown> {
    const partitions = Array.from(this.#member?.replicas.all() ?? [], (replica) => ({
      name: replica.info.name,
      role: replica.group.state.role === Role.LEADER ? 'leader' : 'follower',
      leader: replica.group.state.leader,
      term: replica.group.state.term,
      start: replica.logStart,
      end: replica.nextOffset,
      materialised: replica.materialisedOffset,
      commit: replica.group.commit,
      compacted: replica.group.log.compactedIndex,
      applied: replica.appliedIndex,
    }))
    return {
      status: 'success',
      ...this.#info(),
      partitions,
      database: this.#databaseState(),
      metadata: this.#member?.metadataProgress,
      replica_checks: this.#checks(),
      catch_up: this.#member?.catchUp.counters,
      recovering: this.#member?.recovery.recoveries ?? [],
      log: this.#wal?.stats(),
      lostLog: this.#lostLog() ?? null,
    }
  }

  #checks(): Record<string, unknown> {
    const counters = this.#member?.check.counters
    return {
      ranges_checked: counters?.rangesChecked ?? 0,
      differences: counters?.differences ?? 0,
      repairs: counters?.repairs ?? 0,
      alarms: counters?.alarms ?? [],
    }
  }

  /** Compares one range of a partition that this broker leads, now. */
  async #verify(body: unknown): Promise<Record<string, unknown>> {
    const { partition, from } = (body ?? {}) as { partition?: unknown; from?: unknown }
    if (typeof partition !== 'string')
      throw new BrokerError('INVALID_REQUEST', 'partition is missing', { field: 'partition' })
    if (typeof from !== 'number' || !Number.isSafeInteger(from) || from < 0)
      throw new BrokerError('INVALID_REQUEST', 'from must be an offset', { field: 'from' })
    const member = this.#member
    const replica = Array.from(member?.replicas.all() ?? []).find(({ info }) => info.name === partition)
    if (member === undefined || replica?.leads !== true)
      throw new BrokerError('NOT_LEADER', `this broker does not lead ${partition}`, { outcome: 'no' })
    return { status: 'success', ...(await member.check.check(replica, from, { patient: true })) }
  }

  #databaseState(): string {
    if (this.#member?.materialiser.failing === true) return 'failing'
    return (this.#member?.recovery.recoveries.length ?? 0) > 0 ? 'recovering' : 'ok'
  }

  /** As long as not all groups have recovered; none is open yet while this broker takes its place. */
  #lostLog(): { readonly lost: string; readonly groups: number } | undefined {
    if (this.#member !== undefined) return this.#member.logRecovery.status
    const lost = this.#log?.lost
    return lost === undefined ? undefined : { lost, groups: 0 }
  }

  #save(): void {
    this.#saving = this.#saving
      .then(async () => {
        const identity = this.#identity
        await saveIdentity(this.#config.dataDirectory, identity)
        this.#savedLevel = identity.featureLevel
      })
      .catch((err: unknown) => this.#logger.warn({ err }, 'what the cluster is like could not be noted'))
  }

  #toFailure(error: unknown): BrokerError {
    if (error instanceof BrokerError) return error
    this.#logger.error({ err: error }, 'a call failed for a reason of our own')
    return new BrokerError('INTERNAL', `a broker failed: ${messageOf(error)}`, {
      outcome: 'unknown',
      cause: error,
    })
  }
}

/** A founder is told its place by its configuration, for good: a directory serves one place only. */
function foundingIdentity(identity: NodeIdentity, config: BrokerConfig): NodeIdentity {
  if (config.clusterId === '') return identity
  const { clusterId, brokerId } = config
  const fresh = identity.clusterId === ''
  if (!fresh && (identity.clusterId !== clusterId || identity.brokerId !== brokerId))
    throw new NodeIdentityError(
      `${config.dataDirectory} belongs to broker ${identity.brokerId} of cluster ${identity.clusterId}, not to broker ${brokerId} of cluster ${clusterId}`,
    )
  return { ...identity, clusterId, brokerId }
}
