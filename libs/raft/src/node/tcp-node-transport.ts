import { messageOf } from '@sluice/foundation'
import type { NodeId } from '../core/types.js'
import type { FramePriority } from '../host/outbox.js'
import type { PeerHello } from '../transport/hello.js'
import { type RefusalReport, TcpTransport } from '../transport/tcp-transport.js'
import { TransportError } from '../transport/transport-error.js'
import {
  type AdmitAnswer,
  DEFAULT_TRANSPORT_LIMITS,
  DEFAULT_TRANSPORT_TIMINGS,
  type TcpTransportOptions,
  type TransportLimits,
  type TransportTimings,
} from '../transport/transport-options.js'
import { BindError } from './errors.js'
import type { NodeAddress } from './node-address.js'
import type { PeerLink } from './node-status.js'
import type { NodeTransport, NodeTransportParts, OpenNodeTransport } from './node-transport.js'
import type { SyncObjectConfig } from './sync-object-config.js'

/** What an entry, a request and a frame have around a command, generously. */
const COMMAND_OVERHEAD_BYTES = 64 * 1024
/** Pings that may get lost before a connection counts as silent. */
const PINGS_BEFORE_SILENCE = 4

/** The node's transport over TCP or TLS. Peers whose disks were replaced are refused. */
export const openTcpNodeTransport: OpenNodeTransport = (parts) => new TcpNodeTransport(parts)

class TcpNodeTransport implements NodeTransport {
  readonly #parts: NodeTransportParts
  readonly #tcp: TcpTransport
  readonly #connected = new Set<NodeId>()
  readonly #names = new Map<NodeId, string>()
  #peers = new Map<NodeId, NodeAddress>()

  constructor(parts: NodeTransportParts) {
    this.#parts = parts
    this.#tcp = new TcpTransport(optionsOf(parts, (hello) => this.#admit(hello)))
  }

  async start(signal: AbortSignal): Promise<void> {
    const { handlers } = this.#parts
    try {
      await this.#tcp.start(
        {
          onUp: (peer, hello) => this.#up(peer, hello),
          onDown: (peer) => this.#down(peer),
          onMessage: (peer, frame) => handlers.frame(peer, frame),
          onRequest: (from, payload) =>
            from.role === 'admin' ? handlers.admin(payload) : handlers.request(from.id, payload),
          onRefused: (report) => this.#refused(report),
        },
        signal,
      )
    } catch (cause) {
      if (!(cause instanceof TransportError) || cause.code !== 'BIND_FAILED') throw cause
      throw new BindError(`${this.#parts.names.name} cannot be listened on: ${messageOf(cause)}`, { cause })
    }
  }

  setPeers(peers: ReadonlyMap<NodeId, NodeAddress | undefined>): void {
    const wanted = new Map<NodeId, NodeAddress>()
    for (const [id, address] of peers) if (address !== undefined) wanted.set(id, address)
    for (const id of this.#peers.keys()) if (!wanted.has(id)) this.#tcp.dropPeer(id)
    for (const [id, { host, port }] of wanted) this.#tcp.addPeer({ id, address: { host, port } })
    this.#peers = wanted
  }

  send(peer: NodeId, frame: Uint8Array, priority: FramePriority): boolean {
    return this.#tcp.send(peer, frame, priority)
  }

  request(peer: NodeId, payload: Uint8Array, timeoutMs: number): Promise<Uint8Array> {
    return this.#tcp.request(peer, payload, { timeoutMs })
  }

  link(peer: NodeId): PeerLink {
    if (this.#connected.has(peer)) return 'connected'
    return this.#peers.has(peer) ? 'connecting' : 'disconnected'
  }

  close(): Promise<void> {
    return this.#tcp.close()
  }

  /** A disk that was lost took votes and acknowledged entries with it (etcd #13509). */
  async #admit(hello: PeerHello): Promise<AdmitAnswer> {
    if (hello.role !== 'node') return undefined
    const isSame = await this.#parts.peers.remember(hello.id, hello.uuid)
    if (isSame) return undefined
    return {
      code: 'NODE_REPLACED',
      message: `${hello.address} was known with another disk: remove it from the group, then add it again`,
    }
  }

  #up(peer: NodeId, hello: PeerHello): void {
    this.#connected.add(peer)
    this.#names.set(peer, hello.address)
    this.#parts.handlers.peerUp(peer)
    this.#parts.onEvent({ kind: 'peer-up', peer: hello.address })
  }

  #down(peer: NodeId): void {
    this.#connected.delete(peer)
    this.#parts.handlers.peerDown(peer)
    this.#parts.onEvent({ kind: 'peer-down', peer: this.#nameOf(peer) ?? `node ${peer}` })
    this.#names.delete(peer)
  }

  #refused(report: RefusalReport): void {
    const { by, code, message, remoteAddress } = report
    const peer = (report.peer === undefined ? undefined : this.#nameOf(report.peer)) ?? remoteAddress
    this.#parts.onEvent({ kind: 'peer-refused', by, peer, code, message })
  }

  #nameOf(peer: NodeId): string | undefined {
    return this.#names.get(peer) ?? this.#peers.get(peer)?.text
  }
}

function optionsOf(
  { names, identity, config, random }: NodeTransportParts,
  admit: (hello: PeerHello) => Promise<AdmitAnswer>,
): TcpTransportOptions {
  const { address } = names
  const { secret, tls, addressFamily, bindAddress } = config
  return {
    identity: {
      id: names.id,
      role: address === undefined ? 'observer' : 'node',
      clusterId: identity.clusterId,
      uuid: identity.uuid,
      bootEpoch: identity.bootEpoch,
      address: names.name,
    },
    ...(address === undefined ? {} : { listen: { host: bindAddress ?? address.host, port: address.port } }),
    ...(secret === undefined ? {} : { secret }),
    ...(tls === undefined ? {} : { tls }),
    admit,
    random,
    addressFamily,
    timings: timingsOf(config),
    limits: limitsOf(config),
  }
}

function timingsOf(config: SyncObjectConfig): Partial<TransportTimings> {
  const { connectionTimeoutMs } = config
  return {
    silentMs: connectionTimeoutMs,
    pingMs: Math.max(1, Math.floor(connectionTimeoutMs / PINGS_BEFORE_SILENCE)),
    connectTimeoutMs: Math.min(DEFAULT_TRANSPORT_TIMINGS.connectTimeoutMs, connectionTimeoutMs),
    retryMs: config.connectionRetryMs,
    retryMsMax: config.connectionRetryMaxMs,
    bindRetryMs: config.bindRetryMs,
    bindRetriesMax: config.bindRetriesMax,
    dnsCacheTimeMs: config.dnsCacheMs,
    dnsFailCacheTimeMs: config.dnsFailureCacheMs,
    tcpKeepAliveMs: config.tcpKeepAliveIdleMs,
  }
}

/** The largest command, alone in its frame, must pass. */
function limitsOf(config: SyncObjectConfig): Partial<TransportLimits> {
  const { frameBytesMax, queueBytesMax } = DEFAULT_TRANSPORT_LIMITS
  const needed = config.commandBytesMax + config.appendBatchBytesMax + COMMAND_OVERHEAD_BYTES
  const frame = Math.max(frameBytesMax, needed)
  return {
    frameBytesMax: frame,
    queueBytesMax: { ...queueBytesMax, normal: Math.max(queueBytesMax.normal, 2 * frame) },
    socketBytesMax: config.sendBufferBytes,
  }
}
