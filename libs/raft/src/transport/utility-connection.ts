import { type Clock, systemClock } from '@sluice/foundation'
import type { NodeId } from '../core/types.js'
import { ClusterKey } from './cluster-key.js'
import type { Connection, RequestOptions } from './connection.js'
import { dial } from './dial.js'
import { CLUSTER_ID_BYTES, type PeerHello, UUID_BYTES } from './hello.js'
import { type AddressFamily, type LookupFunction, NameCache, systemLookup } from './name-cache.js'
import { OpenSockets } from './open-sockets.js'
import type { TransportTls } from './tls.js'
import { TransportError } from './transport-error.js'
import {
  checkAddress,
  checkIdentity,
  checkSecret,
  DEFAULT_TRANSPORT_LIMITS,
  DEFAULT_TRANSPORT_TIMINGS,
  type PeerAddress,
  type TransportTimings,
} from './transport-options.js'

export interface UtilityOptions {
  readonly address: PeerAddress
  /** 16 bytes; whichever cluster the node is of when it is left out. */
  readonly clusterId?: Uint8Array
  readonly secret?: string | Uint8Array
  readonly tls?: TransportTls
  /** How the administrator calls itself, for the node's log. */
  readonly name?: string
  readonly addressFamily?: AddressFamily
  readonly lookup?: LookupFunction
  readonly clock?: Clock
  readonly timings?: Partial<TransportTimings>
  readonly signal?: AbortSignal
}

/** An administrator's connection to one node: it asks, and nothing else. */
export class UtilityConnection {
  readonly #connection: Connection
  readonly #sockets: OpenSockets
  readonly #timings: TransportTimings

  private constructor(connection: Connection, sockets: OpenSockets, timings: TransportTimings) {
    this.#connection = connection
    this.#sockets = sockets
    this.#timings = timings
  }

  /** @throws TransportError, RefusedError, or the signal's reason; one attempt is made */
  static async open(options: UtilityOptions): Promise<UtilityConnection> {
    const { address, secret } = options
    const identity = adminIdentity(options)
    checkAddress(address)
    checkIdentity(identity)
    checkSecret(secret)
    const timings = { ...DEFAULT_TRANSPORT_TIMINGS, ...options.timings }
    const clock = options.clock ?? systemClock
    const sockets = new OpenSockets()
    const connection = await dial(
      { address, id: 0, attempt: 0 },
      {
        identity,
        keyOf: secret === undefined ? undefined : (clusterId) => ClusterKey.derive(secret, clusterId),
        names: new NameCache({
          lookup: options.lookup ?? systemLookup,
          family: options.addressFamily ?? 'any',
          cacheTimeMs: timings.dnsCacheTimeMs,
          failCacheTimeMs: timings.dnsFailCacheTimeMs,
          clock,
        }),
        tls: options.tls,
        timings,
        limits: DEFAULT_TRANSPORT_LIMITS,
        clock,
        onSocket: sockets.add,
        admit: () => Promise.resolve(undefined),
        eventsOf: () => ({
          onReady: () => undefined,
          onMessage: () => undefined,
          onRequest: () => Promise.reject(new TransportError('REFUSED', 'administrators answer nothing')),
          onClose: () => undefined,
        }),
      },
      options.signal ?? new AbortController().signal,
    )
    return new UtilityConnection(connection, sockets, timings)
  }

  /** The node that answers. */
  get peer(): PeerHello {
    return this.#connection.peer
  }

  /** @throws TransportError, RemoteError for what the node's handler threw, or the signal's reason */
  request(payload: Uint8Array, options: RequestOptions): Promise<Uint8Array> {
    return this.#connection.request(payload, options)
  }

  /** Leaves no handle behind. May be called twice. */
  async close(): Promise<void> {
    this.#connection.end(new TransportError('CLOSED', 'this side closed the connection'))
    await this.#sockets.closed(this.#timings.closeGraceMs)
  }
}

function adminIdentity({ clusterId, name }: UtilityOptions): PeerHello {
  return {
    id: 0 as NodeId,
    role: 'admin',
    clusterId: clusterId ?? new Uint8Array(CLUSTER_ID_BYTES),
    uuid: new Uint8Array(UUID_BYTES),
    bootEpoch: 0,
    address: name ?? 'admin',
  }
}
