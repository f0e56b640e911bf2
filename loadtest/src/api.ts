/** An answer other than success to a call that the load test itself depends on. */
class ApiError extends Error {
  override readonly name = 'ApiError'
  readonly status: number
  /** Of the failure envelope; the empty string when there was none. */
  readonly code: string

  constructor(call: string, status: number, code: string, message: string) {
    super(`${call} answered ${status} ${code}: ${message}`)
    this.status = status
    this.code = code
  }
}

export interface Delivered {
  readonly partition: string
  readonly offset: number
}

/** The calls that prepare a load and look at what it left behind. */
export class Api {
  readonly url: string

  constructor(url: string) {
    this.url = url
  }

  async createTopic(topic: string, partitions = 1): Promise<void> {
    await this.#post('/topics', { topic_name: topic, partitions })
  }

  async registerProducer(topic: string): Promise<number> {
    return integer(await this.#post('/producer/register', { topic_name: topic }), 'producer_id')
  }

  async registerConsumer(topic: string): Promise<number> {
    return integer(
      await this.#post('/consumer/register', { topic_name: topic, start: 'earliest' }),
      'consumer_id',
    )
  }

  async produce(topic: string, producerId: number, messages: readonly string[]): Promise<void> {
    await this.#post('/producer/produce', {
      producer_id: producerId,
      topic_name: topic,
      messages: messages.map((message) => ({ message })),
    })
  }

  /** Next messages of a consumer; an empty list when nothing is left. */
  async consume(topic: string, consumerId: number, messagesMax: number): Promise<Delivered[]> {
    const answer = await this.#post('/consumer/consume', {
      consumer_id: consumerId,
      topic_name: topic,
      max_messages: messagesMax,
    })
    const { messages } = answer
    if (!Array.isArray(messages)) throw new Error('consume answered without a list of messages')
    return messages.map((message: unknown) => {
      const record = message as Answer
      if (typeof record.partition !== 'string') throw new Error('a message has no partition')
      return { partition: record.partition, offset: integer(record, 'offset') }
    })
  }

  /** One single consume call: the code of its failure, or undefined when it delivered. */
  async consumeOne(topic: string, consumerId: number): Promise<string | undefined> {
    try {
      await this.#post('/consumer/consume', { consumer_id: consumerId, topic_name: topic })
      return undefined
    } catch (error) {
      if (error instanceof ApiError) return error.code
      throw error
    }
  }

  /** Messages left for a consumer. */
  async size(topic: string, consumerId: number): Promise<number> {
    const query = new URLSearchParams({ topic_name: topic, consumer_id: String(consumerId) })
    return integer(await this.#call('GET', `/size?${query.toString()}`), 'size')
  }

  #post(path: string, body: object): Promise<Answer> {
    return this.#call('POST', path, JSON.stringify(body))
  }

  async #call(method: string, path: string, body?: string): Promise<Answer> {
    const response = await fetch(this.url + path, {
      method,
      signal: AbortSignal.timeout(60_000),
      ...(body === undefined ? {} : { body, headers: { 'content-type': 'application/json' } }),
    })
    const answer = (await response.json()) as Answer
    if (response.ok) return answer
    throw new ApiError(`${method} ${path}`, response.status, text(answer.code), text(answer.message))
  }
}

/** The fields that are looked at, each still unknown. */
interface Answer {
  readonly code?: unknown
  readonly message?: unknown
  readonly messages?: unknown
  readonly partition?: unknown
  readonly offset?: unknown
  readonly size?: unknown
  readonly producer_id?: unknown
  readonly consumer_id?: unknown
}

function text(value: unknown): string {
  return typeof value === 'string' ? value : ''
}

function integer(answer: Answer, name: 'offset' | 'size' | 'producer_id' | 'consumer_id'): number {
  const value = answer[name]
  if (typeof value !== 'number' || !Number.isSafeInteger(value)) throw new Error(`the answer has no ${name}`)
  return value
}
