import { delay } from '@sluice/foundation'

/** Asks a partition's leader for its end; it answers when the end is past `offset`, or after `waitMs`. */
export type AwaitEnd = (
  groupId: number,
  offset: number,
  options: { readonly waitMs: number; readonly signal: AbortSignal },
) => Promise<number>

interface Waiter {
  readonly offset: number
  readonly wake: () => void
}

interface Watch {
  readonly waiters: Set<Waiter>
  end: number
}

/** One question to a broker waits at most this long; then it is asked again if somebody still waits. */
const QUESTION_MS = 5000
const RETRY_MS = 200

/**
 * Wakes those who wait for a partition to grow. One question per partition is open at a time, however
 * many consumers wait.
 */
export class EndWatch {
  readonly #awaitEnd: AwaitEnd
  readonly #watches = new Map<number, Watch>()
  readonly #closing = new AbortController()
  readonly #running = new Set<Promise<void>>()

  constructor(awaitEnd: AwaitEnd) {
    this.#awaitEnd = awaitEnd
  }

  /** Calls `wake` once there are messages at `offset` or after it; the result ends the waiting. */
  wait(groupId: number, offset: number, wake: () => void): () => void {
    const watch = this.#watches.get(groupId)
    if (watch !== undefined && watch.end > offset) {
      wake()
      return () => undefined
    }
    const waiter = { offset, wake }
    if (watch !== undefined) {
      watch.waiters.add(waiter)
      return () => watch.waiters.delete(waiter)
    }
    const started: Watch = { waiters: new Set([waiter]), end: offset }
    this.#watches.set(groupId, started)
    const running = this.#follow(groupId, started).finally(() => this.#running.delete(running))
    this.#running.add(running)
    return () => started.waiters.delete(waiter)
  }

  async close(): Promise<void> {
    this.#closing.abort()
    await Promise.all(this.#running)
  }

  async #follow(groupId: number, watch: Watch): Promise<void> {
    const { signal } = this.#closing
    while (watch.waiters.size > 0 && !signal.aborted) {
      // Nobody waits for less than the newest end known, so one question serves all of them.
      const offset = Math.min(...Array.from(watch.waiters, (waiter) => waiter.offset))
      try {
        const end = await this.#awaitEnd(groupId, offset, { waitMs: QUESTION_MS, signal })
        watch.end = Math.max(watch.end, end)
        for (const waiter of watch.waiters) {
          if (waiter.offset >= watch.end) continue
          watch.waiters.delete(waiter)
          waiter.wake()
        }
      } catch {
        // The walk that follows the wait tells the caller what is wrong with this partition.
        await delay(RETRY_MS, signal).catch(() => undefined)
      }
    }
    this.#watches.delete(groupId)
  }
}
