import { createServer, type Server } from 'node:http'

interface Call {
  readonly topic_name?: string
  readonly consumer_id?: number
  readonly max_messages?: number
  readonly messages?: readonly unknown[]
}

/** One partition per topic, in memory, behind the part of the public API that a load test uses. */
export class FakeCluster {
  readonly #server: Server
  readonly #counts = new Map<string, number>()
  readonly #cursors = new Map<number, number>()
  #ids = 0
  /** Acknowledges every n-th produce without keeping the message; 0 for never. */
  loseEvery = 0
  #produced = 0

  private constructor() {
    this.#server = createServer((request, response) => {
      const chunks: Buffer[] = []
      request.on('data', (chunk: Buffer) => chunks.push(chunk))
      request.on('end', () => {
        const url = new URL(request.url ?? '/', 'http://fake')
        const body = chunks.length > 0 ? (JSON.parse(Buffer.concat(chunks).toString()) as Call) : {}
        const query = {
          ...(url.searchParams.has('topic_name')
            ? { topic_name: url.searchParams.get('topic_name') ?? '' }
            : {}),
          ...(url.searchParams.has('consumer_id')
            ? { consumer_id: Number(url.searchParams.get('consumer_id')) }
            : {}),
        }
        const [status, answer] = this.#answer(url.pathname, { ...query, ...body })
        response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(answer))
      })
    })
  }

  static async start(): Promise<FakeCluster> {
    const cluster = new FakeCluster()
    await new Promise<void>((resolve) => {
      cluster.#server.listen(0, '127.0.0.1', resolve)
    })
    return cluster
  }

  get url(): string {
    const address = this.#server.address()
    return typeof address === 'object' && address !== null ? `http://127.0.0.1:${address.port}` : ''
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections()
    await new Promise((resolve) => this.#server.close(resolve))
  }

  #answer(path: string, call: Call): [number, object] {
    const topic = call.topic_name ?? ''
    const consumer = call.consumer_id ?? 0
    const end = this.#counts.get(topic) ?? 0
    const cursor = this.#cursors.get(consumer) ?? 0
    switch (path) {
      case '/topics':
        return [200, { status: 'success' }]
      case '/producer/register':
        return [200, { status: 'success', producer_id: (this.#ids += 1) }]
      case '/consumer/register':
        return [200, { status: 'success', consumer_id: (this.#ids += 1) }]
      case '/size':
        return [200, { status: 'success', size: end - cursor }]
      case '/producer/produce': {
        this.#produced += 1
        const lost = this.loseEvery > 0 && this.#produced % this.loseEvery === 0
        if (!lost) this.#counts.set(topic, end + (call.messages?.length ?? 1))
        return [200, { status: 'success', offset: end }]
      }
      case '/consumer/consume': {
        const count = Math.min(end - cursor, call.max_messages ?? 1)
        this.#cursors.set(consumer, cursor + count)
        const messages = Array.from({ length: count }, (_, index) => ({
          partition: `${topic}.1`,
          offset: cursor + index,
        }))
        if (call.max_messages !== undefined) return [200, { status: 'success', messages }]
        if (count === 0) return [404, { status: 'failure', code: 'NO_MESSAGES' }]
        return [200, { status: 'success', ...messages[0] }]
      }
      default:
        return [404, { status: 'failure', code: 'ROUTE_NOT_FOUND' }]
    }
  }
}
