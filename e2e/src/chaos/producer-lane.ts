import { randomBytes } from 'node:crypto'
import { delay } from '@sluice/foundation'
import type { Api } from '../api.js'
import { attempt } from './call-outcome.js'
import type { Place, SentMessage, WrongAnswer } from './history.js'

export interface LaneOptions {
  readonly api: Pick<Api, 'raw'>
  readonly name: string
  readonly topic: string
  readonly producerId: number
  /** Messages sent in one call; one call is under way at a time. */
  readonly messagesPerCall: number
  /** Wait between an acknowledgement and the next call, milliseconds. */
  readonly paceMs: number
  /** With a key all messages go to one partition while the topic does not grow. */
  readonly key: string | undefined
  /** By what the cluster knows a message that is sent again. */
  readonly knownBy: 'message-id' | 'request-id'
  readonly onAcknowledged: (count: number, atMs: number) => void
  readonly onWrongAnswer: (answer: WrongAnswer) => void
}

const RETRY_MS = 50
const PADDING = '.'.repeat(400)

/**
 * A stream of numbered messages in order: each is tried until it is acknowledged, and only then the next
 * one is sent. Several lanes keep a producer's messages in flight.
 */
export class ProducerLane {
  readonly sent: SentMessage[] = []
  readonly #options: LaneOptions

  constructor(options: LaneOptions) {
    this.#options = options
  }

  /**
   * Sends until `stop` aborts, and then sees the last messages through.
   * @param giveUp ends also that
   */
  async run(stop: AbortSignal, giveUp: AbortSignal): Promise<void> {
    while (!stop.aborted && !giveUp.aborted) {
      await this.#sendOne(giveUp)
      await delay(this.#options.paceMs, stop).catch(() => undefined)
    }
  }

  /** Sends one call's worth and no more. */
  async runOnce(giveUp: AbortSignal): Promise<void> {
    await this.#sendOne(giveUp)
  }

  async #sendOne(giveUp: AbortSignal): Promise<void> {
    const { api, onAcknowledged, onWrongAnswer } = this.#options
    const messages = this.#next()
    const body = this.#body(messages)
    const headers = this.#options.knownBy === 'request-id' ? { 'x-request-id': newRequestId() } : {}
    while (!giveUp.aborted) {
      const outcome = await attempt(api, '/producer/produce', body, headers)
      const atMs = performance.now()
      if (outcome.kind === 'success') {
        const places = placesOf(outcome.body)
        for (const [i, message] of messages.entries()) message.acknowledged = { ...places[i]!, atMs }
        onAcknowledged(messages.length, atMs)
        return
      }
      for (const message of messages)
        if (outcome.kind === 'unknown') message.unknownAttempts++
        else message.refusedAttempts++
      if (!outcome.retriable && outcome.answer !== undefined) {
        // Said to be for good: asking again would only be told the same.
        onWrongAnswer({
          call: `produce of ${messages[0]!.lane}#${messages[0]!.number}`,
          status: outcome.answer.status,
          body: JSON.stringify(outcome.answer.body),
          atMs,
        })
        return
      }
      await delay(RETRY_MS, giveUp).catch(() => undefined)
    }
  }

  #next(): readonly SentMessage[] {
    const { name, topic, messagesPerCall } = this.#options
    const sentMs = performance.now()
    const messages = Array.from({ length: messagesPerCall }, (_, i): SentMessage => {
      const number = this.sent.length + i
      return {
        lane: name,
        number,
        topic,
        value: `${name}#${number}|${PADDING}`,
        sentMs,
        unknownAttempts: 0,
        refusedAttempts: 0,
        acknowledged: undefined,
      }
    })
    this.sent.push(...messages)
    return messages
  }

  #body(messages: readonly SentMessage[]): Record<string, unknown> {
    const { producerId, topic, key, knownBy } = this.#options
    const entries = messages.map(({ value, lane, number }) => ({
      message: value,
      ...(key === undefined ? {} : { key }),
      ...(knownBy === 'message-id' ? { message_id: `${lane}#${number}` } : {}),
    }))
    const common = { producer_id: producerId, topic_name: topic }
    return entries.length === 1 ? { ...common, ...entries[0] } : { ...common, messages: entries }
  }
}

function placesOf(body: Record<string, unknown>): readonly Place[] {
  const list = (body['messages'] ?? [body]) as readonly Place[]
  return list.map(({ partition, offset }) => ({ partition, offset }))
}

function newRequestId(): string {
  return randomBytes(16).toString('hex')
}
