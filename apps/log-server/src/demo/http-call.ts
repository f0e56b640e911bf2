import { request } from 'node:http'

export interface CallOptions {
  readonly method: string
  readonly port: number
  readonly path: string
  readonly body?: Uint8Array
  /** Nothing heard for so long ends the call. Milliseconds; 0 waits for ever. */
  readonly silentMs: number
}

/**
 * One call on a connection of its own, as the log's clients make it. True when a complete answer came,
 * whatever its status; false when there was none, or it was cut off, or nothing was heard.
 */
export function call(options: CallOptions): Promise<boolean> {
  const { method, port, path, body = new Uint8Array(0), silentMs } = options
  return new Promise((resolve) => {
    const sent = request({
      host: '127.0.0.1',
      port,
      path,
      method,
      agent: false,
      timeout: silentMs,
      headers: { 'content-length': body.length },
    })
    sent.on('response', (response) => {
      response.resume()
      response.on('error', () => resolve(false))
      response.on('end', () => resolve(response.complete))
      response.on('close', () => resolve(false))
    })
    sent.on('timeout', () => sent.destroy())
    sent.on('error', () => resolve(false))
    sent.end(body)
  })
}
