import { setMaxListeners } from 'node:events'
import { delay, type Random } from '@sluice/foundation'
import { Api } from '../api.js'
import { attempt } from './call-outcome.js'
import { ConsumerReader } from './consumer-reader.js'
import type { Acknowledgement, History, WrongAnswer } from './history.js'
import { ProducerLane } from './producer-lane.js'
import { Registrar } from './registrar.js'

/** The last one is quiet and has one partition: only there a consumer is often told that nothing is left. */
const TOPICS = [
  { topic: 'orders', partitions: 2, lanes: 4, paceMs: 20 },
  { topic: 'events', partitions: 2, lanes: 4, paceMs: 20 },
  { topic: 'audit', partitions: 2, lanes: 4, paceMs: 20 },
  { topic: 'alarms', partitions: 1, lanes: 1, paceMs: 250 },
] as const
/** By count: an age would be at odds with clocks that jump. */
const KEPT = { topic: 'trail', partitions: 1, lanes: 3, paceMs: 40, messages: 300 } as const
/** Slower than the topic grows: what deletes messages overtakes it again and again. */
const SLOW_PACE_MS = 3000
/** The lane of this number sends batches. */
const BATCH_LANE = 4
const BATCH_MESSAGES = 8
const BATCH_PACE_MS = 200
const RETRY_MS = 200
/** Between two looks whether the clients get further at the end. */
const WATCH_MS = 1000
/** Who gets further for so many times the limit, and does not come to an end, goes round in circles. */
const FINISH_LIMITS_MAX = 5

/** The clients of a run: all through both load balancers in turn, all remembering what they were told. */
export class Workload {
  readonly #api: Api
  readonly #lanes: ProducerLane[] = []
  readonly #readers: ConsumerReader[] = []
  readonly #registrar: Registrar
  readonly #wrongAnswers: WrongAnswer[] = []
  readonly #acknowledged: Acknowledgement[] = []
  readonly #stopProducing = new AbortController()
  readonly #drain = new AbortController()
  readonly #giveUp = new AbortController()
  #producing: Promise<unknown> = Promise.resolve()
  #reading: Promise<unknown> = Promise.resolve()

