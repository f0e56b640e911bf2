import type { TurnScheduler } from '../host/turn-scheduler.js'

/** Ticks by a timer of its own, or by hand, for everything in a node. */
export class TickScheduler implements TurnScheduler {
  readonly #auto: boolean
  readonly #runs = new Set<() => void>()

  constructor(auto: boolean) {
    this.#auto = auto
  }

  soon(run: () => void): void {
    setImmediate(run)
  }

  every(intervalMs: number, run: () => void): () => void {
    this.#runs.add(run)
    const timer = this.#auto ? setInterval(run, intervalMs) : undefined
    return () => {
      clearInterval(timer)
      this.#runs.delete(run)
    }
  }

  /** One tick for everybody, by hand. */
  tick(): void {
    for (const run of [...this.#runs]) run()
  }
}
