import { get } from 'node:http'
import { isPortFree } from './ports.js'
import { reachable } from './readiness.js'

/** One sentence that says what to do when the public port is taken; undefined when it is free. */
export async function publicPortProblem(host: string, port: number): Promise<string | undefined> {
  if (port === 0 || (await isPortFree(host, port))) return undefined
  const other = port < 65_535 ? port + 1 : port - 1
  const advice = `choose another one, for example: SLUICE_PORT=${other} npm start`
  return (await isSluice(host, port))
    ? `Port ${port} is in use by another Sluice cluster, with a data directory of its own; ${advice}`
    : `Port ${port} is in use by another program; ${advice}`
}

/** Asks whoever listens there for its name. */
function isSluice(host: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const call = get(
      { host: reachable(host), port, path: '/', agent: false, signal: AbortSignal.timeout(500) },
      (response) => {
        let text = ''
        response.setEncoding('utf8')
        response.on('data', (chunk: string) => {
          if (text.length < 65_536) text += chunk
        })
        response.once('end', () => resolve(text.includes('"service":"sluice"')))
        response.once('error', () => resolve(false))
      },
    )
    call.once('error', () => resolve(false))
  })
}
