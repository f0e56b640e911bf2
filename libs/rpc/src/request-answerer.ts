import { messageOf } from '@sluice/foundation'
import type { Connection } from './connection.js'
import { type Frame, FrameKind, payloadBytesMax } from './frame.js'
import type { RpcLimits } from './limits.js'
import { RpcError } from './rpc-error.js'

const encoder = new TextEncoder()

/** Answers the requests of one connection, concurrently, as many at once as the bound allows. */
export class RequestAnswerer {
  readonly #handle: (request: Frame) => Uint8Array | Promise<Uint8Array>
  readonly #encodeError: (error: unknown) => Readonly<Record<string, unknown>>
  readonly #limits: RpcLimits
  #inFlight = 0

  constructor(parts: {
    readonly handle: (request: Frame) => Uint8Array | Promise<Uint8Array>
    readonly encodeError: (error: unknown) => Readonly<Record<string, unknown>>
    readonly limits: RpcLimits
  }) {
    this.#handle = parts.handle
    this.#encodeError = parts.encodeError
    this.#limits = parts.limits
  }

  /** Never throws; what the handler throws goes back as an error frame. */
  answer(connection: Connection, request: Frame): void {
    if (this.#inFlight >= this.#limits.inFlightMax) {
      const message = `${this.#inFlight} requests of this connection are being answered`
      this.#refuse(connection, request, { code: 'OVERLOADED', message, retriable: true, outcome: 'no' })
      return
    }
    try {
      const answer = this.#handle(request)
      if (answer instanceof Uint8Array) this.#respond(connection, request, answer)
      else void this.#await(connection, request, answer)
    } catch (error) {
      this.#fail(connection, request, error)
    }
  }

  async #await(connection: Connection, request: Frame, answer: Promise<Uint8Array>): Promise<void> {
    this.#inFlight++
    try {
      this.#respond(connection, request, await answer)
    } catch (error) {
      this.#fail(connection, request, error)
    } finally {
      this.#inFlight--
    }
  }

  #respond(connection: Connection, request: Frame, payload: Uint8Array): void {
    const payloadMax = payloadBytesMax(this.#limits.frameBytesMax)
    if (payload.length <= payloadMax) this.#send(connection, request, FrameKind.RESPONSE, payload)
    // Sent, it would end the connection and with it everyone else's requests.
    else
      this.#fail(
        connection,
        request,
        new RpcError('PROTOCOL', `an answer of ${payload.length} bytes is over the limit of ${payloadMax}`, {
          outcome: 'unknown',
        }),
      )
  }

  #fail(connection: Connection, request: Frame, error: unknown): void {
    let payload: Uint8Array
    try {
      payload = encoder.encode(JSON.stringify(this.#encodeError(error)))
    } catch {
      this.#refuse(connection, request, { code: 'INTERNAL', message: messageOf(error) })
      return
    }
    if (payload.length <= payloadBytesMax(this.#limits.frameBytesMax))
      this.#send(connection, request, FrameKind.ERROR, payload)
    else this.#refuse(connection, request, { code: 'INTERNAL', message: 'an error too long to be told' })
  }

  #refuse(connection: Connection, request: Frame, json: Readonly<Record<string, unknown>>): void {
    this.#send(connection, request, FrameKind.ERROR, encoder.encode(JSON.stringify(json)))
  }

  #send(connection: Connection, request: Frame, kind: FrameKind, payload: Uint8Array): void {
    const sent = connection.send({ kind, method: request.method, id: request.id, payload })
    // The caller does not read: it must not wait for an answer that was dropped.
    if (!sent) connection.close(new Error('answers pile up: the peer does not read them'))
  }
}
