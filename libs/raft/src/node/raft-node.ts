import { randomBytes } from 'node:crypto'
import {
  type Clock,
  Closers,
  entropy,
  invariant,
  type Random,
  systemClock,
  toError,
} from '@sluice/foundation'
import type { NodeId, RaftGroupId } from '../core/types.js'
import { RaftHost, type RaftTimings } from '../host/raft-host.js'
import { SnapshotExchange } from '../snapshot/snapshot-exchange.js'
import { groupUuidOf } from './data-directory.js'
import { type GroupOptions, HostedGroup } from './hosted-group.js'
import { type NodeAddress, parseNodeAddress } from './node-address.js'
import type { NodeEvent } from './node-event.js'
import { clusterIdOf } from './node-identity.js'
import { type NamesGiven, namesOf, type NodeNames } from './node-names.js'
import { decodeNodeRequest } from './node-request.js'
import { type NodeStorage, openNodeStorage } from './node-storage.js'
import type { NodeTransport, NodeTransportHandlers, OpenNodeTransport } from './node-transport.js'
import type { SyncObjectConfig } from './sync-object-config.js'
import { openTcpNodeTransport } from './tcp-node-transport.js'
import { StoreShelf } from './store-shelf.js'
import { TickScheduler } from './tick-scheduler.js'

export interface RaftNodeOptions extends NamesGiven {
  /** Checked by `validateConfig`. */
  readonly config: SyncObjectConfig
  readonly onEvent?: (event: NodeEvent) => void
  /**
   * Something broke that no retry mends: everything is refused from now on and the process should end.
   * Without it the error is thrown where nobody catches it, which ends the process.
   */
  readonly onFatal?: (error: Error) => void
  readonly clock?: Clock
  readonly random?: Random
  /** Another network than TCP. */
  readonly openTransport?: OpenNodeTransport
}

/**
 * One process's node: its data directory, its links to the other nodes, and its replica of one group or
 * several. Opened, it has read its disk; groups are opened next; `start` lets it speak.
 */
export class RaftNode {
  readonly names: NodeNames
  readonly config: SyncObjectConfig
  readonly transport: NodeTransport
  readonly host: RaftHost
  readonly #options: RaftNodeOptions
  readonly #storage: NodeStorage
  readonly #closers: Closers
  readonly #clock: Clock
  readonly #scheduler: TickScheduler
  readonly #exchange: SnapshotExchange
  readonly #instance = randomBytes(6).readUIntLE(0, 6)
  readonly #groups = new Map<RaftGroupId, HostedGroup>()
  readonly #ending = new AbortController()
  readonly #startedAt: number
  readonly #afterTick: (() => void)[] = []
  #failure: Error | undefined

  /**
   * Reads the data directory, or makes it.
   * @throws InvalidConfigError, InvalidAddressError, AddressCollisionError, IdentityError, WalError
   */
  static async open(options: RaftNodeOptions): Promise<RaftNode> {
    const names = namesOf(options)
    const { config } = options
    const closers = new Closers()
    // What is opened here may fail before there is a node to fail.
    const late: { node?: RaftNode } = {}
    const onEvent = (event: NodeEvent): void => options.onEvent?.(event)
    try {
      const storage = await openNodeStorage({
        dataDirectory: config.dataDirectory,
        owner: {
          clusterId: clusterIdOf(config.clusterName),
          address: names.name,
          members: names.members.map(({ text }) => text),
        },
        closers,
        onFatal: (error) => late.node?.fail(error),
        onEvent,
      })
      const open = options.openTransport ?? openTcpNodeTransport
      const transport = open({
        config,
        names,
        identity: storage.identity,
        peers: storage.peers,
        random: options.random ?? entropy(),
        handlers: handlersOf(late),
        onEvent,
      })
      closers.add('transport', () => transport.close())
      late.node = new RaftNode(options, { names, storage, transport, closers })
      return late.node
    } catch (error) {
      await closers.closeAll()
      throw error
    }
  }

