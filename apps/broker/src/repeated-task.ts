import { delay } from '@sluice/foundation'

/** Work that comes again and again: one round at a time, each a while after the one before, until it is stopped. */
export class RepeatedTask {
  readonly #everyMs: number
  readonly #round: (signal: AbortSignal) => Promise<void>
  readonly #stopped = new AbortController()
  #running: Promise<void> | undefined

  /**
   * @param everyMs from the end of a round to the start of the next one
   * @param round does not fail: what goes wrong is for it to tell; ends early when its signal is aborted
   */
  constructor(everyMs: number, round: (signal: AbortSignal) => Promise<void>) {
    this.#everyMs = everyMs
    this.#round = round
  }

  start(): void {
    this.#running ??= this.#run()
  }

  /** As `start`, with the first round now. */
  startNow(): void {
    this.#running ??= this.#round(this.#stopped.signal).then(() => this.#run())
  }

  /** Resolves when the round under way has ended. May be called twice. */
  async stop(): Promise<void> {
    this.#stopped.abort(new Error('the broker stops'))
    await this.#running
  }

  async #run(): Promise<void> {
    const { signal } = this.#stopped
    for (;;) {
      await delay(this.#everyMs, signal).catch(() => undefined)
      if (signal.aborted) return
      await this.#round(signal)
    }
  }
}
