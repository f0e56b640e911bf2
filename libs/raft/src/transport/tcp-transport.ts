import { TLSSocket } from 'node:tls'
import type { Socket } from 'node:net'
import { type Clock, systemClock } from '@sluice/foundation'
import type { NodeId } from '../core/types.js'
import type { FramePriority, RaftTransport } from '../host/outbox.js'
import { abortable } from './abortable.js'
import { ClusterKey } from './cluster-key.js'
import type { Connection, ConnectionEvents, RequestOptions } from './connection.js'
import { ConnectionTable } from './connection-table.js'
import { dial, type DialParts } from './dial.js'
import type { PeerHello } from './hello.js'
import { Listener } from './listener.js'
import { NameCache, systemLookup } from './name-cache.js'
import { OpenSockets, remoteAddressOf } from './open-sockets.js'
import { Peer, type PeerSettings, type PeerStatus } from './peer.js'
import { PeerDialer } from './peer-dialer.js'
import { Reception } from './reception.js'
import type { Refusal, RefusalCode } from './refusal.js'
import { certificateMistake } from './tls.js'
import { RefusedError, TransportError } from './transport-error.js'
import {
  type AdmitAnswer,
  checkAddress,
  checkOptions,
  DEFAULT_TRANSPORT_LIMITS,
  DEFAULT_TRANSPORT_TIMINGS,
  type PeerAddress,
  type TcpTransportOptions,
  type TransportLimits,
  type TransportTimings,
} from './transport-options.js'

/** A connection that did not come about because one side did not want it, or could not read the other. */
export interface RefusalReport {
  readonly by: 'self' | 'peer'
  readonly code: RefusalCode
  readonly message: string
  /** As far as it is known. */
  readonly peer: NodeId | undefined
  /** `ip:port` of a caller, `host:port` of a peer that was dialled. */
  readonly remoteAddress: string
}

/** What happens on the network. But for `onMessage` and `onRequest` none of these may throw. */
export interface TransportEvents {
  /** A peer or an observer is connected; before any message of it. */
  onUp(peer: NodeId, hello: PeerHello): void
  /** No message of this connection comes any more. */
  onDown(peer: NodeId, error: TransportError): void
  /**
   * @param frame a view of memory that nobody else writes; whoever keeps a little of it for long copies
   * that. What this throws closes the connection.
   */
  onMessage(peer: NodeId, frame: Uint8Array): void
  /** A request of a peer, an observer or an administrator. What this throws goes back as a RemoteError. */
  onRequest(from: PeerHello, payload: Uint8Array): Uint8Array | Promise<Uint8Array>
  onRefused(report: RefusalReport): void
}

/**
 * The network between the nodes of a cluster, by TCP or TLS: one connection for each pair of nodes, which
 * the node with the higher id dials; observers dial every node and are dialled by none.
 */
export class TcpTransport implements RaftTransport {
  readonly #options: TcpTransportOptions
  readonly #timings: TransportTimings
  readonly #limits: TransportLimits
  readonly #clock: Clock
  readonly #table: ConnectionTable
  readonly #sockets = new OpenSockets()
  readonly #listener: Listener
  readonly #reception: Reception
  readonly #dialParts: DialParts
  readonly #closing = new AbortController()
  #key: Promise<ClusterKey> | undefined
  #events: TransportEvents | undefined
  #address: PeerAddress | undefined
  #isDialling = false
  #closed: Promise<void> | undefined

