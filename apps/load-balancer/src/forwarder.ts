import { arrivalsSeen, type Clock } from '@sluice/foundation'
import { BrokerError } from '@sluice/domain'
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Answer } from './answer.js'
import { givenRequestId } from './request-id.js'
import { Call } from './call.js'
import type { ManagerGroup } from './manager-group.js'
import { OpenCalls } from './open-calls.js'
import type { RouteMethod, RouteRule } from './routes.js'
import { TryNumbers } from './try-numbers.js'

export interface ForwarderLimits {
  /** How long a call may take, milliseconds. */
  readonly callTimeoutMs: number
  /** The same for a consume call that asks to wait for messages, milliseconds. */
  readonly waitTimeoutMs: number
  /** Calls that may wait for an answer at once; more are refused with OVERLOADED. */
  readonly callsMax: number
  /** An answer is kept whole before it is passed on, so that half of one never is; its bound, bytes. */
  readonly answerBytesMax: number
}

/** Request headers that mean something to a manager. Others stay here, x-sluice-retry above all. */
const passedOn = ['content-type', 'accept', 'authorization', 'user-agent', 'traceparent'] as const

/** Passes calls on to managers, and their answers back. */
export class Forwarder {
  readonly #limits: ForwarderLimits
  readonly #clock: Clock
  readonly #open: OpenCalls
  readonly #tries: TryNumbers
  #stopping = false

  constructor(limits: ForwarderLimits, clock: Clock) {
    this.#limits = limits
    this.#clock = clock
    this.#open = new OpenCalls(clock)
    this.#tries = new TryNumbers(clock)
  }

  get openCount(): number {
    return this.#open.count
  }

  /** Answers from now on ask their clients to close the connection. */
  beginStop(): void {
    this.#stopping = true
  }

  /** Calls that are still open are answered with SHUTTING_DOWN. */
  close(): void {
    this.#open.stopAll()
    this.#open.close()
  }

  /** @throws BrokerError OVERLOADED when too many calls are open */
  forward(rule: RouteRule, group: ManagerGroup, request: FastifyRequest, reply: FastifyReply): void {
    if (this.#open.count >= this.#limits.callsMax) {
      throw new BrokerError('OVERLOADED', `${this.#limits.callsMax} calls wait for an answer already`, {
        component: 'load-balancer',
      })
    }
    const method = request.method as RouteMethod
    const body = Buffer.isBuffer(request.body) && request.body.length > 0 ? request.body : null
    const path = request.raw.url ?? '/'
    const timeoutMs =
      rule.waits && asksToWait(path, body) ? this.#limits.waitTimeoutMs : this.#limits.callTimeoutMs
    const call = new Call(
      {
        group,
        request: {
          method: rule.bodyTurnsGetIntoPost && body !== null ? 'POST' : method,
          path,
          headers: upstreamHeaders(request),
          body,
        },
        repeatable: rule.repeatable(method),
        leavesDoubt: rule.leavesDoubt(method),
        deadlineMs: this.#clock.monotonic() + timeoutMs,
        timeoutMs,
        answerBytesMax: this.#limits.answerBytesMax,
        firstTry: this.#tries.next(),
      },
      (answer, error) => {
        this.#open.delete(call)
        if (answer !== undefined) this.#passOn(answer, request, reply)
        else void reply.header('x-request-id', request.id).send(error)
      },
    )
    this.#open.add(call)
    reply.raw.once('close', () => {
      this.#open.delete(call)
      call.cancel()
    })
    // Messages are not taken for a client that has left, and perhaps has them from elsewhere by now.
    if (rule.waits)
      arrivalsSeen()
        .then(() => (hasLeft(request) ? call.cancel() : call.start()))
        .catch((error: unknown) => void reply.send(error))
    else call.start()
  }

  #passOn(answer: Answer, request: FastifyRequest, reply: FastifyReply): void {
    const headers = [
      ...answer.headers,
      'content-length',
      String(answer.body.length),
      'x-request-id',
      request.id,
    ]
    if (this.#stopping) headers.push('connection', 'close')
    reply.hijack()
    reply.raw.writeHead(answer.status, headers)
    reply.raw.end(answer.body)
  }
}

/** Its end of the connection is closed, though the connection may not be yet. */
function hasLeft({ raw: { socket } }: FastifyRequest): boolean {
  return socket.destroyed || socket.readableEnded
}

function upstreamHeaders(request: FastifyRequest): string[] {
  const headers = ['x-request-id', request.id]
  // An id that is the client's own may be that of an earlier call: it is to get what that one got.
  if (givenRequestId(request.headers['x-request-id']) !== undefined)
    headers.push('x-sluice-retry', '1', 'x-sluice-id-origin', 'client')
  for (const name of passedOn) {
    const value = request.headers[name]
    if (typeof value === 'string') headers.push(name, value)
  }
  return headers
}

function asksToWait(path: string, body: Buffer | null): boolean {
  return path.includes('wait_ms') || (body?.includes('wait_ms') ?? false)
}
