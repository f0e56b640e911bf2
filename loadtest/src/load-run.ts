import { autocannon } from './autocannon.js'

/** What is fired at a server: one kind of call, again and again, on every connection. */
export interface Load {
  readonly url: string
  readonly path: string
  readonly connections: number
  readonly seconds: number
  /** The body of each connection's calls, or of each single call. */
  readonly body: { readonly perConnection: (index: number) => string } | { readonly perCall: () => string }
  /** Ends the run at the first answer of this status: there is nothing left to ask for. */
  readonly endsAtStatus?: number
}

/** What came back. */
export interface LoadResult {
  /** Answers with 2xx. */
  readonly acknowledged: number
  /** Answers by status, 2xx included. */
  readonly statuses: Readonly<Record<number, number>>
  /** Connections that failed, and calls that got no answer in time. */
  readonly errors: number
  readonly timeouts: number
  /** Calls that were on the wire when the run ended, or when the server closed the connection. */
  readonly unanswered: number
  readonly durationSeconds: number
  /** Of 2xx answers. */
  readonly requestsPerSecond: number
  readonly p50Ms: number
  readonly p99Ms: number
  readonly maxMs: number
  /** It ended at `endsAtStatus`. */
  readonly endedEarly: boolean
}

const callTimeoutSeconds = 30

/** Fires and counts. Latencies are taken from each answer, to fractions of a millisecond. */
export async function fire(load: Load): Promise<LoadResult> {
  const { body } = load
  let connection = 0
  const instance = autocannon({
    url: load.url + load.path,
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    connections: load.connections,
    duration: load.seconds,
    timeout: callTimeoutSeconds,
    sampleInt: 100,
    ...('perCall' in body
      ? { requests: [{ setupRequest: (request) => ({ ...request, body: body.perCall() }) }] }
      : { setupClient: (client) => client.setBody(body.perConnection(connection++)) }),
  })
  const statuses: Record<number, number> = {}
  const latenciesMs: number[] = []
  let answers = 0
  let endedEarly = false
  instance.on('response', (_client: unknown, status: number, _bytes: number, latencyMs: number) => {
    answers += 1
    statuses[status] = (statuses[status] ?? 0) + 1
    if (status >= 200 && status < 300) latenciesMs.push(latencyMs)
    if (status === load.endsAtStatus && !endedEarly) {
      endedEarly = true
      instance.stop()
    }
  })
  const result = await instance
  const sorted = Float64Array.from(latenciesMs).sort()
  return {
    acknowledged: sorted.length,
    statuses,
    errors: result.errors - result.timeouts,
    timeouts: result.timeouts,
    unanswered: Math.max(0, result.requests.sent - answers),
    durationSeconds: result.duration,
    requestsPerSecond: result.duration > 0 ? sorted.length / result.duration : 0,
    p50Ms: percentile(sorted, 0.5),
    p99Ms: percentile(sorted, 0.99),
    maxMs: sorted[sorted.length - 1] ?? 0,
    endedEarly,
  }
}

/** The smallest value that is not below `share` of the values; 0 when there are none. */
export function percentile(sorted: Float64Array, share: number): number {
  return sorted[Math.max(0, Math.ceil(sorted.length * share) - 1)] ?? 0
}
