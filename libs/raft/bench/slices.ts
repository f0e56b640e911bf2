const SLICES = 10

/** One thing measured several times: on a machine that does other things as well, the best says what it costs. */
export interface Slices {
  readonly median: number
  readonly best: number
}

/** @param measure for so many milliseconds; called once for the compiler, and then for each slice */
export function inSlices(forMs: number, measure: (forMs: number) => number): Slices {
  measure(forMs / SLICES)
  const values = Array.from({ length: SLICES }, () => measure(forMs / SLICES)).sort((a, b) => a - b)
  return { median: values[Math.floor(SLICES / 2)]!, best: values[0]! }
}
