import type { IncomingHttpHeaders } from 'node:http'

/** A manager's whole answer, as it is passed on. */
export interface Answer {
  readonly status: number
  /** Names and values in turn, without those that concern one connection only. */
  readonly headers: readonly string[]
  /** Owned by the answer. */
  readonly body: Buffer
}

/** Headers that belong to one hop (RFC 9110 §7.6.1), or that this process writes itself. */
const ownHop = new Set([
  'connection',
  'keep-alive',
  'proxy-authenticate',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'content-length',
  'date',
  'x-request-id',
])

/** The headers to pass on, names and values in turn. */
export function passedOnHeaders(headers: IncomingHttpHeaders): string[] {
  const kept: string[] = []
  for (const name in headers) {
    const value = headers[name]
    if (value === undefined || ownHop.has(name)) continue
    if (typeof value === 'string') kept.push(name, value)
    else for (const one of value) kept.push(name, one)
  }
  return kept
}

/**
 * Why bytes cannot be an answer of a manager, which is always a JSON object; undefined when they can.
 * Looks at the two ends only: whoever reads the answer parses it.
 */
export function defectOf(contentType: string | string[] | undefined, body: Buffer): string | undefined {
  if (body.length === 0) return 'answered with an empty body (empty answer)'
  const isJson = typeof contentType === 'string' && /^application\/(problem\+)?json(;|$)/.test(contentType)
  if (!isJson) return 'answered with something that is not JSON'
  if (body[0] !== 0x7b || body[body.length - 1] !== 0x7d)
    return 'answered with something that is not a JSON object'
  return undefined
}

/**
 * True when the manager did nothing with the call because it is stopping: it says so itself, or its HTTP
 * server does, in words of its own, before the call reaches it.
 */
export function isRefusal(status: number, body: Buffer): boolean {
  if (status !== 503 || body.length > 4096) return false
  if (!body.includes('"status":"failure"')) return body.includes('"Service Unavailable"')
  return body.includes('"SHUTTING_DOWN"') && body.includes('"outcome":"no"')
}
