import { expect, test } from '@jest/globals'
import { runKillManagers } from '../src/kill-managers.js'

test('write managers and load balancers killed in turn: no call fails twice, nothing is stored or delivered twice', async () => {
  const result = await runKillManagers({ durationMs: 16_000, everyMs: 4000 })
  expect(result.faults).toEqual([])
  expect(result.kills).toBeGreaterThanOrEqual(6)
  expect(result.retried).toBeGreaterThan(0)
  expect(result.messages).toBeGreaterThan(500)
  expect(result.delivered).toBe(result.messages)
})