  private constructor(api: Api) {
    // Everybody waits on the same signals.
    setMaxListeners(0, this.#stopProducing.signal, this.#drain.signal, this.#giveUp.signal)
    this.#api = api
    this.#registrar = new Registrar({
      api,
      onWrongAnswer: (answer) => this.#wrongAnswers.push(answer),
      onProducer: async (topic, producerId) => {
        const lane = this.#lane({
          topic,
          producerId,
          name: `meta-p${producerId}`,
          messagesPerCall: 1,
          paceMs: 0,
          key: undefined,
        })
        await lane.runOnce(this.#stopProducing.signal)
      },
    })
  }

  /** Registers everybody, and starts. */
  static async start(ports: readonly number[], random: Random): Promise<Workload> {
    const api = new Api(...ports)
    for (const { topic, partitions } of TOPICS)
      await api.must('POST', '/topics', { topic_name: topic, partitions })
    await api.must('POST', '/topics', {
      topic_name: KEPT.topic,
      partitions: KEPT.partitions,
      retention_messages: KEPT.messages,
    })
    const workload = new Workload(api)
    await workload.#makeClients(random)
    workload.#producing = Promise.all([
      ...workload.#lanes.map((lane) => lane.run(workload.#stopProducing.signal, workload.#giveUp.signal)),
      workload.#registrar.run(workload.#stopProducing.signal),
    ])
    workload.#reading = Promise.all([
      ...workload.#readers.map((reader) => reader.run(workload.#drain.signal, workload.#giveUp.signal)),
      workload.#readStrictly(random),
    ])
    return workload
  }

  /** In the order of time. */
  get acknowledged(): readonly Acknowledgement[] {
    return this.#acknowledged
  }

  /**
   * Sends nothing new, sees what is under way through, and reads to the end, however far that is.
   * @param limitMs for which nobody may wait without anybody getting further
   * @returns false when it was given up
   */
  async finish(limitMs: number): Promise<boolean> {
    const startedMs = performance.now()
    let [steps, steppedMs] = [this.#steps(), startedMs]
    const watch = setInterval(() => {
      const now = performance.now()
      if (this.#steps() > steps) [steps, steppedMs] = [this.#steps(), now]
      if (now - steppedMs > limitMs || now - startedMs > limitMs * FINISH_LIMITS_MAX)
        this.#giveUp.abort(new Error('the clients do not finish'))
    }, WATCH_MS)
    this.#stopProducing.abort(new Error('the run is over'))
    await this.#producing
    this.#drain.abort(new Error('everything is sent'))
    await this.#reading
    clearInterval(watch)
    return !this.#giveUp.signal.aborted
  }

  /** Grows as long as anybody gets further; to be told that nothing is left is no step. */
  #steps(): number {
    let steps = this.#acknowledged.length
    for (const { history } of this.#readers)
      for (const { kind } of history.events) if (kind !== 'empty') steps++
    return steps
  }

  history(): History {
    return {
      sent: this.#lanes.flatMap((lane) => lane.sent),
      consumers: this.#readers.map((reader) => reader.history),
      registrations: this.#registrar.registrations,
      wrongAnswers: this.#wrongAnswers,
      kept: new Map([[KEPT.topic, KEPT.messages]]),
    }
  }

  close(): void {
    this.#giveUp.abort(new Error('closed'))
    this.#stopProducing.abort(new Error('closed'))
    this.#drain.abort(new Error('closed'))
    this.#api.close()
  }

  async #makeClients(random: Random): Promise<void> {
    for (const [number, { topic, lanes, paceMs }] of [...TOPICS, KEPT].entries()) {
      const producerId = await this.#api.registerProducer(topic)
      for (let lane = 1; lane <= lanes; lane++) {
        const name = `${topic}-p${producerId}-l${lane}`
        const isBatch = lane === BATCH_LANE
        this.#lane({
          topic,
          producerId,
          name,
          messagesPerCall: isBatch ? BATCH_MESSAGES : 1,
          paceMs: isBatch ? BATCH_PACE_MS : paceMs,
          key: lane % 2 === 0 ? name : undefined,
        })
      }
      for (const ack of ['auto', 'manual'] as const) {
        const body = await this.#api.must('POST', '/consumer/register', { topic_name: topic, ack })
        this.#readers.push(
          new ConsumerReader({
            api: this.#api,
            name: `${topic}-c${number}-${ack}`,
            topic,
            consumerId: body['consumer_id'] as number,
            ack,
            paceMs: topic === KEPT.topic ? SLOW_PACE_MS : 0,
            random,
            onWrongAnswer: (answer) => this.#wrongAnswers.push(answer),
          }),
        )
      }
    }
  }

  /** A consumer that wants no gap: each time that it is told of one, another takes its place. */
  async #readStrictly(random: Random): Promise<void> {
    for (let number = 1; !this.#giveUp.signal.aborted; number++) {
      const body = { topic_name: KEPT.topic, auto_offset_reset: 'none' }
      const outcome = await attempt(this.#api, '/consumer/register', body)
      if (outcome.kind !== 'success') {
        await delay(RETRY_MS, this.#giveUp.signal).catch(() => undefined)
        continue
      }
      const reader = new ConsumerReader({
        api: this.#api,
        name: `${KEPT.topic}-strict-${number}`,
        topic: KEPT.topic,
        consumerId: outcome.body['consumer_id'] as number,
        ack: 'auto',
        isStrict: true,
        isLate: true,
        paceMs: SLOW_PACE_MS,
        random,
        onWrongAnswer: (answer) => this.#wrongAnswers.push(answer),
      })
      this.#readers.push(reader)
      await reader.run(this.#drain.signal, this.#giveUp.signal)
      if (reader.history.end !== 'refused') return
    }
  }

  #lane(lane: {
    readonly topic: string
    readonly producerId: number
    readonly name: string
    readonly messagesPerCall: number
    readonly paceMs: number
    readonly key: string | undefined
  }): ProducerLane {
    const made = new ProducerLane({
      ...lane,
      api: this.#api,
      knownBy: lane.messagesPerCall > 1 ? 'request-id' : 'message-id',
      onAcknowledged: (count, atMs) => this.#acknowledged.push({ lane: lane.name, atMs, count }),
      onWrongAnswer: (answer) => this.#wrongAnswers.push(answer),
    })
    this.#lanes.push(made)
    return made
  }
}
