import type { Answer, Api } from './api.js'
import { producerLog } from './producer-logs.js'

export const TOPICS = ['T-1', 'T-2', 'T-3'] as const
export const MESSAGES_TOTAL = 2979

interface Published {
  readonly producer: number
  readonly number: number
  readonly topic: string
  readonly message: string
  readonly partition: string
  readonly offset: number
}

interface Delivered {
  readonly topic: string
  readonly partition: string
  readonly offset: number
  readonly message: string
}

export interface RunResult {
  readonly published: readonly Published[]
  /** Produce calls that were answered with a failure, all retried until they succeeded. */
  readonly refused: number
  /** Per consumer, in the order of delivery. */
  readonly delivered: readonly (readonly Delivered[])[]
  /** Longest time between two acknowledged messages of any one producer. Milliseconds. */
  readonly longestGapMs: number
}

/**
 * Three producers publish their logs at once while three consumers read: one everything, two T-1 and
 * T-3. `onPublished` is told how many messages are acknowledged so far.
 */
export async function runRealInput(
  api: Api,
  onPublished: (count: number) => void = () => undefined,
): Promise<RunResult> {
  for (const topic of TOPICS) await api.must('POST', '/topics', { topic_name: topic })
  let acknowledged = 0
  let publishing = true
  let refused = 0
  let longestGapMs = 0

  const publish = async (producer: number): Promise<Published[]> => {
    const log = producerLog(producer)
    const ids = new Map<string, number>()
    for (const topic of new Set(log.map((line) => line.topic)))
      ids.set(topic, await api.registerProducer(topic))
    const published: Published[] = []
    let last = performance.now()
    for (const [number, { topic, message }] of log.entries()) {
      for (;;) {
        const answer: Answer = await api
          .post('/producer/produce', { producer_id: ids.get(topic), topic_name: topic, message })
          .catch((error: unknown) => ({ status: 0, body: { message: String(error) } }))
        if (answer.status === 200) {
          const { partition, offset } = answer.body as { partition: string; offset: number }
          published.push({ producer, number, topic, message, partition, offset })
          break
        }
        refused++
        if (answer.body['retriable'] !== true && answer.status !== 0)
          throw new Error(`produce answered ${answer.status} ${JSON.stringify(answer.body)}`)
      }
      const now = performance.now()
      longestGapMs = Math.max(longestGapMs, now - last)
      last = now
      onPublished(++acknowledged)
    }
    return published
  }

  const consume = async (topics: readonly string[]): Promise<Delivered[]> => {
    const delivered: Delivered[] = []
    const readers = topics.map(async (topic) => {
      const consumer = await api.registerConsumer(topic)
      for (;;) {
        // Looked at before the call: "nothing left" counts only when it was asked after the last message.
        const mayEnd = !publishing
        const answer = await api.get('/consumer/consume', { consumer_id: consumer, topic_name: topic })
        if (answer.status === 200) {
          const { partition, offset, message } = answer.body as unknown as Delivered
          delivered.push({ topic, partition, offset, message })
        } else if (answer.body['code'] === 'NO_MESSAGES') {
          if (mayEnd) return
        } else if (answer.body['retriable'] !== true) {
          throw new Error(`consume answered ${answer.status} ${JSON.stringify(answer.body)}`)
        }
      }
    })
    await Promise.all(readers)
    return delivered
  }

  const consumers = [consume(TOPICS), consume(['T-1', 'T-3']), consume(['T-1', 'T-3'])]
  const published = await Promise.all([publish(1), publish(2), publish(3)])
  publishing = false
  return { published: published.flat(), refused, delivered: await Promise.all(consumers), longestGapMs }
}

/** What is wrong with a run: empty when every acknowledged message was delivered once and in order. */
export function faultsOf(result: RunResult): string[] {
  const faults: string[] = []
  if (result.published.length !== MESSAGES_TOTAL)
    faults.push(`${result.published.length} acknowledged, not 2979`)
  const places = new Set(result.published.map(placeOf))
  if (places.size !== result.published.length) faults.push('two messages were acknowledged at the same place')
  const byPlace = new Map(result.published.map((message) => [placeOf(message), message]))
  for (const [consumer, delivered] of result.delivered.entries()) {
    const expected = result.published.filter((m) => consumer === 0 || m.topic !== 'T-2')
    const seen = new Map<string, number>()
    const lastOf = new Map<string, number>()
    for (const message of delivered) {
      const place = placeOf(message)
      seen.set(place, (seen.get(place) ?? 0) + 1)
      const source = byPlace.get(place)
      if (source === undefined) {
        faults.push(`consumer ${consumer}: ${place} was never acknowledged: ${message.message}`)
        continue
      }
      if (source.message !== message.message)
        faults.push(`consumer ${consumer}: ${place} holds another message`)
      const order = `${source.producer} ${message.partition}`
      if ((lastOf.get(order) ?? -1) >= source.number)
        faults.push(`consumer ${consumer}: ${place} is out of order`)
      lastOf.set(order, source.number)
    }
    for (const message of expected) {
      const count = seen.get(placeOf(message)) ?? 0
      if (count !== 1) faults.push(`consumer ${consumer}: ${placeOf(message)} delivered ${count} times`)
    }
    if (delivered.length !== expected.length)
      faults.push(`consumer ${consumer}: ${delivered.length} deliveries, not ${expected.length}`)
  }
  return faults
}

function placeOf(message: { readonly partition: string; readonly offset: number }): string {
  return `${message.partition}@${message.offset}`
}
