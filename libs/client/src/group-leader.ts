import { BrokerError } from '@sluice/domain'
import { type Clock, delay, messageOf, type Random } from '@sluice/foundation'
import { RpcError } from '@sluice/rpc'
import { backOffMs } from './back-off.js'
import { addressText, type BrokerAddress } from './broker-address.js'
import type { BrokerLinks } from './broker-links.js'
import { type CallFailure, judgeFailure } from './call-failure.js'
import { LeaderRoute } from './leader-route.js'

/**
 * One try of a call that may be repeated waits at most this long for its answer, so that a leader that hangs does
 * not use up the call. There is no second try of another: it waits as long as the call.
 */
const TRY_TIMEOUT_MS = 3000
/** After so long without an answer the leader may have been deposed: other members are asked who leads. */
const SILENT_MS = 400

export interface LeaderCall {
  readonly method: number
  readonly payload: Uint8Array
  /** For all tries together, milliseconds. */
  readonly timeoutMs: number
  /** For one try; the rest of `timeoutMs` is there for others. Milliseconds. */
  readonly tryTimeoutMs?: number
  readonly signal?: AbortSignal | undefined
  /** Asked before each try: false ends the call, since nobody waits for its answer any more. */
  readonly isWanted?: (() => Promise<boolean>) | undefined
  /** A second try cannot do harm, even if the first took effect and its answer was lost. */
  readonly repeatable: boolean
  /** A `change` that may have happened ends in TIMEOUT; after NO_QUORUM it certainly did not happen. */
  readonly kind: 'change' | 'question'
}

/** What a group leader needs to know about the cluster. */
export interface GroupMembers {
  /** What the group is called in messages, such as `orders.1`. */
  readonly name: string
  /** Where its members are now, the preferred leader first. */
  members(): readonly BrokerAddress[]
  addressOf(brokerId: number): BrokerAddress | undefined
  /** Why the group does not exist any more, once that is known. It never comes back. */
  gone?(): BrokerError | undefined
  /** A cheap question that only the leader answers: who does not lead refuses with NOT_LEADER, and who does. */
  readonly probe?: { readonly method: number; readonly payload: Uint8Array }
}

/** Calls whoever leads one Raft group: finds the leader, follows hints, and tries again until the deadline. */
export class GroupLeader {
  readonly #group: GroupMembers
  readonly #links: BrokerLinks
  readonly #clock: Clock
  readonly #random: Random
  readonly #route = new LeaderRoute()

  constructor(
    group: GroupMembers,
    parts: { readonly links: BrokerLinks; readonly clock: Clock; readonly random: Random },
  ) {
    this.#group = group
    this.#links = parts.links
    this.#clock = parts.clock
    this.#random = parts.random
  }

  /** The broker that the next call goes to first. */
  get likely(): BrokerAddress | undefined {
    return this.#route.pick(this.#group.members())
  }