  private constructor(
    options: RaftNodeOptions,
    parts: {
      readonly names: NodeNames
      readonly storage: NodeStorage
      readonly transport: NodeTransport
      readonly closers: Closers
    },
  ) {
    const { names, storage, transport, closers } = parts
    const { config, clock = systemClock, random = entropy() } = options
    this.names = names
    this.config = config
    this.transport = transport
    this.#options = options
    this.#storage = storage
    this.#closers = closers
    this.#clock = clock
    this.#startedAt = clock.monotonic()
    this.#scheduler = new TickScheduler(config.autoTick)
    this.#exchange = this.#makeExchange(random)
    closers.add('snapshot exchange', () => this.#exchange.close())
    this.host = new RaftHost({
      nodeId: names.id,
      epoch: storage.identity.bootEpoch,
      store: storage.store,
      transport,
      random,
      timings: timingsOf(config),
      scheduler: this.#scheduler,
      snapshots: this.#exchange,
      onSnapshotFailed: (group, _peer, error) => options.onEvent?.({ kind: 'snapshot-failed', group, error }),
      onFatal: (error) => this.fail(error),
    })
  }

  group(id: RaftGroupId): HostedGroup | undefined {
    return this.#groups.get(id)
  }

  /** Opens a group on what the disk holds of it; to be called before `start`. */
  async openGroup(options: GroupOptions): Promise<HostedGroup> {
    const { identity } = this.#storage
    invariant(!this.#groups.has(options.id), `group ${options.id} is opened once`)
    const uuid = groupUuidOf(identity.clusterId, options.id)
    const onStateChanged: GroupOptions['onStateChanged'] = (state, before) => {
      this.#exchange.termChanged(options.id, state.term)
      options.onStateChanged?.(state, before)
    }
    const group = await HostedGroup.open(
      { ...options, onStateChanged },
      {
        nodeId: this.names.id,
        names: this.names,
        host: this.host,
        transport: this.transport,
        config: this.config,
        clock: this.#clock,
        shelf: new StoreShelf(this.#storage.snapshots, options.id, uuid),
        instance: this.#instance,
        uuid,
        firstMembers: identity.members.map(parseNodeAddress),
        uptimeMs: () => this.#clock.monotonic() - this.#startedAt,
        failed: (error) => this.fail(error),
        snapshotFailed: (error) =>
          this.#options.onEvent?.({ kind: 'snapshot-failed', group: options.id, error }),
        membersChanged: () => this.#setPeers(),
        membersSettled: () => this.#retainPeers(),
      },
    )
    this.#groups.set(options.id, group)
    return group
  }

  /** Ticks, listens and connects. Resolves when the address is bound; rejects with a BindError. */
  async start(): Promise<void> {
    invariant(!this.#isEnding(), 'a node that was destroyed does not start')
    this.#setPeers()
    this.host.start()
    const stopTicks = this.#scheduler.every(this.config.tickMs, () => this.#tick())
    this.#closers.add('ticks', stopTicks)
    for (const group of this.#groups.values()) group.start()
    this.#retainPeers()
    try {
      await this.transport.start(this.#ending.signal)
    } catch (error) {
      if (!this.#isEnding()) this.#options.onEvent?.({ kind: 'not-bound', error: toError(error) })
      throw error
    }
  }

  /** Runs at each tick, after everything else. */
  onTick(run: () => void): void {
    this.#afterTick.push(run)
  }

  /** One tick by hand, when `autoTick` is off. */
  tick(): void {
    this.#scheduler.tick()
  }

  /** Settles everything that waits, and lets go of disk and network. May be called twice. */
  async destroy(): Promise<void> {
    this.#ending.abort()
    for (const group of this.#groups.values()) await group.close()
    this.host.stop()
    await this.#closers.closeAll()
  }

  /** A request of another node. */
  async answer(from: NodeId, payload: Uint8Array): Promise<Uint8Array> {
    const request = decodeNodeRequest(payload)
    const group = this.#groups.get(request.group)
    if (group === undefined) throw new Error(`group ${request.group} is not open here`)
    return group.answer(from, request)
  }

  /** A request of an operator; for the first group, as long as there is one only. */
  async answerOperator(payload: Uint8Array): Promise<Uint8Array> {
    const [group] = this.#groups.values()
    if (group === undefined) throw new Error('no group is open here')
    return group.operators.answerOperator(payload)
  }

  /** Ends everything at once: what the log was given last may not be durable. */
  fail(error: Error): void {
    if (this.#failure !== undefined) return
    this.#failure = error
    this.host.stop()
    for (const group of this.#groups.values()) void group.close()
    this.#options.onEvent?.({ kind: 'failed', error })
    const { onFatal } = this.#options
    if (onFatal !== undefined) onFatal(error)
    else
      setImmediate(() => {
        throw error
      })
  }

  #isEnding(): boolean {
    return this.#ending.signal.aborted
  }

  /** A node that is in no group any more may come back with another disk, once it is added again. */
  #retainPeers(): void {
    const groups = [...this.#groups.values()]
    if (!groups.every((group) => group.knowsItself)) return
    const members = new Set(groups.flatMap((group) => group.node.members))
    this.#storage.peers.retain(members).catch((error: unknown) => this.fail(toError(error)))
  }

  #makeExchange(random: Random): SnapshotExchange {
    const { config, transport } = this
    const failed = (group: RaftGroupId, error: Error): void =>
      this.#options.onEvent?.({ kind: 'snapshot-failed', group, error })
    return new SnapshotExchange({
      store: this.#storage.snapshots,
      random,
      limits: { sender: { chunkBytes: config.snapshotChunkBytesMax } },
      send: (peer, frame) => transport.send(peer, frame, 'bulk'),
      uuidOf: (group) => this.#groups.get(group)?.node.group.log.uuid,
      onReceived: (group, _from, _term, _meta, source) => this.host.snapshotReceived(group, source),
      onSent: (group, peer) => this.host.snapshotEnded(group, peer),
      onFailed: (group, peer, error) => {
        failed(group, error)
        this.host.snapshotEnded(group, peer)
      },
      onReceiveFailed: (group, _from, error) => failed(group, error),
      onFatal: (error) => this.fail(error),
    })
  }

  #tick(): void {
    for (const group of this.#groups.values()) group.tick()
    for (const run of this.#afterTick) run()
  }

  /** Members of all groups, and whom this node was told about as long as a group does not know better. */
  #setPeers(): void {
    const peers = new Map<NodeId, NodeAddress | undefined>()
    for (const group of this.#groups.values()) {
      if (!group.knowsItself) for (const contact of this.names.contacts) peers.set(contact.id, contact)
      for (const [id, address] of group.node.desk.members()) peers.set(id, address)
    }
    peers.delete(this.names.id)
    this.transport.setPeers(peers)
  }
}

function timingsOf(config: SyncObjectConfig): Partial<RaftTimings> {
  const { tickMs, electionMinMs, heartbeatMs } = config
  return {
    tickMs,
    electionTicks: Math.ceil(electionMinMs / tickMs),
    heartbeatTicks: Math.max(1, Math.floor(heartbeatMs / tickMs)),
    quiesceTicks: 0,
  }
}

/** For a transport that is made before its node. */
function handlersOf(late: { readonly node?: RaftNode }): NodeTransportHandlers {
  const node = (): RaftNode => {
    invariant(late.node !== undefined, 'nothing is heard before the node starts')
    return late.node
  }
  return {
    frame: (from, frame) => node().host.receive(from, frame),
    peerUp: () => undefined,
    peerDown: (peer) => node().host.peerDown(peer),
    request: (from, payload) => node().answer(from, payload),
    admin: (payload) => node().answerOperator(payload),
  }
}
