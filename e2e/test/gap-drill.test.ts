import { expect, test } from '@jest/globals'
import { quantile } from '../src/gaps/database-drill.js'
import { type LeaderFault, missedGoals } from '../src/gaps/leader-drill.js'

const FAULT: LeaderFault = 'kill'

test('gaps below both goals miss nothing', () => {
  expect(missedGoals(FAULT, [3999, 1999, 100])).toEqual([])
})

test('each goal is missed by itself, and named with the fault', () => {
  expect(missedGoals(FAULT, [2000, 2000, 100])).toEqual(['kill: the median gap is 2000 ms'])
  expect(missedGoals('pause', [100, 100, 4000])).toEqual(['pause: the longest gap is 4000 ms'])
})

test('a quantile is a latency that was measured, and one call that never ended is the longest', () => {
  const calls = [5, 1, 3, Infinity, 2].map((latencyMs) => ({ latencyMs }))
  expect(quantile(calls, 0.5)).toBe(3)
  expect(quantile(calls, 1)).toBe(Infinity)
  expect(quantile([], 0.99)).toBe(0)
})
