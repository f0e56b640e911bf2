import http from 'node:http'

export interface Answer {
  readonly status: number
  readonly body: Record<string, unknown>
}

/** A plain client of the public API: no retries, one keep-alive pool, JSON both ways. */
export class Api {
  readonly #agent = new http.Agent({ keepAlive: true, maxSockets: 64 })
  readonly #ports: readonly number[]
  #turn = 0

  /** @param ports of load balancers that calls go to in turn, so that the next try is at another one */
  constructor(...ports: readonly number[]) {
    this.#ports = ports
  }

  post(path: string, body: unknown): Promise<Answer> {
    return this.raw('POST', path, JSON.stringify(body))
  }

  get(path: string, body?: unknown): Promise<Answer> {
    return this.raw('GET', path, body === undefined ? undefined : JSON.stringify(body))
  }

  raw(
    method: string,
    path: string,
    body: string | undefined,
    headers: http.OutgoingHttpHeaders = {},
  ): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const request = http.request(
        {
          host: '127.0.0.1',
          port: this.#ports[this.#turn++ % this.#ports.length],
          agent: this.#agent,
          method,
          path,
          headers: {
            ...(body === undefined
              ? {}
              : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) }),
            ...headers,
          },
          timeout: 60_000,
        },
        (response) => {
          const chunks: Buffer[] = []
          response.on('data', (chunk: Buffer) => chunks.push(chunk))
          response.on('error', reject)
          response.on('end', () => {
            const text = Buffer.concat(chunks).toString()
            try {
              resolve({
                status: response.statusCode ?? 0,
                body: (text === '' ? {} : JSON.parse(text)) as Record<string, unknown>,
              })
            } catch (cause) {
              reject(new Error(`${method} ${path} answered ${text.slice(0, 200)}`, { cause }))
            }
          })
        },
      )
      request.on('timeout', () => request.destroy(new Error(`${method} ${path} was not answered in 60 s`)))
      request.on('error', reject)
      request.end(body)
    })
  }

  /** The body of an answer that must be a success. */
  async must(method: 'GET' | 'POST', path: string, body?: unknown): Promise<Record<string, unknown>> {
    const answer = await this.raw(method, path, body === undefined ? undefined : JSON.stringify(body))
    if (answer.status !== 200 && answer.status !== 201)
      throw new Error(
        `${method} ${path} ${JSON.stringify(body)} → ${answer.status} ${JSON.stringify(answer.body)}`,
      )
    return answer.body
  }

  async registerProducer(topic: string): Promise<number> {
    return (await this.must('POST', '/producer/register', { topic_name: topic }))['producer_id'] as number
  }

  async registerConsumer(topic: string): Promise<number> {
    return (await this.must('POST', '/consumer/register', { topic_name: topic }))['consumer_id'] as number
  }

  close(): void {
    this.#agent.destroy()
  }
}
