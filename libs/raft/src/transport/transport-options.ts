import type { Clock, Random } from '@sluice/foundation'
import { ADDRESS_BYTES_MAX, CLUSTER_ID_BYTES, isZero, type PeerHello, UUID_BYTES } from './hello.js'
import type { AddressFamily, LookupFunction } from './name-cache.js'
import type { QueueBounds } from './priority-queues.js'
import type { Refusal } from './refusal.js'
import type { TransportTls } from './tls.js'
import { TransportError } from './transport-error.js'

/** Milliseconds, if not said otherwise. */
export interface TransportTimings {
  /** Name lookup, TCP and TLS together. */
  readonly connectTimeoutMs: number
  /** From the connection to the last message of the handshake. */
  readonly handshakeTimeoutMs: number
  /** A peer from which nothing is heard for so long is gone. */
  readonly silentMs: number
  /** How often a ping is sent; less than half of `silentMs`. */
  readonly pingMs: number
  /** Before the first new attempt to connect; doubles with each up to `retryMsMax`, with jitter. */
  readonly retryMs: number
  readonly retryMsMax: number
  /** Between two attempts to listen on an address that is in use or not there yet. */
  readonly bindRetryMs: number
  /** Attempts to listen after the first one, count. 0 or Infinity: without end. */
  readonly bindRetriesMax: number
  /** How long a name's addresses are believed. */
  readonly dnsCacheTimeMs: number
  /** How long a name's failure to resolve is believed. */
  readonly dnsFailCacheTimeMs: number
  /** Silence after which the kernel probes a connection; 0 never. */
  readonly tcpKeepAliveMs: number
  /** What still waits when a connection is ended has so long to leave. */
  readonly closeGraceMs: number
}

export const DEFAULT_TRANSPORT_TIMINGS: TransportTimings = {
  connectTimeoutMs: 2000,
  handshakeTimeoutMs: 3000,
  silentMs: 3500,
  pingMs: 800,
  retryMs: 100,
  retryMsMax: 5000,
  bindRetryMs: 1000,
  bindRetriesMax: 0,
  dnsCacheTimeMs: 600_000,
  dnsFailCacheTimeMs: 30_000,
  tcpKeepAliveMs: 16_000,
  closeGraceMs: 500,
}

/** The bounds of one process. */
export interface TransportLimits {
  /** Of one frame with its 12 bytes of header; larger ones are not sent, and received close the connection. */
  readonly frameBytesMax: number
  /** Of one frame of priority bulk with its header: what liveness may have to wait for. */
  readonly bulkFrameBytesMax: number
  /** What may wait for one connection, of each priority; one byte more is refused. */
  readonly queueBytesMax: QueueBounds
  /** What one connection gives to the kernel at a time: its order is fixed from then on. */
  readonly socketBytesMax: number
  /** Requests of one connection that await their answers, in either direction, count. */
  readonly requestsInFlightMax: number
  /** Connections that were not introduced yet, count; the oldest gives way. */
  readonly handshakesMax: number
  /** Observers and administrators together, count. */
  readonly guestsMax: number
  /** Peers that may be added, count. */
  readonly peersMax: number
}

const KIB = 1024
const MIB = 1024 * KIB

export const DEFAULT_TRANSPORT_LIMITS: TransportLimits = {
  frameBytesMax: 16 * MIB,
  // A chunk of 128 KiB and what its owner writes around it.
  bulkFrameBytesMax: 129 * KIB,
  queueBytesMax: { urgent: 4 * MIB, normal: 64 * MIB, bulk: MIB },
  socketBytesMax: 256 * KIB,
  requestsInFlightMax: 4096,
  handshakesMax: 128,
  guestsMax: 256,
  peersMax: 1024,
}

/** Where somebody can be dialled. */
export interface PeerAddress {
  /** A name or an IP address, without brackets. */
  readonly host: string
  readonly port: number
}

/** No: why; a refusal, or a sentence that is sent with the code NOT_ADMITTED. */
export type AdmitAnswer = string | Refusal | undefined

export interface TcpTransportOptions {
  /** Who this process is; `role` is 'node' or 'observer'. */
  readonly identity: PeerHello
  /** Where to listen, also where that is not the public address; port 0 is any. Nodes only. */
  readonly listen?: { readonly host?: string; readonly port: number }
  /** What the members of the cluster alone know. Without TLS it also encrypts the connections. */
  readonly secret?: string | Uint8Array
  readonly tls?: TransportTls
  /**
   * Asked once a peer, observer or administrator has proven what there is to prove, and before anything
   * else of it is read. The place to compare its uuid with the one that was seen first.
   */
  readonly admit?: (hello: PeerHello) => AdmitAnswer | Promise<AdmitAnswer>
  readonly random: Random
  readonly clock?: Clock
  readonly addressFamily?: AddressFamily
  readonly lookup?: LookupFunction
  readonly timings?: Partial<TransportTimings>
  readonly limits?: Partial<TransportLimits>
}

