import { expect, test } from '@jest/globals'
import { runClusterChange } from '../src/cluster-change.js'

test('two brokers come, and one of the first goes, under load: all is even, nothing lost or doubled', async () => {
  const { faults, acknowledged, steps } = await runClusterChange({
    partitions: 30,
    messages: 20_000,
    rate: 300,
    limitMs: 90_000,
  })
  expect(faults).toEqual([])
  expect(acknowledged).toBeGreaterThan(0)
  expect(steps).toHaveLength(3)
  expect(steps[0]!.moves).toBeGreaterThan(0)
  expect(steps[1]!.moves).toBeGreaterThan(0)
})
