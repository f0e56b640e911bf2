import { Pool, request } from 'undici'
import { delay, messageOf } from '@sluice/foundation'
import type { ManagerAddress } from './address.js'
import type { Attempt } from './attempt.js'
import type { RouteMethod } from './routes.js'

/** What an attempt puts on the wire. */
export interface UpstreamRequest {
  readonly method: RouteMethod
  /** Path and query. */
  readonly path: string
  /** Names and values in turn. */
  readonly headers: string[]
  /** Not changed while the call lives, since it may be sent again. */
  readonly body: Buffer | null
}

export interface ManagerLimits {
  /** Connections to one manager; calls beyond them wait for one, within their time-out. */
  readonly connectionsMax: number
  readonly connectTimeoutMs: number
  /** Time between two health checks of a manager, milliseconds. */
  readonly healthIntervalMs: number
  /** How long a health check may take, milliseconds. */
  readonly healthTimeoutMs: number
}

/** Told when a manager that it waits for does not react any more. */
export interface Waiting {
  stalled(reason: string): void
}

export type ManagerChange = { readonly up: true } | { readonly up: false; readonly reason: string }

/** A slow check may be a stall of this machine; two in a row are a manager that does not answer. */
const slowChecksMax = 2

/**
 * One manager: its connections, and whether it is believed to serve. Belief comes from a health check
 * (GET /health/ready) twice a second and, at once, from connections that fail.
 */
export class Manager {
  readonly address: ManagerAddress
  readonly #limits: ManagerLimits
  readonly #pool: Pool
  readonly #onChange: (manager: Manager, change: ManagerChange) => void
  readonly #closing = new AbortController()
  #wake = new AbortController()
  #watching: Promise<void> | undefined
  #up = false
  #reason = 'not checked yet'
  #slowChecks = 0
  readonly #waiting = new Set<Waiting>()

  constructor(
    address: ManagerAddress,
    limits: ManagerLimits,
    onChange: (manager: Manager, change: ManagerChange) => void,
  ) {
    this.address = address
    this.#limits = limits
    this.#onChange = onChange
    this.#pool = new Pool(address.origin, {
      connections: limits.connectionsMax,
      pipelining: 1,
      connectTimeout: limits.connectTimeoutMs,
      keepAliveTimeout: 30_000,
      // A call has one deadline, which its owner keeps; the client's own, coarser ones are off.
      headersTimeout: 0,
      bodyTimeout: 0,
    })
  }

  get up(): boolean {
    return this.#up
  }

  /** Why it is not up; the empty string when it is. */
  get reason(): string {
    return this.#up ? '' : this.#reason
  }

  /** @param waiting told should the manager stall, until `settled` is called for it */
  dispatch(request: UpstreamRequest, attempt: Attempt, waiting: Waiting): void {
    this.#waiting.add(waiting)
    this.#pool.dispatch({ ...request, reset: false }, attempt)
  }

  settled(waiting: Waiting): void {
    this.#waiting.delete(waiting)
  }

  /** A call found the manager gone: skipped from now on, and checked at once. */
  suspect(reason: string): void {
    this.#set({ up: false, reason })
    this.#wake.abort()
  }

  /** Begins the health checks; the first takes place at once. */
  watch(): void {
    this.#watching ??= this.#watch()
  }

  async close(): Promise<void> {
    this.#closing.abort()
    this.#wake.abort()
    await this.#watching
    await this.#pool.destroy()
  }

  async #watch(): Promise<void> {
    while (!this.#closing.signal.aborted) {
      this.#wake = new AbortController()
      await this.#check()
      // A suspicion that came up during the check wants a check of its own, a moment later.
      const pauseMs = this.#wake.signal.aborted
        ? Math.min(50, this.#limits.healthIntervalMs)
        : this.#limits.healthIntervalMs
      const pause = this.#wake.signal.aborted
        ? this.#closing.signal
        : AbortSignal.any([this.#wake.signal, this.#closing.signal])
      await delay(pauseMs, pause).catch(() => undefined)
    }
  }

  async #check(): Promise<void> {
    const timeout = AbortSignal.timeout(this.#limits.healthTimeoutMs)
    try {
      const { statusCode, body } = await request(`${this.address.origin}/health/ready`, {
        signal: AbortSignal.any([timeout, this.#closing.signal]),
      })
      await body.dump({ limit: 65_536 })
      this.#slowChecks = 0
      if (statusCode === 200) this.#set({ up: true })
      else this.#set({ up: false, reason: `is not ready (HTTP error ${statusCode})` })
    } catch (error) {
      if (this.#closing.signal.aborted) return
      this.#slowChecks = timeout.aborted ? this.#slowChecks + 1 : slowChecksMax
      if (this.#slowChecks < slowChecksMax && this.#up) return
      const reason = timeout.aborted
        ? `did not answer its health check within ${this.#limits.healthTimeoutMs} ms (time-out)`
        : `cannot be reached (connection error: ${messageOf(error)})`
      this.#set({ up: false, reason })
      if (timeout.aborted) for (const waiting of [...this.#waiting]) waiting.stalled(reason)
    }
  }

  #set(change: ManagerChange): void {
    const before = this.#up
    this.#up = change.up
    if (!change.up) this.#reason = change.reason
    if (before !== change.up) this.#onChange(this, change)
  }
}