  /**
   * @throws BrokerError what the leader refused with; TIMEOUT when a change may have happened; NO_QUORUM
   * when no leader could be found and nothing was changed; MANAGER_UNAVAILABLE when the call is not wanted any more;
   * the signal's reason when it aborts
   */
  async call(call: LeaderCall): Promise<Uint8Array> {
    const deadline = this.#clock.monotonic() + call.timeoutMs
    let waits = 0
    let hints = 0
    let inDoubt = false
    let last: CallFailure | undefined
    for (;;) {
      call.signal?.throwIfAborted()
      const remainingMs = deadline - this.#clock.monotonic()
      const gone = this.#group.gone?.()
      if (gone !== undefined) throw gone
      if (call.isWanted !== undefined && !(await call.isWanted())) throw this.#unwanted(inDoubt)
      if (remainingMs < 1) throw this.#givenUp(call, last, inDoubt)
      const member = this.#route.pick(this.#group.members())
      if (member !== undefined) {
        try {
          const answer = await this.#try(member, call, remainingMs)
          this.#route.succeeded(member)
          return answer
        } catch (thrown) {
          call.signal?.throwIfAborted()
          last = judgeFailure(thrown)
          inDoubt ||= last.outcome === 'unknown'
          if (last.kind === 'final' || this.#links.closed) throw this.#final(call, last, inDoubt)
          const hint = last.leaderId === undefined ? undefined : this.#group.addressOf(last.leaderId)
          const hinted = this.#route.failed(member, hint)
          if (inDoubt && !call.repeatable) throw this.#givenUp(call, last, true)
          // A hint is followed at once, but not for ever: two brokers may point at each other.
          if (hinted && hints < 2) {
            hints++
            continue
          }
        }
      }
      hints = 0
      waits++
      const waitMs = Math.min(backOffMs(waits, this.#random), Math.max(deadline - this.#clock.monotonic(), 0))
      await delay(waitMs, call.signal)
    }
  }

  /**
   * One try. A leader that stands still keeps its connections and says nothing: the try ends as soon as
   * another member knows a successor, and goes on while nobody does, since a slow leader is still the leader.
   */
  #try(member: BrokerAddress, call: LeaderCall, remainingMs: number): Promise<Uint8Array> {
    const tryTimeoutMs = call.tryTimeoutMs ?? (call.repeatable ? TRY_TIMEOUT_MS : remainingMs)
    const answer = this.#links.to(member).request(call.method, call.payload, {
      timeoutMs: Math.min(remainingMs, tryTimeoutMs),
      ...(call.signal === undefined ? {} : { signal: call.signal }),
    })
    // A call with a time of its own for a try is one that is expected to wait.
    if (this.#group.probe === undefined || !call.repeatable || call.tryTimeoutMs !== undefined) return answer
    return new Promise((resolve, reject) => {
      let isOver = false
      const watch = async (turn: number): Promise<void> => {
        const leaderId = await this.#askOther(member, turn)
        if (isOver) return
        if (leaderId === undefined) timer = setTimeout(() => void watch(turn + 1), SILENT_MS)
        else {
          const text = `${this.#group.name}: broker ${leaderId} leads in place of one that does not answer`
          reject(new BrokerError('TIMEOUT', text, { component: 'broker', outcome: 'unknown', leaderId }))
        }
      }
      let timer = setTimeout(() => void watch(0), SILENT_MS)
      void answer.then(resolve, reject).finally(() => {
        isOver = true
        clearTimeout(timer)
      })
    })
  }

  /** The broker that leads in place of `silent`, as far as one other member knows. Never throws. */
  async #askOther(silent: BrokerAddress, turn: number): Promise<number | undefined> {
    const others = this.#group.members().filter((one) => addressText(one) !== addressText(silent))
    const other = others[turn % others.length]
    const { probe } = this.#group
    if (other === undefined || probe === undefined || this.#links.closed) return undefined
    try {
      await this.#links.to(other).request(probe.method, probe.payload, { timeoutMs: SILENT_MS })
      return other.id
    } catch (error) {
      const { leaderId } = judgeFailure(error)
      const leader = leaderId === undefined ? undefined : this.#group.addressOf(leaderId)
      return leader === undefined || addressText(leader) === addressText(silent) ? undefined : leaderId
    }
  }

  /** A refusal does not undo an earlier try that may have taken effect. */
  #final(call: LeaderCall, failure: CallFailure, inDoubt: boolean): Error {
    if (this.#links.closed)
      return new BrokerError('SHUTTING_DOWN', 'this process is stopping', {
        outcome: inDoubt ? 'unknown' : 'no',
      })
    if (!inDoubt || failure.outcome === 'unknown' || call.kind === 'question') return failure.error
    // Whatever an earlier try did is gone with the group.
    if (failure.error instanceof BrokerError && failure.error.code === 'TOPIC_NOT_FOUND') return failure.error
    return new BrokerError(
      'TIMEOUT',
      `${this.#group.name}: an earlier try was not answered, then: ${failure.error.message}`,
      { component: 'broker', outcome: 'unknown', cause: failure.error },
    )
  }

  #unwanted(inDoubt: boolean): BrokerError {
    return new BrokerError('MANAGER_UNAVAILABLE', `${this.#group.name} was not asked: the caller has left`, {
      outcome: inDoubt ? 'unknown' : 'no',
    })
  }

  #givenUp(call: LeaderCall, last: CallFailure | undefined, inDoubt: boolean): Error {
    const why = last === undefined ? 'no broker is known' : messageOf(last.error)
    const details = {
      component: 'broker',
      outcome: inDoubt ? 'unknown' : 'no',
      cause: last?.error,
    } as const
    if (inDoubt && call.kind === 'change')
      return new BrokerError(
        'TIMEOUT',
        `${this.#group.name} did not answer in time, whether the change took effect is not known: ${why}`,
        details,
      )
    const error = last?.error
    if (
      error instanceof BrokerError &&
      (error.code === 'STORAGE_FAILED' || error.code === 'UNSUPPORTED_VERSION')
    )
      return error
    if ((error instanceof RpcError || error instanceof BrokerError) && error.code === 'TIMEOUT')
      return new BrokerError('TIMEOUT', `${this.#group.name} did not answer in time: ${why}`, details)
    return new BrokerError(
      'NO_QUORUM',
      `no leader of ${this.#group.name} can be reached, so perhaps no majority of its replicas: ${why}`,
      details,
    )
  }
}
