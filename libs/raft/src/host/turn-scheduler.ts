/** Where a host gets its turns and ticks from. Tests and simulations bring their own. */
export interface TurnScheduler {
  /** Runs once, soon, but not within this call. */
  soon(run: () => void): void
  /** Runs again and again; the result ends it. Time in milliseconds. */
  every(intervalMs: number, run: () => void): () => void
}

/** Turns of the event loop: what arrives in one is taken care of together. */
export const eventLoop: TurnScheduler = {
  soon: (run) => void setImmediate(run),
  every: (intervalMs, run) => {
    const timer = setInterval(run, intervalMs)
    return () => clearInterval(timer)
  },
}
