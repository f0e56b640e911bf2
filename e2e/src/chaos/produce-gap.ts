import { groupBy } from './grouping.js'
import type { Acknowledgement } from './history.js'

/** A time during which faults held, until the cluster was whole again. Milliseconds of one clock. */
export interface FaultSpan {
  readonly name: string
  readonly fromMs: number
  /** When the faults were taken back. */
  readonly healedMs: number
  /** When every process served again. */
  readonly wholeMs: number
}

/**
 * The longest time without a successful produce that touches the span. What began before it counts from
 * there, and what ends after it to the end: a gap that a fault has opened is the fault's.
 *
 * @param acknowledgedMs in rising order
 */
export function longestGapMs(
  span: Pick<FaultSpan, 'fromMs' | 'wholeMs'>,
  acknowledgedMs: readonly number[],
): number {
  let longest = 0
  let last = span.fromMs
  for (const atMs of acknowledgedMs) {
    if (atMs < span.fromMs) continue
    longest = Math.max(longest, atMs - last)
    last = atMs
    if (atMs > span.wholeMs) return longest
  }
  return Math.max(longest, span.wholeMs - last)
}

/**
 * The same for the lane that had to wait longest. While one partition has no leader the others go on, and
 * hide the gap that its producers see. Lanes that send a single message have no gaps.
 */
export function longestLaneGapMs(
  span: Pick<FaultSpan, 'fromMs' | 'wholeMs'>,
  acknowledged: readonly Acknowledgement[],
): number {
  let longest = 0
  for (const [, calls] of groupBy(acknowledged, ({ lane }) => lane))
    if (calls.length > 1)
      longest = Math.max(
        longest,
        longestGapMs(
          span,
          calls.map(({ atMs }) => atMs),
        ),
      )
  return longest
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = sorted.length >> 1
  if (sorted.length === 0) return 0
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2
}
