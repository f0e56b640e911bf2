/** Time as an argument, so that tests decide what time it is. */
export interface Clock {
  /** Wall time, milliseconds since 1970 UTC. May jump. */
  now(): number
  /** Milliseconds since an arbitrary start. Never goes back. */
  monotonic(): number
}

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
}
