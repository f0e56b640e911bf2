import type { Socket } from 'node:net'
import { type Clock, deferred, toError } from '@sluice/foundation'
import { abortable } from './abortable.js'
import type { ClusterKey } from './cluster-key.js'
import { Connection, type ConnectionEvents } from './connection.js'
import { withDeadline } from './deadline.js'
import { endHandshake, handshakeTimeout } from './dial.js'
import { HandshakeChannel } from './handshake-channel.js'
import { introduceAcceptor } from './handshake.js'
import type { PeerHello } from './hello.js'
import type { Refusal } from './refusal.js'
import { RefusedError } from './transport-error.js'
import type { TransportLimits, TransportTimings } from './transport-options.js'

interface ReceptionParts {
  readonly identity: PeerHello
  /** The key of a cluster for whoever has its secret; undefined without a secret. */
  readonly keyOf: ((clusterId: Uint8Array) => Promise<ClusterKey>) | undefined
  /** False under TLS, which encrypts already. */
  readonly encrypts: boolean
  readonly limits: TransportLimits
  readonly timings: TransportTimings
  readonly clock: Clock
  /** Why a caller is not taken, if it is not. */
  readonly admit: (peer: PeerHello, socket: Socket) => Promise<Refusal | undefined>
  readonly eventsOf: (connection: Connection) => ConnectionEvents
  /** A caller that did not get through; `peer` as far as it is known. */
  readonly onFailed: (error: Error, caller: { readonly socket: Socket; readonly peer?: PeerHello }) => void
}

/** Takes connections from the first byte until both sides are ready; as many at a time as the bound allows. */
export class Reception {
  readonly #parts: ReceptionParts
  /** In the order in which they came. */
  readonly #waiting = new Set<AbortController>()

  constructor(parts: ReceptionParts) {
    this.#parts = parts
  }

  take(socket: Socket): void {
    // An honest caller is through in milliseconds: who has waited longest is the least likely to be one.
    const [oldest] = this.#waiting
    if (oldest !== undefined && this.#waiting.size >= this.#parts.limits.handshakesMax) {
      this.#waiting.delete(oldest)
      refuseAll([oldest], 'TOO_MANY_CONNECTIONS', 'too many connections introduce themselves at a time')
    }
    void this.#introduce(socket)
  }

  /** Refuses all who wait. */
  close(): void {
    refuseAll([...this.#waiting], 'CLOSING', 'this node is being closed')
  }

  async #introduce(socket: Socket): Promise<void> {
    const controller = new AbortController()
    this.#waiting.add(controller)
    let peer: PeerHello | undefined
    try {
      await withDeadline(
        {
          timeoutMs: this.#parts.timings.handshakeTimeoutMs,
          late: handshakeTimeout,
          signal: controller.signal,
        },
        (signal) =>
          this.#handshake(socket, signal, (hello) => {
            peer = hello
            return this.#parts.admit(hello, socket)
          }),
      )
    } catch (error) {
      this.#parts.onFailed(toError(error), { socket, ...(peer === undefined ? {} : { peer }) })
    } finally {
      this.#waiting.delete(controller)
    }
  }

  async #handshake(
    socket: Socket,
    signal: AbortSignal,
    admit: (peer: PeerHello) => Promise<Refusal | undefined>,
  ): Promise<void> {
    const { identity, keyOf, encrypts, timings } = this.#parts
    const channel = new HandshakeChannel(socket, signal)
    try {
      const { peer, keys } = await introduceAcceptor({ channel, identity, keyOf, encrypts }, (hello) =>
        abortable(admit(hello), signal),
      )
      const head = channel.detach()
      await this.#ready(new Connection({ ...this.#parts, socket, head, keys, peer }), signal)
    } catch (error) {
      endHandshake(channel, error, timings.closeGraceMs)
      throw error
    }
  }

  async #ready(connection: Connection, signal: AbortSignal): Promise<void> {
    const ready = deferred<undefined>()
    const events = this.#parts.eventsOf(connection)
    connection.startUnready({
      onReady: () => {
        events.onReady()
        ready.resolve(undefined)
      },
      onMessage: (frame) => events.onMessage(frame),
      onRequest: (payload) => events.onRequest(payload),
      onClose: (error) => {
        ready.reject(error)
        events.onClose(error)
      },
    })
    try {
      await abortable(ready.promise, signal)
    } catch (error) {
      if (error instanceof RefusedError && error.by === 'self') connection.refuse(error.refusal)
      throw error
    }
  }
}

function refuseAll(
  waiting: readonly AbortController[],
  code: 'TOO_MANY_CONNECTIONS' | 'CLOSING',
  message: string,
): void {
  for (const controller of waiting) controller.abort(new RefusedError({ code, message }, 'self'))
}
