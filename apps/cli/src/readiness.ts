import { request } from 'node:http'

/** True when `GET http://host:port/path` answers 200 within `timeoutMs`. */
export function answersOk(
  target: { readonly host: string; readonly port: number; readonly path: string },
  timeoutMs: number,
): Promise<boolean> {
  return new Promise((resolve) => {
    // A connection of its own each time: one that is kept would hold up the other side's stop.
    const call = request(
      { ...target, host: reachable(target.host), agent: false, signal: AbortSignal.timeout(timeoutMs) },
      (response) => {
        response.resume()
        response.once('error', () => undefined)
        resolve(response.statusCode === 200)
      },
    )
    call.once('error', () => resolve(false))
    call.end()
  })
}

/** Where a server that listens on every address is found from this machine. */
export function reachable(host: string): string {
  if (host === '0.0.0.0' || host === '') return '127.0.0.1'
  return host === '::' ? '::1' : host
}
