import { InvariantError, type Random, toError } from '@sluice/foundation'
import type { Connection } from './connection.js'
import { TransportError } from './transport-error.js'
import type { TransportTimings } from './transport-options.js'

interface PeerDialerParts {
  /** Makes a connection that is up, or rejects. */
  readonly dial: (attempt: number, signal: AbortSignal) => Promise<Connection>
  /** An attempt failed; another one follows. */
  readonly onFailed: (error: Error) => void
  readonly timings: TransportTimings
  readonly random: Random
}

/** Keeps one peer connected: attempts with growing, jittered pauses, until it is stopped. */
export class PeerDialer {
  readonly #parts: PeerDialerParts
  #attempts = 0
  #backOffMs: number
  #underWay: AbortController | undefined
  #timer: NodeJS.Timeout | undefined
  #stopped = false

  constructor(parts: PeerDialerParts) {
    this.#parts = parts
    this.#backOffMs = parts.timings.retryMs
  }

  start(): void {
    if (!this.#stopped) void this.#attempt()
  }

  /** The connection that an attempt has made is gone, `livedMs` after it was up. */
  lost(livedMs: number): void {
    // A connection that breaks as soon as it is up is as bad as none: the pauses grow on.
    if (livedMs >= this.#backOffMs) this.#backOffMs = this.#parts.timings.retryMs
    this.#schedule()
  }

  stop(): void {
    this.#stopped = true
    clearTimeout(this.#timer)
    this.#underWay?.abort(new TransportError('CLOSED', 'the peer is not dialled any more'))
  }

  async #attempt(): Promise<void> {
    const controller = new AbortController()
    this.#underWay = controller
    try {
      await this.#parts.dial(this.#attempts++, controller.signal)
      this.#underWay = undefined
    } catch (error) {
      this.#underWay = undefined
      if (error instanceof InvariantError) throw error
      if (this.#stopped) return
      this.#parts.onFailed(toError(error))
      this.#schedule()
    }
  }

  #schedule(): void {
    if (this.#stopped) return
    const waitMs = this.#backOffMs * (0.5 + this.#parts.random.next())
    this.#backOffMs = Math.min(Math.max(1, this.#backOffMs * 2), this.#parts.timings.retryMsMax)
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => void this.#attempt(), waitMs)
  }
}