/** @throws TransportError INVALID_OPTION, for the first thing that is wrong */
export function checkOptions(
  options: TcpTransportOptions,
  bounds: { readonly timings: TransportTimings; readonly limits: TransportLimits },
): void {
  checkIdentity(options.identity)
  const { role } = options.identity
  check(role !== 'admin', 'role', 'is node or observer; administrators open a utility connection')
  check(role === 'node' || options.listen === undefined, 'listen', 'is for nodes only')
  checkSecret(options.secret)
  checkBounds(bounds)
}

/** @throws TransportError INVALID_OPTION */
export function checkIdentity(identity: PeerHello): void {
  const { id, role, clusterId, uuid, bootEpoch, address } = identity
  const idMin = role === 'admin' ? 0 : 1
  check(isWhole(id, idMin) && id <= (role === 'admin' ? 0 : 0xffff_ffff), 'id', 'is a positive u32')
  check(clusterId.length === CLUSTER_ID_BYTES, 'clusterId', `has ${CLUSTER_ID_BYTES} bytes`)
  check(role === 'admin' || !isZero(clusterId), 'clusterId', 'is not all zero')
  check(uuid.length === UUID_BYTES, 'uuid', `has ${UUID_BYTES} bytes`)
  check(isWhole(bootEpoch, 0), 'bootEpoch', 'is a whole number of at least 0')
  check(Buffer.byteLength(address) <= ADDRESS_BYTES_MAX, 'address', `has ${ADDRESS_BYTES_MAX} bytes at most`)
  check(!/\p{C}/u.test(address), 'address', 'is printable')
}

/** @throws TransportError INVALID_OPTION */
export function checkSecret(secret: string | Uint8Array | undefined): void {
  check(secret === undefined || secret.length > 0, 'secret', 'is not empty')
}

/** @throws TransportError INVALID_OPTION */
export function checkAddress({ host, port }: PeerAddress): void {
  check(host !== '' && host.length <= ADDRESS_BYTES_MAX, 'host', 'is a name or an IP address')
  check(isWhole(port, 1) && port <= 65_535, 'port', 'is a number from 1 to 65535')
}

function checkBounds({
  timings,
  limits,
}: {
  readonly timings: TransportTimings
  readonly limits: TransportLimits
}): void {
  const { bindRetriesMax, ...times } = timings
  for (const [name, ms] of Object.entries(times))
    check(Number.isFinite(ms) && ms >= 0 && ms < 2 ** 31, name, 'is a time in milliseconds')
  for (const name of ['connectTimeoutMs', 'handshakeTimeoutMs', 'silentMs', 'pingMs', 'bindRetryMs'] as const)
    check(timings[name] > 0, name, 'is not 0')
  check(timings.pingMs * 2 < timings.silentMs, 'pingMs', 'is less than half of silentMs')
  check(timings.retryMsMax >= timings.retryMs, 'retryMsMax', 'is at least retryMs')
  check(
    bindRetriesMax === Number.POSITIVE_INFINITY || isWhole(bindRetriesMax, 0),
    'bindRetriesMax',
    'is a count',
  )
  const { queueBytesMax, ...counts } = limits
  for (const [name, count] of Object.entries({ ...counts, ...queueBytesMax }))
    check(isWhole(count, 1) && count <= 2 ** 31, name, 'is a positive whole number')
  check(limits.frameBytesMax >= 4 * KIB, 'frameBytesMax', 'is at least 4 KiB')
  check(queueBytesMax.urgent >= KIB, 'queueBytesMax.urgent', 'is at least 1 KiB')
  check(queueBytesMax.normal >= limits.frameBytesMax, 'queueBytesMax.normal', 'holds at least one frame')
  check(queueBytesMax.bulk >= 2 * limits.bulkFrameBytesMax, 'queueBytesMax.bulk', 'holds at least two frames')
}

function isWhole(value: number, min: number): boolean {
  return Number.isSafeInteger(value) && value >= min
}

function check(condition: boolean, option: string, rule: string): void {
  if (!condition) throw new TransportError('INVALID_OPTION', `the option ${option} ${rule}`)
}
