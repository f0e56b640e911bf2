import { SessionExpiredError } from './errors.js'

/** Where a call stands in its session. */
export interface SessionPosition {
  readonly session: number
  readonly sequence: number
  readonly unansweredFrom: number
}

export interface RetryOptions {
  /** Attempts after the first one. Default 10. */
  readonly retriesMax?: number
  /** Between two attempts. Milliseconds, default 100. */
  readonly pauseMs?: number
}

/**
 * A client's half of a session: numbers its calls, so that one whose answer was lost is sent again and
 * still carried out once (Raft thesis §6.3). Not to be shared between processes.
 */
export class SessionClient {
  readonly id: number
  readonly #unanswered = new Set<number>()
  readonly #retriesMax: number
  readonly #pauseMs: number
  #lastSequence = 0

  constructor(id: number, options: RetryOptions = {}) {
    this.id = id
    this.#retriesMax = options.retriesMax ?? 10
    this.#pauseMs = options.pauseMs ?? 100
  }

  /**
   * Sends a call, again and again with the same number while its outcome is unknown.
   * @param send rejects with an error that has an `outcome` where the command may not have got there
   * @throws SessionExpiredError, or what the last attempt threw
   */
  async call<T>(send: (at: SessionPosition) => Promise<T>): Promise<T> {
    const sequence = ++this.#lastSequence
    this.#unanswered.add(sequence)
    try {
      for (let attempt = 0; ; attempt++) {
        try {
          return await send({ session: this.id, sequence, unansweredFrom: Math.min(...this.#unanswered) })
        } catch (error) {
          if (attempt >= this.#retriesMax || !mayHelp(error)) throw error
        }
        await new Promise((resolve) => setTimeout(resolve, this.#pauseMs))
      }
    } finally {
      this.#unanswered.delete(sequence)
    }
  }
}

/** A command that was refused or whose answer is lost is sent again; one that was carried out is not. */
function mayHelp(error: unknown): boolean {
  return error instanceof Error && !(error instanceof SessionExpiredError) && 'outcome' in error
}
