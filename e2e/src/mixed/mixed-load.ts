import { SeededRandom } from '@sluice/foundation'
import type { Api } from '../api.js'
import { ConsumerReader } from '../chaos/consumer-reader.js'
import type { ConsumerHistory, SentMessage, WrongAnswer } from '../chaos/history.js'
import { ProducerLane } from '../chaos/producer-lane.js'

const LANES = 6
const PACE_MS = 15
const DRAIN_LIMIT_MS = 60_000

/** Producers and consumers that go on whatever is restarted: what is not answered is sent again under its id. */
export class MixedLoad {
  readonly #topic: string
  readonly #stop = new AbortController()
  readonly #drain = new AbortController()
  readonly #giveUp = new AbortController()
  readonly #wrong: WrongAnswer[] = []
  readonly #lanes: readonly ProducerLane[]
  readonly #readers: readonly ConsumerReader[]
  readonly #producing: Promise<unknown>
  readonly #reading: Promise<unknown>
  #acknowledged = 0

  private constructor(
    api: Pick<Api, 'raw'>,
    topic: string,
    ids: { readonly producerId: number; readonly consumers: number[] },
  ) {
    this.#topic = topic
    const onWrongAnswer = (answer: WrongAnswer): void => {
      this.#wrong.push(answer)
    }
    this.#lanes = Array.from(
      { length: LANES },
      (_, i) =>
        new ProducerLane({
          api,
          name: `lane-${i}`,
          topic,
          producerId: ids.producerId,
          messagesPerCall: 1 + (i % 3),
          paceMs: PACE_MS,
          key: `key-${i}`,
          knownBy: i % 2 === 0 ? 'message-id' : 'request-id',
          onAcknowledged: (count) => {
            this.#acknowledged += count
          },
          onWrongAnswer,
        }),
    )
    this.#readers = ids.consumers.map(
      (consumerId, i) =>
        new ConsumerReader({
          api,
          name: `reader-${i}`,
          topic,
          consumerId,
          ack: i % 2 === 0 ? 'auto' : 'manual',
          random: new SeededRandom(i),
          onWrongAnswer,
        }),
    )
    const { signal: giveUp } = this.#giveUp
    this.#producing = Promise.all(this.#lanes.map((lane) => lane.run(this.#stop.signal, giveUp)))
    this.#reading = Promise.all(this.#readers.map((reader) => reader.run(this.#drain.signal, giveUp)))
  }

  static async start(api: Api, topic: string): Promise<MixedLoad> {
    const producerId = await api.registerProducer(topic)
    const consumers = [await api.registerConsumer(topic), await api.registerConsumer(topic)]
    return new MixedLoad(patient(api), topic, { producerId, consumers })
  }

  /** Messages acknowledged so far. */
  get acknowledged(): number {
    return this.#acknowledged
  }

  /** Messages delivered so far, to each reader. */
  get delivered(): readonly number[] {
    return this.#readers.map(({ history }) => deliveredOf(history).length)
  }

  /** What was sent, by partition as it was acknowledged. */
  acknowledgedOn(partition: string): number {
    return this.#lanes.reduce(
      (sum, { sent }) => sum + sent.filter((message) => message.acknowledged?.partition === partition).length,
      0,
    )
  }

  /** Ends producers, then readers once nothing is left. @returns what must not be, empty when all is well */
  async finish(): Promise<readonly string[]> {
    const timer = setTimeout(() => this.#giveUp.abort(), DRAIN_LIMIT_MS)
    this.#stop.abort()
    await this.#producing
    this.#drain.abort()
    await this.#reading
    clearTimeout(timer)
    return this.#faults()
  }

  /** Ends everything at once, for a test that has failed. */
  async abort(): Promise<void> {
    this.#stop.abort()
    this.#drain.abort()
    this.#giveUp.abort()
    await Promise.all([this.#producing, this.#reading])
  }

  #faults(): readonly string[] {
    const faults = this.#wrong.map(({ call, status, body }) => `${call} was answered ${status} ${body}`)
    if (this.#giveUp.signal.aborted) faults.push(`${this.#topic} could not be read to its end`)
    const sent = this.#lanes.flatMap((lane) => lane.sent)
    for (const { value, acknowledged } of sent)
      if (acknowledged === undefined) faults.push(`${value.slice(0, 20)} was never acknowledged`)
    faults.push(...placeFaults(sent))
    for (const { history } of this.#readers) faults.push(...deliveryFaults(history, sent))
    return faults
  }
}

/**
 * The load balancer of version 0.1.0 answers in the words of its HTTP server what arrives while it stops. Nobody took the
 * call, as when there is no connection.
 */
function patient(api: Api): Pick<Api, 'raw'> {
  return {
    raw: async (...call) => {
      const answer = await api.raw(...call)
      const { status, error } = answer.body
      if (answer.status === 503 && status === undefined && error === 'Service Unavailable')
        throw Object.assign(new Error('the load balancer stops'), { code: 'ECONNREFUSED' })
      return answer
    },
  }
}

function deliveredOf({
  events,
}: ConsumerHistory): { readonly partition: string; readonly offset: number; readonly value: string }[] {
  return events.flatMap((event) => (event.kind === 'delivered' ? [event] : []))
}

/** A lane's messages, sent one after the other, are in its partition in this order, each at a place of its own. */
function placeFaults(sent: readonly SentMessage[]): readonly string[] {
  const faults: string[] = []
  const taken = new Map<string, SentMessage>()
  const last = new Map<string, number>()
  for (const message of sent) {
    if (message.acknowledged === undefined) continue
    const { partition, offset } = message.acknowledged
    const place = `${partition}@${offset}`
    const other = taken.get(place)
    if (other !== undefined) faults.push(`${place} was given to ${other.lane}#${other.number} too`)
    taken.set(place, message)
    const lane = `${message.lane} in ${partition}`
    if (offset <= (last.get(lane) ?? -1)) faults.push(`${lane}: ${offset} comes after ${last.get(lane)}`)
    last.set(lane, offset)
  }
  return faults
}

/** Each message exactly once, where it was acknowledged, every partition in its order. */
function deliveryFaults(history: ConsumerHistory, sent: readonly SentMessage[]): readonly string[] {
  const faults: string[] = []
  const expected = new Map(sent.map((message) => [message.value, message]))
  const seen = new Set<string>()
  const ends = new Map<string, number>()
  for (const { partition, offset, value } of deliveredOf(history)) {
    const what = `${history.name}: ${value.slice(0, 20)} at ${partition}@${offset}`
    const place = expected.get(value)?.acknowledged
    if (seen.has(value)) faults.push(`${what} came twice`)
    seen.add(value)
    if (place === undefined) faults.push(`${what} was never sent`)
    else if (place.partition !== partition || place.offset !== offset)
      faults.push(`${what} was acknowledged at ${place.partition}@${place.offset}`)
    if (offset <= (ends.get(partition) ?? -1)) faults.push(`${what} comes after ${ends.get(partition)}`)
    ends.set(partition, offset)
  }
  for (const value of expected.keys())
    if (!seen.has(value)) faults.push(`${history.name}: ${value.slice(0, 20)} never came`)
  return faults
}
