import { once } from 'node:events'
import {
  createServer,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type Server,
  type ServerResponse,
} from 'node:http'
import type { AddressInfo } from 'node:net'

/** What a fake manager does with a call. */
export type Behaviour =
  | 'answer'
  | 'error' // HTTP 500 with the envelope of a manager
  | 'stopping' // 503 SHUTTING_DOWN
  | 'framework-stopping' // the 503 of a Fastify server that closes
  | 'silence'
  | 'reset'
  | 'close' // ends the connection without an answer
  | 'half' // promises more than it sends
  | 'garbage' // not HTTP
  | 'empty' // 200 with an empty body
  | 'html'
  | 'list' // JSON, but no object
  | 'huge'

export interface ReceivedCall {
  readonly method: string
  readonly url: string
  readonly headers: IncomingHttpHeaders
  readonly body: string
}

/** A manager on a real port that answers as it is told, and remembers what it was asked. */
export class FakeManager {
  readonly name: string
  readonly calls: ReceivedCall[] = []
  behaviour: Behaviour = 'answer'
  ready = true
  /** Its health is asked, and there is no answer. */
  hangs = false
  /** Calls whose connection was closed by the other side before they were answered. */
  abandoned = 0
  #server: Server | undefined
  #port = 0

  constructor(name: string) {
    this.name = name
  }

  get address(): string {
    return `127.0.0.1:${this.#port}`
  }

  /** Listens on a free port; again on the same one after a stop. */
  async start(): Promise<this> {
    const server = createServer((request, response) => this.#handle(request, response))
    this.#server = server
    server.listen(this.#port, '127.0.0.1')
    await once(server, 'listening')
    this.#port = (server.address() as AddressInfo).port
    return this
  }

  async stop(): Promise<void> {
    const server = this.#server
    this.#server = undefined
    if (server === undefined) return
    const closed = once(server, 'close')
    server.close()
    server.closeAllConnections()
    await closed
  }

  #handle(request: IncomingMessage, response: ServerResponse): void {
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('end', () => {
      if (request.url === '/health/ready') {
        if (this.hangs) return
        response.writeHead(this.ready ? 200 : 503, { 'content-type': 'application/json' }).end('{}')
        return
      }
      const { method = '', url = '', headers } = request
      this.calls.push({ method, url, headers, body: Buffer.concat(chunks).toString() })
      response.on('close', () => {
        if (!response.writableEnded && this.behaviour === 'silence') this.abandoned += 1
      })
      this.#behave(request, response)
    })
  }

  #behave(request: IncomingMessage, response: ServerResponse): void {
    const json = { 'content-type': 'application/json; charset=utf-8', 'x-served-by': this.name }
    switch (this.behaviour) {
      case 'answer':
        response.writeHead(201, json).end(JSON.stringify({ status: 'success', by: this.name }))
        return
      case 'error':
        response
          .writeHead(500, json)
          .end(JSON.stringify({ status: 'failure', code: 'INTERNAL', component: 'write-manager' }))
        return
      case 'stopping':
        response
          .writeHead(503, json)
          .end(JSON.stringify({ status: 'failure', code: 'SHUTTING_DOWN', outcome: 'no' }))
        return
      case 'framework-stopping':
        response.writeHead(503, json).end('{"error":"Service Unavailable","statusCode":503}')
        return
      case 'silence':
        return
      case 'reset':
        request.socket.resetAndDestroy()
        return
      case 'close':
        request.socket.end()
        return
      case 'half':
        response.writeHead(200, { ...json, 'content-length': 100 })
        response.write('{"status":"succ')
        setImmediate(() => request.socket.destroy())
        return
      case 'garbage':
        request.socket.end('SSH-2.0-OpenSSH_9.2\r\n')
        return
      case 'empty':
        response.writeHead(200, json).end()
        return
      case 'html':
        response.writeHead(200, { 'content-type': 'text/html' }).end('<html></html>')
        return
      case 'list':
        response.writeHead(200, json).end('[1]')
        return
      case 'huge':
        response.writeHead(200, json).end(JSON.stringify({ text: 'x'.repeat(100_000) }))
    }
  }
}