  /** @throws TransportError INVALID_OPTION */
  constructor(options: TcpTransportOptions) {
    this.#options = options
    this.#timings = { ...DEFAULT_TRANSPORT_TIMINGS, ...options.timings }
    this.#limits = { ...DEFAULT_TRANSPORT_LIMITS, ...options.limits }
    checkOptions(options, { timings: this.#timings, limits: this.#limits })
    this.#clock = options.clock ?? systemClock
    this.#table = new ConnectionTable(this.#limits.guestsMax)
    const shared = {
      identity: options.identity,
      tls: options.tls,
      timings: this.#timings,
      limits: this.#limits,
      clock: this.#clock,
      keyOf: options.secret === undefined ? undefined : () => this.#clusterKey(),
      eventsOf: (connection: Connection) => this.#eventsOf(connection),
    }
    this.#dialParts = {
      ...shared,
      names: this.#nameCache(),
      onSocket: this.#sockets.add,
      admit: (peer) => this.#admit(peer, undefined),
    }
    this.#reception = new Reception({
      ...shared,
      encrypts: options.tls === undefined,
      admit: (peer, socket) => this.#admit(peer, socket),
      onFailed: (error, { socket, peer }) => this.#failedCaller(error, socket, peer),
    })
    this.#listener = new Listener({
      ...shared,
      onRaw: this.#sockets.add,
      onSocket: (socket) => this.#reception.take(socket),
      onTlsError: (error, remoteAddress) => this.#report(error, { peer: undefined, remoteAddress }),
    })
  }

  /** Where this node listens; undefined before `start` and for observers. */
  get address(): PeerAddress | undefined {
    return this.#address
  }

  /**
   * Listens, if that is wanted, and begins to dial. Resolves as soon as others can connect.
   * @throws TransportError BIND_FAILED or CLOSED, or the signal's reason; then the transport is closed
   */
  async start(events: TransportEvents, signal?: AbortSignal): Promise<void> {
    if (this.#events !== undefined || this.#closed !== undefined)
      throw new TransportError('CLOSED', 'a transport is started once')
    this.#events = events
    const until =
      signal === undefined ? this.#closing.signal : AbortSignal.any([signal, this.#closing.signal])
    try {
      if (this.#options.secret !== undefined) await abortable(this.#clusterKey(), until)
      const { listen } = this.#options
      if (listen !== undefined) this.#address = await this.#listener.listen(listen, until)
      until.throwIfAborted()
    } catch (error) {
      await this.close()
      throw error
    }
    this.#isDialling = true
    for (const peer of this.#table.peers()) peer.dialer?.start()
  }

  /**
   * Adds a peer, or gives one another address or uuid; where those are the same, nothing changes.
   * @throws TransportError INVALID_OPTION, OVERLOADED when there are too many, or CLOSED
   */
  addPeer(settings: PeerSettings): void {
    const { id, address } = settings
    const { identity } = this.#options
    checkAddress(address)
    if (id === identity.id) throw new TransportError('INVALID_OPTION', 'a node is no peer of itself')
    if (this.#closed !== undefined) throw new TransportError('CLOSED', 'the transport is closed')
    const known = this.#table.peer(id)
    if (known !== undefined && isSame(known.settings, settings)) return
    if (known === undefined && this.#table.peerCount >= this.#limits.peersMax)
      throw new TransportError('OVERLOADED', `there are ${this.#limits.peersMax} peers already`)
    this.#disconnect(id, 'the peer was given another address')
    const peer = new Peer(settings, this.#clock)
    this.#table.addPeer(peer)
    if (identity.role !== 'observer' && identity.id < id) return
    peer.dialer = this.#dialer(peer)
    if (this.#isDialling) peer.dialer.start()
  }

  /** Forgets a peer: it is cut off and refused from now on. */
  dropPeer(id: NodeId): void {
    this.#disconnect(id, 'the peer was dropped')
  }

  /** Never throws. False when the frame, which must not change any more, was dropped at once. */
  send(peer: NodeId, frame: Uint8Array, priority: FramePriority = 'normal'): boolean {
    return this.#table.connection(peer)?.send(frame, priority) ?? false
  }

  /**
   * Asks a connected peer or observer.
   * @throws TransportError, RemoteError for what its handler threw, or the signal's reason
   */
  async request(peer: NodeId, payload: Uint8Array, options: RequestOptions): Promise<Uint8Array> {
    return this.#connected(peer).request(payload, options)
  }

  /**
   * Resolves when more frames of priority bulk may be sent to a peer or observer.
   * @throws TransportError NOT_CONNECTED or CONNECTION_LOST, or the signal's reason
   */
  async whenWritable(peer: NodeId, signal?: AbortSignal): Promise<void> {
    await abortable(this.#connected(peer).whenBulkWritable(), signal)
  }

  /** Of every peer, in the order in which they were added. */
  status(): readonly PeerStatus[] {
    return this.#table.peers().map((peer) => peer.status())
  }

  /** Sends what the sockets still take within the grace, then leaves no handle behind. May be called twice. */
  close(): Promise<void> {
    this.#closed ??= this.#close()
    return this.#closed
  }

  async #close(): Promise<void> {
    const reason = new TransportError('CLOSED', 'the transport was closed')
    this.#closing.abort(reason)
    for (const peer of this.#table.peers()) peer.dialer?.stop()
    this.#reception.close()
    const listenerClosed = this.#listener.close()
    for (const connection of this.#table.connections()) connection.end(reason)
    await this.#sockets.closed(this.#timings.closeGraceMs)
    await listenerClosed
  }

  #connected(peer: NodeId): Connection {
    const connection = this.#table.connection(peer)
    if (connection === undefined)
      throw new TransportError('NOT_CONNECTED', `there is no connection to node ${peer}`)
    return connection
  }

  #clusterKey(): Promise<ClusterKey> {
    this.#key ??= ClusterKey.derive(this.#options.secret!, this.#options.identity.clusterId)
    return this.#key
  }

  #nameCache(): NameCache {
    return new NameCache({
      lookup: this.#options.lookup ?? systemLookup,
      family: this.#options.addressFamily ?? 'any',
      cacheTimeMs: this.#timings.dnsCacheTimeMs,
      failCacheTimeMs: this.#timings.dnsFailCacheTimeMs,
      clock: this.#clock,
    })
  }

  #dialer(peer: Peer): PeerDialer {
    const { address, id } = peer.settings
    return new PeerDialer({
      dial: (attempt, signal) => dial({ address, id, attempt }, this.#dialParts, signal),
      onFailed: (error) => {
        peer.failed(error)
        this.#report(error, { peer: id, remoteAddress: `${address.host}:${address.port}` })
      },
      timings: this.#timings,
      random: this.#options.random,
    })
  }

  /** @param socket of a caller; undefined for a peer that was dialled */
  async #admit(hello: PeerHello, socket: Socket | undefined): Promise<Refusal | undefined> {
    const refusal = this.#table.conflict(hello) ?? this.#certificateMistake(hello, socket)
    return refusal ?? refusalOf(await this.#options.admit?.(hello))
  }

  /** The certificate of who is dialled was compared with its address when the connection was made. */
  #certificateMistake(hello: PeerHello, socket: Socket | undefined): Refusal | undefined {
    const address = this.#table.peer(hello.id)?.settings.address
    const isChecked = this.#options.tls?.checkAddress === true && hello.role === 'node'
    if (!isChecked || address === undefined || !(socket instanceof TLSSocket)) return undefined
    return certificateMistake(address.host, socket.getPeerCertificate())
  }

  #eventsOf(connection: Connection): ConnectionEvents {
    const { peer } = connection
    return {
      onReady: () => this.#up(connection),
      onMessage: (frame) => this.#events?.onMessage(peer.id, frame),
      onRequest: (payload) => this.#events!.onRequest(peer, payload),
      onClose: (error) => this.#down(connection, error),
    }
  }

  #up(connection: Connection): void {
    const hello = connection.peer
    if (this.#conflict(hello) === undefined && hello.role !== 'admin')
      this.#table
        .connection(hello.id)
        ?.end(new TransportError('CONNECTION_LOST', 'the peer has connected anew', { outcome: 'unknown' }))
    // Asked after the end of the former connection, of which the owner was told and may have acted on.
    const conflict = this.#conflict(hello)
    if (conflict !== undefined) {
      connection.refuse(conflict)
      return
    }
    if (hello.role === 'node') this.#table.peer(hello.id)?.up(connection)
    else this.#table.addGuest(connection)
    if (hello.role !== 'admin') this.#events?.onUp(hello.id, hello)
  }

  #conflict(hello: PeerHello): Refusal | undefined {
    if (this.#closed === undefined) return this.#table.conflict(hello)
    return { code: 'CLOSING', message: 'this node is being closed' }
  }

  #down(connection: Connection, error: TransportError): void {
    if (!this.#table.isCurrent(connection)) return
    const { id, role } = connection.peer
    const peer = role === 'node' ? this.#table.peer(id) : undefined
    const livedMs = peer?.down(error)
    this.#table.removeGuest(connection)
    this.#report(error, { peer: id, remoteAddress: connection.remoteAddress })
    if (role !== 'admin') this.#events?.onDown(id, error)
    if (livedMs !== undefined) peer?.dialer?.lost(livedMs)
  }

  /** A peer or an observer of this id has no place here any more. */
  #disconnect(id: NodeId, why: string): void {
    const connection = this.#table.connection(id)
    const peer = this.#table.peer(id)
    peer?.dialer?.stop()
    connection?.refuse({ code: 'UNKNOWN_NODE', message: why })
    this.#table.removePeer(id)
  }

  #failedCaller(error: Error, socket: Socket, hello: PeerHello | undefined): void {
    if (hello?.role === 'node') this.#table.peer(hello.id)?.failed(error)
    this.#report(error, { peer: hello?.id, remoteAddress: remoteAddressOf(socket) })
  }

  /** Tells of refusals, and of what could not be read; other failures are in the peers' status. */
  #report(error: Error, who: { readonly peer: NodeId | undefined; readonly remoteAddress: string }): void {
    if (this.#closed !== undefined) return
    if (error instanceof RefusedError) this.#events?.onRefused({ by: error.by, ...error.refusal, ...who })
    else if (error instanceof TransportError && error.code === 'MALFORMED')
      this.#events?.onRefused({ by: 'self', code: 'MALFORMED', message: error.message, ...who })
  }
}

function refusalOf(answer: AdmitAnswer): Refusal | undefined {
  return typeof answer === 'string' ? { code: 'NOT_ADMITTED', message: answer } : answer
}

function isSame(one: PeerSettings, other: PeerSettings): boolean {
  const isSameUuid =
    one.uuid === other.uuid ||
    (one.uuid !== undefined && other.uuid !== undefined && Buffer.compare(one.uuid, other.uuid) === 0)
  return isSameUuid && one.address.host === other.address.host && one.address.port === other.address.port
}
