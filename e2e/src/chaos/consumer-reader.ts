import { delay, type Random } from '@sluice/foundation'
import type { Api } from '../api.js'
import { attempt } from './call-outcome.js'
import type { ConsumerHistory, Place, WrongAnswer } from './history.js'

export interface ReaderOptions {
  readonly api: Pick<Api, 'raw'>
  readonly name: string
  readonly topic: string
  readonly consumerId: number
  readonly ack: 'auto' | 'manual'
  /** Told that messages were deleted before it read them, it ends instead of being given those behind. */
  readonly isStrict?: boolean
  readonly isLate?: boolean
  /** Between two calls, so that it may be overtaken by what deletes messages. Milliseconds. */
  readonly paceMs?: number
  readonly random: Random
  readonly onWrongAnswer: (answer: WrongAnswer) => void
}

const MESSAGES_MAX = 50
const WAIT_MS = 300
const RETRY_MS = 50

interface Delivered extends Place {
  readonly message: string
}

interface Answer {
  readonly delivered: readonly Delivered[]
  /** Messages that were deleted before they were read, by partition. */
  readonly skipped: Readonly<Record<string, number>>
  /** In words. */
  readonly call: string
}

/** One reader of one consumer: repeats a call whose answer was lost with the same request id. */
export class ConsumerReader {
  readonly history: ConsumerHistory
  readonly #options: ReaderOptions

  constructor(options: ReaderOptions) {
    this.#options = options
    this.history = {
      name: options.name,
      topic: options.topic,
      ack: options.ack,
      isLate: options.isLate ?? false,
      events: [],
      end: 'cut-off',
    }
  }

  /**
   * Reads until `drain` aborts and then, in calls that began after that, until nothing is left.
   * @param giveUp ends also that
   */
  async run(drain: AbortSignal, giveUp: AbortSignal): Promise<void> {
    while (!giveUp.aborted) {
      const mayEnd = drain.aborted
      const startedMs = performance.now()
      const answer = await this.#consume(giveUp)
      if (answer === undefined) return
      const { delivered, skipped, call } = answer
      for (const [partition, count] of Object.entries(skipped))
        this.history.events.push({ kind: 'skipped', partition, count })
      const atMs = performance.now()
      for (const { partition, offset, message } of delivered)
        this.history.events.push({ kind: 'delivered', partition, offset, value: message, atMs, call })
      if (delivered.length === 0) this.history.events.push({ kind: 'empty', startedMs })
      if (this.#options.ack === 'manual') await this.#acknowledge(delivered, giveUp)
      if (delivered.length === 0 && mayEnd) {
        this.history.end = 'nothing-left'
        return
      }
      await delay(this.#options.paceMs ?? 0, drain).catch(() => undefined)
    }
  }

  /** @returns undefined when it was given up, or refused for good */
  async #consume(giveUp: AbortSignal): Promise<Answer | undefined> {
    const { consumerId, topic, random } = this.#options
    const requestId = Array.from({ length: 4 }, () =>
      random
        .below(2 ** 32)
        .toString(16)
        .padStart(8, '0'),
    ).join('')
    const startedMs = performance.now()
    const failures: string[] = []
    const body = await this.#until(
      '/consumer/consume',
      { consumer_id: consumerId, topic_name: topic, max_messages: MESSAGES_MAX, wait_ms: WAIT_MS },
      { 'x-request-id': requestId },
      giveUp,
      failures,
    )
    if (body === undefined) return undefined
    const begun = `request ${requestId} of ${(startedMs / 1000).toFixed(1)} s`
    return {
      call: failures.length === 0 ? begun : `${begun}, after ${failures.slice(-6).join(', ')}`,
      delivered: body['messages'] as readonly Delivered[],
      skipped: (body['skipped'] ?? {}) as Answer['skipped'],
    }
  }

  /** The last offset of each partition stands for those before it. */
  async #acknowledge(delivered: readonly Delivered[], giveUp: AbortSignal): Promise<void> {
    const last = new Map(delivered.map(({ partition, offset }) => [partition, offset]))
    for (const [partition, offset] of last) {
      const { consumerId, topic } = this.#options
      const call = { consumer_id: consumerId, topic_name: topic, partition, offset }
      const body = await this.#until('/consumer/ack', call, {}, giveUp)
      if (body !== undefined) this.history.events.push({ kind: 'acknowledged', partition, offset })
    }
  }

  async #until(
    path: string,
    call: unknown,
    headers: Readonly<Record<string, string>>,
    giveUp: AbortSignal,
    failures: string[] = [],
  ): Promise<Record<string, unknown> | undefined> {
    const { api, name, isStrict, onWrongAnswer } = this.#options
    while (!giveUp.aborted) {
      const outcome = await attempt(api, path, call, headers)
      if (outcome.kind === 'success') return outcome.body
      if (isStrict === true && outcome.answer?.body['code'] === 'OFFSET_OUT_OF_RANGE') {
        this.history.end = 'refused'
        return undefined
      }
      if (!outcome.retriable && outcome.answer !== undefined) {
        onWrongAnswer({
          call: `${path} of ${name}`,
          status: outcome.answer.status,
          body: JSON.stringify(outcome.answer.body),
          atMs: performance.now(),
        })
        return undefined
      }
      const code = outcome.answer?.body['code']
      failures.push(typeof code === 'string' ? code : 'no answer')
      await delay(RETRY_MS, giveUp).catch(() => undefined)
    }
    return undefined
  }
}
