import type { EventEmitter } from 'node:events'
import { createRequire } from 'node:module'

/** The part of autocannon 9 that is used here; the package has no types of its own. */
interface AutocannonOptions {
  readonly url: string
  readonly method: string
  readonly headers: Record<string, string>
  readonly connections: number
  /** Seconds. */
  readonly duration: number
  /** Seconds until a request without an answer counts as a time-out. */
  readonly timeout: number
  /** Milliseconds between two looks at whether to stop. */
  readonly sampleInt: number
  readonly requests?: readonly RequestTemplate[]
  /** Called once for each connection. */
  readonly setupClient?: (client: AutocannonClient) => void
}

interface AutocannonClient {
  setBody(body: string): void
}

interface RequestTemplate {
  readonly body?: string
  /** Called before each request; gives the request to send. */
  readonly setupRequest?: (request: RequestTemplate) => RequestTemplate
}

interface AutocannonResult {
  /** Seconds. */
  readonly duration: number
  /** Time-outs included. */
  readonly errors: number
  readonly timeouts: number
  readonly requests: { readonly sent: number }
}

interface AutocannonInstance extends EventEmitter, PromiseLike<AutocannonResult> {
  stop(): void
}

const require = createRequire(import.meta.url)

export const autocannon = require('autocannon') as (options: AutocannonOptions) => AutocannonInstance
