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
  readonly #retries: RetryOptions
  #lastSequence = 0

  constructor(id: number, options: RetryOptions = {}) {
    this.id = id
    this.#retries = options
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
      return await withRetries(
        () => send({ session: this.id, sequence, unansweredFrom: Math.min(...this.#unanswered) }),
        this.#retries,
      )
    } finally {
      this.#unanswered.delete(sequence)
    }
  }
}

/** For what may be carried out more than once without harm. @throws what the last attempt threw */
export async function withRetries<T>(run: () => Promise<T>, options: RetryOptions): Promise<T> {
  const { retriesMax = 10, pauseMs = 100 } = options
  for (let attempt = 0; ; attempt++) {
    try {
      return await run()
    } catch (error) {
      if (attempt >= retriesMax || !mayHelp(error)) throw error
    }
    await new Promise((resolve) => setTimeout(resolve, pauseMs))
  }
}

/** A command that was refused or whose answer is lost is sent again; one that was carried out is not. */
function mayHelp(error: unknown): boolean {
  return error instanceof Error && !(error instanceof SessionExpiredError) && 'outcome' in error
}
