import { delay } from '@sluice/foundation'
import type { Api } from '../api.js'
import { attempt } from '../chaos/call-outcome.js'
import type { SentMessage } from '../chaos/history.js'

/** One call of the stream. Milliseconds. */
export interface TimedCall {
  /** When it was to be made: what waits in the client counts as well. */
  readonly dueMs: number
  readonly latencyMs: number
  /** Attempts that did not succeed. */
  readonly failedAttempts: number
  /** What the first of them was told; empty when there was none. */
  readonly failure: string
}

export interface FixedRateOptions {
  readonly api: Api
  readonly topic: string
  readonly producerId: number
  readonly perSecond: number
}

const TURN_MS = 10
const RETRY_MS = 50
const PADDING = '.'.repeat(400)

/** Messages at a rate that does not follow the answers, each repeated under its id until it is acknowledged. */
export class FixedRate {
  readonly sent: SentMessage[] = []
  readonly calls: TimedCall[] = []
  readonly #options: FixedRateOptions
  readonly #open = new Set<Promise<void>>()

  constructor(options: FixedRateOptions) {
    this.#options = options
  }

  /** @param giveUp ends also what is not acknowledged yet */
  async run(stop: AbortSignal, giveUp: AbortSignal): Promise<void> {
    const fromMs = performance.now()
    const { perSecond } = this.#options
    while (!stop.aborted) {
      const due = Math.floor(((performance.now() - fromMs) * perSecond) / 1000)
      while (this.sent.length < due) this.#start(fromMs + (this.sent.length * 1000) / perSecond, giveUp)
      await delay(TURN_MS, stop).catch(() => undefined)
    }
    await Promise.all(this.#open)
  }

  #start(dueMs: number, giveUp: AbortSignal): void {
    const call = this.#send(dueMs, giveUp)
    this.#open.add(call)
    void call.finally(() => this.#open.delete(call))
  }

  async #send(dueMs: number, giveUp: AbortSignal): Promise<void> {
    const { api, topic, producerId } = this.#options
    // Nothing is promised of the order of calls that are under way together: each is a stream of its own.
    const lane = `call-${this.sent.length}`
    const message: SentMessage = {
      lane,
      number: 0,
      topic,
      value: `${lane}|${PADDING}`,
      sentMs: performance.now(),
      unknownAttempts: 0,
      refusedAttempts: 0,
      acknowledged: undefined,
    }
    this.sent.push(message)
    const body = { producer_id: producerId, topic_name: topic, message: message.value, message_id: lane }
    let failedAttempts = 0
    let failure = ''
    while (!giveUp.aborted) {
      const outcome = await attempt(api, '/producer/produce', body)
      const atMs = performance.now()
      if (outcome.kind === 'success') {
        const { partition, offset } = outcome.body as { partition: string; offset: number }
        message.acknowledged = { partition, offset, atMs }
        this.calls.push({ dueMs, latencyMs: atMs - dueMs, failedAttempts, failure })
        return
      }
      failedAttempts++
      if (outcome.kind === 'unknown') message.unknownAttempts++
      else message.refusedAttempts++
      const { answer } = outcome
      failure ||= answer === undefined ? 'no answer' : `${answer.status} ${JSON.stringify(answer.body)}`
      if (!outcome.retriable) break
      await delay(RETRY_MS, giveUp).catch(() => undefined)
    }
    this.calls.push({ dueMs, latencyMs: Infinity, failedAttempts, failure })
  }
}
