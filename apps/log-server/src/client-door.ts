import type { IncomingMessage, ServerResponse } from 'node:http'
import { HeldAnswer } from './held-answer.js'
import type { LogNode } from './log-node.js'

/** Of one entry. */
const BODY_BYTES_MAX = 64 * 1024

/** What only the process can do. */
export interface ProcessControl {
  /** The node has crashed: its connections to peers end. */
  crashed(): void
  recovered(): void
  /** The log's file is to be written; resolves when it is complete. */
  writeLog(): Promise<void>
  /** Everything is answered: the process may end. */
  exited(): void
}

/** The HTTP calls of clients. While the node is crashed all but three get no byte. */
export class ClientDoor {
  readonly #node: LogNode
  readonly #control: ProcessControl

  constructor(node: LogNode, control: ProcessControl) {
    this.#node = node
    this.#control = control
  }

  handle(request: IncomingMessage, response: ServerResponse): void {
    const call = `${request.method ?? ''} ${(request.url ?? '').split('?')[0] ?? ''}`
    switch (call) {
      case 'POST /crash':
        request.resume()
        this.#node.crash(() => {
          response.end(() => undefined)
          this.#control.crashed()
        })
        return
      case 'POST /recover':
        request.resume()
        this.#node.recover(() => {
          this.#control.recovered()
          response.end()
        })
        return
      case 'POST /exit':
        request.resume()
        this.#node.finish(() => void this.#exit(response))
        return
      default:
        if (this.#node.isCrashed) request.socket.destroy()
        else this.#whileUp(call, request, response)
    }
  }

  #whileUp(call: string, request: IncomingMessage, response: ServerResponse): void {
    switch (call) {
      case 'PUT /':
        this.#put(request, response)
        return
      case 'GET /status':
        this.#json(response, 200, this.#node.status)
        return
      case 'GET /log':
        response.setHeader('content-type', 'text/csv; charset=utf-8')
        response.end(logText(this.#node.entries))
        return
      default:
        request.resume()
        this.#refuse(response, isKnownPath(request.url) ? 405 : 404, `${call} is no call of this server`)
    }
  }

  #put(request: IncomingMessage, response: ServerResponse): void {
    const parts: Buffer[] = []
    let bytes = 0
    let isTooLarge = false
    request.on('data', (chunk: Buffer) => {
      bytes += chunk.length
      if (bytes <= BODY_BYTES_MAX) {
        parts.push(chunk)
        return
      }
      parts.length = 0
      if (isTooLarge) return
      isTooLarge = true
      response.setHeader('connection', 'close')
      this.#refuse(response, 413, `a body has at most ${BODY_BYTES_MAX} bytes`)
    })
    // A request that was cut off has no end: nothing is stored of it.
    request.on('end', () => {
      if (isTooLarge) return
      let withdraw = (): void => undefined
      const answer = new HeldAnswer(response, () => withdraw())
      withdraw = this.#node.put(Buffer.concat(parts), (outcome) => answer.settle(outcome))
    })
  }

  async #exit(response: ServerResponse): Promise<void> {
    try {
      await this.#control.writeLog()
      response.end(() => this.#control.exited())
    } catch (error) {
      this.#refuse(response, 500, `the log was not written: ${String(error)}`)
    }
  }

  #refuse(response: ServerResponse, status: number, message: string): void {
    this.#json(response, status, { status: 'failure', message, component: 'log-server', retriable: false })
  }

  #json(response: ServerResponse, status: number, body: object): void {
    response.writeHead(status, { 'content-type': 'application/json' })
    response.end(JSON.stringify(body))
  }
}

function isKnownPath(url: string | undefined): boolean {
  return ['/', '/crash', '/recover', '/exit', '/status', '/log'].includes((url ?? '').split('?')[0] ?? '')
}

/** An entry per line; line ends within an entry are written as `\n` and `\r`. */
export function logText(entries: readonly Uint8Array[]): string {
  return entries
    .map(
      (entry) => `${Buffer.from(entry).toString('utf8').replaceAll('\n', '\\n').replaceAll('\r', '\\r')}\n`,
    )
    .join('')
}
