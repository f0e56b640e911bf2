import { delay } from '@sluice/foundation'
import type { Api } from '../api.js'
import { attempt } from './call-outcome.js'
import type { Registration, WrongAnswer } from './history.js'

export interface RegistrarOptions {
  readonly api: Api
  /** Registers a producer and has it publish one message, which must work at once. */
  readonly onProducer: (topic: string, producerId: number) => Promise<void>
  readonly onWrongAnswer: (answer: WrongAnswer) => void
}

const PACE_MS = 300
const TOPICS_MAX = 30
/** Of every so many rounds one makes a topic. */
const TOPIC_EVERY = 8

/** Makes topics, producers and consumers all the time, and remembers what it was told. */
export class Registrar {
  readonly registrations: Registration[] = []
  readonly #options: RegistrarOptions
  #topicCount = 0

  constructor(options: RegistrarOptions) {
    this.#options = options
  }

  async run(stop: AbortSignal): Promise<void> {
    for (let round = 0; !stop.aborted; round++) {
      if (round % TOPIC_EVERY === 0 && this.#topicCount < TOPICS_MAX) await this.#makeTopic()
      else await this.#register(round % 2 === 0 ? 'producer' : 'consumer', round)
      await delay(PACE_MS, stop).catch(() => undefined)
    }
  }

  async #makeTopic(): Promise<void> {
    const topic = `meta-${++this.#topicCount}`
    await this.#call('topic', topic, '/topics')
  }

  async #register(kind: 'producer' | 'consumer', round: number): Promise<void> {
    const known = this.registrations.filter((one) => one.kind === 'topic' && one.outcome === 'acknowledged')
    const topic = known[round % Math.max(1, known.length)]?.topic
    if (topic === undefined) return
    const id = await this.#call(kind, topic, `/${kind}/register`)
    if (kind === 'producer' && id !== undefined) await this.#options.onProducer(topic, id)
  }

  /** One attempt: a call whose outcome is open is remembered as such, and not repeated. */
  async #call(kind: Registration['kind'], topic: string, path: string): Promise<number | undefined> {
    const startedMs = performance.now()
    const outcome = await attempt(this.#options.api, path, { topic_name: topic })
    const endedMs = performance.now()
    if (outcome.kind === 'success') {
      const id = outcome.body[`${kind}_id`] as number | undefined
      this.registrations.push({
        kind,
        topic,
        startedMs,
        endedMs,
        outcome: 'acknowledged',
        ...(id === undefined ? {} : { id }),
      })
      return id
    }
    if (outcome.kind === 'unknown')
      this.registrations.push({ kind, topic, startedMs, endedMs, outcome: 'unknown' })
    if (!outcome.retriable && outcome.answer !== undefined)
      this.#options.onWrongAnswer({
        call: `${path} of ${topic}`,
        status: outcome.answer.status,
        body: JSON.stringify(outcome.answer.body),
        atMs: endedMs,
      })
    return undefined
  }
}
