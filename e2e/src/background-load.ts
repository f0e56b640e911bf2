import type { Api } from './api.js'

const LANES = 8
/** Of a rate: so that answers that take 100 ms do not slow it down. */
const RATE_PER_LANE = 10

export interface LoadResult {
  /** Texts that were acknowledged, each produced once by one call. */
  readonly acknowledged: readonly string[]
  readonly failed: number
  /** The longest time that one lane went without an acknowledgement, milliseconds. */
  readonly longestGapMs: number
}

/** Produces numbered messages, one per call and no call twice, until it is stopped. */
export class BackgroundLoad {
  readonly #lanes: Promise<void>[]
  readonly #acknowledged: string[] = []
  #failed = 0
  #longestGapMs = 0
  #stopping = false

  /**
   * @param pace `pauseMs` between the calls of each of 8 lanes, or the `rate` of all of them: calls a second, as far
   * as answers come in time
   */
  constructor(
    api: Api,
    topic: string,
    producerId: number,
    pace: { readonly pauseMs: number } | { readonly rate: number },
  ) {
    const lanes = 'rate' in pace ? Math.max(LANES, Math.ceil(pace.rate / RATE_PER_LANE)) : LANES
    const everyMs = 'rate' in pace ? (lanes * 1000) / pace.rate : undefined
    const pauseMs = 'rate' in pace ? 0 : pace.pauseMs
    this.#lanes = Array.from({ length: lanes }, (_, lane) =>
      this.#run(api, { topic, producerId, lane, everyMs, pauseMs }),
    )
  }

  get count(): number {
    return this.#acknowledged.length
  }

  async stop(): Promise<LoadResult> {
    this.#stopping = true
    await Promise.all(this.#lanes)
    return { acknowledged: this.#acknowledged, failed: this.#failed, longestGapMs: this.#longestGapMs }
  }

  async #run(
    api: Api,
    lane: {
      readonly topic: string
      readonly producerId: number
      readonly lane: number
      /** From call to call, as far as answers come in time. */
      readonly everyMs: number | undefined
      readonly pauseMs: number
    },
  ): Promise<void> {
    let last = performance.now()
    let due = last
    for (let n = 0; !this.#stopping; n++) {
      const message = `${lane.lane}-${n}`
      const answer = await api
        .post('/producer/produce', { producer_id: lane.producerId, topic_name: lane.topic, message })
        .catch(() => undefined)
      if (answer?.status === 200) {
        this.#acknowledged.push(message)
        this.#longestGapMs = Math.max(this.#longestGapMs, performance.now() - last)
        last = performance.now()
      } else this.#failed++
      due += lane.everyMs ?? 0
      const pauseMs = lane.everyMs === undefined ? lane.pauseMs : due - performance.now()
      if (pauseMs > 0) await new Promise((resolve) => setTimeout(resolve, pauseMs))
    }
  }
}

/** Every message of a topic, as a new consumer gets them. */
export async function readAll(api: Api, topic: string): Promise<string[]> {
  const consumer = await api.registerConsumer(topic)
  const messages: string[] = []
  for (;;) {
    const body = await api.must('POST', '/consumer/consume', {
      consumer_id: consumer,
      topic_name: topic,
      max_messages: 1000,
    })
    const part = body['messages'] as { message: string }[]
    if (part.length === 0) return messages
    messages.push(...part.map((m) => m.message))
  }
}
