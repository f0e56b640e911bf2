import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { errorBody } from '@sluice/contracts'
import { BrokerError } from '@sluice/domain'
import { messageOf } from '@sluice/foundation'
import { type RpcPeer, RpcServer } from '@sluice/rpc'

export type FakeAnswer = (
  method: number,
  payload: Uint8Array,
  peer: RpcPeer,
) => Uint8Array | Promise<Uint8Array>

/** A process that speaks to managers over the real wire and answers as it is told. */
export class FakeBroker {
  readonly #answer: FakeAnswer
  readonly #clusterId: () => string
  readonly #nodeId: string
  #http: Server | undefined
  #rpc: RpcServer | undefined
  #port = 0

  constructor(parts: {
    readonly nodeId: string
    readonly clusterId: () => string
    readonly answer: FakeAnswer
  }) {
    this.#nodeId = parts.nodeId
    this.#clusterId = parts.clusterId
    this.#answer = parts.answer
  }

  get port(): number {
    return this.#port
  }

  get isUp(): boolean {
    return this.#rpc !== undefined
  }

  /** Listens, after `stop` at the same port again. */
  async start(): Promise<void> {
    const rpc = new RpcServer({
      identity: () => ({ clusterId: this.#clusterId(), nodeId: this.#nodeId, role: 'broker' }),
      handlers: { request: (...call) => this.#answer(...call), message: () => undefined },
      encodeError: (error) => ({
        ...errorBody(
          error instanceof BrokerError
            ? error
            : new BrokerError('INTERNAL', messageOf(error), { outcome: 'unknown' }),
          'broker',
        ),
      }),
    })
    const http = createServer()
    rpc.attach(http)
    await new Promise<void>((resolve, reject) => {
      http.once('error', reject)
      http.listen(this.#port, '127.0.0.1', resolve)
    })
    this.#port = (http.address() as AddressInfo).port
    this.#http = http
    this.#rpc = rpc
  }

  /** Breaks every connection and listens no more, as a process that was killed. */
  async stop(): Promise<void> {
    const http = this.#http
    await this.#rpc?.close()
    this.#rpc = undefined
    this.#http = undefined
    await new Promise<void>((resolve) => {
      if (http === undefined) resolve()
      else http.close(() => resolve())
    })
  }
}
