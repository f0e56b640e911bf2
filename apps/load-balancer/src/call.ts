import { BrokerError } from '@sluice/domain'
import type { Answer } from './answer.js'
import { Attempt, type AttemptListener } from './attempt.js'
import type { ManagerGroup } from './manager-group.js'
import type { Manager, UpstreamRequest, Waiting } from './manager.js'
import { TRIES_PER_CALL } from './try-numbers.js'
import { FAILURES, type UpstreamFailure } from './upstream-failure.js'

export interface CallOptions {
  readonly group: ManagerGroup
  readonly request: UpstreamRequest
  /** A second try cannot do harm: the managers know the call by its request id, or it changes nothing. */
  readonly repeatable: boolean
  /** The caller must know whether it took effect: asking again, otherwise than by the same id, does it twice. */
  readonly leavesDoubt: boolean
  /** Monotonic time at which the caller is told that nobody answered, milliseconds. */
  readonly deadlineMs: number
  /** How long that was when the call came in, milliseconds. */
  readonly timeoutMs: number
  readonly answerBytesMax: number
  /** Number of its first try, larger than those of every call before; those behind it are its next ones. */
  readonly firstTry: number
}

/** Told once: the answer, or the error to send instead. */
export type CallDone = (answer: Answer | undefined, error: BrokerError | undefined) => void

/**
 * One call of a client, from its first try to its answer. Every end goes through `#finish`, so that
 * exactly one answer comes: from a manager, or after a failure, the deadline or a stop.
 */
export class Call implements AttemptListener, Waiting {
  readonly #options: CallOptions
  readonly #done: CallDone
  readonly #tried: Manager[] = []
  readonly #failures: UpstreamFailure[] = []
  #attempt: Attempt | undefined
  #everSent = false
  #finished = false

  constructor(options: CallOptions, done: CallDone) {
    this.#options = options
    this.#done = done
  }

  get deadlineMs(): number {
    return this.#options.deadlineMs
  }

  /** Does nothing when its client has left. */
  start(): void {
    if (!this.#finished) this.#try()
  }

  answered(answer: Answer): void {
    this.#settle()
    this.#finish(answer, undefined)
  }

  failed(failure: UpstreamFailure): void {
    if (this.#finished) return
    this.#settle()
    this.#failures.push(failure)
    const manager = this.#tried[this.#tried.length - 1]!
    if (failure.kind === 'refused' || failure.kind === 'lost' || failure.kind === 'empty')
      manager.suspect(failure.reason)
    const again = failure.kind === 'refused' || (this.#options.repeatable && failure.kind !== 'unsendable')
    this.#everSent ||= failure.kind !== 'refused' && failure.kind !== 'unsendable'
    if (again) this.#try()
    else this.#finish(undefined, this.#errorOf(failure))
  }

  /** A manager that hangs keeps its connections: the call goes to another one, if that can do no harm. */
  stalled(reason: string): void {
    const { repeatable, group } = this.#options
    if (repeatable && group.hasOther(this.#tried)) this.#attempt?.lose(reason)
  }

  /** The deadline passed. */
  expire(): void {
    const address = this.#tried[this.#tried.length - 1]?.address.label ?? ''
    const sent = this.#everSent || this.#attempt?.sent === true
    const reason = sent
      ? `did not answer within ${this.#options.timeoutMs} ms (time-out)`
      : `had no connection free within ${this.#options.timeoutMs} ms (time-out)`
    this.#failures.push({ kind: sent ? 'time-out' : 'refused', address, reason })
    this.#finish(undefined, this.#errorOf(this.#failures[this.#failures.length - 1]!))
  }

  /** The client went away: nobody waits for the answer, so the manager need not work on it. */
  cancel(): void {
    if (this.#finished) return
    this.#finished = true
    this.#settle()
    this.#attempt?.abandon(new Error('the client closed the connection'))
  }

  /** This process stops and cannot wait any longer. */
  stop(): void {
    const outcome = this.#everSent || this.#attempt?.sent === true ? 'unknown' : 'no'
    this.#finish(
      undefined,
      new BrokerError('SHUTTING_DOWN', 'the load balancer is stopping', {
        component: 'load-balancer',
        outcome,
      }),
    )
  }

  #try(): void {
    const { group, request, answerBytesMax } = this.#options
    const manager = this.#tried.length < TRIES_PER_CALL ? group.next(this.#tried) : undefined
    if (manager === undefined) {
      this.#finish(undefined, this.#exhausted())
      return
    }
    this.#tried.push(manager)
    this.#attempt = new Attempt(manager.address.label, answerBytesMax, this)
    const headers = [
      ...request.headers,
      'x-sluice-try',
      String(this.#options.firstTry + this.#tried.length - 1),
      ...(this.#everSent && !request.headers.includes('x-sluice-retry') ? ['x-sluice-retry', '1'] : []),
    ]
    manager.dispatch({ ...request, headers }, this.#attempt, this)
  }

  /** Every manager was tried: the failure that leaves most in doubt is the one to tell. */
  #exhausted(): BrokerError {
    const doubtful = this.#failures.find((failure) => FAILURES[failure.kind].outcome === 'unknown')
    const failure = doubtful ?? this.#failures[this.#failures.length - 1]
    if (failure !== undefined) return this.#errorOf(failure)
    const { component } = this.#options.group
    return new BrokerError('MANAGER_UNAVAILABLE', `no ${component} is configured`, { component })
  }

  #errorOf(failure: UpstreamFailure): BrokerError {
    const { component } = this.#options.group
    const { code, outcome } = FAILURES[failure.kind]
    const others = this.#failures.filter((other) => other !== failure)
    const before = others.map((other) => `; ${component} at ${other.address} ${other.reason}`).join('')
    const doubt =
      outcome === 'unknown' && this.#options.leavesDoubt ? '; whether the call took effect is not known' : ''
    const where = failure.address === '' ? component : `${component} at ${failure.address}`
    return new BrokerError(code, `${where} ${failure.reason}${before}${doubt}`, { component, outcome })
  }

  #settle(): void {
    this.#tried[this.#tried.length - 1]?.settled(this)
  }

  #finish(answer: Answer | undefined, error: BrokerError | undefined): void {
    if (this.#finished) return
    this.#finished = true
    this.#settle()
    if (error !== undefined) this.#attempt?.abandon(error)
    this.#done(answer, error)
  }
}
