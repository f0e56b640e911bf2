import type { Clock } from '@sluice/foundation'
import type { NodeId } from '../core/types.js'
import type { Connection } from './connection.js'
import type { PeerHello } from './hello.js'
import type { PeerDialer } from './peer-dialer.js'
import type { QueueBounds } from './priority-queues.js'
import type { PeerAddress } from './transport-options.js'

/** A node that this one is to be connected with. */
export interface PeerSettings {
  readonly id: NodeId
  readonly address: PeerAddress
  /** 16 bytes, where it is known: the peer is refused with another one. */
  readonly uuid?: Uint8Array
}

export interface PeerStatus {
  readonly id: NodeId
  readonly address: PeerAddress
  /** True: this side dials. */
  readonly dials: boolean
  readonly connected: boolean
  /** Wall clock, milliseconds; undefined without a connection. */
  readonly since: number | undefined
  /** What the peer said of itself on the present connection. */
  readonly hello: PeerHello | undefined
  /** On the wire, of all connections since the peer was added. */
  readonly bytesIn: number
  readonly bytesOut: number
  /** Bytes that wait for the present connection. */
  readonly queued: QueueBounds
  /** The last one, with the wall clock's time of it in milliseconds. */
  readonly lastError: { readonly at: number; readonly error: Error } | undefined
}

const NOTHING_QUEUED: QueueBounds = { urgent: 0, normal: 0, bulk: 0 }

/** What is known of one peer, through all of its connections. */
export class Peer {
  readonly settings: PeerSettings
  /** Undefined where the peer dials. */
  dialer: PeerDialer | undefined
  readonly #clock: Clock
  #connection: Connection | undefined
  #since = 0
  #upAt = 0
  #bytesIn = 0
  #bytesOut = 0
  #lastError: PeerStatus['lastError']

  constructor(settings: PeerSettings, clock: Clock) {
    this.settings = settings
    this.#clock = clock
  }

  get connection(): Connection | undefined {
    return this.#connection
  }

  up(connection: Connection): void {
    this.#connection = connection
    this.#since = this.#clock.now()
    this.#upAt = this.#clock.monotonic()
  }

  /** @returns for how long it was up, milliseconds */
  down(error: Error): number {
    this.#bytesIn += this.#connection?.bytesIn ?? 0
    this.#bytesOut += this.#connection?.bytesOut ?? 0
    this.#connection = undefined
    this.failed(error)
    return this.#clock.monotonic() - this.#upAt
  }

  failed(error: Error): void {
    this.#lastError = { at: this.#clock.now(), error }
  }

  status(): PeerStatus {
    const connection = this.#connection
    return {
      id: this.settings.id,
      address: this.settings.address,
      dials: this.dialer !== undefined,
      connected: connection !== undefined,
      since: connection === undefined ? undefined : this.#since,
      hello: connection?.peer,
      bytesIn: this.#bytesIn + (connection?.bytesIn ?? 0),
      bytesOut: this.#bytesOut + (connection?.bytesOut ?? 0),
      queued: connection?.queuedBytes ?? NOTHING_QUEUED,
      lastError: this.#lastError,
    }
  }
}
